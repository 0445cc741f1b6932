//! The settings that name a file: what each asks for. A file that is another thing is refused, by every way that a
//! setting is given: a flag, a recipe, a user of a batch, one of several machines.

use crate::error::{Error, Result};
use crate::keys;
use crate::named_file::{self, Kind, Rule};
use crate::recipe::{Recipe, setting};
use crate::run_files::RunFiles;

/// What settings ask for, by the names of their fields.
struct Row {
    fields: &'static [&'static str],
    rule: Rule,
}

/// Every setting that names a file to read, but for `file`, whose value has more in it than a path.
const ROWS: &[Row] = &[
    Row {
        fields: &["key"],
        rule: Rule {
            wanted: "a public key",
            takes: &[
                Kind::Pipe,
                Kind::PublicKey,
                Kind::PrivateKey,
                Kind::Text,
                Kind::Script,
                Kind::Unknown,
            ],
            hint: || "give the file of a public key, as ~/.ssh/id_ed25519.pub".into(),
        },
    },
    Row {
        fields: &["sign"],
        rule: Rule {
            wanted: "a private key",
            takes: &[Kind::Pipe, Kind::PrivateKey, Kind::PublicKey, Kind::Unknown],
            hint: || {
                "give an ed25519 or ecdsa private key, or the .pub of a key that ssh-agent has"
                    .into()
            },
        },
    },
    Row {
        fields: &["host_key"],
        rule: Rule {
            wanted: "a private key",
            takes: &[Kind::Pipe, Kind::PrivateKey, Kind::PublicKey, Kind::Unknown],
            hint: || "give `generate`, or make a key: ssh-keygen -t ed25519 -N '' -f FILE".into(),
        },
    },
    Row {
        fields: &["host_key_seed"],
        rule: Rule {
            wanted: "a secret",
            takes: &[
                Kind::Pipe,
                Kind::PrivateKey,
                Kind::Script,
                Kind::Page,
                Kind::Text,
                Kind::Other,
                Kind::Unknown,
            ],
            hint: || "make one: head -c 32 /dev/urandom > FILE".into(),
        },
    },
    Row {
        fields: &["root_password_file", "nixos_password_file", "wifi_password_file"],
        rule: Rule {
            wanted: "a file with a password",
            takes: &[Kind::Pipe, Kind::Script, Kind::Text, Kind::Unknown],
            hint: || {
                "give a text file with the password in its first line, or `-` for standard input"
                    .into()
            },
        },
    },
    Row {
        fields: &["overlay"],
        rule: Rule {
            wanted: "a folder or a tar archive",
            takes: &[Kind::Pipe, Kind::Folder, Kind::Archive, Kind::Unknown],
            hint: || "give a folder, or a tar archive, plain or packed by gzip, xz or zstd".into(),
        },
    },
    Row {
        fields: &["script"],
        rule: Rule {
            wanted: "a script",
            takes: &[Kind::Pipe, Kind::Script, Kind::Text, Kind::Unknown],
            hint: || {
                format!("give a script that begins with `#!`; a program goes to {}", setting!(bin))
            },
        },
    },
    Row {
        fields: &["run"],
        rule: Rule {
            wanted: "a script or a program",
            takes: &[Kind::Pipe, Kind::Script, Kind::Program, Kind::Text, Kind::Unknown],
            hint: || "give a script that begins with `#!`, or a static program".into(),
        },
    },
    Row {
        fields: &["bin"],
        rule: Rule {
            wanted: "a program",
            takes: &[Kind::Pipe, Kind::Program, Kind::Unknown],
            hint: || {
                format!("give a static program for 64 bits; a script goes to {}", setting!(script))
            },
        },
    },
    Row {
        fields: &["unit"],
        rule: Rule {
            wanted: "a systemd unit",
            takes: &[Kind::Pipe, Kind::Text, Kind::Unknown],
            hint: || "give a unit file, as backup.service".into(),
        },
    },
    Row {
        fields: &["store"],
        rule: Rule {
            wanted: "a squashfs",
            takes: &[Kind::Pipe, Kind::Squashfs, Kind::Unknown],
            hint: || "make one with `mksquashfs $(nix-store -qR PATH) FILE.squashfs`".into(),
        },
    },
];

/// What a setting asks for; none for one that names no file.
pub fn rule_of(field: &str) -> Option<&'static Rule> {
    ROWS.iter().find(|row| row.fields.contains(&field)).map(|row| &row.rule)
}

/// Refuses a recipe that names another thing than a setting asks for.
pub(super) fn check(recipe: &Recipe) -> Result<()> {
    check_one(recipe)?;
    recipe.machine.iter().try_for_each(|machine| check_one(&machine.own()))
}

/// Takes down every file and folder that a recipe names.
///
/// # Errors
/// One of them is also written.
pub fn take_down(recipe: &Recipe, files: &mut RunFiles) -> Result<()> {
    take_down_one(recipe, files)?;
    recipe.machine.iter().try_for_each(|machine| take_down_one(&machine.own(), files))
}

fn take_down_one(recipe: &Recipe, files: &mut RunFiles) -> Result<()> {
    for (name, values) in recipe.raw_values() {
        for (index, word) in values.iter().enumerate() {
            let path = match name.as_str() {
                // SRC:DST, and DST begins with a slash.
                "file" => {
                    word.to_str().and_then(|word| word.rsplit_once(":/")).map(|(of, _)| of.as_ref())
                }
                name => rule_of(&name.replace('-', "_")).map(|_| word.as_os_str()),
            };
            let Some(path) = path else { continue };
            if let Some(file) = named_file::path_of(path) {
                files.read(&format!("{} {}", recipe.place(&name, index), path.display()), &file)?;
            }
        }
    }
    Ok(())
}

fn check_one(recipe: &Recipe) -> Result<()> {
    for (name, values) in recipe.raw_values() {
        let Some(rule) = rule_of(&name.replace('-', "_")) else { continue };
        for (index, word) in values.iter().enumerate() {
            let place = recipe.place(&name, index);
            let is_in_file = name == "key" && recipe.place_in_file(&name, index).is_some();
            if is_in_file
                && word.to_str().is_some_and(|word| !word.is_empty() && !keys::is_path(word))
            {
                continue;
            }
            match rule.judge(word) {
                Ok(None) => {}
                // A value may be the key itself.
                Err(_) if name == "key" => {}
                Ok(Some(what)) => {
                    return Err(recipe.fault(&name, index, what, (rule.hint)()));
                }
                Err(refused) => {
                    let (word, wanted) = (word.display(), rule.wanted);
                    let doing = format!("open {word}, which should be {wanted} ({place})");
                    return Err(Error::io(doing)(refused));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_row_is_one_of_a_recipe() {
        let names = Recipe::names();
        for field in ROWS.iter().flat_map(|row| row.fields) {
            assert!(names.contains(&field.replace('_', "-")), "{field}");
        }
    }
}
