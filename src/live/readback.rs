//! What was asked for, read back from what was put in: for those who inspect an image. Nothing secret.

use std::collections::BTreeMap;

use super::announce::SCRIPT;
use super::machines::FOLDER;
use super::network::NETWORK;
use super::system::{LOCALTIME, SETTINGS};
use super::wifi::{self, COUNTRY, REGION, WIFI};
use super::{greeting, serial, sshd};
use crate::formats::newc::{Kind, Member};
use crate::keys::{self, Logins};

/// Settings of a payload, by the names that a recipe has for them, and in one line those of each machine of several. What is not in the form that this
/// program writes is left out; control characters are escaped.
pub fn settings(root: &[&Member]) -> Vec<(String, String)> {
    let machines = machines(root).into_iter().map(|line| ("machine".to_owned(), escaped(&line)));
    of_one(root).into_iter().chain(machines).collect()
}

/// Whether sshd takes keys only.
pub fn takes_keys_only(root: &[&Member]) -> bool {
    has(root, sshd::CONFIG_PATH)
}

/// The names of the wireless networks.
pub fn wifi_names(root: &[&Member]) -> Vec<String> {
    wifi::names(&text(root, WIFI).unwrap_or_default())
}

/// Whether consoles show how to log in.
pub fn greets(root: &[&Member]) -> bool {
    has(root, greeting::SCRIPT)
}

fn has(root: &[&Member], path: &str) -> bool {
    root.iter().any(|member| member.path == path)
}

/// What a file has, or where a link leads.
fn text(root: &[&Member], path: &str) -> Option<String> {
    let member = root.iter().find(|member| member.path == path)?;
    match &member.kind {
        Kind::File(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Kind::Symlink(to) => Some(to.clone()),
        Kind::Directory => None,
    }
}

/// By what each machine is known and what it gets, as `mac=52:54:00:12:34:56 hostname=box`.
fn machines(root: &[&Member]) -> Vec<String> {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let list = text(root, &format!("{FOLDER}/list")).unwrap_or_default();
    for line in list.lines() {
        let mut words = line.splitn(3, ' ');
        let (Some(number), Some(kind), Some(value)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        found.entry(number).or_default().push(format!("{kind}={value}"));
    }
    let mut machines: Vec<_> = found.into_iter().collect();
    machines.sort_by_key(|(number, _)| number.parse::<usize>().unwrap_or_default());
    let shown = |(number, mut words): (&str, Vec<String>)| {
        words.extend(own(root, number));
        words.join(" ")
    };
    machines.into_iter().map(shown).collect()
}

/// What the machine of a number gets.
fn own(root: &[&Member], number: &str) -> Vec<String> {
    let folder = format!("{FOLDER}/{number}/");
    let below = root.iter().filter_map(|member| {
        let path = member.path.strip_prefix(&folder)?.to_owned();
        Some(Member { path, ..(*member).clone() })
    });
    let below: Vec<Member> = below.collect();
    let below: Vec<&Member> = below.iter().collect();
    let settings = of_one(&below).into_iter().map(|(name, value)| format!("{name}={value}"));
    let files = below.iter().filter_map(|member| match &member.kind {
        Kind::File(bytes) => Some((member.path.as_str(), bytes.as_slice())),
        _ => None,
    });
    let keys = Logins::read(files);
    let keys = keys.of("root").map(|login| match &login.key.options {
        Some(options) => format!("key={} with {options}", login.key.fingerprint),
        None => format!("key={}", login.key.fingerprint),
    });
    let keys: Vec<String> = keys.collect();
    let is_public =
        |path: &str| path.starts_with("etc/ssh/ssh_host_") && path.ends_with("_key.pub");
    let hosts = below.iter().filter(|member| is_public(&member.path));
    let hosts = hosts.filter_map(|member| fingerprint("host-key", &text(&below, &member.path)?));
    settings.chain(keys).chain(hosts).chain(runs(root, number)).collect()
}

/// What the machine of a number runs at boot and not all others do.
fn runs(root: &[&Member], number: &str) -> Vec<String> {
    let mark = format!("ConditionPathExists=|/run/remaster/machine/{number}\n");
    let run = |member: &&Member| {
        let name = member.path.rsplit('/').next()?.strip_prefix("remaster-run-")?;
        let name = name.strip_suffix(".service")?.to_owned();
        text(root, &member.path)?.contains(&mark).then(|| format!("run={name}"))
    };
    root.iter().filter_map(run).collect()
}

/// As `host-key=SHA256:…`.
fn fingerprint(name: &str, line: &str) -> Option<String> {
    let found = keys::parse(name, line.as_bytes()).ok()?;
    let key = found.keys.keys().next()?;
    Some(format!("{name}={}", key.fingerprint))
}

/// The settings of one system.
fn of_one(root: &[&Member]) -> Vec<(String, String)> {
    let text = |path: &str| text(root, path);
    let system = text(SETTINGS).unwrap_or_default();
    let zone = text(LOCALTIME.0);
    let network = text(NETWORK).unwrap_or_default();
    let system = system
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.replace('_', "-"), value.to_owned()));
    // Images of before have the link alone.
    let zone = zone.filter(|_| !system.clone().any(|(name, _)| name == "timezone"));
    let zone = zone.iter().filter_map(|to| to.strip_prefix(LOCALTIME.1));
    let zone = zone.map(|zone| ("timezone".to_owned(), zone.to_owned()));
    let wifi = wifi::read_back(&text(WIFI).unwrap_or_default(), text);
    let wifi = wifi.into_iter().map(|network| ("wifi".to_owned(), network));
    let country = text(COUNTRY).unwrap_or_default();
    let country = country.strip_prefix(REGION).map(|text| text.trim_end().to_owned());
    let country = country.map(|country| ("wifi-country".to_owned(), country));
    let network = network.lines().filter_map(of_network);
    let announce = text(SCRIPT).map(|_| ("announce".to_owned(), "true".to_owned()));
    let ports = text(serial::UNIT).map(|unit| serial::ports(&unit)).unwrap_or_default();
    let ports = ports.into_iter().map(|port| ("serial".to_owned(), port));
    let all =
        system.chain(zone).chain(announce).chain(network).chain(wifi).chain(country).chain(ports);
    all.map(|(name, value)| (escaped(&name), escaped(&value))).collect()
}

/// A line as `eth0 address 192.168.1.50/24`.
fn of_network(line: &str) -> Option<(String, String)> {
    let mut words = line.splitn(3, ' ');
    let (link, name, value) = (words.next()?, words.next()?, words.next()?);
    let value = match link {
        "*" | "-" => value.to_owned(),
        bond if name == "bond" => format!("{bond}:{value}"),
        link => format!("{link}={value}"),
    };
    Some((name.to_owned(), value))
}

fn escaped(text: &str) -> String {
    let escape =
        |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::network::profile_path;

    fn profile(name: &str, text: &str) -> Member {
        Member::file(profile_path(name.strip_prefix("remaster-").unwrap()), 0o600, text)
    }

    #[test]
    fn settings_are_reported_as_a_recipe_names_them_and_nothing_else() {
        let root = [
            Member::file(SETTINGS, 0o644, "hostname=box\nconsole_font=ter-v16n\nodd\n"),
            Member::symlink(LOCALTIME.0, "/etc/zoneinfo/UTC"),
            Member::file(SCRIPT, 0o644, ""),
            Member::file(
                NETWORK,
                0o644,
                "bond0 bond a,b:mode=x\n* address 10.0.0.2/8\neth0 gateway 10.0.0.1\nx\n",
            ),
            Member::file(WIFI, 0o644, "48c3bc1b\n41\n"),
            Member::file(COUNTRY, 0o644, "options cfg80211 ieee80211_regdom=DE\n"),
            Member::file("etc/remaster/wifi.conf", 0o600, "psk=secret"),
            profile("remaster-wifi", "[wifi-security]\nkey-mgmt=sae\npsk=secret\n"),
            profile("remaster-wifi-2", "[wifi]\n"),
        ];
        let told = settings(&root.each_ref());
        let told: Vec<String> =
            told.iter().map(|(name, value)| format!("{name} {value}")).collect();
        assert_eq!(
            told,
            [
                "hostname box",
                "console-font ter-v16n",
                "timezone UTC",
                "announce true",
                "bond bond0:a,b:mode=x",
                "address 10.0.0.2/8",
                "gateway eth0=10.0.0.1",
                "wifi Hü\\u{1b} (WPA3)",
                "wifi A (open)",
                "wifi-country DE",
            ]
        );
        let both = [
            Member::file(SETTINGS, 0o644, "timezone=UTC\n"),
            Member::symlink(LOCALTIME.0, "/etc/zoneinfo/UTC"),
        ];
        assert_eq!(settings(&both.each_ref()), [("timezone".to_owned(), "UTC".to_owned())]);
        assert!(settings(&[&Member::file(WIFI, 0o644, "zz")]).is_empty());
    }
}
