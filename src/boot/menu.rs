//! New texts of the boot menus: archives behind initrds, kernel arguments, titles, and what menus start
//! by themselves and where they talk. Everything else stays byte for byte.

use std::collections::BTreeSet;

use crate::boot::config::Config;
use crate::boot::entry_args::{
    BY_KERNEL, BY_U_BOOT, LONGEST_APPEND, LONGEST_COMMAND_LINE, arguments, check_default,
    check_found, check_started, first_that_fits, is_called, is_named, no_entry, too_long,
};
use crate::checked;
use crate::error::{Error, Result};
use crate::formats::boot_config::{
    Change, Entry, Settings, Syntax, Word, changed, grub, with_initrds,
};
use crate::recipe::edits::{Boot, Credential, Serial, Spanned};
use crate::recipe::{IN_IMAGE, setting};

/// The new menus.
#[derive(Debug)]
pub struct Menus<'a> {
    /// The new text of each config of the survey, in its order.
    pub texts: Vec<String>,
    /// The keys that the command lines carry.
    pub credential: Option<&'a Credential>,
}

/// What a menu does by itself, as its language has it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Started {
    /// How long it waits: seconds in GRUB, tenths of them in isolinux.
    pub timeout: Option<String>,
    /// What it starts then: titles in GRUB, a label in isolinux.
    pub default: Option<String>,
    /// The serial port it talks at.
    pub serial: Option<String>,
}

impl Started {
    /// What a config says.
    pub fn from_config(config: &Config) -> Self {
        let settings = &config.settings;
        let last = |words: &[Word]| words.last().map(|word| word.text.clone());
        Self {
            timeout: last(&settings.timeout),
            default: last(&settings.default),
            serial: last(&settings.serial),
        }
    }

    /// What is said here, and elsewhere what was said before.
    #[must_use]
    pub fn over(self, before: Self) -> Self {
        Self {
            timeout: self.timeout.or(before.timeout),
            default: self.default.or(before.default),
            serial: self.serial.or(before.serial),
        }
    }
}

/// What of that a config of a base is to say again; none where it stays.
pub fn started(config: &Config, boot: &Boot) -> Result<Started> {
    let menu = Menu { boot, old_label: "", credential: None };
    menu.started(config, &config.settings)
}

/// The new menus of a base of this label. `more` are the initrds that go behind those of an entry.
pub fn texts<'a>(
    configs: &[Config],
    old_label: &str,
    boot: &'a Boot,
    more: impl Fn(&Entry) -> Result<Vec<String>>,
) -> Result<Menus<'a>> {
    check_found(&entries_of(configs), boot)?;
    first_that_fits(boot, |credential| {
        let menu = Menu { boot, old_label, credential };
        let texts = configs.iter().map(|config| menu.text(config, &more));
        Ok(Menus { texts: texts.collect::<Result<_>>()?, credential })
    })
}

/// The arguments of the one entry that is started where there is no menu: the one that was asked for as
/// the default, or the one that the first menu starts.
pub fn started_alone<'a>(
    configs: &[Config],
    boot: &'a Boot,
) -> Result<(Entry, Vec<String>, Option<&'a Credential>)> {
    check_default(boot, &entries_of(configs))?;
    let menu = Menu { boot, old_label: "", credential: None };
    let asked = configs.iter().find_map(|config| menu.default_entry(config).ok().flatten());
    let first = || configs.iter().find(|config| !config.entries.is_empty()).and_then(by_itself);
    let entry = match (&boot.default_entry, asked) {
        (Some(asked), None) => return Err(no_entry(asked, "any menu", entries_of(configs))),
        (_, asked) => asked.or_else(first),
    };
    let entry = entry.ok_or_else(|| unread_default(configs))?;
    let hint = format!("leave it out, or have that entry started by {}", setting!(default_entry));
    check_started(&entries_of(configs), entry, boot, hint)?;
    let length = |words: &[String]| {
        // With a blank and quotes.
        words.iter().flat_map(|word| [word.len(), 3]).sum::<usize>()
    };
    first_that_fits(boot, |credential| {
        let words: Vec<String> =
            arguments(entry, boot, "", credential)?.all().into_iter().map(str::to_owned).collect();
        if length(&words) > LONGEST_COMMAND_LINE {
            let what = format!("the command line of the entry {:?}", entry.path());
            return Err(too_long(&what, (length(&words), 0), boot, BY_KERNEL));
        }
        Ok((entry.clone(), words, credential))
    })
}

/// The error for menus without an entry, or with a default that is not read.
fn unread_default(configs: &[Config]) -> Error {
    let Some(config) = configs.iter().find(|config| !config.entries.is_empty()) else {
        return Error::unsupported("the menus", "an entry that starts NixOS", "none");
    };
    let settings = &config.settings;
    let found = settings.default.last().map_or("none", |word| word.text.as_str());
    let looked_for = "a default by its title or label, or the number 0";
    Error::unsupported(&*config.path, looked_for, format!("{found:?}"))
        .with_hint(format!("name the entry that is to start by {}", setting!(default_entry)))
}

/// The entry that a menu starts by itself; none if it says so in a way that is not read, as by a number.
pub(crate) fn by_itself(config: &Config) -> Option<&Entry> {
    let settings = &config.settings;
    let entries = &config.entries;
    let named = entries.iter().find(|entry| is_default(config.syntax, settings, entry));
    let is_first = settings.default.last().is_none_or(|word| word.text == "0");
    named.or_else(|| entries.first().filter(|_| is_first))
}

/// The place among entries of the one that a text means: the first with that name, or else the first with that part of a
/// name, or that argument.
pub(crate) fn meant(entries: &[Entry], text: &str) -> Option<usize> {
    let has_part = |entry: &Entry| is_named(entry, text) || entry.words().any(|word| word == text);
    let whole = entries.iter().position(|entry| is_called(entry, text));
    whole.or_else(|| entries.iter().position(has_part))
}

/// The place among the entries of a menu of the one that its settings name as its default.
pub(crate) fn default_place(config: &Config) -> Option<usize> {
    let settings = config.syntax.settings(&config.text);
    config.entries.iter().position(|entry| is_default(config.syntax, &settings, entry))
}

/// Whether the settings of a menu name an entry as its default, by title or label.
fn is_default(syntax: Syntax, settings: &Settings, entry: &Entry) -> bool {
    let name = match syntax {
        Syntax::Grub => grub::default_of(&entry.title),
        Syntax::Isolinux => entry.label.as_ref().map(|label| label.text.clone()),
    };
    name.is_some_and(|name| settings.default.iter().any(|word| word.text == name))
}

/// A note if menus start different entries by themselves, as a part of a title can match one entry in one menu and another
/// entry in another menu.
pub(crate) fn differing_defaults(configs: &[Config], boot: &Boot) -> Option<String> {
    let menu = Menu { boot, old_label: "", credential: None };
    let chosen = configs.iter().filter_map(|config| {
        let entry = menu.default_entry(config).ok().flatten()?;
        Some((&config.path, entry.path(), entry.title.last()?))
    });
    let chosen: Vec<_> = chosen.collect();
    let (_, _, first) = chosen.first()?;
    if chosen.iter().all(|(_, _, title)| title == first) {
        return None;
    }
    let each = chosen.iter().map(|(path, entry, _)| format!("{path} {entry:?}"));
    let each: Vec<String> = each.collect();
    Some(format!("the menus start different entries by themselves: {}", each.join(", ")))
}

/// Notes on entries that are asked for and that only some menus have: a label is one of isolinux alone.
pub(crate) fn half_named(configs: &[Config], boot: &Boot) -> Vec<String> {
    let lacks =
        |config: &&Config, part: &str| !config.entries.iter().any(|entry| is_named(entry, part));
    let note = |asked: &Spanned<String>| {
        let lacking = configs.iter().filter(|config| lacks(config, &asked.value));
        let paths: BTreeSet<&str> = lacking.map(|config| config.path.as_str()).collect();
        let paths: Vec<&str> = paths.into_iter().collect();
        let is_some = !paths.is_empty();
        is_some.then(|| {
            format!(
                "{}: {} has no entry called {:?}: its entries stay as they are",
                asked.place,
                paths.join(" and "),
                asked.value
            )
        })
    };
    let is_new = |asked: &&Spanned<String>| !asked.place.starts_with(IN_IMAGE);
    boot.entries.iter().filter(is_new).filter_map(note).collect()
}

fn entries_of(configs: &[Config]) -> Vec<&Entry> {
    configs.iter().flat_map(|config| &config.entries).collect()
}

/// What one menu is made with.
struct Menu<'a> {
    boot: &'a Boot,
    old_label: &'a str,
    credential: Option<&'a Credential>,
}

impl Menu<'_> {
    fn text(
        &self,
        config: &Config,
        more: impl Fn(&Entry) -> Result<Vec<String>>,
    ) -> Result<String> {
        let (mut changes, mut named) = (Vec::new(), Vec::new());
        for entry in &config.entries {
            let more = more(entry)?;
            named.push(in_line(entry, &more));
            if !more.is_empty() {
                let change = with_initrds(config.syntax, entry, &more);
                changes.push(checked::present(change, "the initrd of a menu entry")?);
            }
        }
        for entry in &config.entries {
            self.argument_changes(config, entry, &mut changes)?;
            self.title_change(config, entry, &mut changes)?;
        }
        self.setting_changes(config, &mut changes)?;
        let text = changed(&config.text, changes).ok_or_else(|| {
            Error::unsupported(&config.path, "entries that stand apart", "some within each other")
        })?;
        if text != config.text {
            check_length(config, (&text, &named), self.boot)?;
        }
        Ok(text)
    }

    fn argument_changes(
        &self,
        config: &Config,
        entry: &Entry,
        changes: &mut Vec<Change>,
    ) -> Result<()> {
        let arguments = arguments(entry, self.boot, self.old_label, self.credential)?;
        let mut last = None;
        let mut before: Option<&Word> = None;
        for (word, new) in entry.arguments.iter().zip(&arguments.kept) {
            match new {
                None => changes.push(Change::replace(with_blanks(&config.text, before, word), "")),
                Some(text) if *text != word.text => {
                    changes.push(Change::replace(word.at.clone(), written(config, text)?));
                }
                Some(_) => {}
            }
            if last.is_none() && word.text == "--" {
                last = before.map(|word| word.at.end);
            }
            before = Some(word);
        }
        let at = last.or(before.map(|word| word.at.end)).unwrap_or(entry.kernel.at.end);
        for text in &arguments.added {
            changes.push(Change::insert(at, format!(" {}", written(config, text)?)));
        }
        Ok(())
    }

    fn title_change(
        &self,
        config: &Config,
        entry: &Entry,
        changes: &mut Vec<Change>,
    ) -> Result<()> {
        let Some(name) = &self.boot.name else { return Ok(()) };
        if let Some(at) = &entry.title_at {
            let title = checked::present(config.text.get(at.clone()), "a title in its menu")?;
            let quote = title.starts_with(['\'', '"']);
            changes.push(match config.syntax {
                Syntax::Grub if quote => {
                    let behind_quote = checked::sum(at.start, 1, "the place of a title")?;
                    Change::insert(behind_quote, format!("{name}: "))
                }
                // Parts of a word that stand together are one word, however each of them is quoted.
                Syntax::Grub => Change::insert(at.start, grub::quoted(&format!("{name}: "))),
                Syntax::Isolinux => Change::insert(at.start, format!("{name}: ")),
            });
        } else if let Some(label) = &entry.label {
            let line = format!("\nMENU LABEL {name}: {}", label.text);
            changes.push(Change::insert(label.at.end, line));
        }
        Ok(())
    }

    /// The entry of a config that menus are to start.
    fn default_entry<'c>(&self, config: &'c Config) -> Result<Option<&'c Entry>> {
        let Some(asked) = &self.boot.default_entry else { return Ok(None) };
        let found = meant(&config.entries, &asked.value).and_then(|at| config.entries.get(at));
        found.map(Some).ok_or_else(|| no_entry(asked, &config.path, &config.entries))
    }

    /// The titles of an entry as they become.
    fn new_title(&self, entry: &Entry) -> Vec<String> {
        let mut title = entry.title.clone();
        if let (Some(name), Some(last)) = (&self.boot.name, title.last_mut()) {
            *last = format!("{name}: {last}");
        }
        title
    }

    /// What a menu does by itself from now on, as far as that changes.
    fn started(&self, config: &Config, settings: &Settings) -> Result<Started> {
        let known = |serial: &Serial| Some((serial.unit?, serial.speed?));
        let known = self.boot.serial.iter().rev().find_map(known);
        Ok(match config.syntax {
            Syntax::Grub => Started {
                timeout: self.boot.timeout.map(|seconds| seconds.to_string()),
                default: self.grub_default(config, settings)?,
                // GRUB manual 2.12, "serial".
                serial: known.map(|(unit, speed)| {
                    format!("--unit={unit} --speed={speed} --word=8 --parity=no --stop=1")
                }),
            },
            Syntax::Isolinux => Started {
                // Tenths of a second, and 0 would wait for ever (SYSLINUX doc/syslinux.txt).
                timeout: self
                    .boot
                    .timeout
                    .map(|seconds| u32::from(seconds).saturating_mul(10).max(1).to_string()),
                default: self.isolinux_default(config, settings)?,
                serial: known.map(|(unit, speed)| format!("{unit} {speed}")),
            },
        })
    }

    fn setting_changes(&self, config: &Config, changes: &mut Vec<Change>) -> Result<()> {
        let settings = &config.settings;
        let started = self.started(config, settings)?;
        match config.syntax {
            Syntax::Grub => grub_changes(config, settings, started, changes),
            Syntax::Isolinux => isolinux_changes(config, settings, started, changes),
        }
        Ok(())
    }

    /// What `default` is to be, if it changes: the entry that was asked for, or the new title of the one
    /// that it names.
    fn grub_default(&self, config: &Config, settings: &Settings) -> Result<Option<String>> {
        let named = |entry: &&Entry| is_default(Syntax::Grub, settings, entry);
        let entry = match self.default_entry(config)? {
            None if self.boot.name.is_some() => config.entries.iter().find(named),
            asked => asked,
        };
        let Some(entry) = entry else { return Ok(None) };
        let first = config.entries.iter().find(|other| other.title == entry.title);
        let path = grub::default_of(&self.new_title(entry));
        match path.filter(|_| first == Some(entry)) {
            Some(path) => Ok(Some(path)),
            None => Err(Error::unsupported(
                format!("the default of {}", config.path),
                "titles of its own that GRUB does not read as numbers or variables",
                format!("{:?}", self.new_title(entry).join(" > ")),
            )
            .with_hint(format!(
                "leave out {}, or choose another entry by it",
                self.boot.default_entry.as_ref().map_or_else(
                    || setting!(name).to_string(),
                    |_| setting!(default_entry).to_string()
                )
            ))),
        }
    }

    fn isolinux_default(&self, config: &Config, settings: &Settings) -> Result<Option<String>> {
        let entry = self.default_entry(config)?;
        let asked = entry.is_some() || self.boot.timeout.is_some();
        if let Some(word) = settings.overruling.first().filter(|_| asked) {
            let found = format!("ONTIMEOUT or TOTALTIMEOUT {}", word.text);
            return Err(Error::unsupported(&config.path, "TIMEOUT and DEFAULT alone", found));
        }
        let Some(entry) = entry else { return Ok(None) };
        let odd =
            settings.default.iter().find(|word| word.text.to_ascii_lowercase().ends_with(".c32"));
        let label = entry.label.as_ref().map(|word| word.text.as_str()).unwrap_or_default();
        let same = |other: &&Entry| other.label.as_ref().is_some_and(|word| word.text == label);
        let first = config.entries.iter().find(same) == Some(entry);
        match odd {
            None if first && !label.is_empty() && !label.contains(' ') => {
                Ok(Some(label.to_owned()))
            }
            odd => Err(Error::unsupported(
                format!("the default of {}", config.path),
                "a UI line and a label of one word that is there once",
                odd.map_or_else(
                    || format!("LABEL {label}"),
                    |word| format!("DEFAULT {}", word.text),
                ),
            )),
        }
    }
}

fn grub_changes(config: &Config, settings: &Settings, started: Started, changes: &mut Vec<Change>) {
    let mut tail = String::new();
    let default = started.default.map(|entry| grub::quoted(&entry));
    let set =
        [("timeout", &settings.timeout, started.timeout), ("default", &settings.default, default)];
    for (name, words, value) in set {
        let Some(value) = value else { continue };
        if words.is_empty() {
            tail.extend(["set ", name, "=", &value, "\n"]);
        }
        let new =
            words.iter().map(|word| Change::replace(word.at.clone(), format!("{name}={value}")));
        changes.extend(new);
    }
    if let Some(serial) = started.serial {
        tail.extend(["serial ", &serial, "\n", GRUB_TERMINALS]);
        changes.extend(settings.terminals.iter().map(|at| Change::insert(*at, GRUB_TERMINALS)));
    }
    if !tail.is_empty() {
        let newline = if config.text.ends_with('\n') { "" } else { "\n" };
        changes.push(Change::insert(config.text.len(), format!("{newline}{tail}")));
    }
}

fn isolinux_changes(
    config: &Config,
    settings: &Settings,
    started: Started,
    changes: &mut Vec<Change>,
) {
    // SERIAL must be the first directive (SYSLINUX doc/syslinux.txt).
    let below = line_end(&config.text, settings.serial.last());
    let set = [
        ("SERIAL", 0, &settings.serial, started.serial),
        ("TIMEOUT", below, &settings.timeout, started.timeout),
        ("DEFAULT", below, &settings.default, started.default),
    ];
    for (command, at, words, value) in set {
        let Some(value) = value else { continue };
        if words.is_empty() {
            let is_cut = at == config.text.len() && !config.text.ends_with('\n');
            let line = if is_cut {
                format!("\n{command} {value}")
            } else {
                format!("{command} {value}\n")
            };
            changes.push(Change::insert(at, line));
        }
        changes.extend(words.iter().map(|word| Change::replace(word.at.clone(), value.as_str())));
    }
}

const GRUB_TERMINALS: &str = "terminal_input --append serial\nterminal_output --append serial\n";

/// The start of the line below a word. Without a word it is the start of the text; in the last line, its end.
fn line_end(text: &str, word: Option<&Word>) -> usize {
    let Some(word) = word else { return 0 };
    let behind = text.char_indices().skip_while(|(at, _)| *at < word.at.end);
    let mut below = behind.skip_while(|(_, c)| *c != '\n').skip(1);
    below.next().map_or(text.len(), |(at, _)| at)
}

/// The place of a word with the blanks before it.
fn with_blanks(text: &str, before: Option<&Word>, word: &Word) -> std::ops::Range<usize> {
    let blank = before.map(|before| before.at.end..word.at.start).filter(|blank| {
        text.get(blank.clone()).is_some_and(|text| text.chars().all(|c| c == ' ' || c == '\t'))
    });
    blank.map_or(word.at.start, |blank| blank.start)..word.at.end
}

fn written(config: &Config, text: &str) -> Result<String> {
    if config.is_read_by_u_boot() && (text.contains("${") || text.contains("$(")) {
        return Err(Error::Usage {
            what: format!(
                "the kernel argument {text:?} cannot be written in {}: U-Boot puts a variable of its own there",
                config.path
            ),
            hint: "leave it out, or give it without `${` and `$(`".into(),
        });
    }
    config.syntax.argument(text).ok_or_else(|| {
        Error::unsupported(
            format!("an argument for {}", config.path),
            "printable characters without quotes and backslashes",
            format!("{text:?}"),
        )
    })
}

/// Bytes that the names of more initrds take on the kernel's command line: those of entries with `initrd=`.
fn in_line(entry: &Entry, more: &[String]) -> usize {
    let is_named = entry.words().any(|word| word.starts_with("initrd="));
    more.iter().filter(|_| is_named).flat_map(|path| [path.len(), 1]).sum()
}

fn check_length(config: &Config, (text, named): (&str, &[usize]), boot: &Boot) -> Result<()> {
    for (entry, named) in config.syntax.entries(text).iter().zip(named) {
        let what =
            || format!("the command line of the entry {:?} of {}", entry.path(), config.path);
        let needed = config.syntax.command_line(entry);
        if needed > LONGEST_COMMAND_LINE {
            return Err(too_long(&what(), (needed, *named), boot, BY_KERNEL));
        }
        let appended = entry.arguments.first().zip(entry.arguments.last());
        let appended = appended.map_or(0..0, |(first, last)| first.at.start..last.at.end).len();
        if config.is_read_by_u_boot() && appended >= LONGEST_APPEND {
            let needed = checked::sum(appended, 1, "a command line")?;
            return Err(too_long(&what(), (needed, 0), boot, BY_U_BOOT));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::config::ConfigLocation;

    #[test]
    fn a_title_keeps_its_text_behind_the_name_however_it_is_quoted() {
        for title in ["NixOS", "Nix\\ OS", "'N'", "\"N\\\" x\"", "a' b'", "%' menu'c"] {
            let text = format!(
                "menuentry {title} --class x {{\n linux /k init=/nix/store/s/init\n initrd /i\n}}\n"
            );
            let read = |text: &str| {
                let bytes = text.as_bytes().to_vec();
                Config::parse(ConfigLocation::Volume, "/grub.cfg", bytes).unwrap().unwrap()
            };
            let before = read(&text);
            let boot = Boot { name: Some("ours".into()), ..Boot::default() };
            let made = texts(std::slice::from_ref(&before), "n", &boot, |_| Ok(Vec::new()));
            let after = read(&made.unwrap().texts[0]);
            let [old, new] = [&before, &after].map(|config| &config.entries[0].title[0]);
            assert_eq!((*new).clone(), format!("ours: {old}"), "{title}");
            assert_eq!(after.entries[0].initrds.len(), 1, "{title}");
        }
    }

    #[test]
    fn names_of_initrds_count_where_they_stand_in_the_line() {
        let told = |append: &str, initrds: &str, boot: &Boot| {
            let text = format!("LABEL x\nLINUX /k\nAPPEND {append} init=/i\n{initrds}");
            let config = Config::parse(ConfigLocation::Volume, "/isolinux.cfg", text.into_bytes());
            let made = texts(&[config.unwrap().unwrap()], "n", boot, |_| Ok(vec!["/more".into()]));
            made.map(drop).map_err(|fault| match fault {
                Error::Usage { what, hint } => format!("{what}: {}", hint.words().unwrap()),
                Error::Unsupported { what, found, instead, .. } => {
                    format!("{what}: {found}: {}", instead.unwrap().words().unwrap())
                }
                other => other.to_string(),
            })
        };
        let key = Boot::default();
        let named = Boot {
            add: vec![Spanned { value: "q".into(), place: "--karg".into() }],
            ..Boot::default()
        };
        let long = |bytes: usize| "y".repeat(bytes);
        assert_eq!(told(&long(2024), "INITRD /r\n", &key), Ok(()));
        assert_eq!(told(&format!("initrd=/r {}", long(2008)), "", &key), Ok(()));
        let hint = "give --merge-initrd: 6 of these bytes are names of the initrds that are put in";
        for boot in [&key, &named] {
            let said = told(&format!("initrd=/r {}", long(2010)), "", boot).unwrap_err();
            assert!(said.ends_with(hint), "{said}");
        }
    }

    #[test]
    fn what_goes_below_a_line_goes_to_the_end_if_that_line_is_the_last_one() {
        let text = "SERIAL 0 9600";
        let word = Word { text: "0 9600".into(), at: 7..text.len() };
        assert_eq!(line_end(text, None), 0);
        assert_eq!(line_end(text, Some(&word)), text.len());
        let more = "SERIAL 0 9600\nUI x\n";
        assert_eq!(line_end(more, Some(&word)), "SERIAL 0 9600\n".len());
    }
}
