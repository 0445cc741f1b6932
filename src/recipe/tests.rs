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
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
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
    assert_eq!(Recipe::default().over(all.clone()).set_names(), Recipe::keys());
    assert_eq!(all.over(Recipe::default()).set_names(), Recipe::keys());
}

#[test]
fn flags_win_and_forget_the_other_ways_to_give_a_secret() {
    let below = recipe("hostname = 'a'\nkey = ['x', 'y']\nroot-password-file = 'p'").unwrap();
    let flags =
        Recipe { key: vec!["z".into()], root_password_hash: Some("h".into()), ..Recipe::default() };
    let both = flags.over(below);
    assert_eq!(both.hostname.as_deref(), Some("a"));
    assert_eq!(both.key, ["z"]);
    assert_eq!(both.root_password_file, None);
    assert!(both.fault("hostname", 0, "no", "").to_string().contains("r.toml:1:12: hostname: no"));
    assert!(both.fault("key", 0, "no", "").to_string().starts_with("--key: no"));
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
    let fault = recipe("hostnam = 'a'").unwrap_err();
    assert_eq!(fault.advice(), Some(&"did you mean `hostname`?".into()));
    let fault = recipe("completely_else = 'a'").unwrap_err();
    assert_eq!(fault.advice(), Some(&crate::error::Advice::RecipeKeys));
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
