//! What is asked first of two images: their releases, who may log in, what is set, what is secret, whether they are sound.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Known;
use super::change::Change;
use crate::formats::newc::Member;
use crate::inspect::{Check, HostKey, Injected, Key, Setting};

/// Something of either image.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Both<T> {
    /// Of the first image.
    pub before: T,
    /// Of the second image.
    pub after: T,
}

impl<T: PartialEq> Both<T> {
    fn of<'a>(images: [&'a Known; 2], one: impl Fn(&'a Known) -> T) -> Self {
        let [before, after] = images.map(one);
        Self { before, after }
    }

    /// Whether the images do not differ in it.
    pub fn is_same(&self) -> bool {
        self.before == self.after
    }
}

/// What only one of the images has.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Changed<T> {
    /// What only the first image has.
    pub removed: Vec<T>,
    /// What only the second image has.
    pub added: Vec<T>,
}

impl<T: Clone + Ord> Changed<T> {
    fn of<'a>(images: [&'a Known; 2], all: impl Fn(&'a Known) -> &'a [T]) -> Self
    where
        T: 'a,
    {
        let [before, after] = images.map(all);
        let only = |here: &[T], there: &[T]| {
            let there: BTreeSet<&T> = there.iter().collect();
            here.iter().filter(|one| !there.contains(one)).cloned().collect()
        };
        Self { removed: only(before, after), added: only(after, before) }
    }

    /// Whether the images have the same.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }
}

/// What became of something secret. Its value is never told.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct SecretChange {
    /// The path of a file, or a kernel argument without its value.
    pub what: String,
    /// What became of it.
    pub state: SecretState,
}

/// What became of something secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretState {
    /// Only the first image has it.
    Removed,
    /// Only the second image has it.
    Added,
    /// Both have it, with other contents.
    Other,
    /// Both have it, and in the second image everybody may read it.
    Opened,
    /// Both have it, and in the first image everybody may read it.
    Closed,
}

/// The answers about two installers.
#[derive(Clone, Debug, Serialize)]
pub struct Answers {
    /// Their releases.
    pub release: Both<String>,
    /// Their architectures; null if no loader tells.
    pub architecture: Both<Option<String>>,
    /// Whether somebody can log in over ssh, as far as the keys are understood.
    pub lets_in: Both<bool>,
    /// Keys for logins.
    pub keys: Changed<Key>,
    /// Users who can log in over ssh with a password.
    pub password_logins: Changed<&'static str>,
    /// Host keys by which the machine is known.
    pub host_keys: Changed<HostKey>,
    /// Settings of the live system, and changes of the menus.
    pub settings: Changed<Setting>,
    /// What is secret and differs.
    pub secrets: Vec<SecretChange>,
    /// Whether the structures agree.
    pub checks: Both<Vec<Check>>,
}

impl Answers {
    /// Compares two images; `files` of their volumes differ.
    pub(super) fn of(images: [&Known; 2], files: &[Change]) -> Self {
        Self {
            release: Both::of(images, |known| known.report.release.clone()),
            architecture: Both::of(images, |known| known.report.architecture.clone()),
            lets_in: Both::of(images, |known| known.lets_in),
            keys: Changed::of(images, |known| list(known, |injected| &injected.keys)),
            password_logins: Changed::of(images, |known| &known.password_logins),
            host_keys: Changed::of(images, |known| list(known, |injected| &injected.host_keys)),
            settings: Changed::of(images, |known| list(known, |injected| &injected.settings)),
            secrets: secrets(images, files),
            checks: Both::of(images, |known| known.report.checks.clone()),
        }
    }
}

/// A list of what was put in, which is empty for a stock image.
fn list<T>(known: &Known, of: impl Fn(&Injected) -> &Vec<T>) -> &[T] {
    known.report.injected.as_ref().map_or(&[], |injected| of(injected))
}

fn secrets(images: [&Known; 2], files: &[Change]) -> Vec<SecretChange> {
    let paths = images.map(|known| list(known, |found| &found.secrets).iter().collect());
    let [old, new]: [BTreeSet<&String>; 2] = paths;
    let [before, after] = images.map(members);
    let has_other = |path: &str| {
        let on_volume = || files.iter().any(|change| change.what == path);
        match (before.get(path), after.get(path)) {
            (Some(old), Some(new)) => old.kind != new.kind,
            _ => on_volume(),
        }
    };
    let state = |path: &String| match (old.contains(path), new.contains(path)) {
        (true, true) => has_other(path).then_some(SecretState::Other),
        (true, false) if after.contains_key(path.as_str()) => Some(SecretState::Opened),
        (true, false) => Some(SecretState::Removed),
        (false, _) if before.contains_key(path.as_str()) => Some(SecretState::Closed),
        (false, _) => Some(SecretState::Added),
    };
    let changed =
        |path: &&String| Some(SecretChange { what: (*path).clone(), state: state(path)? });
    old.union(&new).filter_map(changed).chain(arguments(images)).collect()
}

/// Files of the live system by their absolute paths.
fn members(known: &Known) -> BTreeMap<String, &Member> {
    let root = known.stamped.iter().flat_map(|stamped| &stamped.root);
    root.map(|member| (format!("/{}", member.path), member)).collect()
}

/// Kernel arguments whose values are secret and differ.
fn arguments([before, after]: [&Known; 2]) -> Vec<SecretChange> {
    let (old, new) = (&before.secret_arguments, &after.secret_arguments);
    let shown: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let state = |shown: &String| match (old.get(shown), new.get(shown)) {
        (Some(old), Some(new)) => (old != new).then_some(SecretState::Other),
        (Some(_), None) => Some(SecretState::Removed),
        (None, _) => Some(SecretState::Added),
    };
    let changed = |argument: &String| {
        Some(SecretChange { what: format!("karg {argument}"), state: state(argument)? })
    };
    shown.into_iter().filter_map(changed).collect()
}
