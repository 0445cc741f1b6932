//! The wireless network to join.
//!
//! `NetworkManager` gets a profile, a `wpa_supplicant` of our own a configuration: both for images before
//! 25.11, whose minimal and graphical editions differ, and the unit looks at boot which one is there.
//! The passphrase does not get into the image: what does is the key that IEEE 802.11i derives from it,
//! which opens this network only (IEEE 802.11-2020, J.4: PBKDF2 with HMAC-SHA-1, the SSID as salt,
//! 4096 rounds, 256 bits). A network that has WPA3 only wants the passphrase itself, so it is not joined.

use std::fmt::Write as _;

use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;

use super::facts::Facts;
use super::input::{Input, Secret};
use super::network::{has_network_manager, put_profile};
use crate::error::Result;
use crate::recipe::Recipe;
use crate::recipe::edits::Edits;

/// The name of the network, in hexadecimal digits: what tells later what was asked for.
pub(super) const WIFI: &str = "etc/remaster/wifi";
/// The most bytes that an SSID has (IEEE 802.11-2020, 9.4.2.2).
const LONGEST_SSID: usize = 32;

/// The wireless network to join.
#[derive(Debug)]
pub(super) struct Wifi {
    ssid: String,
    /// The pairwise master key in hexadecimal digits; none for an open network.
    key: Option<Secret>,
}

impl Wifi {
    /// Takes what a recipe says, and reads or asks for the passphrase.
    pub(super) fn gather(recipe: &Recipe, input: &mut Input<'_>) -> Result<Option<Self>> {
        let prompt = recipe.wifi_password_prompt == Some(true);
        let open = recipe.wifi_open == Some(true);
        let Some(ssid) = &recipe.wifi else { return without_network(recipe) };
        if ssid.is_empty() || ssid.len() > LONGEST_SSID {
            let what = format!("{} bytes; a network's name has 1 to {LONGEST_SSID}", ssid.len());
            return Err(recipe.fault(
                "wifi",
                0,
                what,
                "give the SSID as the access point shows it",
            ));
        }
        let (name, secret) = match &recipe.wifi_password_file {
            _ if open && (prompt || recipe.wifi_password_file.is_some()) => {
                let what = "an open network with a password";
                return Err(recipe.fault("wifi-open", 0, what, "leave one of them out"));
            }
            _ if open => return Ok(Some(Self { ssid: ssid.clone(), key: None })),
            Some(path) => ("wifi-password-file", input.secret_of("wifi-password-file", path)?),
            None if prompt => {
                ("wifi-password-prompt", input.asked(&format!("password of {ssid:?}"))?)
            }
            None => {
                let hint = "give --wifi-password-file or --wifi-password-prompt, or --wifi-open if it has none";
                return Err(recipe.fault("wifi", 0, format!("{ssid:?} without a password"), hint));
            }
        };
        let key = key(ssid, &secret).map_err(|what| {
            recipe.fault(name, 0, what, "look at what the access point was given")
        })?;
        Ok(Some(Self { ssid: ssid.clone(), key: Some(key) }))
    }

    /// Puts it in.
    pub(super) fn apply(&self, facts: &Facts, edits: &mut Edits) {
        edits.private |= self.key.is_some();
        edits.root.file(WIFI, 0o644, hex(self.ssid.as_bytes()) + "\n");
        put_profile(edits, "wifi", self.profile());
        if has_network_manager(facts) {
            return;
        }
        let root = &mut edits.root;
        root.file("etc/remaster/wifi.conf", 0o600, self.supplicant());
        root.file("etc/remaster/wifi.rules", 0o644, include_str!("scripts/wifi.rules"));
        root.unit("remaster-wifi@.service", include_str!("scripts/wifi@.service"));
        root.unit("remaster-wifi-rules.service", include_str!("scripts/wifi-rules.service"));
        root.want("remaster-wifi-rules.service", "sysinit.target");
    }

    /// As `nm-settings-keyfile(5)` has it.
    fn profile(&self) -> String {
        let mut text = format!(
            "[connection]\nid=remaster-wifi\nuuid=5b0c6f0e-2a53-5d1c-9c57-72656d617374\ntype=wifi\n\n[wifi]\nmode=infrastructure\nhidden=true\nssid={}\n",
            byte_list(&self.ssid),
        );
        if let Some(key) = &self.key {
            let key = key.reveal();
            let _ = write!(text, "\n[wifi-security]\nkey-mgmt=wpa-psk\npsk={key}\n");
        }
        text.push_str("\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n");
        text
    }

    /// As `wpa_supplicant.conf(5)` has it. An SSID without quotes is read as hexadecimal digits.
    fn supplicant(&self) -> String {
        let ssid = hex(self.ssid.as_bytes());
        let key = match &self.key {
            Some(key) => format!("key_mgmt=WPA-PSK WPA-PSK-SHA256\n  psk={}", key.reveal()),
            None => "key_mgmt=NONE".to_owned(),
        };
        format!(
            "ctrl_interface=/run/wpa_supplicant\nnetwork={{\n  ssid={ssid}\n  scan_ssid=1\n  {key}\n}}\n"
        )
    }
}

/// Refuses what says something of no network.
fn without_network(recipe: &Recipe) -> Result<Option<Wifi>> {
    let given = [
        ("wifi-password-file", recipe.wifi_password_file.is_some()),
        ("wifi-password-prompt", recipe.wifi_password_prompt == Some(true)),
        ("wifi-open", recipe.wifi_open == Some(true)),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(recipe.fault(name, 0, "for no network", "give its name to --wifi")),
        None => Ok(None),
    }
}

/// The key of a network. Sixty-four hexadecimal digits are one already; what is wrong with a passphrase
/// is said without showing any of it.
fn key(ssid: &str, secret: &Secret) -> Result<Secret, String> {
    let text = secret.reveal();
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(Secret::new(text.to_ascii_lowercase()));
    }
    if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err("a passphrase has printable ASCII characters only".into());
    }
    if !(8..=63).contains(&text.len()) {
        let digits = if text.len() == 64 { ", or 64 that are hexadecimal digits" } else { "" };
        return Err(format!("{} characters; a passphrase has 8 to 63{digits}", text.len()));
    }
    let mut key = [0; 32];
    pbkdf2_hmac::<Sha1>(text.as_bytes(), ssid.as_bytes(), 4096, &mut key);
    Ok(Secret::new(hex(&key)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes as a keyfile has them: no character of an SSID means anything there.
fn byte_list(ssid: &str) -> String {
    ssid.bytes().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte};");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::formats::newc::Kind;

    /// The test vectors of IEEE 802.11-2020, J.4.2.
    const VECTORS: [(&str, &str, &str); 2] = [
        ("IEEE", "password", "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"),
        (
            "ThisIsASSID",
            "ThisIsAPassword",
            "0dc0d6eb90555ed6419756b9a15ec3e3209b63df707dd508d14581f8982721af",
        ),
    ];

    fn wifi(ssid: &str, password: &str) -> Result<Option<Wifi>> {
        let mut recipe = Recipe::default();
        (recipe.wifi, recipe.wifi_password_file) = (Some(ssid.into()), Some(PathBuf::from("-")));
        Wifi::gather(&recipe, &mut Input::new(password.as_bytes(), |_| unreachable!()))
    }

    fn root(wifi: &Wifi, release: (u32, u32)) -> Edits {
        let mut edits = Edits::default();
        let facts = Facts { release, architecture: None, room: None };
        wifi.apply(&facts, &mut edits);
        edits
    }

    fn text(edits: &Edits, path: &str) -> (u32, String) {
        let member = edits.root.get(path).unwrap_or_else(|| panic!("no {path}"));
        let Kind::File(bytes) = &member.kind else { panic!("{path} is no file") };
        (member.mode, String::from_utf8(bytes.clone()).unwrap())
    }

    #[test]
    fn keys_are_derived_as_the_standard_says() {
        for (ssid, passphrase, expected) in VECTORS {
            assert_eq!(key(ssid, &Secret::new(passphrase)).unwrap().reveal(), expected);
            assert_eq!(key("x", &Secret::new(expected.to_uppercase())).unwrap().reveal(), expected);
        }
    }

    #[test]
    fn the_passphrase_is_nowhere_and_the_key_where_only_root_reads() {
        let (ssid, passphrase, key) = VECTORS[1];
        let wifi = wifi(ssid, passphrase).unwrap().unwrap();
        assert!(!format!("{wifi:?}").contains(key));
        let edits = root(&wifi, (24, 11));
        assert!(edits.private);
        for member in edits.root.members() {
            let Kind::File(bytes) = &member.kind else { continue };
            let text = String::from_utf8_lossy(bytes);
            assert!(!text.contains(passphrase), "{}", member.path);
            assert!(!text.contains(key) || member.mode == 0o600, "{}", member.path);
        }
        let (mode, conf) = text(&edits, "etc/remaster/wifi.conf");
        assert_eq!(mode, 0o600);
        assert!(conf.contains("ssid=5468697349734153534944\n") && conf.contains(key));
        let profile = "etc/NetworkManager/system-connections/remaster-wifi.nmconnection";
        assert!(text(&edits, profile).1.contains("ssid=84;104;105;115;73;115;65;83;83;73;68;\n"));
        let new = root(&wifi, (25, 11));
        assert!(new.root.get("etc/remaster/wifi.conf").is_none());
    }

    #[test]
    fn an_open_network_must_be_said_to_be_one() {
        let mut recipe = Recipe::default();
        (recipe.wifi, recipe.wifi_open) = (Some("Cafe".into()), None);
        let mut input = Input::new(&b""[..], |_| unreachable!());
        let fault = Wifi::gather(&recipe, &mut input).unwrap_err();
        assert_eq!(fault.to_string(), "--wifi: \"Cafe\" without a password");
        assert!(fault.hint().unwrap().contains("--wifi-open"));
        recipe.wifi_open = Some(true);
        let open = Wifi::gather(&recipe, &mut input).unwrap().unwrap();
        let edits = root(&open, (24, 11));
        assert!(!edits.private);
        assert!(text(&edits, "etc/remaster/wifi.conf").1.contains("key_mgmt=NONE\n"));
        recipe.wifi_password_prompt = Some(true);
        let fault = Wifi::gather(&recipe, &mut input).unwrap_err().to_string();
        assert_eq!(fault, "--wifi-open: an open network with a password");
        recipe.wifi = None;
        let fault = Wifi::gather(&recipe, &mut input).unwrap_err().to_string();
        assert_eq!(fault, "--wifi-password-prompt: for no network");
    }

    #[test]
    fn what_is_no_passphrase_is_refused_and_not_shown() {
        let (long, digits) = ("s".repeat(64), "0".repeat(65));
        for (ssid, password, what) in [
            ("Home", "s3cr3t!", "--wifi-password-file: 7 characters; a passphrase has 8 to 63"),
            ("Home", "", "--wifi-password-file: 0 characters"),
            ("Home", long.as_str(), "64 characters; a passphrase has 8 to 63, or 64 that are hex"),
            ("Home", digits.as_str(), "65 characters"),
            ("Home", "pässwörter", "printable ASCII characters only"),
            ("Home", "tab\tulator", "printable ASCII characters only"),
            ("", "long enough", "--wifi: 0 bytes; a network's name has 1 to 32"),
            ("thirty-three-bytes-are-one-too-many", "long enough", "--wifi: 35 bytes"),
        ] {
            let fault = wifi(ssid, password).unwrap_err().to_string();
            assert!(fault.contains(what), "{fault}");
            assert!(password.is_empty() || !fault.contains(password), "{fault}");
        }
    }
}
