//! Tool executors behind one trait.
