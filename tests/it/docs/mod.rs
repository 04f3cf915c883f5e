//! `/docs`: Swagger UI.

mod swagger_ui;
