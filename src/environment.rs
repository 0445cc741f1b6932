//! Environment variables: what is text must be text.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// The bytes of a variable; none if it is not set.
pub fn bytes(name: &str) -> Option<OsString> {
    env::var_os(name)
}

/// The path that a variable holds; none if it is not set, or empty.
pub fn path(name: &str) -> Option<PathBuf> {
    bytes(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The text of a variable; none if it is not set.
///
/// # Errors
/// [`Error::Usage`] for one that is not UTF-8.
pub fn text(name: &str) -> Result<Option<String>> {
    let Some(value) = bytes(name) else { return Ok(None) };
    value.into_string().map(Some).map_err(|_| Error::Usage {
        what: format!("the environment variable {name} is not text in UTF-8"),
        hint: "set it to text, or unset it".into(),
    })
}
