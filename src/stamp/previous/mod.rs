//! What an image keeps of its earlier stamping, for an edit that adds to it: what can be said as a recipe again, and the
//! other files as they are.

mod menus;

use std::collections::BTreeSet;
use std::path::Path;

use crate::boot::kernel_args;
use crate::error::{Advice, Error, Result};
use crate::formats::boot_config::Entry;
use crate::formats::newc::{Kind, Member};
use crate::image::ReadAt;
use crate::keys::{self, Gathered, KEY_FILES, KeyError, Source};
use crate::live::{self, Carried, Facts};
use crate::recipe::{Inject, Recipe, setting};
use crate::stamp::base_image::BaseImage;
use crate::stamp::manifest::found;

pub(super) use menus::alike as menus_alike;

const SHADOW: &str = "etc/shadow";

/// What was put into an image before.
#[derive(Debug)]
pub struct PreviousStamp {
    /// What stays of it as a recipe.
    recipe: Recipe,
    /// The earlier keys. Some may not stay.
    keys: Vec<String>,
    /// The entries of the original's menus.
    entries: Vec<Entry>,
    root: Vec<Member>,
    /// Whether there are squashfs files beside that.
    has_attached: bool,
    private: bool,
    /// `SOURCE_DATE_EPOCH` then.
    epoch: Option<u64>,
    /// How its switches are; none where nothing is in the live system's root.
    switches: Option<Switches>,
}

/// Switches of the live system that follow from keys where nobody says anything of them.
#[derive(Clone, Copy, Debug)]
struct Switches {
    takes_keys_only: bool,
    greets: bool,
    has_key: bool,
    has_host_key: bool,
}

impl PreviousStamp {
    /// Reads what was put into an image; `None` if nothing was.
    ///
    /// # Errors
    /// [`Error::Usage`] where menus were changed in a way that no recipe says; a manifest that cannot be read.
    pub fn read<B: ReadAt + Clone>(base: &BaseImage<B>) -> Result<Option<Self>> {
        let Some(stamped) = base.injected() else { return Ok(None) };
        let found = found::of_image(base.original().base())?;
        let root = stamped.root.clone();
        refuse_machines(&root)?;
        let mut recipe = Recipe::default();
        menus::read(base, &mut recipe)?;
        read_keys(base, &root, &mut recipe)?;
        read_settings(&root, &mut recipe)?;
        let switches = read_switches(&root, &mut recipe);
        let manifest = found.as_ref().map(|found| &found.manifest);
        let digested = manifest.is_some_and(|manifest| manifest.blocks.is_some());
        recipe.manifest_digests = digested.then_some(true);
        Ok(Some(Self {
            keys: recipe.key.clone(),
            recipe,
            entries: menus::entries(base),
            root,
            has_attached: !stamped.attached.is_empty(),
            switches,
            epoch: manifest.and_then(|manifest| manifest.source_date_epoch),
            private: manifest.is_none_or(|manifest| manifest.private != Some(false)),
        }))
    }

    /// `SOURCE_DATE_EPOCH` as it was then, which stays where no other is given.
    pub fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// Takes out keys, each given as fingerprint, comment, file or key. Gives the fingerprints of those that are gone.
    ///
    /// # Errors
    /// [`Error::Recipe`] for one that the image does not let in, also where it is one of several in a file.
    pub fn remove_keys(&mut self, given: &[String]) -> Result<Vec<String>> {
        let mut gone = BTreeSet::new();
        if !given.is_empty() && self.there().next().is_none() {
            return Err(Error::Usage {
                what: "no key was put into the image: there is none to take out".into(),
                hint: Advice::NoKeyThere,
            });
        }
        for wanted in given {
            gone.extend(self.meant(wanted)?);
        }
        let stays = |line: &String| key_of(line).is_none_or(|(print, _)| !gone.contains(&print));
        self.recipe.key.retain(stays);
        Ok(gone.into_iter().collect())
    }

    /// The fingerprints of the keys that are meant, all of which the image lets in.
    fn meant(&self, wanted: &str) -> Result<Vec<String>> {
        match keys::of_argument(wanted) {
            Ok((source, found)) => self.held(&source, prints(&found)),
            Err(fault) => match (self.called(wanted), fault) {
                (found, _) if !found.is_empty() => Ok(found),
                (_, KeyError::Neither { .. }) => Err(self.no_such_key(wanted)),
                (_, fault) => Err(fault.into()),
            },
        }
    }

    /// The keys of this fingerprint or comment.
    fn called(&self, wanted: &str) -> Vec<String> {
        let is_called =
            |(print, comment): &(String, String)| [print.as_str(), comment].contains(&wanted);
        let found = self.there().filter(|key| !wanted.is_empty() && is_called(key));
        found.map(|(print, _)| print).collect()
    }

    /// The fingerprints and comments of the keys that were let in before.
    fn there(&self) -> impl Iterator<Item = (String, String)> {
        self.keys.iter().filter_map(|line| key_of(line))
    }

    /// The same keys, which a file or an argument holds.
    fn held(&self, source: &Source, held: Vec<String>) -> Result<Vec<String>> {
        let is_absent = |print: &&String| self.there().all(|(other, _)| other != **print);
        let absent: Vec<&str> = held.iter().filter(is_absent).map(String::as_str).collect();
        let what = match source {
            _ if absent.is_empty() => return Ok(held),
            Source::File(path) => {
                let absent = absent.join(", ");
                format!("{} holds {absent}, which the image does not let in", path.display())
            }
            _ => format!("the image does not let in the key {}", absent.join(", ")),
        };
        Err(Error::Recipe { what, hint: self.keys_hint() })
    }

    /// Takes out all keys. Gives their fingerprints.
    pub fn remove_all_keys(&mut self) -> Vec<String> {
        let lines = std::mem::take(&mut self.recipe.key);
        lines.iter().filter_map(|line| Some(key_of(line)?.0)).collect()
    }

    /// The error for a word that is neither a file nor a key.
    fn no_such_key(&self, wanted: &str) -> Error {
        // What looks like a path is one.
        let is_path =
            wanted.contains('/') || Path::new(wanted).extension().is_some_and(|end| end == "pub");
        let what = if is_path {
            format!("there is no file {wanted}, and the image lets in no key with that comment")
        } else {
            format!("the image does not let in the key {wanted:?}")
        };
        Error::Recipe { what, hint: self.keys_hint() }
    }

    /// What can be taken out.
    fn keys_hint(&self) -> Advice {
        let shown = |(print, comment)| format!("{print} {comment}").trim_end().to_owned();
        let there: Vec<String> = self.there().map(shown).collect();
        format!("give one of these: {}", there.join(", ")).into()
    }

    /// What is asked for now over what was put in before. Networks become a recipe again where something of them is asked
    /// for now; else they stay as files, as wireless ones cannot become a recipe again. A serial port that is asked for
    /// again stays where it is among the ports, with its new speed.
    ///
    /// # Errors
    /// What is wrong with what is asked for of menus, and kernel arguments for other entries than those of before.
    pub fn with(&self, mut asked: Recipe) -> Result<Recipe> {
        let mut before = self.before(asked.sets_networks());
        (before.ssh_passwords, before.greeting) = (None, None);
        let boot = kernel_args::gather(&asked)?;
        menus::check_entries(&self.entries, &kernel_args::gather(&before)?, &boot)?;
        if !asked.entry.is_empty() {
            before.entry.clear();
        }
        asked.serial = new_ports(&mut before.serial, asked.serial);
        forget_what_is_there(&mut asked, &before);
        // One text of all lines, so that messages number them as the file of the image does.
        if !before.key.is_empty() {
            before.key = vec![before.key.join("\n")];
        }
        let stays = asked.inject.is_none();
        let mut recipe = asked.onto(before);
        if stays && recipe.inject == Some(Inject::Credential) {
            if recipe.key.is_empty() {
                recipe.inject = None;
            } else {
                live::check_beside_credential(&recipe)?;
            }
        }
        Ok(recipe)
    }

    /// The same recipe with switches as they were where nobody asks for another state: what followed from a key stays
    /// without it. Where a key or host key comes to what followed from there being none, they follow again.
    #[must_use]
    pub fn settled(&self, recipe: Recipe, (adds_key, adds_host_key): (bool, bool)) -> Recipe {
        let Some(was) = self.switches else { return recipe };
        let (has_key, has_ssh) =
            (recipe.names_key(), recipe.names_key() || recipe.names_host_key() || was.has_host_key);
        let follows = adds_key && was.takes_keys_only == was.has_key;
        let differs = was.takes_keys_only != has_key && !follows;
        let passwords = differs.then_some(!was.takes_keys_only);
        let follows =
            (adds_key || adds_host_key) && was.greets == (was.has_key || was.has_host_key);
        let greeting = (was.greets != has_ssh && !follows).then_some(was.greets);
        Recipe {
            ssh_passwords: recipe.ssh_passwords.or(passwords),
            greeting: recipe.greeting.or(greeting),
            ..recipe
        }
    }

    /// Whether something was on that is asked to be off. [`Carried::left_out`] has the links of units.
    pub fn is_switched_off(&self, asked: &Recipe) -> bool {
        let before = &self.recipe;
        let goes = |asked, before| asked == Some(false) && before == Some(true);
        goes(asked.announce, before.announce)
            || goes(asked.merge_initrd, before.merge_initrd)
            || (asked.inject == Some(Inject::Archive) && before.inject == Some(Inject::Credential))
    }

    /// Refuses what says something of networks or stores that are not given with it: those of the image stay as they are.
    ///
    /// # Errors
    /// That, if the image has some.
    pub fn check_beside(&self, asked: &Recipe) -> Result<()> {
        let names = asked.set_names();
        let of_wifi = names.iter().find(|name| name.starts_with("wifi-"));
        let of_wifi = of_wifi.filter(|_| asked.wifi.is_empty() && self.has_wifi());
        let of_stores = names.iter().find(|name| *name == "path");
        let of_stores = of_stores.filter(|_| asked.store.is_empty() && self.has_attached);
        let (name, what, with) = match (of_wifi, of_stores) {
            (Some(name), _) => (name, "networks", setting!(wifi)),
            (None, Some(name)) => (name, "stores", setting!(store)),
            (None, None) => return Ok(()),
        };
        let what = format!(
            "is for the {what} that are given with it: those of the image stay as they are"
        );
        Err(asked.fault(name, 0, what, format!("give all of them again, too, to {with}")))
    }

    /// What stays as a recipe, with its networks or without them.
    fn before(&self, with_networks: bool) -> Recipe {
        let before = self.recipe.clone();
        if with_networks || !self.has_wifi() {
            return before;
        }
        Recipe {
            address: Vec::new(),
            gateway: Vec::new(),
            bond: Vec::new(),
            mtu: Vec::new(),
            dns: Vec::new(),
            ..before
        }
    }

    /// A recipe that makes the files of all networks. What opens the wireless ones is not known.
    fn with_all_networks(&self) -> Recipe {
        let wifi = self.wifi();
        let has_wifi = !wifi.is_empty();
        Recipe {
            key: self.keys.clone(),
            wifi,
            wifi_open: has_wifi.then_some(true),
            wifi_country: has_wifi.then(|| "DE".to_owned()),
            ..self.before(true)
        }
    }

    fn wifi(&self) -> Vec<String> {
        let root: Vec<&Member> = self.root.iter().collect();
        live::wifi_names(&root)
    }

    fn has_wifi(&self) -> bool {
        !self.wifi().is_empty()
    }

    /// The files that the recipe of before does not make, and the host keys.
    ///
    /// # Errors
    /// As [`Carried::from_members`], and what an earlier version let in and this one refuses.
    pub fn carried(&self, facts: &Facts, asked: &Recipe) -> Result<Carried> {
        let before = Recipe { key: self.keys.clone(), ..self.before(false) };
        let keys = keys::parse("authorized_keys", self.keys.join("\n").as_bytes());
        let keys = keys.unwrap_or_default();
        let mut made = live::paths_of(&before, keys.clone(), facts)?;
        if asked.sets_networks() {
            made.extend(live::paths_of(&self.with_all_networks(), keys, facts)?);
        }
        let stays = |member: &&Member| !made.contains(&member.path);
        let members = self.root.iter().filter(stays).cloned().collect();
        Carried::from_members(members, self.private, asked)
    }
}

/// What is for one of several machines is made of what is for all, and cannot be told from it any more.
fn refuse_machines(root: &[Member]) -> Result<()> {
    if !root.iter().any(|member| live::is_of_machines(&member.path)) {
        return Ok(());
    }
    Err(Error::Usage {
        what: "the image is for several machines, and an edit cannot tell what all of them get from what one gets".into(),
        hint: Advice::ReplaceAll,
    })
}

fn text<'a>(root: &'a [Member], path: &str) -> Option<std::borrow::Cow<'a, str>> {
    let found = root.iter().find(|member| member.path == path)?;
    match &found.kind {
        Kind::File(bytes) => Some(String::from_utf8_lossy(bytes)),
        _ => None,
    }
}

/// The keys that are let in: in files of the live system, or else in the menus.
fn read_keys<B: ReadAt>(base: &BaseImage<B>, root: &[Member], recipe: &mut Recipe) -> Result<()> {
    let [first, others @ ..] = KEY_FILES.map(|file| text(root, file.path));
    let in_files = first.filter(|first| others.iter().all(|other| other.as_ref() == Some(first)));
    // Comments, and lines that are not understood, are of no recipe: such files stay as they are.
    let in_files = in_files.filter(|text| text.lines().all(|line| key_of(line).is_some()));
    let keys = match (in_files, menus::keys(base)) {
        (Some(text), _) => text.into_owned(),
        (None, Some(text)) => {
            recipe.inject = Some(Inject::Credential);
            text
        }
        (None, None) => String::new(),
    };
    recipe.key = key_lines(&keys)?;
    Ok(())
}

/// The lines of keys. None may be lost.
fn key_lines(text: &str) -> Result<Vec<String>> {
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    match lines.iter().find(|line| key_of(line).is_none()) {
        None => Ok(lines),
        Some(line) => Err(Error::Usage {
            what: format!("the image lets in a key that is not taken now: {line:?}"),
            hint: Advice::ReplaceAll,
        }),
    }
}

/// The fingerprint and the comment of a line of `authorized_keys`.
fn key_of(line: &str) -> Option<(String, String)> {
    let found = keys::parse("authorized_keys", line.as_bytes()).ok()?;
    found.keys.keys().next().map(|key| (key.fingerprint.clone(), key.comment.clone()))
}

fn prints(found: &Gathered) -> Vec<String> {
    found.keys.keys().map(|key| key.fingerprint.clone()).collect()
}

/// What a recipe says of settings. None may be lost.
fn read_settings(root: &[Member], recipe: &mut Recipe) -> Result<()> {
    let root: Vec<&Member> = root.iter().collect();
    let mut alike = Vec::new();
    for (name, value) in live::settings(&root) {
        match name.as_str() {
            "serial" => alike.push(value),
            "hostname" => recipe.hostname = Some(value),
            "timezone" => recipe.timezone = Some(value),
            "keymap" => recipe.keymap = Some(value),
            "locale" => recipe.locale = Some(value),
            "console-font" => recipe.console_font = Some(value),
            "announce" => recipe.announce = Some(true),
            "address" => recipe.address.push(value),
            "gateway" => recipe.gateway.push(value),
            "bond" => recipe.bond.push(value),
            "mtu" => recipe.mtu.push(value),
            "dns" => recipe.dns.push(value),
            // Those of wireless networks have secrets, and stay as files. Images for several machines are refused.
            "wifi" | "wifi-country" | "machine" => {}
            other => {
                return Err(Error::Usage {
                    what: format!("the image has the setting {other} {value}, which is not known"),
                    hint: Advice::ReplaceAll,
                });
            }
        }
    }
    recipe.serial = all_ports(&recipe.serial, alike);
    Ok(())
}

/// All serial ports: the kernel's consoles, and ports of which there are several of a kind. The kernel's console is the
/// last port of its kind, so some ports are in both lists. The others go in front of the next one that is in both.
fn all_ports(consoles: &[String], alike: Vec<String>) -> Vec<String> {
    let mut all = alike;
    let mut next = all.len();
    for port in consoles.iter().rev() {
        match all.iter().position(|other| other == port) {
            Some(at) => next = at,
            None => all.insert(next, port.clone()),
        }
    }
    all
}

/// Those of the ports that are asked for which are not there yet. The others get the speeds that are asked for.
fn new_ports(there: &mut [String], asked: Vec<String>) -> Vec<String> {
    let port = |text: &str| text.split(',').next().unwrap_or_default().to_owned();
    let mut new = Vec::new();
    for text in asked {
        match there.iter_mut().find(|old| port(old) == port(&text)) {
            Some(old) => *old = text,
            None => new.push(text),
        }
    }
    new
}

/// Leaves out of what is asked for of networks what the image has: it is not given twice.
fn forget_what_is_there(asked: &mut Recipe, before: &Recipe) {
    let Recipe { address, gateway, bond, mtu, dns, places, .. } = asked;
    let lists = [
        ("address", address, &before.address),
        ("gateway", gateway, &before.gateway),
        ("bond", bond, &before.bond),
        ("mtu", mtu, &before.mtu),
        ("dns", dns, &before.dns),
    ];
    for (name, given, there) in lists {
        let once = |value: &String| given.iter().filter(|one| *one == value).count() == 1;
        let stays: Vec<bool> =
            given.iter().map(|value| !(there.contains(value) && once(value))).collect();
        let mut each = stays.iter();
        given.retain(|_| each.next().is_none_or(|stays| *stays));
        if let Some(places) = places.get_mut(name).filter(|places| places.len() == stays.len()) {
            let mut each = stays.iter();
            places.retain(|_| each.next().is_none_or(|stays| *stays));
        }
    }
}

/// The switches as they are, and the passwords. Those of a file that no recipe makes stay in it.
fn read_switches(root: &[Member], recipe: &mut Recipe) -> Option<Switches> {
    if root.is_empty() {
        return None;
    }
    let members: Vec<&Member> = root.iter().collect();
    let (takes_keys_only, greets) = (live::takes_keys_only(&members), live::greets(&members));
    (recipe.ssh_passwords, recipe.greeting) = (Some(!takes_keys_only), Some(greets));
    if live::written(&members).contains(SHADOW) {
        for (user, hash) in live::users_with_passwords(&members) {
            match user {
                "root" => recipe.root_password_hash = Some(hash),
                _ => recipe.nixos_password_hash = Some(hash),
            }
        }
    }
    Some(Switches {
        takes_keys_only,
        greets,
        has_key: !recipe.key.is_empty(),
        has_host_key: root.iter().any(|member| live::is_host_key(&member.path)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_ports_of_one_kind_and_of_others_are_put_together() {
        let all = |consoles: &[&str], alike: &[&str]| {
            let owned = |ports: &[&str]| ports.iter().map(ToString::to_string).collect::<Vec<_>>();
            all_ports(&owned(consoles), owned(alike)).join(" ")
        };
        assert_eq!(all(&["S0"], &[]), "S0");
        assert_eq!(all(&["S0", "h0"], &[]), "S0 h0");
        assert_eq!(all(&["S0"], &["S1", "S0"]), "S1 S0");
        assert_eq!(all(&["h0", "S0"], &["S1", "S0"]), "S1 h0 S0");
        assert_eq!(all(&["S0", "h0"], &["S1", "S0"]), "S1 S0 h0");
    }

    #[test]
    fn every_setting_is_read_or_refused() {
        let settings = "hostname=a\ntimezone=UTC\nkeymap=de\nlocale=C\nconsole_font=f\n";
        let network =
            "- address 10.0.0.2/8\n- gateway 10.0.0.1\nb bond a,c\n- mtu 9\n- dns 1.1.1.1\n";
        let root = |settings: &str| {
            [
                Member::file("etc/remaster/settings", 0o644, settings),
                Member::file("etc/remaster/network", 0o644, network),
                Member::file("etc/remaster/wifi", 0o644, "41\n"),
            ]
        };
        let mut recipe = Recipe::default();
        read_settings(&root(settings), &mut recipe).unwrap();
        let given = recipe.set_names().join(" ");
        assert_eq!(
            given,
            "hostname timezone keymap locale console-font address gateway bond mtu dns"
        );
        let unknown = read_settings(&root("of_tomorrow=x\n"), &mut recipe).unwrap_err().to_string();
        assert_eq!(unknown, "the image has the setting of-tomorrow x, which is not known");
    }

    #[test]
    fn no_key_is_lost_that_is_not_taken_now() {
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKf6xKe8VejdUN5agcko3glA4q1r8KhfjAkRGkOUiBuo a";
        assert_eq!(key_lines(&format!("{key}\n")).unwrap(), [key]);
        assert!(key_lines("").unwrap().is_empty());
        let refused = key_lines(&format!("{key}\nssh-dss AAAA b\n")).unwrap_err().to_string();
        assert!(refused.contains("ssh-dss"), "{refused}");
    }
}
