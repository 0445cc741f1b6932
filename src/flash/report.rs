//! What was done to a medium, and the error for one that does not hold what was meant.

use std::time::Duration;

use super::diagnosis::{Cause, Difference};
use crate::error::Error;
use crate::image::unpack::DigestMatch;

/// What was done to one medium.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Bytes of the image.
    pub size: u64,
    /// Bytes that were written.
    pub written: u64,
    /// Bytes that were read back or compared.
    pub compared: u64,
    /// Whether only what differed was written.
    pub is_delta: bool,
    /// Whether such a comparison left out what is taken for the same base: most of the medium was not read.
    pub is_sampled: bool,
    /// Bytes behind the image that were cut off a file of which only what differed was written.
    pub cut_off: u64,
    /// Bytes of a file behind the image that it is compared with.
    pub beyond: u64,
    /// Whether writes passed the page cache.
    pub is_direct: bool,
    /// Where the backup GPT went, if it had to move.
    pub backup_at: Option<u64>,
    /// How long the probe took.
    pub probe_time: Option<Duration>,
    /// How long writing took.
    pub write_time: Duration,
    /// How long reading back took.
    pub verify_time: Option<Duration>,
    /// All bytes that are wrong, in order. Then the medium has no first block and does not boot.
    pub differences: Vec<Difference>,
    /// Whether all of the image is on the medium, as far as that was asked to be checked.
    pub is_whole: bool,
    /// What the image lacks, where that is known only at its end.
    pub note: Option<String>,
    /// Which bytes have the SHA-256 that was demanded.
    pub fits: Option<DigestMatch>,
}

impl Report {
    /// Whether what was to be read back was read and is right: everything, or of a quick check the start, the end and what was
    /// put in. Bytes that were compared and did not have to be written count as read.
    pub fn is_verified(&self) -> bool {
        let is_as_it_was = self.is_delta && self.written == 0;
        self.differences.is_empty() && (self.verify_time.is_some() || is_as_it_was)
    }

    /// Whether most of what differs is other data, and nothing that differs is explained by the medium.
    pub fn is_other_data(&self) -> bool {
        let is_fault = |cause: Cause| {
            let is_elsewhere = matches!(cause, Cause::Wrapped { .. } | Cause::Misdirected { .. });
            is_elsewhere || matches!(cause, Cause::Unstable | Cause::Unreadable)
        };
        let bytes = |is: &dyn Fn(Cause) -> bool| {
            let found = self.differences.iter().filter(|found| is(found.cause));
            found.fold(0_u64, |sum, found| sum.saturating_add(found.at.size()))
        };
        let (other, all) = (bytes(&|cause| cause == Cause::Other), bytes(&|_| true));
        bytes(&is_fault) == 0 && other >= all.saturating_sub(other) && all > 0
    }

    /// The error for a medium that does not hold what was meant.
    pub fn error(&self, medium: &str) -> Option<Error> {
        let first = self.differences.first()?;
        let bad = self.differences.iter().fold(0_u64, |sum, d| sum.saturating_add(d.at.size()));
        Some(Error::Differs {
            what: medium.to_owned(),
            at: first.at.start(),
            found: first.cause.explained(),
            expected: format!(
                "the image ({} different places, {bad} bytes in all)",
                self.differences.len()
            ),
        })
    }
}
