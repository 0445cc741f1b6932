//! The kernel arguments of an entry: those that are taken out, changed and added, and the entries that are meant.

use std::collections::BTreeSet;

use crate::boot::credential_clash::{SetBy, Setter, check_credentials, check_imported};
use crate::error::{Advice, Error, Result};
use crate::few::Few;
use crate::formats::boot_config::Entry;
use crate::recipe::edits::{Boot, Credential, Replacement, Serial, Spanned};
use crate::recipe::{IN_IMAGE, setting};
use crate::stop;

/// Bytes of a kernel's command line with the one that ends it, on x86 and arm64 (Linux
/// `COMMAND_LINE_SIZE`).
pub(crate) const LONGEST_COMMAND_LINE: usize = 2048;

/// Bytes of an APPEND line with the one that ends it that U-Boot starts (`boot/pxe_utils.c`, `label_boot`: `CONFIG_SYS_CBSIZE`,
/// which is 1024 unless a board says otherwise). It passes over an entry with a longer one.
pub(crate) const LONGEST_APPEND: usize = 1024;

/// Who reads a command line, and how many bytes of it at most.
pub(crate) const BY_KERNEL: (&str, usize) = ("the kernel", LONGEST_COMMAND_LINE);
pub(crate) const BY_U_BOOT: (&str, usize) = ("U-Boot", LONGEST_APPEND);

/// The console of the screen.
const SCREEN: &str = "console=tty0";

/// What the arguments of an entry become.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Arguments {
    /// Those it has: new, or gone.
    pub(crate) kept: Vec<Option<String>>,
    /// Those that come behind them, but before `--`.
    pub(crate) added: Vec<String>,
}

impl Arguments {
    /// The arguments as the kernel gets them.
    pub(crate) fn all(&self) -> Vec<&str> {
        let kept = || self.kept.iter().flatten().map(String::as_str);
        let before = kept().take_while(|text| *text != "--");
        let behind = kept().skip_while(|text| *text != "--");
        before.chain(self.added.iter().map(String::as_str)).chain(behind).collect()
    }
}

/// What is made with the first credential that fits.
pub(crate) fn first_that_fits<'a, T>(
    boot: &'a Boot,
    made: impl Fn(Option<&'a Credential>) -> Result<T>,
) -> Result<T> {
    let mut fault = None;
    for credential in &boot.credentials {
        match made(Some(credential)) {
            Err(long @ Error::Usage { .. }) => fault = Some(long),
            other => return other,
        }
    }
    fault.map_or_else(|| made(None), Err)
}

/// What the arguments of an entry of a base become. `credential` are the keys it carries.
///
/// # Errors
/// Requests about one argument, and a second credential of one name.
pub(crate) fn arguments(
    entry: &Entry,
    boot: &Boot,
    old_label: &str,
    credential: Option<&Credential>,
) -> Result<Arguments> {
    let requests = requests(boot);
    let words = changed(entry, boot, old_label, &requests)?;
    check_credentials(&setters(&words, &requests, entry, boot, credential), entry)?;
    let kept: Vec<_> = words.into_iter().map(|word| word.now).collect();
    let added = distinct(&boot.add).filter(|_| is_selected(entry, boot));
    let mut added: Vec<String> = added.map(|asked| asked.value.clone()).collect();
    if !boot.serial.is_empty() {
        // Messages go to all consoles, `/dev/console` is the last one.
        added.push(SCREEN.to_owned());
        added.extend(boot.consoles().map(Serial::console));
    }
    added.extend(credential.map(|credential| credential.argument.clone()));
    let all = Arguments { kept, added };
    if credential.is_some() {
        check_imported(&all.all(), entry)?;
    }
    Ok(all)
}

/// All credentials that an entry is to have, in their order.
fn setters<'a>(
    words: &'a [Changed],
    requests: &[Request<'_>],
    entry: &Entry,
    boot: &'a Boot,
    credential: Option<&'a Credential>,
) -> Vec<Setter<'a>> {
    let kept = words.iter().filter_map(|word| {
        let request = word.by.and_then(|by| requests.get(by));
        let who = request.map_or(SetBy::Entry, |request| SetBy::Place(request.place()));
        Setter::new(word.now.as_deref()?, who)
    });
    let added = boot.add.iter().filter(|_| is_selected(entry, boot));
    let added =
        added.filter_map(|asked| Setter::new(&asked.value, SetBy::Place(asked.place.clone())));
    let keys = credential.and_then(|credential| Setter::new(&credential.argument, SetBy::Keys));
    kept.chain(added).chain(keys).collect()
}

/// A change of arguments that is asked for.
#[derive(Clone, Copy)]
enum Request<'a> {
    /// Room for the console of a port, in every entry.
    Console(&'a Serial),
    Delete(&'a Spanned<String>),
    Replace(&'a Spanned<Replacement>),
    Add(&'a Spanned<String>),
}

impl Request<'_> {
    /// Whether it is about an argument.
    fn is_about(self, text: &str) -> bool {
        match self {
            Self::Console(serial) => is_console(text, serial),
            Self::Delete(asked) | Self::Add(asked) => asked.value == text,
            Self::Replace(asked) => is_replaced(text, &asked.value),
        }
    }

    /// What an argument becomes that it is about.
    fn made(self) -> Option<String> {
        match self {
            Self::Replace(asked) => Some(asked.value.argument()),
            _ => None,
        }
    }

    /// What it is about, as messages have it.
    fn what(self) -> String {
        match self {
            Self::Console(serial) => serial.asked(),
            Self::Delete(asked) | Self::Add(asked) => asked.value.clone(),
            Self::Replace(asked) => {
                let old = asked.value.old.as_deref().unwrap_or("…");
                format!("{}={old}", asked.value.key)
            }
        }
    }

    /// Where it stands.
    fn place(self) -> String {
        match self {
            Self::Console(_) => setting!(serial).to_string(),
            Self::Delete(asked) | Self::Add(asked) => asked.place.clone(),
            Self::Replace(asked) => asked.place.clone(),
        }
    }

    /// Whether it was made before, and the image shows it.
    fn is_in_image(self) -> bool {
        self.place().starts_with(IN_IMAGE)
    }

    /// The request as it was made.
    fn shown(self) -> String {
        let value = match self {
            Self::Replace(asked) => asked.value.asked(),
            other => other.what(),
        };
        format!("{} {value}", self.place())
    }
}

/// All that takes away or changes arguments that are there, in the order in which it is done.
fn requests(boot: &Boot) -> Vec<Request<'_>> {
    let consoles = boot.consoles().map(Request::Console);
    let deleted = distinct(&boot.delete).map(Request::Delete);
    consoles.chain(deleted).chain(distinct(&boot.replace).map(Request::Replace)).collect()
}

/// Each of what is asked for once: an edit may ask for what the image has.
pub(super) fn distinct<T: Ord>(asked: &[Spanned<T>]) -> impl Iterator<Item = &Spanned<T>> {
    let mut seen = BTreeSet::new();
    asked.iter().filter(move |one| seen.insert(&one.value))
}

/// An argument of an entry, what becomes of it, and the number of the request that makes it so.
struct Changed {
    was: String,
    now: Option<String>,
    by: Option<usize>,
}

/// The arguments of an entry with all that is asked for done to them, one thing after the other.
///
/// # Errors
/// Two requests that are about one argument: what the earlier one made of it is not what the later one looks for.
fn changed(
    entry: &Entry,
    boot: &Boot,
    old_label: &str,
    requests: &[Request<'_>],
) -> Result<Vec<Changed>> {
    let words = entry.arguments.iter().map(|word| {
        let was = relabelled(&word.text, boot, old_label);
        Changed { now: Some(was.clone()), was, by: None }
    });
    let mut words: Vec<Changed> = words.collect();
    let added: Vec<&Spanned<String>> = distinct(&boot.add).collect();
    for (number, request) in requests.iter().enumerate() {
        stop::check()?;
        let is_console = matches!(request, Request::Console(_));
        if !is_console && !is_selected(entry, boot) {
            continue;
        }
        let is_meant = |word: &&mut Changed| {
            let texts = [Some(&word.was), word.now.as_ref()];
            texts.into_iter().flatten().any(|text| request.is_about(text))
        };
        let mut found: Vec<&mut Changed> = words.iter_mut().filter(is_meant).collect();
        if !is_console {
            if let Some(other) = added.iter().find(|added| request.is_about(&added.value)) {
                return Err(both(Request::Add(other), *request, &other.value));
            }
            let other = found.iter().find_map(|word| Some((requests.get(word.by?)?, word)));
            if let Some((other, word)) = other {
                // An image has what an earlier edit made of it.
                let now = word.now.as_ref().filter(|_| other.is_in_image());
                return Err(both(*other, *request, now.unwrap_or(&word.was)));
            }
        }
        if let Request::Replace(asked) = request {
            check_single(asked, found.len(), entry)?;
        }
        for word in &mut found {
            (word.now, word.by) = (request.made(), Some(number));
        }
    }
    for added in added.into_iter().filter(|_| is_selected(entry, boot)) {
        stop::check()?;
        let mut taken = words.iter().filter(|word| word.was == added.value);
        if let Some(other) = taken.find_map(|word| requests.get(word.by?))
            && !matches!(other, Request::Console(_))
        {
            return Err(both(*other, Request::Add(added), &added.value));
        }
    }
    Ok(words)
}

/// Two requests about one argument, what an image has before what is asked for now.
fn both(one: Request<'_>, other: Request<'_>, text: &str) -> Error {
    let (one, other) = if other.is_in_image() { (other, one) } else { (one, other) };
    let (first, second) = (one.shown(), other.shown());
    Error::Recipe {
        what: format!("{first} and {second}: both change the kernel argument {text}"),
        hint: if one.is_in_image() {
            Advice::OneOrReplaceAll
        } else {
            "leave out one of them".into()
        },
    }
}

/// The serial ports that [`arguments`] put into an entry, as a recipe asks for them; none if the entry had them before.
pub(crate) fn added_ports(old: &Entry, new: &Entry) -> Vec<String> {
    let ports = |entry: &Entry| -> Vec<String> {
        let is_screen = |text: &&str| *text == SCREEN;
        let words = entry.arguments.iter().map(|word| word.text.as_str());
        // Those right behind the last screen, which goes in front of them.
        let behind = words.rev().take_while(|text| !is_screen(text)).collect::<Vec<_>>();
        // A screen that was there before goes.
        let screens = entry.arguments.iter().filter(|word| is_screen(&word.text.as_str())).count();
        let behind = behind.into_iter().rev().filter(|_| screens == 1);
        let ports = behind.map_while(|text| text.strip_prefix("console="));
        ports.map(|port| port.strip_suffix("n8").unwrap_or(port).to_owned()).collect()
    };
    let (before, now) = (ports(old), ports(new));
    if before == now { Vec::new() } else { now }
}

fn relabelled(text: &str, boot: &Boot, old_label: &str) -> String {
    let names_old = text.strip_prefix("root=LABEL=") == Some(old_label);
    match &boot.label {
        Some(label) if names_old => format!("root=LABEL={}", label.value),
        _ => text.to_owned(),
    }
}

fn is_console(text: &str, serial: &Serial) -> bool {
    let port = text.strip_prefix("console=").map(|rest| rest.split(',').next().unwrap_or(rest));
    port == Some("tty0") || port == Some(&serial.port)
}

/// Refuses to replace one of several without saying which.
fn check_single(asked: &Spanned<Replacement>, count: usize, entry: &Entry) -> Result<()> {
    let wanted = &asked.value;
    if wanted.old.is_some() || count < 2 {
        return Ok(());
    }
    Err(Error::Recipe {
        what: format!(
            "{}: the entry {:?} has {}= several times",
            asked.place,
            entry.path(),
            wanted.key
        ),
        hint: format!("say which one, as {}=OLD={}", wanted.key, wanted.new).into(),
    })
}

fn is_replaced(text: &str, wanted: &Replacement) -> bool {
    let value = text.strip_prefix(&wanted.key).and_then(|rest| rest.strip_prefix('='));
    value.is_some_and(|value| wanted.old.as_ref().is_none_or(|old| old == value))
}

pub(super) fn contains(whole: &str, part: &str) -> bool {
    whole.to_lowercase().contains(&part.to_lowercase())
}

/// Titles down to an entry with one form of the signs between them: GRUB writes them without blanks, and one in a title twice.
fn one_form(titles: &str) -> String {
    let parts = titles.split('>').map(str::trim).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(">")
}

/// Whether a part of a title or label is one of this entry.
pub(crate) fn is_named(entry: &Entry, part: &str) -> bool {
    let (label, path) = (entry.label.as_ref(), entry.path());
    contains(&path, part)
        || (part.contains('>') && contains(&one_form(&path), &one_form(part)))
        || label.is_some_and(|label| contains(&label.text, part))
}

/// Whether all titles down to this entry, or its label, are this text.
pub(crate) fn is_called(entry: &Entry, name: &str) -> bool {
    let label = entry.label.as_ref();
    one_form(&entry.path()).eq_ignore_ascii_case(&one_form(name))
        || label.is_some_and(|label| label.text.eq_ignore_ascii_case(name))
}

pub(crate) fn is_selected(entry: &Entry, boot: &Boot) -> bool {
    boot.entries.is_empty() || boot.entries.iter().any(|asked| is_named(entry, &asked.value))
}

/// Refuses what no entry has, and what cannot be done together.
pub(crate) fn check_found(entries: &[&Entry], boot: &Boot) -> Result<()> {
    check_named(entries, boot)?;
    let whose = if boot.entries.is_empty() { "no entry has" } else { "no entry of these has" };
    check_changes(entries, boot, whose)
}

/// The same where one of the entries is started, and no other: what is asked for is done there.
pub(crate) fn check_started(
    entries: &[&Entry],
    started: &Entry,
    boot: &Boot,
    hint: impl Into<Advice>,
) -> Result<()> {
    check_named(entries, boot)?;
    match boot.entries.first() {
        Some(asked) if !is_selected(started, boot) => Err(Error::Recipe {
            what: format!(
                "{}: {:?} is not the entry that is started, {:?}",
                asked.place,
                asked.value,
                started.path()
            ),
            hint: hint.into(),
        }),
        _ => check_changes(&[started], boot, "the entry that is started does not have"),
    }
}

/// Refuses entries that are not there, and numbers of entries.
pub(crate) fn check_named(entries: &[&Entry], boot: &Boot) -> Result<()> {
    let is_there =
        |asked: &Spanned<String>| entries.iter().any(|entry| is_named(entry, &asked.value));
    if let Some(asked) = boot.entries.iter().find(|asked| !is_there(asked)) {
        return Err(no_entry(asked, "any menu", entries.iter().copied()));
    }
    check_default(boot, entries)
}

/// Refuses a number and an empty title: entries are chosen by a part of their title.
pub(crate) fn check_default(boot: &Boot, entries: &[&Entry]) -> Result<()> {
    let Some(Spanned { value, place }) = &boot.default_entry else { return Ok(()) };
    let what = if value.trim().is_empty() {
        format!("{place}: an empty title")
    } else if value.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("{place}: {value:?} is a number, and entries go by title")
    } else {
        return Ok(());
    };
    Err(Error::Recipe { what, hint: titles_hint(entries.iter().copied()) })
}

/// Judges all requests against the arguments of each entry as they become.
fn check_changes(entries: &[&Entry], boot: &Boot, whose: &str) -> Result<()> {
    let requests = requests(boot);
    let selected = || entries.iter().copied().filter(|entry| is_selected(entry, boot));
    let mut done = BTreeSet::new();
    for entry in selected() {
        done.extend(changed(entry, boot, "", &requests)?.iter().filter_map(|word| word.by));
    }
    let is_idle = |(number, request): &(usize, &Request<'_>)| {
        !matches!(request, Request::Console(_)) && !done.contains(number)
    };
    match requests.iter().enumerate().find(is_idle) {
        Some((_, request)) => Err(no_argument(*request, whose, selected())),
        None => Ok(()),
    }
}

fn no_argument<'a>(
    asked: Request<'_>,
    whose: &str,
    entries: impl Iterator<Item = &'a Entry>,
) -> Error {
    let (place, what) = (asked.place(), asked.what());
    let (mut there, mut seen) = (Vec::new(), BTreeSet::new());
    for word in entries.flat_map(|entry| &entry.arguments) {
        let is_ours = ["init=", "root="].iter().any(|kept| word.text.starts_with(kept));
        if !is_ours && !word.text.starts_with(['$', '/']) && seen.insert(&word.text) {
            there.push(word.text.as_str());
        }
    }
    let whole = there.iter().filter(|word| word.split('=').next() == Some(&what));
    let whole: Vec<&str> = whole.copied().collect();
    let hint = match whole.as_slice() {
        [] => format!("give one of those there are: {}", there.join(" ")),
        found => format!("give it with its value: {}", found.join(" or ")),
    };
    Error::Recipe { what: format!("{place}: {whose} the argument {what}"), hint: hint.into() }
}

pub(super) fn no_entry<'a>(
    asked: &Spanned<String>,
    what: &str,
    entries: impl IntoIterator<Item = &'a Entry>,
) -> Error {
    Error::Recipe {
        what: format!("{}: no entry of {what} is called {:?}", asked.place, asked.value),
        hint: titles_hint(entries),
    }
}

fn titles_hint<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Advice {
    let mut seen = BTreeSet::new();
    let titles: Vec<String> =
        entries.into_iter().map(Entry::path).filter(|path| seen.insert(path.clone())).collect();
    let titles: Few = titles.iter().collect();
    format!("give a part of one of these: {titles}").into()
}

/// The error for a command line that is longer than somebody takes: it names what was asked for it. `named` of the bytes
/// that are needed are names of initrds that are put in.
pub(crate) fn too_long(
    what: &str,
    (needed, named): (usize, usize),
    boot: &Boot,
    (whose, most): (&str, usize),
) -> Error {
    let asked = [
        (setting!(karg), !boot.add.is_empty()),
        (setting!(karg_replace), !boot.replace.is_empty()),
        (setting!(serial), !boot.serial.is_empty()),
        (setting!(label), boot.label.is_some()),
        (setting!(key), !boot.credentials.is_empty()),
    ];
    let asked = asked.iter().filter(|(_, is_asked)| *is_asked);
    let names: Vec<String> = asked.map(|(setting, _)| setting.to_string()).collect();
    if names.is_empty() {
        let looked_for = format!("at most {most} bytes, which {whose} takes");
        let fault = Error::unsupported(what, looked_for, format!("{needed} bytes"));
        return if named == 0 { fault } else { fault.with_hint(without_names(named)) };
    }
    let fits = needed.checked_sub(named).is_some_and(|rest| rest <= most);
    let hint = if named > 0 && fits {
        without_names(named)
    } else if boot.credentials.is_empty() {
        "give fewer or shorter arguments".to_owned()
    } else {
        format!(
            "give one short key, as of Ed25519: with {} credential, keys stand on the kernel's command line",
            setting!(inject)
        )
    };
    let names = names.join(" and ");
    Error::Usage {
        what: format!(
            "{names}: {what} would have {needed} bytes, and {whose} takes at most {most}"
        ),
        hint: hint.into(),
    }
}

/// What can be done where the names of the initrds that are put in are what is too much.
fn without_names(named: usize) -> String {
    let merge = setting!(merge_initrd);
    format!("give {merge}: {named} of these bytes are names of the initrds that are put in")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_and_the_port_itself_are_consoles_that_make_room() {
        let serial = Serial { port: "ttyS0".into(), speed: Some(115_200), unit: Some(0) };
        let rows = [
            ("console=tty0", true),
            ("console=ttyS0", true),
            ("console=ttyS0,9600n8", true),
            ("console=ttyS1,9600", false),
            ("console=hvc0", false),
            ("consoleblank=0", false),
            ("ttyS0", false),
        ];
        for (text, goes) in rows {
            assert_eq!(is_console(text, &serial), goes, "{text}");
        }
    }
}
