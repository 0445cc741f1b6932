//! The paths that settings of a recipe write in a live system, told from what is there: those of a setting count where
//! all is there that it always writes. Whatever else is there is a file of the user's, whatever its name.

use std::collections::BTreeSet;

use super::files::{ON_PATH, RUN, WAITER, service_name};
use super::host_key_pair::Kind as HostKeyKind;
use super::machines::{self, FOLDER, on_some_machine};
use super::network::{self, NETWORK};
use super::system::{LOCALTIME, SETTINGS};
use super::wifi::{self, COUNTRY, REGION, WIFI};
use super::{announce, greeting, password, serial, sshd};
use crate::formats::newc::{Kind, Member};
use crate::keys::KEY_FILES;
use crate::recipe::edits::{SUPPLICANT, UNITS};

/// What a unit is started with at boot.
const AT_BOOT: &str = "multi-user.target";
/// The same before that.
const EARLY: &str = "sysinit.target";

/// The paths that settings wrote, on all machines that the image is for.
pub fn written(root: &[&Member]) -> BTreeSet<String> {
    let numbers: BTreeSet<&str> =
        root.iter().filter_map(|member| number_of(&member.path)).collect();
    let Some(list) = text_of(root, &format!("{FOLDER}/list")).filter(|_| !numbers.is_empty())
    else {
        return System { root: root.to_vec() }.written();
    };
    let mut all = of_machines(root, &list);
    for number in numbers {
        let folder = format!("{FOLDER}/{number}/");
        let own: Vec<Member> = root.iter().filter_map(|one| below(one, &folder)).collect();
        let is_own = |path: &str| own.iter().any(|one| one.path == path);
        let common = root.iter().copied().filter(|one| !is_own(&one.path));
        let merged: Vec<&Member> = common.chain(&own).collect();
        for path in (System { root: merged }).written() {
            // Machines that are not named have the file itself.
            all.extend(is_own(&path).then(|| folder.clone() + &path));
            all.insert(path);
        }
        let keys = KEY_FILES.iter().filter(|file| is_own(file.path));
        all.extend(keys.map(|file| folder.clone() + file.path));
    }
    all
}

/// The number of the machine that a file is for.
fn number_of(path: &str) -> Option<&str> {
    let number = path.strip_suffix(on_some_machine(path))?.strip_suffix('/')?;
    number.strip_prefix(FOLDER)?.strip_prefix('/')
}

/// A member as the machine has it whose folder it is in.
fn below(member: &Member, folder: &str) -> Option<Member> {
    let path = member.path.strip_prefix(folder)?.to_owned();
    Some(Member { path, ..member.clone() })
}

/// What tells the machines apart.
fn of_machines(root: &[&Member], list: &str) -> BTreeSet<String> {
    if !list.lines().any(|line| line.split(' ').count() >= 3) {
        return BTreeSet::new();
    }
    let mut all: BTreeSet<String> = BTreeSet::from([
        format!("{FOLDER}/list"),
        format!("{FOLDER}/paths"),
        "etc/remaster/machine.sh".to_owned(),
    ]);
    all.extend(started("remaster-machine.service", EARLY));
    all.extend(machines::drop_ins());
    all.retain(|path| root.iter().any(|member| member.path == *path));
    all
}

/// A unit of ours and the link that starts it.
fn started(unit: &str, target: &str) -> [String; 2] {
    [format!("{UNITS}/{unit}"), format!("{UNITS}/{target}.wants/{unit}")]
}

fn text_of(root: &[&Member], path: &str) -> Option<String> {
    let found = root.iter().find(|member| member.path == path)?;
    match &found.kind {
        Kind::File(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Kind::Symlink(_) | Kind::Directory => None,
    }
}

/// The files of one live system.
struct System<'a> {
    root: Vec<&'a Member>,
}

impl System<'_> {
    fn written(&self) -> BTreeSet<String> {
        let groups = [
            self.system(),
            self.network(),
            self.wifi(),
            self.switches(),
            self.serial(),
            self.passwords(),
            self.host_keys(),
            self.programs(),
        ];
        groups.into_iter().flatten().filter(|path| self.has(path)).collect()
    }

    fn has(&self, path: &str) -> bool {
        self.root.iter().any(|member| member.path == path)
    }

    fn text(&self, path: &str) -> Option<String> {
        text_of(&self.root, path)
    }

    fn link(&self, path: &str) -> Option<&str> {
        self.root.iter().find(|member| member.path == path).and_then(|found| match &found.kind {
            Kind::Symlink(to) => Some(to.as_str()),
            Kind::File(_) | Kind::Directory => None,
        })
    }

    /// All of these with what may be there beside them, or nothing.
    fn whole(&self, always: Vec<String>, perhaps: Vec<String>) -> Vec<String> {
        if always.iter().all(|path| self.has(path)) {
            always.into_iter().chain(perhaps).collect()
        } else {
            Vec::new()
        }
    }

    fn system(&self) -> Vec<String> {
        let unit = "remaster-settings.service";
        let zone = self.link(LOCALTIME.0).filter(|to| to.starts_with(LOCALTIME.1));
        let zone = zone.map(|_| LOCALTIME.0.to_owned());
        let settings = self.text(SETTINGS).unwrap_or_default();
        if !settings.lines().any(|line| line.contains('=')) {
            return zone.into_iter().collect();
        }
        let mut always = vec![SETTINGS.to_owned(), "etc/remaster/settings.sh".to_owned()];
        always.extend(started(unit, EARLY));
        let mut perhaps = vec![format!("{UNITS}/{unit}.d/console.conf")];
        perhaps.extend(zone);
        self.whole(always, perhaps)
    }

    fn network(&self) -> Vec<String> {
        let Some(lines) = self.text(NETWORK) else { return Vec::new() };
        let (profiles, has_any) = network::profiles(&lines);
        if !has_any {
            return Vec::new();
        }
        let mut perhaps = profiles;
        perhaps.extend(["etc/remaster/address.sh", "etc/remaster/dhcpcd.sh"].map(str::to_owned));
        perhaps.push(format!("{UNITS}/dhcpcd.service.d/remaster.conf"));
        perhaps.extend(started("remaster-address.service", AT_BOOT));
        self.whole(vec![NETWORK.to_owned()], perhaps)
    }

    fn wifi(&self) -> Vec<String> {
        let profiles = wifi::profiles(&self.text(WIFI).unwrap_or_default());
        let country = self.text(COUNTRY).filter(|text| text.starts_with(REGION));
        let country = country.map(|_| COUNTRY.to_owned());
        if profiles.is_empty() {
            return country.into_iter().collect();
        }
        let always = [vec![WIFI.to_owned()], profiles].concat();
        let mut perhaps = vec![SUPPLICANT.to_owned(), "etc/remaster/wifi.rules".to_owned()];
        perhaps.push(format!("{UNITS}/remaster-wifi@.service"));
        perhaps.extend(started("remaster-wifi-rules.service", EARLY));
        perhaps.extend(country);
        self.whole(always, perhaps)
    }

    /// Of sshd, greeting and announcements.
    fn switches(&self) -> Vec<String> {
        let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        let mut greeting: Vec<String> = owned(&greeting::FILES);
        greeting.extend(started(greeting::NAME, AT_BOOT));
        let mut announce: Vec<String> = owned(&announce::FILES);
        announce.extend(started(announce::NAME, AT_BOOT));
        // Earlier versions had fewer drop-ins.
        let sshd = self.whole(vec![sshd::CONFIG_PATH.to_owned()], sshd::drop_ins());
        [sshd, self.whole(greeting, Vec::new()), self.whole(announce, Vec::new())].concat()
    }

    fn serial(&self) -> Vec<String> {
        let ports = self.text(serial::UNIT).map(|unit| serial::ports(&unit)).unwrap_or_default();
        if ports.is_empty() {
            return Vec::new();
        }
        self.whole(started(serial::NAME, AT_BOOT).to_vec(), Vec::new())
    }

    fn passwords(&self) -> Vec<String> {
        let text = self.text(password::SHADOW).filter(|text| password::is_as_written(text));
        text.map(|_| password::SHADOW.to_owned()).into_iter().collect()
    }

    fn host_keys(&self) -> Vec<String> {
        let kinds = [HostKeyKind::Ed25519, HostKeyKind::Rsa].into_iter();
        let pairs = kinds.filter_map(|kind| {
            let (private, public) = (kind.path(), format!("{}.pub", kind.path()));
            ssh_key::PublicKey::from_openssh(&self.text(&public)?).ok()?;
            Some(self.whole(vec![private, public], Vec::new()))
        });
        pairs.flatten().collect()
    }

    /// What starts programs and has them found. The programs themselves are files.
    fn programs(&self) -> Vec<String> {
        let runs = self.root.iter().filter_map(|member| {
            member.path.strip_prefix(RUN)?.strip_prefix('/').filter(|name| !name.contains('/'))
        });
        let units: Vec<String> = runs
            .flat_map(|name| self.whole(started(&service_name(name), AT_BOOT).to_vec(), Vec::new()))
            .collect();
        let waiter = (!units.is_empty()).then(|| WAITER.to_owned());
        let is_ours = |path: &&&str| self.link(path) == Some("/opt/remaster/bin");
        let links = ON_PATH.iter().filter(is_ours).map(|path| (*path).to_owned());
        let mut store = vec!["etc/remaster/store.sh".to_owned()];
        store.extend(started("remaster-store.service", EARLY));
        links.chain(units).chain(waiter).chain(self.whole(store, Vec::new())).collect()
    }
}
