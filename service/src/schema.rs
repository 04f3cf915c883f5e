//! JSON Schema: compiling, checking and limiting the schemas that users write.
