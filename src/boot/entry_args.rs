//! The kernel arguments of an entry: those that are taken out, changed and added, and the entries that are meant.

use crate::error::{Advice, Error, Result};
use crate::formats::boot_config::Entry;
use crate::recipe::edits::{Boot, Credential, Replacement, Serial, Spanned};
use crate::recipe::setting;

/// Bytes of a kernel's command line with the one that ends it, on x86 and arm64 (Linux
/// `COMMAND_LINE_SIZE`).
pub(crate) const LONGEST_COMMAND_LINE: usize = 2048;

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
pub(crate) fn arguments(
    entry: &Entry,
    boot: &Boot,
    old_label: &str,
    credential: Option<&Credential>,
) -> Result<Arguments> {
    let selected = is_selected(entry, boot);
    let kept = entry.arguments.iter().map(|word| {
        let text = relabelled(&word.text, boot, old_label);
        let goes = boot.consoles().any(|serial| is_console(&text, serial))
            || selected && boot.delete.iter().any(|asked| asked.value == text);
        (!goes).then_some(text)
    });
    let mut kept: Vec<Option<String>> = kept.collect();
    for asked in boot.replace.iter().filter(|_| selected) {
        replace(&mut kept, asked, entry)?;
    }
    let mut added = if selected { boot.add.clone() } else { Vec::new() };
    if !boot.serial.is_empty() {
        // Messages go to all consoles, `/dev/console` is the last one.
        added.push(SCREEN.to_owned());
        added.extend(boot.consoles().map(Serial::console));
    }
    added.extend(credential.map(|credential| credential.argument.clone()));
    Ok(Arguments { kept, added })
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

fn replace(kept: &mut [Option<String>], asked: &Spanned<Replacement>, entry: &Entry) -> Result<()> {
    let wanted = &asked.value;
    let mut found: Vec<&mut String> =
        kept.iter_mut().flatten().filter(|text| is_replaced(text, wanted)).collect();
    if wanted.old.is_none() && found.len() > 1 {
        return Err(Error::Recipe {
            what: format!(
                "{}: the entry {:?} has {}= several times",
                asked.place,
                entry.path(),
                wanted.key
            ),
            hint: format!("say which one, as {}=OLD={}", wanted.key, wanted.new).into(),
        });
    }
    for text in &mut found {
        **text = format!("{}={}", wanted.key, wanted.new);
    }
    Ok(())
}

fn is_replaced(text: &str, wanted: &Replacement) -> bool {
    let value = text.strip_prefix(&wanted.key).and_then(|rest| rest.strip_prefix('='));
    value.is_some_and(|value| wanted.old.as_ref().is_none_or(|old| old == value))
}

pub(super) fn contains(whole: &str, part: &str) -> bool {
    whole.to_lowercase().contains(&part.to_lowercase())
}

/// Whether a part of a title or label is one of this entry.
pub(super) fn is_named(entry: &Entry, part: &str) -> bool {
    let label = entry.label.as_ref();
    contains(&entry.path(), part) || label.is_some_and(|label| contains(&label.text, part))
}

pub(crate) fn is_selected(entry: &Entry, boot: &Boot) -> bool {
    boot.entries.is_empty() || boot.entries.iter().any(|asked| is_named(entry, &asked.value))
}

/// Refuses what no entry has.
pub(crate) fn check_found(entries: &[&Entry], boot: &Boot) -> Result<()> {
    let entries = || entries.iter().copied();
    for asked in &boot.entries {
        if !entries().any(|entry| is_named(entry, &asked.value)) {
            return Err(no_entry(asked, "any menu", entries()));
        }
    }
    if let Some(asked) = &boot.default_entry
        && asked.value.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(Error::Recipe {
            what: format!(
                "{}: {:?} is a number, and entries go by title",
                asked.place, asked.value
            ),
            hint: titles_hint(entries()),
        });
    }
    let selected = || entries().filter(|entry| is_selected(entry, boot));
    let has = |wanted: &dyn Fn(&str) -> bool| {
        selected().any(|entry| entry.arguments.iter().any(|word| wanted(&word.text)))
    };
    for asked in &boot.delete {
        if !has(&|text| text == asked.value) {
            return Err(no_argument(&asked.place, &asked.value, selected()));
        }
    }
    for Spanned { value, place } in &boot.replace {
        if !has(&|text| is_replaced(text, value)) {
            let old = value.old.as_deref().unwrap_or("…");
            return Err(no_argument(place, &format!("{}={old}", value.key), selected()));
        }
    }
    Ok(())
}

fn no_argument<'a>(place: &str, what: &str, entries: impl Iterator<Item = &'a Entry>) -> Error {
    let mut there: Vec<&str> = Vec::new();
    for word in entries.flat_map(|entry| &entry.arguments) {
        let is_ours = ["init=", "root="].iter().any(|kept| word.text.starts_with(kept));
        if !is_ours && !there.contains(&word.text.as_str()) && !word.text.starts_with(['$', '/']) {
            there.push(&word.text);
        }
    }
    let whole = there.iter().filter(|word| word.split('=').next() == Some(what));
    let whole: Vec<&str> = whole.copied().collect();
    let hint = match whole.as_slice() {
        [] => format!("give one of those there are: {}", there.join(" ")),
        found => format!("give it with its value: {}", found.join(" or ")),
    };
    Error::Recipe { what: format!("{place}: no entry has the argument {what}"), hint: hint.into() }
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
    let mut titles: Vec<String> = Vec::new();
    for entry in entries {
        let path = entry.path();
        if !titles.contains(&path) {
            titles.push(path);
        }
    }
    format!("give a part of one of these: {}", titles.join("; ")).into()
}

/// The error for a command line that is longer than the kernel takes: it names what was asked for it.
pub(crate) fn too_long(what: &str, needed: usize, boot: &Boot) -> Error {
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
        let looked_for = format!("at most {LONGEST_COMMAND_LINE} bytes");
        return Error::unsupported(what, looked_for, format!("{needed} bytes"));
    }
    let hint = if boot.credentials.is_empty() {
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
            "{names}: {what} would have {needed} bytes, and the kernel takes at most {LONGEST_COMMAND_LINE}"
        ),
        hint: hint.into(),
    }
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
