//! What a recipe means in a live system. [`Wishes::gather`] reads the files that a recipe names;
//! [`Wishes::edits`] turns them into edits for one image, and reads and writes nothing.

mod files;
mod input;
mod network;
mod system;
mod told;
mod wifi;

use crate::edit::{Edits, Way};
use crate::error::{Error, Result};
use crate::keys::{self, Gathered};
use crate::recipe::Recipe;
use crate::survey::Survey;
use crate::survey::nixos::Initrd;
use crate::survey::stage_one::StageOne;

use files::Files;

pub use input::{Input, Secret};
pub use told::settings;

use network::Network;
use system::System;
use wifi::Wifi;

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
    files: Option<Files>,
    way: Way,
    system: System,
    network: Network,
    wifi: Option<Wifi>,
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
        Ok(Self {
            keys,
            way,
            files: Files::gather(recipe)?,
            system: System::gather(recipe)?,
            network: Network::gather(recipe)?,
            wifi: Wifi::gather(recipe, input)?,
        })
    }

    /// What is worth telling the user, a line each.
    pub fn notes(&self) -> Vec<String> {
        let keys = self.keys.notes.iter().map(ToString::to_string);
        keys.chain(self.files.iter().flat_map(|files| files.notes().iter().cloned())).collect()
    }

    /// The edits for an image of these facts, or why it cannot have them.
    pub fn edits(&self, facts: &Facts) -> Result<Edits> {
        let mut edits = Edits { way: self.way, ..Edits::default() };
        if !self.keys.keys.is_empty() {
            edits = Edits::authorize(&self.keys.keys.to_text(), self.way);
        }
        self.system.apply(&mut edits);
        self.network.apply(facts, &mut edits);
        if let Some(wifi) = &self.wifi {
            wifi.apply(facts, &mut edits);
        }
        // The last one, so that files which something else makes, too, are noticed.
        if let Some(files) = &self.files {
            files.apply(facts, &mut edits)?;
        }
        Ok(edits)
    }
}
