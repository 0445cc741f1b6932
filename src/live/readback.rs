//! What was asked for, read back from what was put in: for those who inspect an image. Nothing secret.

use super::network::NETWORK;
use super::system::{LOCALTIME, SETTINGS};
use super::wifi::{COUNTRY, REGION, WIFI};
use crate::formats::newc::{Kind, Member};

/// Settings of a payload, by the names that a recipe has for them. What is not in the form that this
/// program writes is left out; control characters are escaped.
pub fn settings(root: &[&Member]) -> Vec<(String, String)> {
    let text = |path: &str| {
        let member = root.iter().find(|member| member.path == path)?;
        match &member.kind {
            Kind::File(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Kind::Symlink(to) => Some(to.clone()),
            Kind::Directory => None,
        }
    };
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
    let wifi = text(WIFI).unwrap_or_default();
    let wifi = wifi.lines().filter_map(unhex);
    let wifi = wifi.map(|ssid| ("wifi".to_owned(), String::from_utf8_lossy(&ssid).into_owned()));
    let country = text(COUNTRY).unwrap_or_default();
    let country = country.strip_prefix(REGION).map(|text| text.trim_end().to_owned());
    let country = country.map(|country| ("wifi-country".to_owned(), country));
    let network = network.lines().filter_map(of_network);
    let all = system.chain(zone).chain(network).chain(wifi).chain(country);
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

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_as_a_recipe_names_them_and_nothing_else() {
        let root = [
            Member::file(SETTINGS, 0o644, "hostname=box\nconsole_font=ter-v16n\nodd\n"),
            Member::symlink(LOCALTIME.0, "/etc/zoneinfo/UTC"),
            Member::file(
                NETWORK,
                0o644,
                "bond0 bond a,b:mode=x\n* address 10.0.0.2/8\neth0 gateway 10.0.0.1\nx\n",
            ),
            Member::file(WIFI, 0o644, "48c3bc1b\n41\n"),
            Member::file(COUNTRY, 0o644, "options cfg80211 ieee80211_regdom=DE\n"),
            Member::file("etc/remaster/wifi.conf", 0o600, "psk=secret"),
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
                "bond bond0:a,b:mode=x",
                "address 10.0.0.2/8",
                "gateway eth0=10.0.0.1",
                "wifi Hü\\u{1b}",
                "wifi A",
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
