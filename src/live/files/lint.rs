//! What is wrong with files before anything is written: secrets that others could read, private keys that
//! nobody meant, scripts that cannot start.

use super::arg_ref::ArgRef;
use super::findings::Findings;
use super::overlay_tree::{Content, Item, OverlayTree, What};
use crate::bounded::{self, NotText};
use crate::error::{Error, Result};
use crate::formats::elf::is_elf;
use crate::keys;
use crate::recipe::{Recipe, setting};
use crate::stop;

/// Bytes of a file that are searched for private keys.
const SEARCHED: u64 = 1 << 20;

/// Interpreters that every NixOS has; `/bin/bash` is none of them.
const INTERPRETERS: [&str; 2] = ["/bin/sh", "/usr/bin/env"];

/// Below these, interpreters are the system's or a store's.
const INTERPRETER_FOLDERS: [&str; 4] =
    ["/nix/store/", "/run/current-system/", "/run/wrappers/", "/opt/remaster/"];

/// What was found out about the start of a program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Start<'a> {
    /// A program of the machine's.
    Elf,
    /// A script, and its interpreter.
    Script(&'a str),
    /// A script whose first line ends in CR LF, so that the interpreter is not found.
    CrLf,
    /// Neither.
    Neither,
}

impl<'a> Start<'a> {
    /// Looks at the first bytes.
    pub(super) fn parse(head: &'a [u8]) -> Self {
        if is_elf(head) {
            return Self::Elf;
        }
        let Some(rest) = head.strip_prefix(b"#!") else { return Self::Neither };
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if line.ends_with(b"\r") {
            return Self::CrLf;
        }
        let line = std::str::from_utf8(line).unwrap_or_default();
        Self::Script(line.split_whitespace().next().unwrap_or_default())
    }
}

/// Checks everything in an overlay.
pub(super) fn check(recipe: &Recipe, overlay: &OverlayTree, findings: &mut Findings) -> Result<()> {
    for (path, item) in overlay.items() {
        stop::check()?;
        let What::File(content) = &item.what else { continue };
        let (name, index) = item.by;
        let asked = ArgRef { recipe, name, index };
        let head =
            content.head(SEARCHED).map_err(Error::io(format!("read the file for /{path}")))?;
        secrets(asked, path, item, &head, findings)?;
        if is_program(item, path) {
            script(asked, path, overlay, &head, findings)?;
        } else if item.mode & 0o111 != 0 {
            findings.notes.extend(start_note(path, &head, content));
        }
    }
    Ok(())
}

/// Whether it is there to be run: then what cannot start is an error.
fn is_program(item: &Item, path: &str) -> bool {
    matches!(item.by.0, "script" | "run") && path.starts_with("opt/remaster/")
}

fn script(
    asked: ArgRef<'_>,
    path: &str,
    overlay: &OverlayTree,
    head: &[u8],
    findings: &mut Findings,
) -> Result<()> {
    let name = path.rsplit('/').next().unwrap_or(path);
    match Start::parse(head) {
        Start::Elf if asked.name == "run" => Ok(()),
        Start::Elf => Err(asked.fault(
            format!("{name} is a program and no script"),
            format!("give it to {}", setting!(bin)),
        )),
        Start::CrLf => Err(asked.fault(
            format!("{name} has lines that end in CR LF, so its interpreter would not be found"),
            "make them end in LF, as by `sed -i 's/\\r$//'`",
        )),
        Start::Neither if bounded::is_utf16(head) => {
            Err(asked.fault(format!("{name} is UTF-16, not UTF-8"), NotText::HINT))
        }
        Start::Neither if bounded::without_mark(head).starts_with(b"#!") => Err(asked.fault(
            format!("{name} has a byte order mark in front of `#!`, so it would not run"),
            "save it as UTF-8 without that mark (BOM)",
        )),
        Start::Neither => Err(asked.fault(
            format!("{name} does not start with `#!`, so it would not run"),
            "make `#!/bin/sh` or `#!/usr/bin/env bash` its first line",
        )),
        Start::Script(interpreter) => {
            let there = INTERPRETERS.contains(&interpreter)
                || INTERPRETER_FOLDERS.iter().any(|folder| interpreter.starts_with(folder))
                || overlay.get(interpreter.trim_start_matches('/')).is_some();
            if !there {
                let what = format!("{name} wants {interpreter}, which NixOS does not have");
                return Err(
                    asked.fault(what, "make `#!/bin/sh` or `#!/usr/bin/env bash` its first line")
                );
            }
            if head.windows(2).any(|two| two == b"\r\n") {
                findings.notes.push(format!(
                    "{name} has lines that end in CR LF: shells take the CR for a part of words"
                ));
            }
            Ok(())
        }
    }
}

/// A note on an executable file in an overlay.
fn start_note(path: &str, head: &[u8], content: &Content) -> Option<String> {
    match Start::parse(head) {
        Start::CrLf => Some(format!("/{path} cannot run: its first line ends in CR LF")),
        Start::Neither if content.size() > 0 => {
            Some(format!("/{path} is executable, but neither a script with `#!` nor a program"))
        }
        _ => None,
    }
}

fn secrets(
    asked: ArgRef<'_>,
    path: &str,
    item: &Item,
    head: &[u8],
    findings: &mut Findings,
) -> Result<()> {
    let (mode, allowed) = (item.mode, asked.recipe.allow_secrets == Some(true));
    if let Some(format) = keys::private_format(head) {
        if mode & 0o077 != 0 {
            let what = format!(
                "/{path} is a private key ({format}) that others could read (mode {mode:04o})"
            );
            // Of one that needs more than its mode, all is said at once.
            let hint = if allowed || is_host_key(path) {
                "give it the mode 600".to_owned()
            } else {
                let allow = setting!(allow_secrets);
                format!(
                    "leave it out; if it is meant to be there, give it the mode 600, and {allow}"
                )
            };
            return Err(asked.fault(what, hint));
        }
        if !allowed && !is_host_key(path) {
            let what = format!("/{path} is a private key ({format})");
            return Err(asked.fault(
                what,
                format!(
                    "leave it out, or give {} if it is meant to be there",
                    setting!(allow_secrets)
                ),
            ));
        }
        findings.private = true;
        return Ok(());
    }
    match secrecy(path) {
        Secrecy::Certain => {
            if mode & 0o007 != 0 {
                let what =
                    format!("/{path} holds secrets, and others could read it (mode {mode:04o})");
                return Err(asked.fault(what, "give it the mode 600"));
            }
            findings.private = true;
        }
        Secrecy::Likely if mode & 0o007 != 0 && !allowed => findings.notes.push(format!(
            "/{path} looks like a secret, and everybody can read it (mode {mode:04o})"
        )),
        Secrecy::Likely | Secrecy::None => {}
    }
    Ok(())
}

/// Host keys are meant to be in images.
fn is_host_key(path: &str) -> bool {
    path.strip_prefix("etc/ssh/ssh_host_")
        .is_some_and(|rest| rest.ends_with("_key") && !rest.contains('/'))
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Secrecy {
    Certain,
    Likely,
    None,
}

/// What a name tells.
fn secrecy(path: &str) -> Secrecy {
    const CERTAIN: [&str; 6] =
        ["shadow", "gshadow", "shadow-", ".netrc", ".pgpass", ".git-credentials"];
    const LIKELY: [&str; 7] = [".key", ".pem", ".p12", ".pfx", ".kdbx", ".psk", ".age"];
    let name = path.rsplit('/').next().unwrap_or(path);
    if CERTAIN.contains(&name) || name.ends_with(".nmconnection") {
        Secrecy::Certain
    } else if LIKELY.iter().any(|end| name.ends_with(end))
        || name.contains("password")
        || name.contains("secret")
    {
        Secrecy::Likely
    } else {
        Secrecy::None
    }
}
