//! The wireless networks to join.
//!
//! `NetworkManager` gets a profile for each, a `wpa_supplicant` of our own a configuration: both for images before
//! 25.11, whose minimal and graphical editions differ, and the unit looks at boot which one is there.
//! The passphrase does not get into the image: what does is the key that IEEE 802.11i derives from it,
//! which opens this network only (IEEE 802.11-2020, J.4: PBKDF2 with HMAC-SHA-1, the SSID as salt,
//! 4096 rounds, 256 bits). A network that has WPA3 only wants the passphrase itself, which is in the image then.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;

use super::facts::Facts;
use super::input::{Input, Secret};
use super::network::{Network, has_network_manager, profile_path, put_profile};
use crate::error::Result;
use crate::hex;
use crate::recipe::edits::{Edits, SUPPLICANT};
use crate::recipe::{Recipe, setting};
use crate::stop;

/// The names of the networks, in hexadecimal digits, one a line: what tells later what was asked for.
pub(super) const WIFI: &str = "etc/remaster/wifi";
/// The country, where the module of wireless networks reads it when it is loaded.
pub(super) const COUNTRY: &str = "etc/modprobe.d/remaster-wifi.conf";
/// What stands there before the country.
pub(super) const REGION: &str = "options cfg80211 ieee80211_regdom=";
/// The most bytes that an SSID has (IEEE 802.11-2020, 9.4.2.2).
const LONGEST_SSID: usize = 32;

/// What opens a network.
#[derive(Debug)]
enum Lock {
    Open,
    /// WPA2: the pairwise master key in hexadecimal digits.
    Key(Secret),
    /// WPA3: the passphrase.
    Passphrase(Secret),
}

/// What opens a network, in words.
const SECURITY: [&str; 3] = ["open", "WPA2", "WPA3"];

/// The name of a network that was read back, and what opens it.
pub fn wifi_parts(told: &str) -> (&str, Option<&'static str>) {
    let name = |words| told.strip_suffix(')')?.strip_suffix(words)?.strip_suffix(" (");
    let found = SECURITY.into_iter().find_map(|words| Some((name(words)?, Some(words))));
    found.unwrap_or((told, None))
}

/// The names of the networks that were put in, each with what opens it, by the profiles of `NetworkManager`: of them the
/// first one has no number.
pub(super) fn read_back(names: &str, profile: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let numbered = (1_u32..).zip(names.lines());
    let network = |(number, digits): (u32, &str)| {
        let ssid = hex::bytes(digits)?;
        let text = profile(&profile_path(&name_of(number)));
        let [open, wpa2, wpa3] = SECURITY;
        let security =
            text.map(|text| match text.lines().find_map(|line| line.strip_prefix("key-mgmt=")) {
                None => open,
                Some("sae") => wpa3,
                Some(_) => wpa2,
            });
        let security = security.map(|words| format!(" ({words})")).unwrap_or_default();
        Some(String::from_utf8_lossy(&ssid).into_owned() + &security)
    };
    numbered.filter_map(network).collect()
}

/// The names of the networks that were put in.
pub(super) fn names(text: &str) -> Vec<String> {
    let name = |digits| Some(String::from_utf8_lossy(&hex::bytes(digits)?).into_owned());
    text.lines().filter_map(name).collect()
}

/// The paths of the profiles of networks that were read back.
pub(super) fn profiles(text: &str) -> Vec<String> {
    let numbered = (1_u32..).zip(text.lines());
    let known = numbered.filter(|(_, digits)| hex::bytes(digits).is_some());
    known.map(|(number, _)| profile_path(&name_of(number))).collect()
}

/// What the network of a number is called.
fn name_of(number: u32) -> String {
    if number == 1 { "wifi".to_owned() } else { format!("wifi-{number}") }
}

/// A wireless network to join.
#[derive(Debug)]
struct WifiNetwork {
    ssid: String,
    lock: Lock,
}

/// The wireless networks to join.
#[derive(Debug)]
pub(super) struct Wifi {
    networks: Vec<WifiNetwork>,
    country: Option<String>,
}

impl Wifi {
    /// Takes what a recipe says, and reads or asks for the passphrases.
    pub(super) fn gather(recipe: &Recipe, input: &mut Input<'_>) -> Result<Option<Self>> {
        if recipe.wifi.is_empty() {
            return without_network(recipe);
        }
        let (names, files) = (recipe.wifi.len(), recipe.wifi_password_file.len());
        if files > names {
            let what = format!("{files} files with passwords, for networks: {names}");
            return Err(recipe.fault("wifi-password-file", names, what, "give each network one"));
        }
        if recipe.wifi_open == Some(true) && files == names {
            let what = "an open network with a password";
            return Err(recipe.fault("wifi-open", 0, what, "leave one of them out"));
        }
        let country =
            recipe.wifi_country.as_deref().map(|text| country(recipe, text)).transpose()?;
        let (mut networks, mut seen) = (Vec::<WifiNetwork>::new(), BTreeSet::new());
        for (index, ssid) in recipe.wifi.iter().enumerate() {
            stop::check()?;
            check_name(recipe, index)?;
            if !seen.insert(ssid) {
                return Err(recipe.fault(
                    "wifi",
                    index,
                    format!("{ssid:?} is given twice"),
                    "give it once",
                ));
            }
            networks.push(WifiNetwork { ssid: ssid.clone(), lock: lock(recipe, index, input)? });
        }
        if recipe.wifi_wpa3 == Some(true)
            && networks.iter().all(|network| matches!(network.lock, Lock::Open))
        {
            return Err(recipe.fault(
                "wifi-wpa3",
                0,
                "has no effect without a network with a password",
                "leave it out",
            ));
        }
        Ok(Some(Self { networks, country }))
    }

    /// Puts it in; the interface gets what `network` says.
    pub(super) fn apply(&self, facts: &Facts, network: &Network, edits: &mut Edits) {
        edits.private |= self.networks.iter().any(|joined| !matches!(joined.lock, Lock::Open));
        let names = self.networks.iter().map(|joined| hex::digits(joined.ssid.as_bytes()) + "\n");
        edits.root.file(WIFI, 0o644, names.collect::<String>());
        if let Some(country) = &self.country {
            edits.root.file(COUNTRY, 0o644, format!("{REGION}{country}\n"));
        }
        for (number, joined) in (1_u32..).zip(&self.networks) {
            let name = name_of(number);
            put_profile(edits, &name, joined.profile(number, &name, network));
        }
        if has_network_manager(facts) {
            return;
        }
        let root = &mut edits.root;
        root.file(SUPPLICANT, 0o600, self.supplicant());
        root.file("etc/remaster/wifi.rules", 0o644, include_str!("scripts/wifi.rules"));
        root.unit("remaster-wifi@.service", include_str!("scripts/wifi@.service"));
        root.unit("remaster-wifi-rules.service", include_str!("scripts/wifi-rules.service"));
        root.want("remaster-wifi-rules.service", "sysinit.target");
    }

    /// As `wpa_supplicant.conf(5)` has it.
    fn supplicant(&self) -> String {
        let mut text = "ctrl_interface=/run/wpa_supplicant\n".to_owned();
        if let Some(country) = &self.country {
            let _ = writeln!(text, "country={country}");
        }
        text.extend(self.networks.iter().map(WifiNetwork::supplicant));
        text
    }
}

impl WifiNetwork {
    /// As `nm-settings-keyfile(5)` has it. Hidden networks are asked for by name, and others do not mind.
    fn profile(&self, number: u32, name: &str, network: &Network) -> String {
        let last = 0x7374_u32.saturating_add(number).saturating_sub(1);
        let (mtu, families) = network.of_wifi();
        let mut text = format!(
            "[connection]\nid=remaster-{name}\nuuid=5b0c6f0e-2a53-5d1c-9c57-72656d61{last:04x}\ntype=wifi\n\n[wifi]\nmode=infrastructure\nhidden=true\nssid={}\n",
            byte_list(&self.ssid),
        );
        if let Some(bytes) = mtu {
            let _ = writeln!(text, "mtu={bytes}");
        }
        match &self.lock {
            Lock::Open => {}
            Lock::Key(key) => {
                let key = key.reveal();
                let _ = write!(text, "\n[wifi-security]\nkey-mgmt=wpa-psk\npsk={key}\n");
            }
            Lock::Passphrase(words) => {
                let words = words.reveal().replace('\\', "\\\\").replace(' ', "\\s");
                let _ = write!(text, "\n[wifi-security]\nkey-mgmt=sae\npsk={words}\n");
            }
        }
        text + &families
    }

    /// As `wpa_supplicant.conf(5)` has it. What stands without quotes is read as hexadecimal digits.
    fn supplicant(&self) -> String {
        let ssid = hex::digits(self.ssid.as_bytes());
        let key = match &self.lock {
            Lock::Open => "key_mgmt=NONE".to_owned(),
            Lock::Key(key) => format!("key_mgmt=WPA-PSK WPA-PSK-SHA256\n  psk={}", key.reveal()),
            Lock::Passphrase(words) => {
                let words = hex::digits(words.reveal().as_bytes());
                format!("key_mgmt=SAE\n  ieee80211w=2\n  sae_password={words}")
            }
        };
        format!("network={{\n  ssid={ssid}\n  scan_ssid=1\n  {key}\n}}\n")
    }
}

fn check_name(recipe: &Recipe, index: usize) -> Result<()> {
    let length = recipe.wifi.get(index).map_or(0, String::len);
    if (1..=LONGEST_SSID).contains(&length) {
        return Ok(());
    }
    let what = format!("{length} bytes; a network's name has 1 to {LONGEST_SSID}");
    Err(recipe.fault("wifi", index, what, "give the SSID as the access point shows it"))
}

/// Reads or asks for what opens a network.
fn lock(recipe: &Recipe, index: usize, input: &mut Input<'_>) -> Result<Lock> {
    let ssid = recipe.wifi.get(index).map_or("", String::as_str);
    let (name, secret) = match recipe.wifi_password_file.get(index) {
        Some(path) => ("wifi-password-file", input.secret_of("wifi-password-file", path)?),
        None if recipe.wifi_open == Some(true) => return Ok(Lock::Open),
        None if recipe.wifi_password_prompt == Some(true) => {
            let (name, what) = ("wifi-password-prompt", format!("password of {ssid:?}"));
            (name, input.prompt(&what, &recipe.place(name, 0), "wifi-password-file")?)
        }
        None => {
            let hint = format!(
                "give {} or {}, or {} if it has none",
                setting!(wifi_password_file),
                setting!(wifi_password_prompt),
                setting!(wifi_open)
            );
            return Err(recipe.fault("wifi", index, format!("{ssid:?} without a password"), hint));
        }
    };
    let lock = match recipe.wifi_wpa3 {
        Some(true) => passphrase(&secret).map(|()| Lock::Passphrase(secret)),
        _ => key(ssid, &secret).map(Lock::Key),
    };
    let hint = "check what is set at the access point";
    lock.map_err(|what| recipe.fault(name, index, what, hint))
}

/// Two letters (ISO 3166-1 alpha-2), as the kernel's database of rules has them.
fn country(recipe: &Recipe, text: &str) -> Result<String> {
    if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(text.to_owned());
    }
    let what = format!("{text:?} is not a country");
    let capital = text.to_ascii_uppercase();
    let is_lower = capital.len() == 2 && capital.bytes().all(|byte| byte.is_ascii_uppercase());
    let example = if is_lower { capital } else { "DE".to_owned() };
    Err(recipe.fault("wifi-country", 0, what, format!("give two capital letters, as `{example}`")))
}

/// Refuses what says something of no network.
fn without_network(recipe: &Recipe) -> Result<Option<Wifi>> {
    let given = [
        ("wifi-password-file", !recipe.wifi_password_file.is_empty()),
        ("wifi-password-prompt", recipe.wifi_password_prompt == Some(true)),
        ("wifi-open", recipe.wifi_open == Some(true)),
        ("wifi-wpa3", recipe.wifi_wpa3 == Some(true)),
        ("wifi-country", recipe.wifi_country.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(recipe.fault(
            name,
            0,
            "has no effect without a network",
            format!("give its name to {}", setting!(wifi)),
        )),
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
    passphrase(secret)?;
    let mut key = [0; 32];
    pbkdf2_hmac::<Sha1>(text.as_bytes(), ssid.as_bytes(), 4096, &mut key);
    Ok(Secret::new(hex::digits(&key)))
}

/// Refuses what is not a passphrase.
fn passphrase(secret: &Secret) -> Result<(), String> {
    let text = secret.reveal();
    if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err("a passphrase has printable ASCII characters only".into());
    }
    if !(8..=63).contains(&text.len()) {
        let digits = if text.len() == 64 { ", or 64 that are hexadecimal digits" } else { "" };
        return Err(format!("{} characters; a passphrase has 8 to 63{digits}", text.len()));
    }
    Ok(())
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
        (recipe.wifi, recipe.wifi_password_file) = (vec![ssid.into()], vec![PathBuf::from("-")]);
        Wifi::gather(&recipe, &mut Input::new(password.as_bytes(), |_| unreachable!()))
    }

    fn root(wifi: &Wifi, release: (u32, u32)) -> Edits {
        let mut edits = Edits::default();
        let facts = Facts { release, architecture: None, room: None };
        wifi.apply(&facts, &Network::default(), &mut edits);
        edits
    }

    fn text(edits: &Edits, path: &str) -> (u32, String) {
        let member = edits.root.get(path).unwrap_or_else(|| panic!("no {path}"));
        let Kind::File(bytes) = &member.kind else { panic!("{path} is not a file") };
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
        let mut recipe = Recipe { wifi: vec!["Cafe".into()], ..Recipe::default() };
        let mut input = Input::new(&b""[..], |_| unreachable!());
        let fault = Wifi::gather(&recipe, &mut input).unwrap_err();
        assert_eq!(fault.to_string(), "--wifi: \"Cafe\" without a password");
        assert!(
            fault.advice().and_then(crate::error::Advice::words).unwrap().contains("--wifi-open")
        );
        recipe.wifi_open = Some(true);
        let open = Wifi::gather(&recipe, &mut input).unwrap().unwrap();
        let edits = root(&open, (24, 11));
        assert!(!edits.private);
        assert!(text(&edits, "etc/remaster/wifi.conf").1.contains("key_mgmt=NONE\n"));
        recipe.wifi_password_file = vec![PathBuf::from("-")];
        let fault = Wifi::gather(&recipe, &mut input).unwrap_err().to_string();
        assert_eq!(fault, "--wifi-open: an open network with a password");
        recipe = Recipe { wifi_password_prompt: Some(true), ..Recipe::default() };
        let fault = Wifi::gather(&recipe, &mut input).unwrap_err().to_string();
        assert_eq!(fault, "--wifi-password-prompt: has no effect without a network");
    }

    #[test]
    fn what_is_not_a_passphrase_is_refused_and_not_shown() {
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

    #[test]
    fn several_networks_take_files_in_order_and_those_behind_are_open() {
        let mut recipe = Recipe { wifi_open: Some(true), ..Recipe::default() };
        recipe.wifi = vec!["Home".into(), "Cafe".into()];
        recipe.wifi_password_file = vec![PathBuf::from("-")];
        recipe.wifi_country = Some("DE".into());
        let mut input = Input::new(&b"long enough"[..], |_| unreachable!());
        let wifi = Wifi::gather(&recipe, &mut input).unwrap().unwrap();
        let edits = root(&wifi, (24, 11));
        assert!(edits.private);
        let (_, conf) = text(&edits, "etc/remaster/wifi.conf");
        let blocks: Vec<&str> = conf.split("network={").collect();
        assert!(blocks[0].ends_with("country=DE\n") && blocks.len() == 3, "{conf}");
        assert!(blocks[1].contains("psk=") && blocks[2].contains("key_mgmt=NONE"), "{conf}");
        let folder = "etc/NetworkManager/system-connections/remaster-wifi";
        assert!(text(&edits, &format!("{folder}.nmconnection")).1.contains("psk="));
        let (_, second) = text(&edits, &format!("{folder}-2.nmconnection"));
        assert!(second.contains("id=remaster-wifi-2\n") && !second.contains("psk="), "{second}");
        assert_eq!(text(&edits, COUNTRY).1, "options cfg80211 ieee80211_regdom=DE\n");
        let refused = |change: fn(&mut Recipe), what: &str| {
            let mut recipe = recipe.clone();
            change(&mut recipe);
            let mut input = Input::new(&b"long enough"[..], |_| unreachable!());
            let fault = Wifi::gather(&recipe, &mut input).unwrap_err().to_string();
            assert!(fault.contains(what), "{fault}, not {what}");
        };
        refused(|recipe| recipe.wifi.push("Cafe".into()), "--wifi: \"Cafe\" is given twice");
        refused(|recipe| recipe.wifi_country = Some("de".into()), "\"de\" is not a country");
        refused(|recipe| recipe.wifi.truncate(1), "--wifi-open: an open network with a password");
        refused(|recipe| recipe.wifi_open = None, "--wifi: \"Cafe\" without a password");
        let three = |recipe: &mut Recipe| recipe.wifi_password_file = vec!["a".into(); 3];
        refused(three, "--wifi-password-file: 3 files");
    }

    #[test]
    fn wpa3_has_the_passphrase_where_only_root_reads_and_the_image_is_private() {
        let mut recipe = Recipe { wifi_wpa3: Some(true), ..Recipe::default() };
        recipe.wifi = vec!["Home".into()];
        recipe.wifi_password_prompt = Some(true);
        let gather = |recipe: &Recipe, words: &'static str| {
            Wifi::gather(recipe, &mut Input::new(&b""[..], |_| Ok(words.into())))
        };
        let wifi = gather(&recipe, " a \\b\"c;d").unwrap().unwrap();
        let edits = root(&wifi, (24, 11));
        assert!(edits.private && !format!("{wifi:?}").contains("c;d"));
        let (mode, conf) = text(&edits, "etc/remaster/wifi.conf");
        assert_eq!(mode, 0o600);
        assert!(
            conf.contains("key_mgmt=SAE\n  ieee80211w=2\n  sae_password=2061205c6222633b64\n"),
            "{conf}"
        );
        let (mode, profile) =
            text(&edits, "etc/NetworkManager/system-connections/remaster-wifi.nmconnection");
        assert_eq!(mode, 0o600);
        assert!(profile.contains("key-mgmt=sae\npsk=\\sa\\s\\\\b\"c;d\n"), "{profile}");
        let key = gather(&recipe, VECTORS[0].2).unwrap_err().to_string();
        assert!(key.contains("64 characters; a passphrase has 8 to 63"), "{key}");
        recipe.wifi_password_prompt = None;
        recipe.wifi_open = Some(true);
        let open = gather(&recipe, "").unwrap_err().to_string();
        assert_eq!(open, "--wifi-wpa3: has no effect without a network with a password");
    }
}
