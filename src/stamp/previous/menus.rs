//! What menus say of how they were changed, as a recipe asks for it. What is found is tried on the menus of the original:
//! only a recipe that makes the same ones again counts.

use crate::boot::config::Config;
use crate::boot::entry_args::{added_ports, check_named, is_named, is_selected};
use crate::boot::kernel_args;
use crate::boot::menu::{Started, default_place, meant};
use crate::error::{Advice, Error, Result};
use crate::formats::boot_config::{Entry, Syntax};
use crate::formats::credential::keys_of;
use crate::image::ReadAt;
use crate::recipe::Recipe;
use crate::recipe::edits::{Boot, Edits, InjectMethod};
use crate::stamp::base_image::BaseImage;
use crate::stamp::planned_image::ManifestOptions;

/// Words of a name of which parts are tried.
const WORDS_TRIED: usize = 64;

/// What the arguments of an entry gained and lost.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Difference {
    added: Vec<String>,
    deleted: Vec<String>,
}

/// Puts what was asked for into a recipe: arguments, ports, timeout, default, label, name, and whether initrds were merged.
///
/// # Errors
/// [`Error::Usage`] where no recipe makes these menus.
pub(super) fn read<B: ReadAt + Clone>(base: &BaseImage<B>, recipe: &mut Recipe) -> Result<()> {
    let Some((old, new)) = base.menus() else { return Ok(()) };
    recipe.label = base.new_label();
    recipe.merge_initrd = is_merged(base, old, new).then_some(true);
    if shape(old) == shape(new) {
        return Ok(());
    }
    for candidate in candidates(old, new) {
        if makes(base, &candidate, new) {
            *recipe = Recipe {
                label: recipe.label.take(),
                merge_initrd: recipe.merge_initrd,
                ..candidate
            };
            return Ok(());
        }
    }
    Err(Error::Usage {
        what: "the menus of the image were changed in a way that cannot be kept".into(),
        hint: Advice::ReplaceAll,
    })
}

/// Whether the menus of two images start the same.
pub(in crate::stamp) fn alike<A: ReadAt, B: ReadAt>(
    one: &BaseImage<A>,
    other: &BaseImage<B>,
) -> bool {
    let whole = |configs: &[Config]| -> Vec<Vec<String>> {
        let entries = configs.iter().flat_map(|config| &config.entries);
        entries.map(|entry| entry.words().map(str::to_owned).collect()).collect()
    };
    match (one.menus(), other.menus()) {
        (Some((_, one)), Some((_, other))) => {
            shape(one) == shape(other) && whole(one) == whole(other)
        }
        _ => false,
    }
}

/// The keys on the kernel's command lines.
pub(super) fn keys<B: ReadAt>(base: &BaseImage<B>) -> Option<String> {
    let (_, new) = base.menus()?;
    let words = new.iter().flat_map(|config| &config.entries).flat_map(|entry| &entry.arguments);
    let (_, keys) = words.flat_map(|word| keys_of(&word.text)).next()?;
    Some(String::from_utf8_lossy(&keys).into_owned())
}

/// The entries of the menus of the original.
pub(super) fn entries<B: ReadAt>(base: &BaseImage<B>) -> Vec<Entry> {
    let menus = base.menus().map(|(old, _)| old).unwrap_or_default();
    menus.iter().flat_map(|config| config.entries.iter().cloned()).collect()
}

/// Refuses kernel arguments for other entries than those that the arguments of before are for: a recipe has one choice.
///
/// # Errors
/// That, and entries that no menu has.
pub(super) fn check_entries(entries: &[Entry], before: &Boot, asked: &Boot) -> Result<()> {
    if !has_arguments(before) || !has_arguments(asked) {
        return Ok(());
    }
    let all: Vec<&Entry> = entries.iter().collect();
    check_named(&all, asked)?;
    if all.iter().all(|entry| is_selected(entry, before) == is_selected(entry, asked)) {
        return Ok(());
    }
    let (then, now) = (chosen(&all, before), chosen(&all, asked));
    Err(Error::Usage {
        what: format!(
            "the kernel arguments of {then} were changed before, and those of {now} are to be changed now"
        ),
        hint: Advice::SameEntriesOrReplaceAll,
    })
}

fn has_arguments(boot: &Boot) -> bool {
    !(boot.add.is_empty() && boot.delete.is_empty() && boot.replace.is_empty())
}

/// The entries that are chosen, in words: how many, and the shortest of their names.
fn chosen(all: &[&Entry], boot: &Boot) -> String {
    let found: Vec<String> =
        all.iter().filter(|entry| is_selected(entry, boot)).map(|entry| called(entry)).collect();
    if found.len() == all.len() {
        return "all entries".to_owned();
    }
    let shortest = found.iter().min_by_key(|name| name.len()).map_or("", String::as_str);
    let others = if found.len() > 1 { ", …" } else { "" };
    format!("{} of {} entries ({shortest}{others})", found.len(), all.len())
}

/// Archives are there, and no menu names one.
fn is_merged<B: ReadAt>(base: &BaseImage<B>, old: &[Config], new: &[Config]) -> bool {
    let initrds = |configs: &[Config]| -> usize {
        configs.iter().flat_map(|config| &config.entries).map(|entry| entry.initrds.len()).sum()
    };
    let has_root = base.injected().is_some_and(|stamped| !stamped.root.is_empty());
    base.iso().is_some() && has_root && initrds(old) == initrds(new)
}

/// The titles down to an entry, and its arguments.
type Titled = (Vec<String>, Vec<String>);

/// What a recipe shapes in menus, but for the label, keys, and initrds.
fn shape(configs: &[Config]) -> Vec<(Started, Vec<Titled>)> {
    let entry = |entry: &Entry| (entry.title.clone(), arguments(entry));
    let menu = |config: &Config| {
        (Started::from_config(config), config.entries.iter().map(entry).collect())
    };
    configs.iter().map(menu).collect()
}

fn arguments(entry: &Entry) -> Vec<String> {
    let words = entry.arguments.iter().map(|word| word.text.clone());
    words.filter(|text| !text.starts_with("root=LABEL=") && keys_of(text).is_empty()).collect()
}

/// Whether a recipe makes these menus of those of the original.
fn makes<B: ReadAt + Clone>(base: &BaseImage<B>, recipe: &Recipe, new: &[Config]) -> bool {
    let made = || -> Result<bool> {
        let edits = Edits {
            boot: kernel_args::gather(recipe)?,
            way: InjectMethod::Menus,
            ..Edits::default()
        };
        let image = base.stamp(edits, &ManifestOptions::default())?;
        let again = BaseImage::open(image.image())?;
        Ok(again.menus().is_some_and(|(_, menus)| shape(menus) == shape(new)))
    };
    made().unwrap_or(false)
}

/// Recipes that may have made the menus. A default that moved may have been asked for, or have followed its title.
fn candidates(old: &[Config], new: &[Config]) -> Vec<Recipe> {
    let mut all = Vec::new();
    let entry = default_entry(old, new);
    for asked in Asked::all() {
        let plain = Recipe {
            timeout: timeout(old, new),
            name: name(old, new),
            ..with_arguments(old, new, &asked)
        };
        let moved =
            entry.clone().map(|entry| Recipe { default_entry: Some(entry), ..plain.clone() });
        all.push(plain);
        all.extend(moved);
    }
    all
}

fn pairs<'a>(
    old: &'a [Config],
    new: &'a [Config],
) -> impl Iterator<Item = (&'a Entry, &'a Entry)> + Clone {
    let menus = old.iter().zip(new);
    menus.flat_map(|(old, new)| old.entries.iter().zip(&new.entries))
}

fn timeout(old: &[Config], new: &[Config]) -> Option<u32> {
    old.iter().zip(new).find_map(|(old, new)| {
        let (before, after) =
            (Started::from_config(old).timeout, Started::from_config(new).timeout?);
        let units: u32 = after.parse().ok().filter(|_| before.as_ref() != Some(&after))?;
        Some(match new.syntax {
            Syntax::Grub => units,
            Syntax::Isolinux => units / 10,
        })
    })
}

fn name(old: &[Config], new: &[Config]) -> Option<String> {
    pairs(old, new).find_map(|(old, new)| {
        let name = new.title.last()?.strip_suffix(old.title.last()?)?.strip_suffix(": ")?;
        Some(name.to_owned())
    })
}

/// The first text that means, in every menu, the entry that it starts now; none if all start what they started before.
fn default_entry(old: &[Config], new: &[Config]) -> Option<String> {
    let default = |config: &Config| Started::from_config(config).default;
    if old.iter().zip(new).all(|(old, new)| default(old) == default(new)) {
        return None;
    }
    let places: Vec<usize> = new.iter().map(default_place).collect::<Option<_>>()?;
    let started = old.iter().zip(places);
    let is_meant = |text: &String| {
        started.clone().all(|(menu, place)| meant(&menu.entries, text) == Some(place))
    };
    let (menu, place) = started.clone().next()?;
    names(menu.entries.get(place)?).find(is_meant)
}

/// All that can mean an entry: its names, its arguments, and parts of its names from the longest to the shortest.
fn names(entry: &Entry) -> impl Iterator<Item = String> {
    let label = entry.label.as_ref().map(|label| label.text.clone());
    let whole = || [entry.title.last().cloned(), Some(entry.path()), label.clone()];
    let parts = whole().into_iter().flatten().flat_map(|name| parts_of(&name));
    let words = entry.words().map(str::to_owned);
    whole().into_iter().flatten().chain(words).chain(parts).collect::<Vec<_>>().into_iter()
}

/// The parts of a name that begin and end with a word, from the longest to the shortest.
fn parts_of(name: &str) -> Vec<String> {
    let is_behind_word =
        |at: &usize| name.get(..*at).is_some_and(|before| before.ends_with(char::is_alphanumeric));
    let places = |(at, _)| at;
    let starts = name.match_indices(char::is_alphanumeric).map(places);
    let starts = starts.filter(|at| !is_behind_word(at)).take(WORDS_TRIED);
    let ends = name.match_indices(|c: char| !c.is_alphanumeric()).map(places);
    let ends = ends.chain([name.len()]).filter(is_behind_word).take(WORDS_TRIED);
    let parts = starts.flat_map(|start| ends.clone().filter_map(move |end| name.get(start..end)));
    let mut parts: Vec<&str> = parts.collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    parts.into_iter().map(str::to_owned).collect()
}

/// What a recipe calls an entry.
fn called(entry: &Entry) -> String {
    entry.label.as_ref().map_or_else(|| entry.path(), |label| label.text.clone())
}

/// The same where the name must be that of no `other` entry, of whose name it may be a part.
fn called_apart(entry: &Entry, others: &[&Entry]) -> String {
    let is_own = |name: &String| !others.iter().any(|other| is_named(other, name));
    Some(called(entry)).filter(is_own).unwrap_or_else(|| entry.path())
}

/// How what is found in menus may have been asked for.
struct Asked {
    values: Values,
    /// Consoles are ports.
    has_ports: bool,
    /// The entries that changed were chosen; else those that did not change had nothing to change.
    is_of_some: bool,
}

/// What is said of arguments that went and came under one name.
#[derive(Clone, Copy)]
enum Values {
    /// One was added, and another one deleted.
    Apart,
    /// Any value was replaced.
    Any,
    /// A value that is named was replaced.
    Named,
}

impl Asked {
    /// All ways, in the order in which they are tried.
    fn all() -> impl Iterator<Item = Self> {
        let values = |has_ports, is_of_some| {
            let all = [Values::Any, Values::Named, Values::Apart].into_iter();
            all.map(move |values| Self { values, has_ports, is_of_some })
        };
        let ports = move |is_of_some| {
            [true, false].into_iter().flat_map(move |has_ports| values(has_ports, is_of_some))
        };
        [false, true].into_iter().flat_map(ports)
    }
}

/// Arguments and ports.
fn with_arguments(old: &[Config], new: &[Config], asked: &Asked) -> Recipe {
    let mut recipe = Recipe::default();
    let all: Vec<(&Entry, Difference)> =
        pairs(old, new).map(|(old, new)| (old, difference(old, new))).collect();
    let mut ports = pairs(old, new).map(|(old, new)| added_ports(old, new));
    let ports = ports.find(|found| asked.has_ports && !found.is_empty()).unwrap_or_default();
    let has_serial = !ports.is_empty();
    let without = |mut found: Difference| {
        found.added.retain(|text| !(has_serial && text.starts_with("console=")));
        found.deleted.retain(|text| !(has_serial && text.starts_with("console=")));
        found
    };
    recipe.serial = ports;
    let all: Vec<(&Entry, Difference)> =
        all.into_iter().map(|(entry, found)| (entry, without(found))).collect();
    let changed = || all.iter().filter(|(_, found)| *found != Difference::default());
    let Some((_, found)) = changed().next() else { return recipe };
    if changed().count() != all.len() && asked.is_of_some {
        let others = all.iter().filter(|(_, found)| *found == Difference::default());
        let others: Vec<&Entry> = others.map(|(entry, _)| *entry).collect();
        recipe.entry = changed().map(|(entry, _)| called_apart(entry, &others)).collect();
        recipe.entry.sort();
        recipe.entry.dedup();
    }
    let deleted = || changed().flat_map(|(_, found)| found.deleted.iter().cloned());
    recipe.karg.clone_from(&found.added);
    match asked.values {
        Values::Apart => recipe.karg_delete = distinct(deleted()),
        Values::Any => {
            recipe.karg_delete = distinct(deleted());
            replace(&mut recipe);
        }
        Values::Named => {
            let apart: Vec<(Vec<String>, Difference)> =
                changed().map(|(_, found)| replaced(found)).collect();
            recipe.karg = apart.first().map(|(_, rest)| rest.added.clone()).unwrap_or_default();
            recipe.karg_delete = distinct(apart.iter().flat_map(|(_, rest)| rest.deleted.clone()));
            recipe.karg_replace = distinct(apart.into_iter().flat_map(|(replaced, _)| replaced));
        }
    }
    recipe
}

fn distinct(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut all = Vec::new();
    for text in texts {
        if !all.contains(&text) {
            all.push(text);
        }
    }
    all
}

fn key(text: &str) -> Option<&str> {
    Some(text.split_once('=')?.0)
}

/// Says of what went and came under one name that it was replaced.
fn replace(recipe: &mut Recipe) {
    let (added, deleted) = (&mut recipe.karg, &mut recipe.karg_delete);
    let is_one_of = |text: &str, others: &[String]| {
        key(text).is_some_and(|name| others.iter().any(|other| key(other) == Some(name)))
    };
    let (new, rest): (Vec<_>, Vec<_>) =
        std::mem::take(added).into_iter().partition(|text| is_one_of(text, deleted));
    *added = rest;
    deleted.retain(|old| !is_one_of(old, &new));
    recipe.karg_replace = new;
}

/// The same with the value that each of them had, as `KEY=OLD=NEW`, and what is left.
fn replaced(found: &Difference) -> (Vec<String>, Difference) {
    let (mut all, mut rest) = (Vec::new(), Difference::default());
    rest.deleted.clone_from(&found.deleted);
    for new in &found.added {
        let old = rest.deleted.iter().position(|old| key(old).is_some() && key(old) == key(new));
        match (old, new.split_once('=')) {
            (Some(at), Some((_, value))) => {
                all.push(format!("{}={}", within_quotes(&rest.deleted.remove(at)), quoted(value)));
            }
            _ => rest.added.push(new.clone()),
        }
    }
    (all, rest)
}

/// An argument whose value has quotes where it has an `=`.
fn within_quotes(argument: &str) -> String {
    match argument.split_once('=') {
        Some((key, value)) => format!("{key}={}", quoted(value)),
        None => argument.to_owned(),
    }
}

fn quoted(value: &str) -> String {
    if value.contains('=') { format!("\"{value}\"") } else { value.to_owned() }
}

fn difference(old: &Entry, new: &Entry) -> Difference {
    let (mut deleted, mut added) = (arguments(old), Vec::new());
    for text in arguments(new) {
        match deleted.iter().position(|old| *old == text) {
            Some(at) => drop(deleted.remove(at)),
            None => added.push(text),
        }
    }
    Difference { added, deleted }
}
