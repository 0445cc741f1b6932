//! Whether the structures of an image agree: what `remaster inspect` tells, and what is asked of every base.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::image::partitions::Partitions;

/// Whether structures agree.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub detail: String,
}

/// Refuses a base that fails a check.
///
/// # Errors
/// [`Error::Unsound`], with the words of all that do.
pub(crate) fn require(checks: &[Check]) -> Result<()> {
    let wrong = checks.iter().filter(|check| !check.ok);
    let wrong: Vec<String> = wrong.map(|one| format!("{}: {}", one.name, one.detail)).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::Unsound { image: "the image".into(), found: wrong.join("; ") })
}

/// Whether the backup of a GPT says what the primary one does; none without a GPT.
pub(crate) fn backup_gpt(partitions: &Partitions) -> Option<Check> {
    partitions.gpt.as_ref()?;
    let fault = &partitions.backup_fault;
    let detail = fault.clone().unwrap_or_else(|| "the backup mirrors the primary table".into());
    Some(Check { name: "backup GPT", ok: fault.is_none(), detail })
}
