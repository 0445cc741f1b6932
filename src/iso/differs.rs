//! The fault that a composed image shows where it is not what was planned.

use std::fmt::Display;

use crate::error::Error;

/// The error for a composed image that is not what was planned.
#[track_caller]
pub(crate) fn differs(what: &str, at: u64, found: impl Display, expected: impl Display) -> Error {
    Error::bug(format!(
        "the composed image is wrong: {what} at byte {at:#x}: found {found}, expected {expected}"
    ))
}
