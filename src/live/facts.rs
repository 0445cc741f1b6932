//! The facts of an image that edits depend on: its release, its architecture and its free space.

use crate::disk::survey::DiskSurvey;
use crate::iso::survey::Survey;

/// What edits depend on in an image.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Facts {
    /// The release, as 25 and 11; zeros if `version.txt` tells none.
    pub release: (u32, u32),
    /// As `x86_64`, if a loader tells.
    pub architecture: Option<&'static str>,
    /// Bytes that are free in a root filesystem which files are written into; none where an initrd brings
    /// them into a live system.
    pub room: Option<u64>,
}

impl Facts {
    /// Those of a surveyed image.
    pub fn from_survey(survey: &Survey) -> Self {
        Self::from_release(&survey.release, survey.architecture)
    }

    /// Those of something else: its release as `version.txt` has it, and its architecture.
    pub fn from_release(release: &str, architecture: Option<&'static str>) -> Self {
        Self { release: numbers(release), architecture, room: None }
    }

    /// Those of a raw image.
    pub(crate) fn from_disk(raw: &DiskSurvey) -> Self {
        Self {
            release: numbers(&raw.release),
            architecture: raw.architecture,
            room: Some(raw.free),
        }
    }

    /// Whether the release is this one or a later one. `unstable` has the number of the next release.
    pub(crate) fn is_from(&self, release: (u32, u32)) -> bool {
        self.release >= release
    }
}

/// The first two numbers of a release; that of `26.11pre12345.abc`, which leads to 26.11, are 26 and 11.
fn numbers(release: &str) -> (u32, u32) {
    let digits = |word: &str| word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let number = |word: &str| word.get(..digits(word)).unwrap_or_default().parse();
    let mut numbers = release.split('.').map(|word| number(word).unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}
