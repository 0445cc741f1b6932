//! What a recipe means in a live system. [`Customization::gather`] reads the files that a recipe names;
//! [`Customization::edits`] turns them into edits for one image, and reads and writes nothing.

mod announce;
mod carried;
mod credential;
mod exposed;
mod facts;
mod files;
mod greeting;
mod host_key;
mod host_key_pair;
mod input;
mod inputs;
mod lookup;
mod machines;
pub mod named_files;
mod network;
mod password;
mod readback;
pub(crate) mod remote_keys;
mod seed;
mod serial;
mod sshd;
mod system;
mod wifi;
mod written;

use std::collections::BTreeSet;
use std::io::Read;

use crate::boot::kernel_args;
use crate::error::{Advice, Error, Result};
use crate::formats::newc::Member;
use crate::keys::{self, Gathered};
use crate::recipe::edits::{Boot, Edits, InjectMethod};
use crate::recipe::{Recipe, setting};

use files::Files;

use self::announce::Announce;
use self::greeting::Greeting;
use self::host_key::RequestedHostKeys;
use self::password::{Passwords, RequestedPasswords};
use self::seed::Seed;
use self::sshd::Sshd;

pub(crate) use announce::DIGEST as ANNOUNCED_DIGEST;
pub use carried::{Carried, is_host_key};
pub(crate) use credential::check_beside as check_beside_credential;
pub use exposed::note_on_key;
pub use facts::Facts;
pub use host_key::HostKeys;
pub use host_key_pair::HostKey;
pub use input::{Input, KeyFetcher, Secret};
pub(crate) use input::{Untyped, unasked};
pub use lookup::look_up;
pub use machines::{is_of_machines, on_some_machine};
pub(crate) use password::users as users_with_passwords;
pub use readback::{greets, settings, takes_keys_only, wifi_names};
pub use wifi::wifi_parts;
pub use written::written;

use machines::{Machines, Part};
use network::Network;
use system::System;
use wifi::Wifi;

/// A recipe with the contents of all files that it names, and with its random keys and salts.
#[derive(Debug)]
pub struct Customization {
    /// The keys to let in, and notes on them.
    pub keys: Gathered,
    files: Option<Files>,
    /// The host keys to place.
    pub host_keys: Option<HostKeys>,
    sshd: Sshd,
    passwords: Option<Passwords>,
    requested: Requested,
    seed: Option<Seed>,
    greeting: Greeting,
    announce: Announce,
    way: InjectMethod,
    boot: Boot,
    system: System,
    network: Network,
    wifi: Option<Wifi>,
    machines: Machines,
    /// What is in the image already, and stays.
    carried: Option<Carried>,
    /// Notes on files with secrets.
    exposed: Vec<String>,
}

/// The host keys and passwords of a recipe, before random keys and salts are made.
#[derive(Debug)]
struct Requested {
    host_keys: Option<RequestedHostKeys>,
    passwords: Option<RequestedPasswords>,
}

impl Requested {
    /// Refuses what would be random.
    fn refuse_random(&self, recipe: &Recipe) -> Result<()> {
        let what = format!(
            "would be random, different each time, and {} is given",
            setting!(reproducible)
        );
        if self.host_keys.as_ref().is_some_and(RequestedHostKeys::has_random_key) {
            let hint = format!("give {}, or a file with a key", setting!(host_key_seed));
            return Err(recipe.fault("host-key", 0, what, hint));
        }
        if self.passwords.as_ref().is_some_and(RequestedPasswords::has_random_salt) {
            let is_plain = |name: &&String| name.ends_with("-file") || name.ends_with("-prompt");
            let given = recipe.set_names();
            let mut names = given.iter().filter(|name| name.contains("-password-"));
            let name = names.find(is_plain).map_or("root-password-file", String::as_str);
            let what = format!("the salt of the hash {what}");
            let hint = format!("give {}, or the hash of the password", setting!(host_key_seed));
            return Err(recipe.fault(name, 0, what, hint));
        }
        Ok(())
    }
}

/// A recipe with the contents of all files that it names, before random keys and salts are made.
#[derive(Debug)]
pub(crate) struct CustomizationTemplate(Customization);

impl CustomizationTemplate {
    /// Reads what a recipe names, and refuses what is wrong whatever the image.
    pub(crate) fn gather(recipe: &Recipe, input: &mut Input<'_>) -> Result<Self> {
        if recipe.edits().is_empty() {
            return Err(Error::Usage { what: "nothing to put in".into(), hint: Advice::GiveKey });
        }
        named_files::check(recipe)?;
        Self::with(recipe, judged_keys(recipe, input)?, input, None)
    }

    /// The same where keys are known, over what an image has already.
    fn with(
        recipe: &Recipe,
        keys: Gathered,
        input: &mut Input<'_>,
        carried: Option<Carried>,
    ) -> Result<Self> {
        let way = inject_method(recipe, carried.as_ref())?;
        let seed = Seed::gather(recipe)?;
        let before = carried.as_ref().map(Carried::host_keys).unwrap_or_default();
        let host_keys = RequestedHostKeys::gather(recipe, seed.as_ref())?;
        let requested = Requested {
            host_keys: RequestedHostKeys::over(host_keys, recipe, before),
            passwords: RequestedPasswords::gather(recipe, input, seed.as_ref())?,
        };
        if recipe.reproducible == Some(true) {
            requested.refuse_random(recipe)?;
        }
        let machines = Machines::gather(recipe, &keys, seed.as_ref())?;
        if recipe.reproducible == Some(true) && machines.have_random_keys() {
            let what =
                format!("a host key would be random, and {} is given", setting!(reproducible));
            let hint = "give host-key-seed, or files with keys";
            return Err(recipe.fault("machine", 0, what, hint));
        }
        Ok(Self(Customization {
            keys,
            way,
            host_keys: None,
            sshd: Sshd::gather(recipe),
            passwords: None,
            requested,
            seed,
            greeting: Greeting::gather(recipe, !before.is_empty()),
            announce: Announce::gather(recipe),
            boot: kernel_args::gather(recipe)?,
            files: Files::gather(recipe)?,
            system: System::gather(recipe)?,
            network: Network::gather(recipe)?,
            wifi: Wifi::gather(recipe, input)?,
            machines,
            carried,
            exposed: exposed::notes(recipe),
        }))
    }

    /// Notes for the user, a line each.
    #[cfg(feature = "records")]
    pub(crate) fn notes(&self) -> Vec<String> {
        self.0.notes()
    }

    /// The digest of what is asked for of an image of these facts, without random keys and salts.
    #[cfg(feature = "records")]
    pub(crate) fn inputs(&self, facts: &Facts) -> Result<[u8; 32]> {
        self.0.inputs(facts)
    }

    /// Makes random keys and salts, or takes them from the files of an image that was made of the same recipe before.
    pub(crate) fn complete(mut self, before: &[Member]) -> Result<Customization> {
        let Requested { host_keys, passwords } = &self.0.requested;
        self.0.host_keys = host_keys.as_ref().map(|keys| keys.complete(before)).transpose()?;
        self.0.passwords = passwords.as_ref().map(|words| words.complete(before)).transpose()?;
        self.0.machines.complete()?;
        Ok(self.0)
    }
}

impl Customization {
    /// Reads what a recipe names, and asks nobody: no standard input, no terminal.
    ///
    /// # Errors
    /// What cannot be read, and what is wrong whatever the image.
    pub fn from_recipe(recipe: &Recipe) -> Result<Self> {
        Self::gather(recipe, &mut Input::none())
    }

    /// Reads what a recipe names, and refuses what is wrong whatever the image.
    pub fn gather(recipe: &Recipe, input: &mut Input<'_>) -> Result<Self> {
        CustomizationTemplate::gather(recipe, input)?.complete(&[])
    }

    /// Reads what a recipe names, over what an image has already.
    ///
    /// # Errors
    /// As [`Self::gather`].
    pub fn gather_over(recipe: &Recipe, input: &mut Input<'_>, carried: Carried) -> Result<Self> {
        named_files::check(recipe)?;
        let keys = judged_keys(recipe, input)?;
        CustomizationTemplate::with(recipe, keys, input, Some(carried))?.complete(&[])
    }

    /// Turns it back into a template, so that random keys and salts can be made again.
    #[cfg(feature = "records")]
    pub(crate) fn template(self) -> CustomizationTemplate {
        CustomizationTemplate(self)
    }

    fn inputs(&self, facts: &Facts) -> Result<[u8; 32]> {
        let host_keys = self.requested.host_keys.as_ref().map(RequestedHostKeys::in_words);
        let passwords = self.requested.passwords.as_ref().map(RequestedPasswords::in_words);
        let edits = self.edits_with((host_keys.as_ref(), true), passwords.as_ref(), facts)?;
        inputs::digest(&edits, self.seed.as_ref())
    }

    /// The host keys of all machines that the image is for, of each the ones that it has.
    pub fn all_host_keys(&self) -> impl Iterator<Item = &HostKeys> {
        self.host_keys.iter().chain(self.machines.host_keys())
    }

    /// Whether edits go into stage 1, so that it must be understood.
    pub fn touch_stage_one(&self) -> bool {
        self.way.has_archives()
    }

    /// Notes for the user, a line each.
    pub fn notes(&self) -> Vec<String> {
        let limits = (self.way == InjectMethod::Credential).then(|| credential::LIMITS.to_string());
        let keys = self.keys.notes.iter().map(ToString::to_string);
        let files = self.files.iter().flat_map(|files| files.notes().iter().cloned());
        let carried = self.carried.iter().flat_map(|carried| carried.notes().iter().cloned());
        let exposed = carried.chain(self.exposed.iter().cloned());
        let silent = self.announce.note(self.all_host_keys().next().is_some());
        let machines = self.machines.notes();
        keys.chain(machines).chain(limits).chain(files).chain(exposed).chain(silent).collect()
    }

    /// The edits for an image of these facts, or why it cannot have them.
    ///
    /// # Errors
    /// That, and where nothing would be different.
    pub fn edits(&self, facts: &Facts) -> Result<Edits> {
        let edits = self.edits_or_none(facts)?;
        if edits.is_empty() {
            let what = "nothing to put in: what is asked for changes nothing by itself".into();
            return Err(Error::Usage { what, hint: Advice::GiveKey });
        }
        Ok(edits)
    }

    /// The same, also where nothing would be different.
    fn edits_or_none(&self, facts: &Facts) -> Result<Edits> {
        let (host_keys, passwords) = (self.host_keys.as_ref(), self.passwords.as_ref());
        let inputs = self.inputs(facts)?;
        let mut edits = self.edits_with((host_keys, false), passwords, facts)?;
        self.announce.put_digest(&inputs, &mut edits);
        Ok(Edits { inputs: Some(inputs), ..edits })
    }

    /// The edits with these host keys; with `in_words`, words stand for random ones.
    fn edits_with(
        &self,
        (host_keys, in_words): (Option<&HostKeys>, bool),
        passwords: Option<&Passwords>,
        facts: &Facts,
    ) -> Result<Edits> {
        let mut edits = Edits { way: self.way, ..Edits::default() };
        if self.way == InjectMethod::Menus {
            edits.boot = self.boot.clone();
            return Ok(edits);
        }
        if self.way == InjectMethod::Credential {
            let credentials = credential::arguments(&self.keys.keys, facts)?;
            edits.boot = Boot { credentials, ..self.boot.clone() };
            return Ok(edits);
        }
        if !self.keys.keys.is_empty() {
            edits = Edits::authorize(&self.keys.keys.to_text(), self.way);
        }
        edits.boot = self.boot.clone();
        serial::apply(&self.boot, &mut edits);
        self.system.apply(&mut edits);
        self.network.apply(facts, &mut edits);
        if let Some(wifi) = &self.wifi {
            wifi.apply(facts, &self.network, &mut edits);
        }
        self.sshd.apply(&mut edits);
        if let Some(keys) = host_keys {
            keys.apply(&mut edits);
        }
        if let Some(passwords) = passwords {
            passwords.apply(&mut edits);
        }
        let (keys, system, network) = (&self.keys.keys, &self.system, &self.network);
        let announce = self.announce;
        announce.apply(host_keys, &mut edits);
        let common = Part { keys, system, network, host_keys, announce };
        let theirs = self.machines.apply(common, in_words, facts, &mut edits);
        self.greeting.apply(host_keys, &mut edits);
        // The last ones, so that files which something else makes, too, are noticed.
        if let Some(files) = &self.files {
            files.apply(facts, &theirs, &mut edits)?;
        }
        if let Some(carried) = &self.carried {
            carried.apply(self.files.as_ref(), &mut edits)?;
        }
        Ok(edits)
    }
}

/// How what is put in gets into the live system.
fn inject_method(recipe: &Recipe, carried: Option<&Carried>) -> Result<InjectMethod> {
    Ok(match recipe.merge_initrd {
        _ if credential::gather(recipe)? => InjectMethod::Credential,
        Some(true) => InjectMethod::MergeInitrd,
        _ if carried.is_some_and(|carried| !carried.is_empty()) => InjectMethod::ExtraInitrd,
        _ if !recipe.touches_stage_one() => InjectMethod::Menus,
        _ => InjectMethod::ExtraInitrd,
    })
}

/// The keys of a recipe. One of them must let somebody in.
fn judged_keys(recipe: &Recipe, input: &mut Input<'_>) -> Result<Gathered> {
    match recipe.key.as_slice() {
        [] if recipe.expect_fingerprint.is_empty() => Ok(Gathered::default()),
        given => {
            let fetched = remote_keys::fetch(recipe, input)?;
            gather_keys(recipe, &fetched, input.for_keys(given)?)
        }
    }
}

/// Takes the keys of a recipe. A fault names the place in the recipe file where a key stands, or the file that it names.
fn gather_keys(recipe: &Recipe, fetched: &keys::Fetched, stdin: impl Read) -> Result<Gathered> {
    let place = |index| recipe.place_in_file("key", index);
    Ok(keys::gather_with(&recipe.key, place, fetched, stdin)?)
}

/// The paths of the files that a recipe makes. The recipe names no file to be read.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn paths_of(recipe: &Recipe, keys: Gathered, facts: &Facts) -> Result<BTreeSet<String>> {
    let made = CustomizationTemplate::with(recipe, keys, &mut Input::none(), None)?;
    let made = made.complete(&[])?.edits_or_none(facts)?;
    Ok(made.root.members().map(|member| member.path.clone()).collect())
}
