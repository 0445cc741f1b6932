//! Tells of the users of a batch as they are done, and of all of them in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;
use remaster::error::{Error, Result};
use remaster::live::HostKeys;
use remaster::output::Privacy;
use remaster::output::file::{FileAccess, Output, publish};
use remaster::stamp::batch::{BatchObserver, MadeImage, Sidecar, Summary};
use serde_json::json;

use super::args::Args;
use crate::cli::destination::mode_notes_of;
use crate::cli::{
    diagnostics, earlier, interrupt, known_hosts, printer, progress, shell, stale, summary,
};

/// Tells of users as they are done.
pub(super) struct BatchReporter {
    json: bool,
    /// The base, for programs.
    base: serde_json::Value,
    /// Where the users that failed are written to, and those.
    failures: Option<Output>,
    /// The lines of the users that failed, with the numbers of these.
    failed: Mutex<Vec<(usize, serde_json::Value)>>,
    bar: ProgressBar,
    /// Lines are whole: workers take turns.
    turn: Mutex<()>,
    /// The lines of `known_hosts` files, by image.
    known: Mutex<BTreeMap<PathBuf, HostKeys>>,
    /// How the names of what was written beside the files end, and beside how many.
    beside: Mutex<BTreeMap<&'static str, usize>>,
    /// How many files hold secrets.
    private: AtomicUsize,
    closed: AtomicUsize,
    /// What was put into the base before, and of how many images it is gone.
    gone: Mutex<BTreeMap<String, usize>>,
    /// Notes on what was asked for, and the user that each is about.
    notes: Mutex<BTreeMap<String, NoteUsers>>,
}

/// Whose a note is: the first of the users by name, and how many there are.
#[derive(Default)]
struct NoteUsers {
    first: String,
    users: usize,
}

impl NoteUsers {
    fn add(&mut self, name: &str) {
        if self.users == 0 || name < self.first.as_str() {
            name.clone_into(&mut self.first);
        }
        self.users = self.users.saturating_add(1);
    }
}

impl fmt::Display for NoteUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.users {
            0 | 1 => write!(f, "{}", self.first),
            users => write!(f, "{} and {} more", self.first, users.saturating_sub(1)),
        }
    }
}

impl BatchReporter {
    pub(super) fn new(args: &Args, users: usize, base: serde_json::Value) -> Result<Self> {
        Ok(Self {
            json: args.json,
            base,
            failures: args.failures_file()?,
            failed: Mutex::default(),
            bar: progress::counter("stamping", users),
            turn: Mutex::new(()),
            known: Mutex::default(),
            beside: Mutex::default(),
            private: AtomicUsize::default(),
            closed: AtomicUsize::default(),
            gone: Mutex::default(),
            notes: Mutex::default(),
        })
    }

    /// Writes the file with the users that failed, a line each; without any, it is empty.
    fn write_failures(&self) -> Result<()> {
        let Some(file) = &self.failures else { return Ok(()) };
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.sort_by_key(|(number, _)| *number);
        let lines: Vec<String> = failed.iter().map(|(_, line)| line.to_string()).collect();
        let text = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>();
        file.write_bytes(text.as_bytes(), FileAccess::Usual)
    }

    /// Tells of all, and writes the file that is about all.
    pub(super) fn end(&self, args: &Args, tally: &Summary) -> Result<()> {
        self.bar.finish_and_clear();
        let Summary { made, kept, failed, undone, ended_by: _ } = tally;
        let folder = shell::shell_quote(&args.output);
        let synced = args.written.sync_note();
        let left = if *undone > 0 { format!(", {undone} not done") } else { String::new() };
        printer::say(&format!(
            "{folder}: {made} made, {kept} kept, {failed} failed{left}{synced}\n"
        ));
        if self.json && *undone > 0 {
            self.line(&json!({ "not_done": undone }));
        }
        self.tell_beside(made.saturating_add(*kept));
        self.tell_private();
        self.tell_gone();
        self.tell_notes();
        self.write_failures()?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = args.edit.known_hosts() else { return Ok(()) };
        for alias in shared_aliases(&known) {
            printer::note(&told_shared(alias, path));
        }
        let text: String = known.values().map(HostKeys::known_hosts).collect();
        let file = args.known_hosts_file(path)?;
        let old = if args.goes_on() { earlier::text(path, earlier::is_known_hosts) } else { None };
        let (text, gone) = earlier::joined(old.as_deref().unwrap_or_default(), &text);
        publish(vec![known_hosts::stage(&file, &text)?])?;
        for name in gone {
            let path = path.display();
            printer::note(&format!("{path} had another key of {name}, which is gone from it"));
        }
        printer::say(&format!("wrote {}\n", shell::shell_quote(path)));
        Ok(())
    }

    /// Notes files beside a new one that are of what was there before.
    fn note_stale(&self, done: &MadeImage) {
        if done.kept || !done.path.is_file() {
            return;
        }
        let own = done.beside.iter().map(|one| stale::beside(&done.path, one.ending));
        let own: Vec<PathBuf> = own.collect();
        for path in stale::found(&done.path, &own) {
            let ending = path.to_string_lossy().into_owned();
            let ending = ending.strip_prefix(&*done.path.to_string_lossy()).unwrap_or(&ending);
            let note = format!(
                "the file with {ending} beside the image was there before and does not belong to it now: remove it"
            );
            let mut all = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(note).or_default().add(&done.name);
        }
    }

    /// Takes down what was written beside a file, whether that was there already or not.
    fn note_beside(&self, done: &MadeImage) {
        let mut all = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        for Sidecar { ending, .. } in done.beside.iter().filter(|one| !one.kept) {
            let count = all.entry(ending).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Tells what was written beside each of the files, and beside some of them.
    fn tell_beside(&self, files: usize) {
        let beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        let each = beside.iter().filter(|(_, count)| **count == files);
        let each: Vec<String> = each.map(|(ending, _)| (*ending).to_owned()).collect();
        let some = beside.iter().filter(|(_, count)| **count != files);
        let some: Vec<String> = some.map(|(ending, count)| format!("{ending} ({count})")).collect();
        for (which, endings) in [("each", each), ("some", some)] {
            if !endings.is_empty() {
                printer::say(&format!("wrote beside {which}: {}\n", endings.join(", ")));
            }
        }
    }

    /// Tells who may read the files.
    fn tell_private(&self) {
        let [private, closed] =
            [&self.private, &self.closed].map(|all| all.load(Ordering::Relaxed));
        for mode in mode_notes_of(private, closed) {
            printer::say(&format!("{mode}\n"));
        }
    }

    fn tell_gone(&self) {
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        for (line, images) in gone.iter() {
            printer::note(&format!("{line} (images: {images})"));
        }
    }

    fn tell_notes(&self) {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        for (note, whose) in notes.iter() {
            printer::note(&format!("{whose}: {note}"));
        }
    }

    /// A line for programs.
    fn line(&self, value: &serde_json::Value) {
        let _turn = self.turn.lock();
        printer::line(value);
    }
}

/// Names that machines with different keys share: for ssh, each of them may pass for the others.
fn shared_aliases(known: &BTreeMap<PathBuf, HostKeys>) -> BTreeSet<&str> {
    let mut texts: BTreeMap<&str, String> = BTreeMap::new();
    let mut shared = BTreeSet::new();
    for keys in known.values() {
        let text = keys.known_hosts();
        if texts.insert(&keys.alias, text.clone()).is_some_and(|other| other != text) {
            shared.insert(keys.alias.as_str());
        }
    }
    shared
}

fn told_shared(alias: &str, path: &Path) -> String {
    let path = path.display();
    format!(
        "{path} has several machines of the name {alias}: ssh takes each for the others; give users a `hostname` of their own"
    )
}

/// Who may read a file, as `0600`; none for a layout.
fn mode_of(path: &Path) -> Option<String> {
    let about = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some(format!("{:04o}", about.permissions().mode() & 0o7777))
}

impl BatchObserver for BatchReporter {
    /// An image that is there.
    /// - `name`: the user
    /// - `path`: the file or layout
    /// - `size`: its bytes
    /// - `sha256`: its SHA-256; null for a layout
    /// - `mode`: who may read it, as `0600`; null for a layout
    /// - `recipe_id`: the recipe id of the image
    /// - `content_id`: the content id of the image
    /// - `kept`: whether it was there before and stays
    /// - `known_hosts`: the `known_hosts` file that was written with it, or null
    /// - `host_keys[].alias`: the name of the machine in a `known_hosts` file
    /// - `host_keys[].algorithm`: as `ssh-ed25519`
    /// - `host_keys[].fingerprint`: as `SHA256:…`
    /// - `host_keys[].public`: the public half
    /// - `base.*`: the base: its `path`, `release`, `sha256` and `size`
    /// - `taken_out[]`: what was put into the base before and is not given again: [`Fact`]
    /// - `notes[]`: what may surprise
    fn done(&self, done: &MadeImage) {
        self.bar.inc(1);
        if let Some(keys) = &done.host_keys {
            // Images of an OCI image layout have one path.
            let image = done.path.join(&done.name);
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(image, keys.clone());
        }
        for line in summary::taken_out(&done.gone) {
            let mut all = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
            let count = all.entry(line).or_default();
            *count = count.saturating_add(1);
        }
        for note in &done.notes {
            let mut all = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(note.clone()).or_default().add(&done.name);
        }
        self.note_stale(done);
        self.note_beside(done);
        self.private.fetch_add(usize::from(done.privacy.holds_secrets()), Ordering::Relaxed);
        self.closed.fetch_add(usize::from(done.privacy == Privacy::Closed), Ordering::Relaxed);
        if self.json {
            self.line(&json!({
                "taken_out": done.gone, "notes": done.notes,
                "name": done.name, "path": done.path, "size": done.size,
                "sha256": done.sha256.map(|digest| digest.to_string()),
                "recipe_id": done.ids.recipe.to_string(),
                "content_id": done.ids.content.to_string(), "kept": done.kept,
                "host_keys": done.host_keys.as_ref().map(known_hosts::facts).unwrap_or_default(),
                "known_hosts": done.known_hosts, "base": self.base, "mode": mode_of(&done.path),
            }));
        }
    }

    /// A user without an image.
    /// - `name`: the user
    /// - `place`: where in the users file
    /// - `error`: what is wrong
    /// - `hint`: what to do about it, or null
    /// - `status`: the exit status that this error has by itself
    fn failed(&self, number: usize, place: &str, name: &str, fault: &Error) {
        self.bar.inc(1);
        // A fault of a value has its place in itself.
        let is_placed = fault.to_string().starts_with(place);
        let named = [place, name].into_iter().skip(usize::from(is_placed));
        let named = named.filter(|one| !one.is_empty());
        let who: String = named.flat_map(|one| [one, ": "]).collect();
        self.bar.suspend(|| printer::write_error(&printer::explained(fault, &who)));
        let line = json!({
            "name": name, "place": place, "error": fault.to_string(), "hint": diagnostics::hint(fault),
            "status": diagnostics::exit_code(fault),
        });
        if self.json {
            self.line(&line);
        }
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).push((number, line));
    }

    fn is_cancelled(&self) -> bool {
        interrupt::is_asked()
    }
}
