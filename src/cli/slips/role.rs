//! What each argument must be, and what it is instead: words that were swapped are seen before a command runs.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use clap::ArgMatches;
use remaster::bases::name_of;
use remaster::error::Error;
use remaster::formats::patch_file::PatchFile;
use remaster::image::file_type::{FileType, HEAD, is_tar};
use remaster::image::unpack::Packing;
use remaster::keys;

use super::typed::{Typed, flag_of, takes_the_next};
use super::{to_flash, usage};
use crate::cli::shell::shell_quote;

/// What a word names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Image,
    Disk,
    Key,
    /// TOML, CSV or JSON lines: users, or a recipe.
    List,
    Patch,
}

/// What arguments must be, by their names in every command.
pub(super) const ROLES: &[(&str, Kind)] = &[
    ("base", Kind::Image),
    ("image", Kind::Image),
    ("devices", Kind::Disk),
    ("patch", Kind::Patch),
    ("users", Kind::List),
    ("recipe", Kind::List),
    ("key", Kind::Key),
];

impl Kind {
    /// Tells by the beginning of a file, or by the name of what is not there. None for what nothing is known of.
    pub(super) fn recognize(word: &str) -> Option<Self> {
        let path = Path::new(word);
        match fs::metadata(path) {
            Ok(about) if about.is_file() => of_file(path),
            Ok(about) if about.file_type().is_block_device() => Some(Self::Disk),
            Ok(_) => None,
            Err(_) => of_name(word),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Image => "an image",
            Self::Disk => "a disk",
            Self::Key => "a public key",
            Self::List => "a list in TOML, CSV or JSON",
            Self::Patch => "a patch",
        }
    }

    /// What is asked for in its place.
    fn wanted(self, id: &str) -> &'static str {
        match (self, id) {
            (_, "users") => "a users file",
            (_, "recipe") => "a recipe",
            _ => self.name(),
        }
    }
}

fn of_file(path: &Path) -> Option<Kind> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(HEAD).read_to_end(&mut head).ok()?;
    if PatchFile::is_in(&head) {
        return Some(Kind::Patch);
    }
    let is_list = of_ending(path) == Some(Kind::List);
    if keys::is_public(&head) || !is_list && keys::parse("", &head).is_ok() {
        return Some(Kind::Key);
    }
    let is_packed = is_tar(&head) || Packing::recognize(&head) != Packing::Plain;
    if is_packed || matches!(FileType::recognize(&head), FileType::Disk(_)) {
        return Some(Kind::Image);
    }
    // What text says is known by what reads it alone.
    of_ending(path).filter(|_| is_list && std::str::from_utf8(&head).is_ok())
}

fn of_name(word: &str) -> Option<Kind> {
    if keys::is_public(word.as_bytes()) {
        return Some(Kind::Key);
    }
    let path = Path::new(word);
    if path.starts_with("/dev/disk")
        || path.parent() == Some(Path::new("/dev")) && is_disk_name(path)
    {
        return Some(Kind::Disk);
    }
    if name_of(path).is_some() {
        return Some(Kind::Image);
    }
    of_ending(path)
}

fn of_ending(path: &Path) -> Option<Kind> {
    match path.extension()?.to_str()? {
        "iso" | "img" | "raw" | "xz" | "zst" | "gz" | "bz2" | "lz4" | "zip" => Some(Kind::Image),
        "pub" => Some(Kind::Key),
        "toml" | "csv" | "jsonl" | "ndjson" => Some(Kind::List),
        "remaster" => Some(Kind::Patch),
        _ => None,
    }
}

/// Whether a node has the name of disks that are not there now, as `sdc`.
pub(crate) fn is_disk_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    ["sd", "hd", "vd", "xvd", "nvme", "mmcblk"].iter().any(|start| name.starts_with(start))
}

/// An argument that was given: its name, what it must be, the word, and what that is.
struct Argument {
    id: &'static str,
    role: Kind,
    word: String,
    kind: Option<Kind>,
}

impl Argument {
    fn is_odd(&self) -> bool {
        self.kind.is_some_and(|kind| kind != self.role)
    }
}

/// Refuses what is another thing than its argument asks for, where that is sure and another argument asks for it.
pub(super) fn check(typed: &Typed<'_>, matches: &ArgMatches) -> Result<(), Error> {
    let arguments = arguments(matches);
    for one in arguments.iter().filter(|one| one.is_odd()) {
        if let Some(other) = arguments.iter().find(|other| is_swapped(one, other)) {
            return Err(swapped(typed, one, other));
        }
    }
    no_image(typed, &arguments)?;
    arguments.iter().filter(|one| one.is_odd()).try_for_each(|one| lone(typed, one))?;
    check_output(typed, matches)
}

fn arguments(matches: &ArgMatches) -> Vec<Argument> {
    let words = |id: &str| -> Vec<String> {
        let raw = matches.try_get_raw(id).ok().flatten();
        raw.into_iter().flatten().map(|word| word.to_string_lossy().into_owned()).collect()
    };
    let of = |(id, role): &(&'static str, Kind)| {
        let (id, role) = (*id, *role);
        words(id).into_iter().map(move |word| {
            let kind = Kind::recognize(&word);
            Argument { id, role, word, kind }
        })
    };
    ROLES.iter().flat_map(of).collect()
}

/// Whether each of two is what the other should be.
fn is_swapped(one: &Argument, other: &Argument) -> bool {
    one.role != other.role && one.kind == Some(other.role) && other.kind == Some(one.role)
}

fn swapped(typed: &Typed<'_>, one: &Argument, other: &Argument) -> Error {
    let words = typed.words.iter().map(|word| {
        let swap = [(one, other), (other, one)].into_iter().find(|(from, _)| *word == from.word);
        swap.map_or(word.as_str(), |(_, to)| to.word.as_str())
    });
    let what = format!(
        "{} is {}, and {} is {}: they are swapped",
        one.word,
        other.role.name(),
        other.word,
        one.role.name()
    );
    usage(what, typed.did_you_mean(words))
}

/// Refuses a disk as the image of `flash` where nothing is named to write to: it is meant to be written to. A disc is read.
fn no_image(typed: &Typed<'_>, arguments: &[Argument]) -> Result<(), Error> {
    let of = |id: &'static str| arguments.iter().find(move |one| one.id == id);
    let Some(disk) = of("image").filter(|one| one.kind == Some(Kind::Disk)) else { return Ok(()) };
    if typed.path != ["flash"] || of("devices").is_some() || typed.has(&["to_file"]) {
        return Ok(());
    }
    if is_disc(Path::new(&disk.word)) {
        return Ok(());
    }
    let rest = typed.words.iter().map(String::as_str).filter(|word| *word != disk.word);
    let (flash, rest): (Vec<&str>, Vec<&str>) = rest.partition(|word| *word == "flash");
    let words = flash.into_iter().chain(["IMAGE"]).chain(rest).chain([disk.word.as_str()]);
    let what = format!("{} is a disk, and the image is missing", disk.word);
    let hint = match typed.proposal(words) {
        Some(line) => format!("give the image first: `{line}`"),
        None => "give the image first: `remaster flash IMAGE /dev/sdX`".to_owned(),
    };
    Err(usage(what, hint))
}

/// Whether a path is a drive of optical discs, which nothing is flashed to.
fn is_disc(path: &Path) -> bool {
    let node = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = node.file_name().unwrap_or_default().to_string_lossy();
    ["sr", "cdrom", "dvd"].iter().any(|start| name.starts_with(start))
}

/// What is wrong with one argument alone. What is not an image is reported by what reads it, and so is a list or key that
/// does not exist: what it is called says nothing.
fn lone(typed: &Typed<'_>, one: &Argument) -> Result<(), Error> {
    let Some(kind) = one.kind else { return Ok(()) };
    let is_text = keys::is_public(one.word.as_bytes());
    if [Kind::Key, Kind::List].contains(&one.role) && !is_text && !Path::new(&one.word).exists() {
        return Ok(());
    }
    let hint = match (one.role, kind) {
        (Kind::Disk | Kind::List, Kind::Key) if flag_of(typed.command, "key").is_some() => {
            one_key_each(typed, &one.word)
        }
        // Of this one the private half is wanted.
        (Kind::Key, _) if typed.path == ["try"] => return Ok(()),
        (Kind::Key, _) => "give the file of a public key, as ~/.ssh/id_ed25519.pub".to_owned(),
        (Kind::List, Kind::Image | Kind::Disk | Kind::Patch) => {
            format!("`{} -h` shows what goes where", typed.name())
        }
        _ => return Ok(()),
    };
    let (is, wanted) = (kind.name(), one.role.wanted(one.id));
    Err(usage(format!("{} is {is}, not {wanted}", one.word), hint))
}

/// A shell makes several words of `--key ~/.ssh/*.pub`; and a key may be the value of another flag.
pub(super) fn one_key_each(typed: &Typed<'_>, word: &str) -> String {
    if lacks_users(typed) {
        let word = shell_quote(Path::new(word));
        return format!(
            "`remaster BASE --key {word} -o FILE` makes one image; a users file says which key each user has"
        );
    }
    if typed.has(&["remove_key"]) {
        return "give it to --key to put it in, or to --remove-key to take it out".to_owned();
    }
    let is_key = |other: &str| {
        other == word || !other.starts_with('-') && Kind::recognize(other) == Some(Kind::Key)
    };
    let mut words: Vec<&str> = Vec::new();
    for (place, other) in typed.words.iter().enumerate() {
        let joined = other.split_once('=').filter(|(_, value)| *value == word);
        let joined = joined.filter(|(name, _)| typed.flag(name).is_some());
        let taker = typed.before(place).map(|(_, flag)| flag).filter(|flag| takes_the_next(flag));
        let is_of_other = other == word && taker.is_some_and(|flag| flag.get_id() != "key");
        if is_of_other {
            words.pop();
        }
        if is_of_other || joined.is_some() || taker.is_none() && is_key(other) {
            words.extend(["--key", joined.map_or(other.as_str(), |(_, value)| value)]);
        } else {
            words.push(other);
        }
    }
    if lacks_disk(typed) {
        words.push("/dev/sdX");
    }
    format!("every key has a --key of its own: {}", typed.did_you_mean(words))
}

/// Whether `flash` is given an image and keys only.
fn lacks_disk(typed: &Typed<'_>) -> bool {
    let others = typed.plain_words().filter(|(_, word)| Kind::recognize(word) != Some(Kind::Key));
    typed.path == ["flash"] && others.count() < 2 && !typed.has(&["to_file"])
}

/// Whether a command wants a users file, and is given a base and keys only.
fn lacks_users(typed: &Typed<'_>) -> bool {
    let others =
        typed.plain_words().filter(|(_, word)| Kind::recognize(word) != Some(Kind::Key)).count();
    typed.command.get_arguments().any(|arg| arg.get_id() == "users") && others < 2
}

/// A disk is written to by `flash`, which asks first.
fn check_output(typed: &Typed<'_>, matches: &ArgMatches) -> Result<(), Error> {
    let output = matches.try_get_raw("output").ok().flatten().and_then(|mut words| words.next());
    let Some(word) = output.map(|word| word.to_string_lossy().into_owned()) else { return Ok(()) };
    if Kind::recognize(&word) != Some(Kind::Disk) || !typed.path.is_empty() {
        return Ok(());
    }
    let hint = to_flash::hint(typed, None, Some(&word));
    Err(usage(format!("{word} is a disk, not a file to write"), hint))
}
