//! What an image gets and loses, in lines for people: said the same by all commands.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use remaster::keys::Gathered;
use remaster::live::Customization;
use remaster::recipe::{Recipe, is_shown_as_fact};
use remaster::stamp::injected_facts::{Fact, InjectedFacts};
use remaster::stamp::sign::Sign;

use super::printer;

/// Files that are reported one by one.
pub(crate) const MAX_SHOWN: usize = 10;

/// What the manifest loses.
pub(super) fn record_gone(fact: &Fact) -> Option<String> {
    let line = match fact.name.as_str() {
        "sign" => "the manifest was signed: without --sign it is not any more",
        "manifest-digests" => {
            "the manifest had digests of the image: without --manifest-digests it has none"
        }
        _ => return None,
    };
    Some(line.to_owned())
}

/// What was put in before and is not given again, a line each.
pub(crate) fn taken_out(gone: &[Fact]) -> Vec<String> {
    let line = |fact: &Fact| {
        let told = || {
            if fact.is_given_again() {
                return format!("{fact} is given again with other options, or for other users");
            }
            format!("{fact} is not given again: it is taken out")
        };
        record_gone(fact).unwrap_or_else(told)
    };
    let files = gone.iter().filter(|fact| fact.name == "file");
    let others = gone.iter().filter(|fact| fact.name != "file");
    let mut lines: Vec<String> = others.chain(files.clone().take(MAX_SHOWN)).map(line).collect();
    match files.count().saturating_sub(MAX_SHOWN) {
        0 => {}
        more => lines.push(format!("{more} more files are not given again: they are taken out")),
    }
    lines
}

/// Prints that: nothing is taken out in silence.
pub(crate) fn tell_taken_out(gone: &[Fact]) {
    for line in taken_out(gone) {
        printer::note(&line);
    }
}

/// What is put in, a line each: keys, host keys in files, settings and files.
pub(crate) fn put_in_shown(
    customization: &Customization,
    given: &InjectedFacts,
    recipe: &Recipe,
) -> String {
    keys_shown(&customization.keys, given)
        + &host_key_files_shown(customization, given)
        + &settings_shown(given, recipe)
}

/// The same of what starts by itself. Its scripts do not say which of their arguments were put in.
pub(crate) fn put_in_tree_shown(
    customization: &Customization,
    given: &InjectedFacts,
    recipe: &Recipe,
) -> String {
    const STAY: &str =
        "kernel arguments that are not named here stay, also those that were put in before\n";
    put_in_shown(customization, given, recipe) + STAY
}

/// The keys that are let in, a line each: those that are asked for, and those in files.
fn keys_shown(gathered: &Gathered, given: &InjectedFacts) -> String {
    let mut text = String::new();
    for (key, shut_out) in gathered.keys.judged() {
        let line = format!("key: {} {} {}", key.algorithm, key.fingerprint, key.comment);
        let options = key.options.as_ref().map(|options| format!(" with {options}"));
        let why = shut_out.map(|why| format!(" (lets nobody in: {why})")).unwrap_or_default();
        let _ = writeln!(text, "{}{}{why}", line.trim_end(), options.unwrap_or_default());
    }
    let facts = given.with_comments();
    let machines = facts.iter().filter(|fact| fact.name == "machine");
    let told: String = machines.map(|fact| fact.value.as_str()).collect();
    let gathered: BTreeSet<&str> =
        gathered.keys.keys().map(|key| key.fingerprint.as_str()).collect();
    let is_told = |print: &str| told.contains(print) || gathered.contains(print);
    for fact in facts.iter().filter(|fact| fact.name == "key") {
        if !fact.value.split(' ').next().is_some_and(is_told) {
            let _ = writeln!(text, "{}: {}", fact.name, fact.value);
        }
    }
    text
}

/// The host keys that are in files, a line each; those that are asked for have lines of their own.
fn host_key_files_shown(customization: &Customization, given: &InjectedFacts) -> String {
    let asked = || customization.all_host_keys().flat_map(|found| &found.keys);
    let is_asked = |print: &str| asked().any(|key| key.to_string().ends_with(print));
    let files = given.facts().filter(|fact| fact.name == "host-key" && !is_asked(&fact.value));
    files.fold(String::new(), |text, fact| text + "host key: " + &fact.value + "\n")
}

/// The host keys of a dry run, a line each. Random ones are others each time.
pub(crate) fn host_keys_shown(customization: &Customization) -> String {
    let mut text = String::new();
    for key in customization.all_host_keys().flat_map(|found| &found.keys) {
        let _ = if key.is_random {
            writeln!(text, "host key: {}, a new one on each run", key.algorithm())
        } else {
            writeln!(text, "host key: {key}")
        };
    }
    text
}

/// What the manifest has beyond the usual, a line each.
pub(crate) fn records_shown(signer: Option<&dyn Sign>, has_digests: bool) -> String {
    let mut text = String::new();
    if let Some(signer) = signer {
        let (kind, print) = (signer.algorithm(), signer.fingerprint());
        let _ = writeln!(text, "manifest: signed with {kind} {print}");
    }
    if has_digests {
        text.push_str("manifest: digests of all blocks\n");
    }
    text
}

/// Whether what was asked for under a name shows in nothing else that is reported.
fn is_told_here(given: &InjectedFacts, name: &str) -> bool {
    !is_shown_as_fact(name) && !given.facts().any(|fact| fact.name == name)
}

/// What else is set, and whether nobody can log in over ssh, a line each; nothing that is secret.
pub(crate) fn settings_shown(given: &InjectedFacts, recipe: &Recipe) -> String {
    let others = given.facts().filter(|fact| fact.name == "file" || fact.is_of_setting());
    let (files, settings): (Vec<&Fact>, Vec<&Fact>) = others.partition(|fact| fact.name == "file");
    let mut text = String::new();
    if !given.lets_in() {
        let _ = writeln!(text, "ssh login: nobody, {}", given.why_nobody());
    }
    if let Some(why) = given.why_root_alone() {
        let _ = writeln!(text, "ssh login: root alone, as {why}");
    }
    if let Some(why) = given.why_not_by_itself() {
        let _ = writeln!(text, "ssh login: nobody {why}");
    }
    if let Some(what) = given.depends_on() {
        let _ = writeln!(text, "ssh login: only if {what}");
    }
    for note in given.not_understood() {
        let _ = writeln!(text, "not understood: {note}");
    }
    for fact in settings {
        let _ = writeln!(text, "set: {fact}");
    }
    for (name, value) in recipe.told().iter().filter(|(name, _)| is_told_here(given, name)) {
        let _ = writeln!(text, "{}", format!("set: {name} {value}").trim_end());
    }
    text + &files_shown(&files)
}

/// A line for each file; of many, for the first ones, and how many more there are.
fn files_shown(files: &[&Fact]) -> String {
    let mut text = String::new();
    // The line of the last one takes no more room than the number would.
    let shown = if files.len() <= MAX_SHOWN + 1 { files.len() } else { MAX_SHOWN };
    for file in files.iter().take(shown) {
        let _ = writeln!(text, "file: {}", file.value);
    }
    if let Some(more) = files.len().checked_sub(shown).filter(|more| *more > 0) {
        let _ = writeln!(text, "and {more} more files");
    }
    text
}
