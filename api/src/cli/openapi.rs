//! `openapi`: prints the document. It needs no database and no settings.

use std::io::Write as _;
use std::process::ExitCode;

use super::Failure;

pub fn run() -> Result<ExitCode, Failure> {
    std::io::stdout().lock().write_all(crate::openapi::yaml()?.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
