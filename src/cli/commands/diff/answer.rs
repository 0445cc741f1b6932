//! What is asked first of two images: their releases, who may log in, what is set, what is secret, whether they are sound.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use remaster::inspect::diff::{Answers, Both, Changed, SecretChange, SecretState};
use remaster::inspect::{Check, HostKey, Key, Setting};

use super::super::inspect::answer::{logins, release, shown, shut_out};
use crate::cli::summary::MAX_SHOWN;

/// The answers about two images with these names; all lines of each, or the first ones.
pub(super) fn text(answers: &Answers, names: &[String; 2], all: bool) -> String {
    let most = if all { usize::MAX } else { MAX_SHOWN };
    let mut text = releases(answers);
    put(&mut text, "ssh login", "the same", &who(answers, names), most);
    let host_keys = &answers.host_keys;
    if !host_keys.is_empty() {
        let lines = |sign, keys: &[HostKey]| signed(sign, keys.iter().map(shown));
        let lines = [lines('-', &host_keys.removed), lines('+', &host_keys.added)].concat();
        put(&mut text, "host keys", "the same", &lines, most);
    }
    put(&mut text, "settings", "the same", &settings(&answers.settings), most);
    let secrets: Vec<String> = answers.secrets.iter().map(secret).collect();
    put(&mut text, "secrets", "the same", &secrets, most);
    put(&mut text, "checks", "all ok in both", &wrong(&answers.checks, names), most);
    text
}

/// Lines below a heading, or that there are none. Only the first few may be shown.
fn put(text: &mut String, heading: &str, none: &str, lines: &[String], most: usize) {
    if lines.is_empty() {
        let _ = writeln!(text, "{heading}: {none}");
        return;
    }
    let _ = writeln!(text, "{heading}:");
    for line in lines.iter().take(most) {
        let _ = writeln!(text, "  {line}");
    }
    if let Some(more) = lines.len().checked_sub(most).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {more} more (--all shows them)");
    }
}

fn signed(sign: char, lines: impl IntoIterator<Item = String>) -> Vec<String> {
    lines.into_iter().map(|line| format!("{sign} {line}")).collect()
}

fn releases(answers: &Answers) -> String {
    let Answers { release: found, architecture, .. } = answers;
    let before = release(&found.before, architecture.before.as_deref());
    let after = release(&found.after, architecture.after.as_deref());
    if before == after {
        format!("release: {before} in both\n")
    } else {
        format!("release:\n  - {before}\n  + {after}\n")
    }
}

/// Who may log in to one image alone.
fn who(answers: &Answers, names: &[String; 2]) -> Vec<String> {
    let mut lines = Vec::new();
    let passwords = &answers.password_logins;
    let sides = [
        ('-', &answers.keys.removed, &passwords.removed),
        ('+', &answers.keys.added, &passwords.added),
    ];
    for (sign, keys, users) in sides {
        lines.extend(signed(sign, logins(keys)));
        lines.extend(signed(sign, users.iter().map(|user| format!("{user} with a password"))));
        lines.extend(signed(sign, nobody(keys)));
    }
    let Both { before, after } = answers.lets_in;
    let out = [before, after].into_iter().zip(names).filter(|(lets_in, _)| !lets_in);
    let told = out.map(|(_, name)| format!("nobody may log in to {name}"));
    if before != after {
        lines.extend(told);
    }
    lines
}

/// Keys that let nobody in.
fn nobody(keys: &[Key]) -> impl Iterator<Item = String> {
    shut_out(keys).into_iter().map(|key| format!("nobody with {key}"))
}

/// Settings that come once in each image change their values.
fn settings(changed: &Changed<Setting>) -> Vec<String> {
    let mut named: BTreeMap<&str, [Vec<String>; 2]> = BTreeMap::new();
    for (side, all) in [&changed.removed, &changed.added].into_iter().enumerate() {
        for setting in all {
            let both = named.entry(&setting.name).or_default();
            both.get_mut(side).into_iter().for_each(|values| values.push(setting.shown()));
        }
    }
    let lines =
        |(name, [old, new]): (&str, [Vec<String>; 2])| match (old.as_slice(), new.as_slice()) {
            ([old], [new]) => vec![format!("~ {name}: {old} -> {new}")],
            _ => {
                let told = |value: String| format!("{name} {value}").trim_end().to_owned();
                [signed('-', old.into_iter().map(told)), signed('+', new.into_iter().map(told))]
                    .concat()
            }
        };
    named.into_iter().flat_map(lines).collect()
}

fn secret(changed: &SecretChange) -> String {
    let what = &changed.what;
    match changed.state {
        SecretState::Removed => format!("- {what}"),
        SecretState::Added => format!("+ {what}"),
        SecretState::Other => format!("~ {what}: another one"),
        SecretState::Opened => format!("~ {what}: not secret any more"),
        SecretState::Closed => format!("~ {what}: secret now"),
    }
}

/// The checks that say that something is wrong.
fn wrong(found: &Both<Vec<Check>>, [before, after]: &[String; 2]) -> Vec<String> {
    let sides = [(&found.before, before), (&found.after, after)];
    let wrong = sides.iter().flat_map(|(checks, name)| {
        let wrong = checks.iter().filter(|check| !check.ok);
        wrong.map(move |check| format!("WRONG in {name}: {}: {}", check.name, check.detail))
    });
    wrong.collect()
}
