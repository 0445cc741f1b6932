//! What a recipe means in a live system. [`Wishes::gather`] reads the files that a recipe names;
//! [`Wishes::edits`] turns them into edits for one image, and reads and writes nothing.

mod greeting;
mod host_key;
mod input;
mod password;
mod seed;
mod sshd;

use crate::edit::{Edits, Way};
use crate::error::{Error, Result};
use crate::keys::{self, Gathered};
use crate::recipe::Recipe;
use crate::survey::Survey;
use crate::survey::nixos::Initrd;
use crate::survey::stage_one::StageOne;

use self::greeting::Greeting;
use self::password::Passwords;
use self::seed::Seed;
use self::sshd::Sshd;

pub use host_key::{HostKey, HostKeys};
pub use input::{Input, Secret};

/// What edits depend on in an image.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Facts {
    /// The release, as 25 and 11; zeros if `version.txt` tells none.
    pub release: (u32, u32),
    /// As `x86_64`, if a loader tells.
    pub architecture: Option<&'static str>,
    /// Whether stage 1 is systemd in any initrd.
    pub systemd_stage_one: bool,
}

impl Facts {
    /// Those of a surveyed image.
    pub fn of(survey: &Survey, initrds: &[Initrd]) -> Self {
        let mut numbers = survey.release.split('.').map(|word| word.parse().unwrap_or_default());
        let release = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        let systemd =
            |initrd: &Initrd| matches!(initrd.contents.stage_one, StageOne::Systemd { .. });
        Self {
            release,
            architecture: survey.architecture,
            systemd_stage_one: initrds.iter().any(systemd),
        }
    }

    /// Whether the release is this one or a later one. `unstable` has the number of the next release.
    pub fn is_from(&self, release: (u32, u32)) -> bool {
        self.release >= release
    }
}

/// A recipe with the contents of all files that it names.
#[derive(Debug)]
pub struct Wishes {
    /// The keys to let in and what is worth telling of them.
    pub keys: Gathered,
    /// The host keys to place.
    pub host_keys: Option<HostKeys>,
    sshd: Sshd,
    passwords: Option<Passwords>,
    greeting: Greeting,
    way: Way,
}

impl Wishes {
    /// Reads what a recipe names, and refuses what is wrong whatever the image.
    pub fn gather(recipe: &Recipe, input: &mut Input<'_>) -> Result<Self> {
        if recipe.given().is_empty() {
            return Err(Error::Usage {
                what: "nothing to put in".into(),
                hint: "give a public key to --key, or see --help for what else there is",
            });
        }
        let keys = match recipe.key.as_slice() {
            [] => Gathered::default(),
            given => keys::gather(given, input.for_keys(given)?)?,
        };
        let merge = recipe.merge_initrd == Some(true);
        let way = if merge { Way::MergeInitrd } else { Way::ExtraInitrd };
        let seed = Seed::gather(recipe)?;
        Ok(Self {
            keys,
            host_keys: HostKeys::gather(recipe, seed.as_ref())?,
            sshd: Sshd::gather(recipe),
            passwords: Passwords::gather(recipe, input, seed.as_ref())?,
            greeting: Greeting::gather(recipe),
            way,
        })
    }

    /// What is worth telling the user, a line each.
    pub fn notes(&self) -> Vec<String> {
        self.keys.notes.iter().map(ToString::to_string).collect()
    }

    /// The edits for an image of these facts, or why it cannot have them.
    pub fn edits(&self, _facts: &Facts) -> Result<Edits> {
        let mut edits = Edits { way: self.way, ..Edits::default() };
        if !self.keys.keys.is_empty() {
            edits = Edits::authorize(&self.keys.keys.to_text(), self.way);
        }
        self.sshd.apply(&mut edits);
        if let Some(keys) = &self.host_keys {
            keys.apply(&mut edits);
        }
        if let Some(passwords) = &self.passwords {
            passwords.apply(&mut edits);
        }
        self.greeting.apply(self.host_keys.as_ref(), &mut edits);
        Ok(edits)
    }
}
