//! A boot config that starts NixOS: where it is, and its entries.

use crate::error::{Error, Result};
use crate::formats::boot_config::script::STRAY_INIT;
use crate::formats::boot_config::{
    Entry, EntryBudget, IncludedFile, RootChange, Script, Settings, Syntax, UnreadCommand, device,
};
use crate::units::ByteRange;

/// Where a boot config is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ConfigLocation {
    /// In a file of the volume.
    Volume,
    /// In a file of the FAT filesystem at these bytes.
    Esp(ByteRange),
}

/// A boot config with at least one entry that starts NixOS.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it is.
    pub place: ConfigLocation,
    /// The path there.
    pub path: String,
    /// Its language.
    pub syntax: Syntax,
    /// Its text.
    pub text: String,
    /// The entries that start NixOS.
    pub entries: Vec<Entry>,
    /// What it says for all of them.
    pub settings: Settings,
}

/// A file of a boot loader, read.
#[derive(Debug)]
pub struct Parsed {
    /// The config, if it starts NixOS.
    pub config: Option<Config>,
    /// What else is known of it; `None` if the file was not read as a menu.
    pub menu: Option<Menu>,
}

/// A file that was read as a menu, with or without NixOS in it.
#[derive(Debug)]
pub struct Menu {
    /// Its language.
    pub syntax: Syntax,
    /// The files that it includes or shows as menus.
    pub included: Vec<IncludedFile>,
    /// The commands that choose the device that entries load from.
    pub roots: Vec<RootChange>,
}

impl Config {
    /// Whether U-Boot reads it, which has limits and variables of its own.
    pub(crate) fn is_read_by_u_boot(&self) -> bool {
        self.path.ends_with("/extlinux.conf")
    }

    /// The same config with another text, and what that says.
    pub(crate) fn with_text(&self, text: String) -> Self {
        let script = self.syntax.read(&text, &mut EntryBudget::default());
        let Script { mut entries, settings, .. } = script;
        entries.retain(|entry| entry.init().is_some());
        Self {
            place: self.place.clone(),
            path: self.path.clone(),
            syntax: self.syntax,
            text,
            entries,
            settings,
        }
    }

    /// Reads a config that must not include others; none if it starts no NixOS.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where it is not text, starts NixOS in a way that is not known, or is not the only one.
    pub fn parse(place: ConfigLocation, path: &str, bytes: Vec<u8>) -> Result<Option<Self>> {
        let Parsed { config, menu } = parse(place, path, bytes, &mut EntryBudget::default())?;
        let Some(Menu { included, roots, .. }) = menu else { return Ok(config) };
        included.first().map_or(Ok(()), |file| Err(elsewhere(path, file)))?;
        roots.first().map_or(Ok(config), |change| Err(another_root(path, change)))
    }
}

/// Reads a file that may be a config. All files of an image share one `budget`.
///
/// # Errors
/// [`Error::Unsupported`] where it is not text, or starts NixOS in a way that is not known.
pub fn parse(
    place: ConfigLocation,
    path: &str,
    bytes: Vec<u8>,
    budget: &mut EntryBudget,
) -> Result<Parsed> {
    let Some(text) = text(path, bytes)? else {
        return Ok(Parsed { config: None, menu: None });
    };
    let Some(syntax) = Syntax::recognize(path, &text) else { return unknown(path, &text) };
    let Script { mut entries, settings, included, roots, unread, .. } = syntax.read(&text, budget);
    if let Some(UnreadCommand { title, looked_for, found }) = unread {
        return Err(Error::unsupported(place_in(path, &title), looked_for, found));
    }
    entries.retain(|entry| entry.init().is_some());
    no_entry_without_initrd(path, &entries)?;
    no_entry_of_another_device(path, &entries)?;
    let path = path.to_owned();
    let config =
        (!entries.is_empty()).then_some(Config { place, path, syntax, text, entries, settings });
    Ok(Parsed { config, menu: Some(Menu { syntax, included, roots }) })
}

/// The text of a file that may be a config; none if it is not text, and nothing says that it is a config.
pub(crate) fn text(path: &str, bytes: Vec<u8>) -> Result<Option<String>> {
    let is_named = Syntax::of_name(path).is_some();
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(fault) if is_named || fault.as_bytes().windows(5).any(|part| part == b"init=") => {
            Err(Error::unsupported(path, "a boot menu in UTF-8", "other bytes"))
        }
        Err(_) => Ok(None),
    }
}

/// The refusal of a config that leads to a file that is not read as a menu: what that starts, starts without the edits.
pub(crate) fn elsewhere(path: &str, file: &IncludedFile) -> Error {
    let found = format!("`{} {}`", file.command, file.file);
    Error::unsupported(place_in(path, &file.title), "menus that are read", found)
}

/// The refusal of a config that loads its entries from another device: nothing is put in there.
pub(crate) fn another_root(path: &str, change: &RootChange) -> Error {
    let found = format!("`{}`", change.command);
    Error::unsupported(place_in(path, &change.title), "a `root` that is the image's own", found)
}

/// A text that sets `init=` to a store path in a way that is not read would boot without the edits.
fn unknown(path: &str, text: &str) -> Result<Parsed> {
    if !text.contains("init=/nix/store/") {
        return Ok(Parsed { config: None, menu: None });
    }
    let (looked_for, found) = STRAY_INIT;
    Err(Error::unsupported(place_in(path, &[]), looked_for, found))
}

/// A place in a config, as messages name it.
fn place_in(path: &str, title: &[String]) -> String {
    match title {
        [] => format!("the boot config {path}"),
        title => format!("the entry {:?} of {path}", title.join(" > ")),
    }
}

fn no_entry_without_initrd(path: &str, entries: &[Entry]) -> Result<()> {
    match entries.iter().find(|entry| entry.initrds.is_empty()) {
        None => Ok(()),
        Some(entry) => Err(Error::unsupported(place_in(path, &entry.title), "an initrd", "none")),
    }
}

/// What a menu calls the volume: nothing, or the variable that it is searched for.
const VOLUME: [&str; 3] = ["", "($root)", "(${root})"];

/// Whether a word of a menu names a file of the volume that the menu is on.
pub(crate) fn is_of_volume(word: &str) -> bool {
    VOLUME.contains(&device(word))
}

fn no_entry_of_another_device(path: &str, entries: &[Entry]) -> Result<()> {
    for entry in entries {
        let mut words = entry.initrds.iter().chain([&entry.kernel]);
        if let Some(word) = words.find(|word| !is_of_volume(&word.text)) {
            let what = place_in(path, &entry.title);
            return Err(Error::unsupported(what, "a kernel and initrds of the volume", &word.text));
        }
    }
    Ok(())
}
