//! What makes two images different: as images, as volumes, as menus, and by what was put in. Contents of
//! what was put in are compared and never shown.

mod answers;
mod change;
mod hierarchy;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::boot::config::Config;
use crate::disk::injected;
use crate::error::{Error, Result};
use crate::formats::boot_config::{self, redacted};
use crate::formats::iso9660::Hierarchy;
use crate::formats::newc::{Kind, Member};
use crate::image::ReadAt;
use crate::image::file_type::{self, BaseKind};
use crate::inspect::{Entry, Key, Report};
use crate::iso::injected::{IsoBase, Stamped};
use crate::iso::survey::Survey;
use crate::iso::survey::tree::Tree;
use crate::stamp::injected_facts::InjectedFacts;
use crate::stop;
use crate::units::{ByteRange, usize_of};
pub use answers::{Answers, Both, Changed, SecretChange, SecretState};
use change::CHUNK;
pub use change::Change;
use hierarchy::Images;

/// The version of the JSON form.
pub const SCHEMA: u32 = 3;

/// Differences that are nearer to each other than this many bytes are one range.
const BLOCK: u64 = 512;

/// A menu entry whose words differ.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct EntryChange {
    /// The boot config, as `volume:/EFI/BOOT/grub.cfg`.
    pub menu: String,
    /// Menus down to the entry, as the base has them: without the name of the image in front.
    pub title: String,
    /// Words of kernel, arguments and initrds that only the first image has, or has more often.
    pub removed: Vec<String>,
    /// Those that only the second one has, or has more often.
    pub added: Vec<String>,
    /// Whether the words are the same in another order.
    pub reordered: bool,
}

/// An image that is not read as an installer, so that nothing but bytes is compared.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Unread {
    /// Which of the two.
    pub image: Which,
    /// What is wrong with it.
    pub why: String,
}

/// One of the two images.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// The first one.
    Before,
    /// The second one.
    After,
}

/// Everything that differs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Diff {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Empty where more than bytes is compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
    /// What is asked first; none of it where only bytes are compared.
    #[serde(flatten)]
    pub answers: Option<Answers>,
    /// Facts of the images, their volumes and partitions, and what menus wait for and start.
    pub facts: Vec<Change>,
    /// Menu entries, on the volume and in UEFI boot images.
    pub menus: Vec<EntryChange>,
    /// Files of the primary hierarchy that hold other bytes.
    pub files: Vec<Change>,
    /// Files of the Joliet hierarchy that hold other bytes.
    pub joliet: Vec<Change>,
    /// Directory Records that say something else, as `primary:/boot/initrd`.
    pub records: Vec<Change>,
    /// Keys that are let in and files of the live system.
    pub injected: Vec<Change>,
    /// Bytes that differ, up to the end of the shorter image: start and size.
    pub ranges: Vec<(u64, u64)>,
    /// Bytes in those ranges, and behind the end of the shorter image.
    pub bytes: u64,
}

impl Diff {
    /// Compares two images. If one is not an installer, only bytes are compared, and it is said why.
    pub fn compare<A: ReadAt, B: ReadAt>(before: &A, after: &B) -> Result<Self> {
        before.if_unchanged(after.if_unchanged(Self::found(before, after)))
    }

    fn found<A: ReadAt, B: ReadAt>(before: &A, after: &B) -> Result<Self> {
        let ranges = ranges(before, after)?;
        let mut found = Self { schema: SCHEMA, ..Self::default() };
        match (Known::read(before, Which::Before)?, Known::read(after, Which::After)?) {
            (Ok(old), Ok(new)) => {
                found.compare_reports(&old, &new);
                found.compare_trees(&Images { before, after, ranges: &ranges }, &old, &new)?;
                found.answers = Some(Answers::of([&old, &new], &found.files));
            }
            (old, new) => {
                found.unread = [old.err(), new.err()].into_iter().flatten().collect();
                let size = |image: u64| BTreeMap::from([("size".to_owned(), image.to_string())]);
                found.facts = changes(&size(before.size()), &size(after.size()));
            }
        }
        let within = ranges.iter().fold(0, |sum: u64, range| sum.saturating_add(range.size()));
        found.bytes = within.saturating_add(before.size().abs_diff(after.size()));
        found.ranges = ranges.iter().map(|range| (range.start(), range.size())).collect();
        Ok(found)
    }

    fn compare_reports(&mut self, old: &Known, new: &Known) {
        self.facts = changes(&facts(&old.report), &facts(&new.report));
        self.menus = menus(old, new);
        self.injected =
            injected(old.stamped.as_ref(), new.stamped.as_ref(), &old.report, &new.report);
    }

    fn compare_trees<A: ReadAt, B: ReadAt>(
        &mut self,
        images: &Images<'_, A, B>,
        old: &Known,
        new: &Known,
    ) -> Result<()> {
        for hierarchy in [Hierarchy::Primary, Hierarchy::Joliet] {
            let [a, b] = [old, new].map(|known| known.tree(hierarchy));
            let files = images.files(a, b)?;
            match hierarchy {
                Hierarchy::Primary => self.files = files,
                Hierarchy::Joliet => self.joliet = files,
            }
            self.records.extend(images.records(a, b)?);
        }
        Ok(())
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}

/// An installer.
struct Known {
    /// None of a raw image.
    survey: Option<Survey>,
    report: Report,
    stamped: Option<Stamped>,
    /// The titles of all entries of each menu, as the base below has them.
    titles: Vec<Vec<String>>,
    /// Whether somebody can log in, and who can with a password.
    lets_in: bool,
    password_logins: Vec<&'static str>,
    /// Kernel arguments with secret values, by what may be told of them.
    secret_arguments: BTreeMap<String, BTreeSet<String>>,
}

impl Known {
    /// Reads an image; what is not an installer, or a wrong one, is [`Unread`].
    fn read<I: ReadAt>(image: &I, which: Which) -> Result<std::result::Result<Self, Unread>> {
        let read = match file_type::base_kind(image) {
            Ok(BaseKind::Iso) => Self::of_iso(image),
            Ok(BaseKind::Disk) => Self::of_raw(image),
            Err(fault) => Err(fault),
        };
        match read {
            Ok(known) => Ok(Ok(known)),
            Err(
                fault @ (Error::NotAnImage { .. }
                | Error::Malformed { .. }
                | Error::Unsupported { .. }),
            ) => Ok(Err(Unread { image: which, why: fault.to_string() })),
            Err(fault) => Err(fault),
        }
    }

    fn of_iso<I: ReadAt>(image: &I) -> Result<Self> {
        let base = IsoBase::open(image)?;
        let facts = InjectedFacts::from_iso(&base);
        let now = base.now.as_ref().unwrap_or(&base.survey);
        let titles = titles(&base.survey.configs, &now.configs);
        let survey = base.now.unwrap_or(base.survey);
        let secret_arguments = secret_arguments(&survey.configs);
        let known = Self::new(Report::read(image)?, base.stamped, facts.as_ref());
        Ok(Self { survey: Some(survey), titles, secret_arguments, ..known })
    }

    fn of_raw<I: ReadAt>(image: &I) -> Result<Self> {
        let base = injected::DiskBase::open(image)?;
        let facts = InjectedFacts::from_disk(&base);
        let now = base.now.as_ref().unwrap_or(&base.raw);
        let [below, now] = [&base.raw.config, &now.config].map(std::slice::from_ref);
        let (titles, secret_arguments) = (titles(below, now), secret_arguments(now));
        let known = Self::new(Report::read(image)?, base.stamped, facts.as_ref());
        Ok(Self { titles, secret_arguments, ..known })
    }

    fn new(report: Report, stamped: Option<Stamped>, facts: Option<&InjectedFacts>) -> Self {
        Self {
            survey: None,
            report,
            stamped,
            titles: Vec::new(),
            lets_in: facts.is_some_and(InjectedFacts::lets_in),
            password_logins: facts.map(InjectedFacts::users_with_passwords).unwrap_or_default(),
            secret_arguments: BTreeMap::new(),
        }
    }

    fn tree(&self, hierarchy: Hierarchy) -> Option<&Tree> {
        let mut trees = self.survey.iter().flat_map(|survey| &survey.trees);
        trees.find(|tree| tree.hierarchy == hierarchy)
    }
}

/// Menus down to each entry, as the base below has them, if the entries are those of the image.
fn titles(below: &[Config], now: &[Config]) -> Vec<Vec<String>> {
    let count = |configs: &[Config]| -> Vec<usize> {
        configs.iter().map(|config| config.entries.len()).collect()
    };
    let configs = if count(below) == count(now) { below } else { now };
    configs
        .iter()
        .map(|config| config.entries.iter().map(boot_config::Entry::path).collect())
        .collect()
}

fn secret_arguments(configs: &[Config]) -> BTreeMap<String, BTreeSet<String>> {
    let entries = configs.iter().flat_map(|config| &config.entries);
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for word in entries.flat_map(boot_config::Entry::words) {
        let shown = redacted(word);
        if shown != word {
            found.entry(shown).or_default().insert(word.to_owned());
        }
    }
    found
}

/// Where two images differ, up to the end of the shorter one.
fn ranges<A: ReadAt, B: ReadAt>(before: &A, after: &B) -> Result<Vec<ByteRange>> {
    let size = before.size().min(after.size());
    let mut found: Vec<ByteRange> = Vec::new();
    let (mut old, mut new) = (vec![0; usize_of(CHUNK)], vec![0; usize_of(CHUNK)]);
    let mut at = 0;
    while at < size {
        let length = usize_of(size.saturating_sub(at).min(CHUNK));
        let (Some(a), Some(b)) = (old.get_mut(..length), new.get_mut(..length)) else { break };
        stop::check()?;
        before.read_exact_at(a, at)?;
        after.read_exact_at(b, at)?;
        if a != b {
            let mut place = at;
            for (a, b) in a.chunks(usize_of(BLOCK)).zip(b.chunks(usize_of(BLOCK))) {
                let end = place.saturating_add(crate::units::u64_len(a));
                if a != b {
                    add(&mut found, place, end);
                }
                place = end;
            }
        }
        at = at.saturating_add(CHUNK);
    }
    Ok(found)
}

fn add(found: &mut Vec<ByteRange>, start: u64, end: u64) {
    let joined = match found.last() {
        Some(last) if last.end() == start => ByteRange::between(last.start(), end),
        _ => None,
    };
    if joined.is_some() {
        found.pop();
    }
    found.extend(joined.or_else(|| ByteRange::between(start, end)));
}

fn changes(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<Change> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let change = |name: &&String| Change {
        what: (*name).clone(),
        before: before.get(*name).cloned(),
        after: after.get(*name).cloned(),
    };
    names.iter().map(change).filter(|change| change.before != change.after).collect()
}

fn facts(report: &Report) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::from([
        ("size".to_owned(), report.size.to_string()),
        ("release".to_owned(), report.release.clone()),
        ("stage 1".to_owned(), report.generation.clone()),
    ]);
    // What these do stands in no file that is compared, or in initrds alone.
    let settings = report.injected.iter().flat_map(|injected| &injected.settings);
    let hidden = settings.filter(|setting| ["path", "merge-initrd"].contains(&&*setting.name));
    facts.extend(hidden.map(|setting| (setting.name.clone(), setting.value.clone())));
    for menu in &report.menus {
        let name = |what: &str| format!("{}:{} {what}", menu.place, menu.path);
        let settings =
            [("timeout", &menu.timeout), ("default", &menu.default), ("serial", &menu.serial)];
        let settings =
            settings.into_iter().filter_map(|(what, value)| Some((what, value.clone()?)));
        facts.extend(settings.map(|(what, value)| (name(what), value)));
    }
    if let Some(volume) = &report.volume {
        facts.insert("volume.identifier".to_owned(), volume.identifier.clone());
        facts.insert("volume.size".to_owned(), volume.size.to_string());
        facts.insert("volume.files".to_owned(), volume.files.to_string());
    }
    if let Some(root) = &report.root {
        facts.insert("root.label".to_owned(), root.label.clone());
        facts.insert("root.free".to_owned(), root.free.to_string());
    }
    if let Some(injected) = &report.injected {
        let signer = injected.signed_by.clone();
        facts.extend(signer.map(|key| ("manifest.signed-by".to_owned(), key)));
        if injected.block_digests {
            facts.insert("manifest.block-digests".to_owned(), "true".to_owned());
        }
    }
    facts.extend(report.architecture.clone().map(|name| ("architecture".to_owned(), name)));
    for (table, partitions) in [("mbr", &report.partitions.mbr), ("gpt", &report.partitions.gpt)] {
        for partition in partitions {
            let name = format!("{table}.{}", partition.number);
            let (kind, start, size) = (&partition.r#type, partition.start, partition.size);
            facts.insert(name, format!("type {kind}, {size} bytes from {start}"));
        }
    }
    facts
}

fn menus(before: &Known, after: &Known) -> Vec<EntryChange> {
    let (old, new) = (entries(before), entries(after));
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let empty = Vec::new();
    let change = |(menu, title): &&(String, String)| {
        let key = (menu.clone(), title.clone());
        let (old, new) = (old.get(&key).unwrap_or(&empty), new.get(&key).unwrap_or(&empty));
        let (removed, added) = (only(old, new), only(new, old));
        let reordered = removed.is_empty() && added.is_empty() && old != new;
        EntryChange { menu: menu.clone(), title: title.clone(), removed, added, reordered }
    };
    let changed = |change: &EntryChange| {
        !change.removed.is_empty() || !change.added.is_empty() || change.reordered
    };
    names.iter().map(change).filter(changed).collect()
}

/// The words of `here` that are not in `there`, or not as often.
fn only(here: &[String], there: &[String]) -> Vec<String> {
    let mut rest = there.to_vec();
    let mut found = Vec::new();
    for word in here {
        match rest.iter().position(|other| other == word) {
            Some(at) => drop(rest.swap_remove(at)),
            None => found.push(word.clone()),
        }
    }
    found
}

/// The words of every entry by its menu and title.
fn entries(known: &Known) -> BTreeMap<(String, String), Vec<String>> {
    let mut found = BTreeMap::new();
    for (menu, titles) in known.report.menus.iter().zip(&known.titles) {
        let name = format!("{}:{}", menu.place, menu.path);
        for (Entry { kernel, initrds, arguments, .. }, title) in menu.entries.iter().zip(titles) {
            let mut words = vec![format!("kernel {kernel}")];
            words.extend(initrds.iter().map(|path| format!("initrd {path}")));
            words.extend(arguments.iter().cloned());
            // Titles need not differ.
            let numbered = (2_usize..).map(|number| format!("{title} ({number})"));
            let mut titles = std::iter::once(title.clone()).chain(numbered);
            let free = titles.find(|title| !found.contains_key(&(name.clone(), title.clone())));
            found.insert((name.clone(), free.unwrap_or_default()), words);
        }
    }
    found
}

fn injected(
    before: Option<&Stamped>,
    after: Option<&Stamped>,
    old: &Report,
    new: &Report,
) -> Vec<Change> {
    let mut found = changes(&keys(old), &keys(new));
    let members = |stamped: Option<&Stamped>| -> BTreeMap<String, Member> {
        let root = stamped.into_iter().flat_map(|stamped| stamped.root.clone());
        root.map(|member| (format!("/{}", member.path), member)).collect()
    };
    let (before, after) = (members(before), members(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let (old, new) = (before.get(name), after.get(name));
        if old != new {
            let same_shape = old.map(shape) == new.map(shape);
            let after = new.map(|member| {
                let note = if same_shape { ", other contents" } else { "" };
                format!("{}{note}", shape(member))
            });
            found.push(Change { what: name.clone(), before: old.map(shape), after });
        }
    }
    found
}

fn keys(report: &Report) -> BTreeMap<String, String> {
    let keys = report.injected.iter().flat_map(|injected| &injected.keys);
    let name = |key: &Key| {
        let options = key.options.as_ref().map(|options| format!(" with {options}"));
        format!("key {} for {}{}", key.fingerprint, key.user, options.unwrap_or_default())
    };
    keys.map(|key| (name(key), key.comment.clone())).collect()
}

/// What may be told of a file that may be secret.
fn shape(member: &Member) -> String {
    let (mode, (user, group)) = (member.mode, member.owner);
    let kind = match &member.kind {
        Kind::Directory => "directory".to_owned(),
        Kind::File(bytes) => format!("{} bytes", bytes.len()),
        Kind::Symlink(to) => format!("link to {to}"),
    };
    format!("{kind}, {mode:o} {user}:{group}")
}
