//! Tests of recipes: what a file may ask for, and how flags and files go together.

use std::collections::BTreeSet;
use std::path::Path;

use super::document::read;

use super::*;
use crate::error::Error;

/// Reads a recipe file of this text.
fn recipe(text: &str) -> Result<Recipe, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.toml");
    std::fs::write(&path, text).unwrap();
    read(&path)
}

/// What is said of a bad recipe, from its place on.
fn refused(text: &str) -> String {
    let fault = recipe(text).unwrap_err();
    assert!(matches!(fault, Error::Recipe { .. }), "{fault}");
    let shown = fault.to_string();
    shown.split_once("r.toml:").unwrap_or_else(|| panic!("no place in {shown}")).1.to_owned()
}

#[test]
fn every_flag_has_a_key() {
    let schema: serde_json::Value = serde_json::from_str(&schema().unwrap()).unwrap();
    let keys: BTreeSet<String> =
        schema["properties"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, Recipe::keys().into_iter().collect());
    assert!(keys.len() > 40);
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn every_field_is_merged() {
    let mut text = String::new();
    for name in Recipe::keys() {
        let value = match name.as_str() {
            "timeout" => "3",
            "xattrs" => "'drop'",
            "machine" => "[{ hostname = 'x' }]",
            "inject" => "'archive'",
            _ if recipe(&format!("{name} = true")).is_ok() => "true",
            _ => "'x'",
        };
        text.extend([name.as_str(), " = ", value, "\n"]);
    }
    let all = recipe(&text).unwrap();
    assert_eq!(all.set_names(), Recipe::keys());
    assert_eq!(Recipe::default().over(all.clone()).unwrap().set_names(), Recipe::keys());
    assert_eq!(all.over(Recipe::default()).unwrap().set_names(), Recipe::keys());
}

#[test]
fn flags_win_and_forget_the_other_ways_to_give_a_secret() {
    let below = recipe("hostname = 'a'\nkey = ['x', 'y']\nroot-password-file = 'p'").unwrap();
    let flags =
        Recipe { key: vec!["z".into()], root_password_hash: Some("h".into()), ..Recipe::default() };
    let both = flags.over(below).unwrap();
    assert_eq!(both.hostname.as_deref(), Some("a"));
    assert_eq!(both.key, ["z"]);
    assert_eq!(both.root_password_file, None);
    assert!(both.fault("hostname", 0, "no", "").to_string().contains("r.toml:1:12: hostname: no"));
    assert!(both.fault("key", 0, "no", "").to_string().starts_with("--key: no"));
}

/// What is said of one recipe over another one, or which of these keys it has.
fn layered(above: &str, below: &str) -> String {
    let (above, below) = (recipe(above).unwrap(), recipe(below).unwrap());
    match above.over(below) {
        Ok(both) => both.set_names().join(" "),
        Err(fault) => fault.to_string(),
    }
}

#[test]
fn not_to_ask_for_a_secret_leaves_the_other_ways_to_give_it() {
    for (user, ways) in [
        ("root", &["root-password-file", "root-password-hash"][..]),
        ("nixos", &["nixos-password-file", "nixos-password-hash"]),
        ("wifi", &["wifi-password-file", "wifi-open"]),
    ] {
        let prompt = format!("{user}-password-prompt");
        for way in ways {
            let value = if way.ends_with("open") { "true" } else { "'p'" };
            let below = format!("{way} = {value}");
            let not_asked = layered(&format!("{prompt} = false"), &below);
            assert!(not_asked.split(' ').any(|name| name == *way), "{not_asked}");
            assert_eq!(layered(&format!("{prompt} = true"), &below), prompt);
            assert_eq!(layered(&below, &format!("{prompt} = true")), *way);
        }
    }
    let below = "wifi-password-file = 'p'";
    assert_eq!(layered("wifi-open = false", below), "wifi-password-file wifi-open");
}

#[test]
fn entries_are_chosen_for_the_kernel_arguments_beside_them_alone() {
    let arguments = ["karg = 'a=b'", "karg-delete = 'a=b'", "karg-replace = 'a=b'"];
    let (one, other) = ("entry = ['x', 'y']", "entry = 'x'");
    let lines = |lines: &[&str]| lines.join("\n");
    let refused = |above: &[&str], below: &[&str]| {
        let told = layered(&lines(above), &lines(below));
        assert!(told.contains("entry: is for the kernel arguments beside it"), "{told}");
    };
    for above in arguments {
        refused(&[above], &[one]);
        refused(&[one], &[above]);
        layered(&lines(&[above, one]), other).strip_suffix(" entry").unwrap();
        for below in arguments {
            refused(&[above], &[below, one]);
            layered(&lines(&[above, "entry = ['y', 'x']"]), &lines(&[below, one]))
                .strip_suffix(" entry")
                .unwrap();
            if above == below {
                layered(&lines(&[above, one]), below).strip_suffix(" entry").unwrap();
            } else {
                refused(&[above, one], &[below]);
                refused(&[above, one], &[below, other]);
            }
        }
    }
}

#[test]
fn what_opens_networks_goes_with_them() {
    let below = "wifi = 'Home'\nwifi-password-file = 'p'\nwifi-country = 'DE'";
    assert_eq!(layered("wifi = 'Cafe'", below), "wifi wifi-country");
    for way in ["wifi-password-prompt", "wifi-open"] {
        let below = format!("wifi = 'Home'\n{way} = true");
        assert_eq!(layered("wifi = 'Cafe'", &below), "wifi");
        assert_eq!(layered("wifi = 'Cafe'", &format!("{way} = true")), format!("wifi {way}"));
    }
    assert_eq!(layered("wifi = 'Cafe'", "wifi-password-file = 'p'"), "wifi wifi-password-file");
    assert_eq!(layered("wifi-password-file = 'q'", below), "wifi wifi-password-file wifi-country");
    let below = format!("{below}\nwifi-wpa3 = true");
    let told = layered("wifi = 'Cafe'\nwifi-password-file = 'q'", &below);
    assert!(told.contains("r.toml:4:13: wifi-wpa3: is for the networks beside it"), "{told}");
    for wpa3 in ["true", "false"] {
        let above = format!("wifi = 'Cafe'\nwifi-password-file = 'q'\nwifi-wpa3 = {wpa3}");
        assert_eq!(layered(&above, &below), "wifi wifi-password-file wifi-wpa3 wifi-country");
    }
}

#[test]
fn faults_name_line_and_column() {
    assert!(refused("hostname = 'a'\nkeymapp = 'de'").starts_with("2:1: unknown key `keymapp`"));
    assert!(refused("hostname = 7").starts_with("1:12: "));
    assert!(refused("key = ['a',\n 7]").starts_with("2:2: "));
    assert!(refused("hostname = 'a'\nhostname = 'b'").starts_with("2:1: "));
    assert!(refused("a = [").starts_with("1:"));
    let elements = recipe("karg = ['a',\n  'b']").unwrap();
    assert!(elements.fault("karg", 1, "no", "").to_string().contains("r.toml:2:3: karg: no"));
}

#[test]
fn a_mistyped_key_gets_a_suggestion() {
    for (key, close) in [("hostnam", Some("hostname")), ("completely_else", None)] {
        let fault = recipe(&format!("{key} = 'a'")).unwrap_err();
        let close = close.map(Box::from);
        let meant = crate::error::Advice::UnknownKey {
            key: key.into(),
            close,
            of: crate::error::KeyOf::Recipe,
        };
        assert_eq!(fault.advice(), Some(&meant));
    }
    let of_machine = refused("[[machine]]\ndmi_serial = 'x'\n");
    assert_eq!(of_machine, "2:1: unknown key `dmi_serial`");
}

#[test]
fn the_keys_of_machines_are_those_of_the_schema() {
    let schema: serde_json::Value = serde_json::from_str(&schema().unwrap()).unwrap();
    let keys = schema["$defs"]["Machine"]["properties"].as_object().unwrap();
    let keys: BTreeSet<&str> = keys.keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(Machine::KEYS));
}

#[test]
fn values_of_another_type_are_reported_in_plain_words() {
    for (text, told) in [
        ("timeout = '5'", "1:11: timeout: wants a whole number from 0 on, not text"),
        ("timeout = -1", "1:11: timeout: wants a whole number from 0 on, not this number"),
        ("enable = 'yes'", "1:10: enable: wants true or false without quotes, not text"),
        ("hostname = 7", "1:12: hostname: wants text, not this number"),
        ("timezone = 2024-01-01", "1:12: timezone: wants text, not a table or a date"),
        ("key = true", "1:7: key: wants text or a list of texts, not true or false"),
        ("xattrs = true", "1:10: xattrs: wants a word in quotes"),
        ("xattrs = 'keep'", "1:10: xattrs: wants `refuse` or `drop`, not `keep`"),
        ("[machine]\nmac = 'x'", "1:1: machine: wants a list of tables"),
        ("[[user]]\nname = 'a'", "1:1: it is a users file, not a recipe"),
    ] {
        assert_eq!(refused(text), told, "{text}");
    }
}

#[test]
fn paths_are_relative_to_the_recipe() {
    let found = recipe("overlay = 'o'\nfile = 'a:/b'\nhost-key = ['generate', 'k']\nkey = 'ssh-ed25519 AAAA'\nroot-password-file='-'").unwrap();
    assert!(found.overlay[0].is_absolute() && found.file[0].starts_with('/'));
    assert_eq!(found.host_key[0], "generate");
    assert!(found.host_key[1].starts_with('/'));
    assert_eq!(found.key, ["ssh-ed25519 AAAA"]);
    assert_eq!(found.root_password_file.unwrap(), Path::new("-"));
}

#[test]
fn every_file_is_below_the_folder_and_standard_input_is_not_another_file() {
    const TAKING: [&str; 4] =
        ["key", "root-password-file", "nixos-password-file", "wifi-password-file"];
    let shown = |text: String| {
        let mut found = recipe(&text)?;
        found.places.clear();
        Ok::<_, Error>(format!("{found:?}"))
    };
    let folder = std::env::temp_dir().display().to_string();
    let is_path = |name: &str| {
        // What stands for a key itself has spaces.
        shown(format!("{name} = './x'")).is_ok_and(|shown| shown.contains(&folder))
    };
    let mut seen = 0;
    for name in Recipe::keys().into_iter().filter(|name| is_path(name)) {
        seen += 1;
        let found = shown(format!("{name} = '-'"));
        if TAKING.contains(&name.as_str()) {
            assert!(found.unwrap().contains("\"-\""), "{name}");
        } else {
            let said = found.unwrap_err().to_string();
            assert!(said.contains(&format!("1:{}: {name}: ", name.len() + 4)), "{said}");
            assert!(said.contains("standard input is not read for it"), "{said}");
        }
    }
    assert_eq!(seen, 14);
}

#[test]
fn a_folder_that_is_not_text_is_refused_where_a_path_is_text() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join(std::ffi::OsStr::from_bytes(b"r\xFF"));
    std::fs::create_dir(&folder).unwrap();
    let read = |text: &str| {
        std::fs::write(folder.join("r.toml"), text).unwrap();
        read(&folder.join("r.toml"))
    };
    for text in ["file = 'a:/b'", "key = './k.pub'", "host-key = 'k'", "[[machine]]\nkey = './k'"] {
        let said = read(text).unwrap_err().to_string();
        assert!(said.contains("the name of the folder is not UTF-8"), "{text}: {said}");
    }
    for text in ["file = '/a:/b'", "key = 'ssh-ed25519 A'", "host-key = 'generate'"] {
        assert!(read(text).is_ok(), "{text}");
    }
    let overlay = read("overlay = 'o'").unwrap().overlay;
    assert_eq!(overlay, [folder.join("o")]);
}

#[test]
fn a_machine_says_what_it_does_not_take() {
    for key in Recipe::keys() {
        let refused = recipe(&format!("[[machine]]\nmac = '52:54:00:12:34:56'\n{key} = true"));
        let said = refused.unwrap_err().to_string();
        let is_taken = Machine::KEYS.contains(&key.as_str()) || key == "machine";
        let told = format!("3:1: a [[machine]] table does not take `{key}`");
        assert_eq!(said.contains(&told), !is_taken, "{said}");
    }
}
