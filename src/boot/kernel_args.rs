//! Kernel arguments, menus, the serial console, and the volume's label.

use super::entry_args::{LONGEST_COMMAND_LINE, distinct};
use crate::checked;
use crate::error::Result;
use crate::formats::boot_config::{Syntax, passes_over};
use crate::recipe::edits::{Boot, Replacement, Serial, Spanned};
use crate::recipe::{Phrase, Recipe, setting};
use crate::stop;

/// What overflows where numbers of bytes do.
const LINE: &str = "a command line";

/// Characters of a label (ECMA-119 §8.4.6 has 32 d-characters; xorriso writes lower case, too).
const LONGEST_LABEL: usize = 32;

/// Characters of a name: with a title it should fit on a line of a menu.
const LONGEST_NAME: usize = 40;

/// Seconds that isolinux can wait: 35996 tenths (SYSLINUX doc/syslinux.txt, TIMEOUT).
const LONGEST_TIMEOUT: u16 = 3599;

/// The label of the filesystem that UEFI starts from, on official images.
const ESP_LABEL: &str = "EFIBOOT";

/// Speeds of serial ports. Those of PCs, and so GRUB and isolinux, end at 115200.
const SPEEDS: [u32; 8] = [9600, 19_200, 38_400, 57_600, 115_200, 230_400, 921_600, 1_500_000];
const FASTEST_OF_PCS: u32 = 115_200;

/// Arguments that are not the user's to change, and why.
const KEPT: [(&str, Phrase); 5] = [
    ("init", Phrase("names the system that is started", &[])),
    (
        "rdinit",
        Phrase("names the program that the initrd starts, which brings in what was put in", &[]),
    ),
    ("root", Phrase("names the volume: it follows {}", &[setting!(label)])),
    ("initrd", Phrase("is how isolinux names initrds", &[])),
    ("BOOT_IMAGE", Phrase("is added by the boot loader", &[])),
];

/// Reads what a recipe says of menus, and refuses what is wrong whatever the image.
pub(crate) fn gather(recipe: &Recipe) -> Result<Boot> {
    let entries = listed(recipe, "entry", &recipe.entry, |text| {
        if text.trim().is_empty() {
            Err("an empty title would mean every entry".into())
        } else {
            Ok(text.to_owned())
        }
    })?;
    let add = listed(recipe, "karg", &recipe.karg, new_argument)?;
    check_line(recipe, &add)?;
    let boot = Boot {
        add,
        delete: listed(recipe, "karg-delete", &recipe.karg_delete, argument)?,
        replace: listed(recipe, "karg-replace", &recipe.karg_replace, replacement)?,
        entries,
        serial: serials(recipe)?,
        timeout: timeout(recipe)?,
        default_entry: one(recipe, "default-entry", recipe.default_entry.as_deref(), |text| {
            if text.trim().is_empty() { Err("an empty title".into()) } else { Ok(text.to_owned()) }
        })?,
        label: one(recipe, "label", recipe.label.as_deref(), label)?,
        name: one(recipe, "name", recipe.name.as_deref(), name)?.map(|asked| asked.value),
        credentials: Vec::new(),
    };
    let has_arguments = !(boot.add.is_empty() && boot.delete.is_empty() && boot.replace.is_empty());
    if !boot.entries.is_empty() && !has_arguments {
        return Err(recipe.fault(
            "entry",
            0,
            "entries are chosen, but no argument is changed",
            format!(
                "give {}, {} or {} with it; everything else is for all entries",
                setting!(karg),
                setting!(karg_delete),
                setting!(karg_replace)
            ),
        ));
    }
    Ok(boot)
}

/// Refuses arguments that are longer than the kernel's command line whatever the entry has, before they are compared with
/// each other and with what entries have.
fn check_line(recipe: &Recipe, add: &[Spanned<String>]) -> Result<()> {
    // With a blank in front of each, and what ends the line.
    let mut needed = 0_usize;
    for asked in distinct(add) {
        needed = checked::sum(needed, checked::sum(asked.value.len(), 1, LINE)?, LINE)?;
    }
    if needed <= LONGEST_COMMAND_LINE {
        return Ok(());
    }
    let what = format!(
        "all arguments together have {needed} bytes, and the kernel takes at most {LONGEST_COMMAND_LINE}"
    );
    Err(recipe.fault("karg", add.len(), what, "give fewer or shorter arguments"))
}

/// The elements of a list, each judged. A fault is what is wrong.
fn listed<T>(
    recipe: &Recipe,
    name: &str,
    given: &[String],
    judge: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<Spanned<T>>> {
    let judged = given.iter().enumerate().map(|(index, text)| {
        stop::check()?;
        let value =
            judge(text).map_err(|what| recipe.fault(name, index, what, hint(name, text)))?;
        Ok(Spanned { value, place: recipe.place(name, index) })
    });
    judged.collect()
}

fn one<T>(
    recipe: &Recipe,
    name: &str,
    given: Option<&str>,
    judge: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<Spanned<T>>> {
    let given: Vec<String> = given.map(str::to_owned).into_iter().collect();
    Ok(listed(recipe, name, &given, judge)?.pop())
}

fn hint(name: &str, text: &str) -> String {
    let key = text.split('=').next().unwrap_or_default();
    let words = match name {
        "karg" | "karg-delete" | "karg-replace" if key == "root" => {
            return format!(
                "give {} for another label of the volume, and leave the argument out",
                setting!(label)
            );
        }
        "karg" | "karg-delete" | "karg-replace"
            if KEPT.iter().any(|(kept, _)| *kept == key) || passes_over(text) =>
        {
            "give other arguments, and leave this one out"
        }
        "karg" | "karg-delete" => {
            return format!(
                "give one argument, as `quiet` or `loglevel=7`; for several, give {} for each, or a list in a file: `[\"quiet\", \"loglevel=7\"]`",
                if name == "karg" { setting!(karg) } else { setting!(karg_delete) }
            );
        }
        "karg-replace" => {
            "give `KEY=NEW`, or `KEY=OLD=NEW` where an entry has the key several times"
        }
        "serial" if text.starts_with("/dev/") => {
            return format!(
                "give the port without its folder: `{}`",
                text.replacen("/dev/", "", 1)
            );
        }
        "serial" => "give a port and its speed, as `ttyS0,115200`",
        "label" => {
            "give up to 32 of the characters A-Z, a-z, 0-9, `.`, `_`, `+` and `-`, a letter or digit first"
        }
        "name" => {
            "give up to 40 letters, digits, blanks and `.,:;_+-()/@#`, without blanks at its ends"
        }
        "timeout" => "give 0 to 3599 seconds; 0 starts the default at once",
        _ => "give a part of an entry's title, as `copytoram`",
    };
    words.to_owned()
}

/// An argument, without the quotes around its value.
fn argument(text: &str) -> Result<String, String> {
    let plain =
        match text.split_once("=\"").and_then(|(key, rest)| Some((key, rest.strip_suffix('"')?))) {
            Some((key, value)) => format!("{key}={value}"),
            None => text.to_owned(),
        };
    let key = plain.split('=').next().unwrap_or_default();
    if key.is_empty() {
        return Err(format!("{text:?} has no name"));
    }
    if key.contains(' ') {
        return Err(format!("{text:?} has a blank in its name: is it several arguments?"));
    }
    if key == "--" {
        return Err("`--` ends the kernel's arguments".into());
    }
    if let Some((key, why)) = KEPT.iter().find(|(kept, _)| *kept == key) {
        return Err(format!("{key}= stays as it is: it {why}"));
    }
    if plain.contains("initrd=") {
        return Err(format!("isolinux would take the `initrd=` in {text:?} for a list of initrds"));
    }
    if [Syntax::Grub, Syntax::Isolinux].iter().any(|syntax| syntax.argument(&plain).is_none()) {
        let odd = plain.chars().find(|c| Syntax::Grub.argument(&format!("x{c}x")).is_none());
        return Err(format!(
            "{text:?} cannot be written in boot menus: GRUB and the kernel do not agree on {:?}",
            odd.unwrap_or_default()
        ));
    }
    Ok(plain)
}

/// One that an entry gets.
fn new_argument(text: &str) -> Result<String, String> {
    let plain = argument(text)?;
    if passes_over(&plain) {
        return Err(format!("with {text:?} the initrd would not start what is put in"));
    }
    Ok(plain)
}

fn replacement(text: &str) -> Result<Replacement, String> {
    let Some((key, rest)) = text.split_once('=').filter(|(_, rest)| !rest.is_empty()) else {
        return Err(format!("{text:?} says no value"));
    };
    let (first, rest) = value_before_sign(rest);
    let (old, new) = match rest {
        Some(rest) => (Some(unquoted(first).to_owned()), unquoted(rest)),
        None => (None, unquoted(first)),
    };
    if let Some(old) = &old {
        argument(&format!("{key}={old}"))?;
    }
    new_argument(&format!("{key}={new}"))?;
    Ok(Replacement { key: key.to_owned(), old, new: new.to_owned() })
}

/// The first value, and what stands behind the `=` after it. Within quotes `=` is a part of a value.
fn value_before_sign(text: &str) -> (&str, Option<&str>) {
    let mut quoted = false;
    let end = text.find(|c: char| {
        quoted ^= c == '"';
        c == '=' && !quoted
    });
    match end.and_then(|end| text.split_at_checked(end)) {
        Some((first, rest)) => (first, rest.strip_prefix('=')),
        None => (text, None),
    }
}

/// A value without the quotes around it.
fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// The ports, each once.
fn serials(recipe: &Recipe) -> Result<Vec<Serial>> {
    let asked = listed(recipe, "serial", &recipe.serial, serial)?;
    let ports: Vec<Serial> = asked.into_iter().map(|asked| asked.value).collect();
    for (index, serial) in ports.iter().enumerate() {
        if ports.iter().take(index).any(|before| before.port == serial.port) {
            let what = format!("{} is given twice", serial.port);
            return Err(recipe.fault("serial", index, what, "give each port once"));
        }
    }
    Ok(ports)
}

/// The port of a word as `ttyS0,115200`; none if a recipe cannot ask for it.
pub(crate) fn port(text: &str) -> Option<Serial> {
    serial(text).ok()
}

fn serial(text: &str) -> Result<Serial, String> {
    let (port, rest) = match text.split_once(',') {
        Some((port, rest)) => (port, Some(rest)),
        None => (text, None),
    };
    let digits = port.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let kind = port.strip_suffix(digits).unwrap_or_default();
    let number: Option<u8> =
        digits.parse().ok().filter(|_| digits.len() < 4 && !digits.starts_with('+'));
    let number = number.ok_or_else(|| format!("{port:?} is not a serial port"))?;
    if digits != number.to_string() {
        return Err(format!("{port:?} is not a serial port: the kernel calls it {kind}{number}"));
    }
    if kind == "hvc" {
        return match rest {
            None => Ok(Serial { port: port.to_owned(), speed: None, unit: None }),
            Some(_) => Err(format!("{port} has no speed")),
        };
    }
    if !["ttyS", "ttyAMA", "ttyUSB", "ttyMSM", "ttyPS", "ttymxc"].contains(&kind) {
        return Err(format!("{port:?} is not a serial port"));
    }
    let speed = rest.map_or("115200", |rest| rest.strip_suffix("n8").unwrap_or(rest));
    let speed: u32 = speed.parse().map_err(|_| format!("{speed:?} is not a speed"))?;
    let unit = Some(number).filter(|number| kind == "ttyS" && *number < 4);
    if !SPEEDS.contains(&speed) {
        return Err(format!("{speed} is not a speed of serial ports"));
    }
    if unit.is_some() && speed > FASTEST_OF_PCS {
        return Err(format!(
            "GRUB and isolinux talk at {port} with {FASTEST_OF_PCS} at the most, not {speed}"
        ));
    }
    Ok(Serial { port: port.to_owned(), speed: Some(speed), unit })
}

fn timeout(recipe: &Recipe) -> Result<Option<u16>> {
    let Some(seconds) = recipe.timeout else { return Ok(None) };
    match u16::try_from(seconds) {
        Ok(seconds) if seconds <= LONGEST_TIMEOUT => Ok(Some(seconds)),
        _ => Err(recipe.fault(
            "timeout",
            0,
            format!("{seconds} seconds are more than isolinux can wait"),
            hint("timeout", ""),
        )),
    }
}

/// Characters that udev leaves as they are in /dev/disk/by-label, and that mean nothing to anybody else.
fn label(text: &str) -> Result<String, String> {
    let odd = text.chars().find(|c| !c.is_ascii_alphanumeric() && !"._+-".contains(*c));
    if text.is_empty() {
        Err("an empty label".into())
    } else if let Some(odd) = odd {
        Err(format!("{text:?} has {odd:?} in it"))
    } else if text.len() > LONGEST_LABEL {
        Err(format!("{text:?} has {} characters, a volume's label {LONGEST_LABEL}", text.len()))
    } else if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        Err(format!("{text:?} begins with neither letter nor digit"))
    } else if text == ESP_LABEL {
        Err(format!("{text:?} is the label of the partition that UEFI starts from"))
    } else {
        Ok(text.to_owned())
    }
}

fn name(text: &str) -> Result<String, String> {
    let odd = text.chars().find(|c| !c.is_ascii_alphanumeric() && !" .,:;_+-()/@#".contains(*c));
    if text.is_empty() {
        Err("an empty name".into())
    } else if let Some(odd) = odd {
        Err(format!("{text:?} has {odd:?} in it, which menus would take for something else"))
    } else if text.len() > LONGEST_NAME {
        Err(format!("{text:?} has {} characters, more than {LONGEST_NAME}", text.len()))
    } else if text.trim() != text {
        Err(format!("{text:?} begins or ends with a blank"))
    } else {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(recipe: &Recipe) -> String {
        gather(recipe).unwrap_err().to_string()
    }

    fn with(change: impl FnOnce(&mut Recipe)) -> Box<Recipe> {
        let mut recipe = Box::<Recipe>::default();
        change(&mut recipe);
        recipe
    }

    #[test]
    fn what_is_wrong_is_said_of_each() {
        let karg = |text: &str| with(|r| r.karg = vec![text.into()]);
        let serial = |text: &str| with(|r| r.serial = vec![text.into()]);
        let label = |text: &str| with(|r| r.label = Some(text.into()));
        let name = |text: &str| with(|r| r.name = Some(text.into()));
        let replace = |text: &str| with(|r| r.karg_replace = vec![text.into()]);
        for (recipe, words) in [
            (karg("init=/bin/sh"), "--karg: init= stays as it is: it names the system"),
            (karg("root=LABEL=x"), "root= stays as it is: it names the volume"),
            (karg("rdinit=/x"), "rdinit= stays as it is"),
            (karg("noinitrd"), "with \"noinitrd\" the initrd would not start what is put in"),
            (karg("rd.systemd.unit=x"), "the initrd would not start what is put in"),
            (replace("rd.systemd.unit=x"), "the initrd would not start what is put in"),
            (karg("initrd=/x"), "initrd= stays as it is"),
            (karg("rd.initrd=/x"), "isolinux would take the `initrd=`"),
            (karg("quiet splash"), "is it several arguments?"),
            (karg("a=b'c"), "do not agree on '\\''"),
            (karg("a=b\\c"), "do not agree on '\\\\'"),
            (karg("a=b\nc"), "do not agree on '\\n'"),
            (karg("a=\"b"), "do not agree on '\"'"),
            (karg("a=ü"), "do not agree on 'ü'"),
            (karg("=x"), "has no name"),
            (karg("--"), "ends the kernel's arguments"),
            (with(|r| r.karg_delete = vec!["init=/x".into()]), "--karg-delete: init= stays"),
            (replace("quiet"), "--karg-replace: \"quiet\" says no value"),
            (replace("root=x=y"), "root= stays as it is"),
            (serial("COM1"), "--serial: \"COM1\" is not a serial port"),
            (serial("ttyS"), "\"ttyS\" is not a serial port"),
            (serial("ttyS00"), "\"ttyS00\" is not a serial port: the kernel calls it ttyS0"),
            (serial("ttyS00,9600"), "the kernel calls it ttyS0"),
            (serial("hvc01"), "the kernel calls it hvc1"),
            (replace("a=\"b=c"), "do not agree on '\"'"),
            (serial("ttyS0,fast"), "\"fast\" is not a speed"),
            (serial("ttyS0,115201"), "115201 is not a speed of serial ports"),
            (serial("ttyS0,921600"), "with 115200 at the most, not 921600"),
            (serial("hvc0,9600"), "hvc0 has no speed"),
            (label(""), "--label: an empty label"),
            (label("my label"), "has ' ' in it"),
            (label("é"), "has 'é' in it"),
            (label("a2345678901234567890123456789012x"), "has 33 characters, a volume's label 32"),
            (label("-x"), "begins with neither letter nor digit"),
            (label("EFIBOOT"), "the partition that UEFI starts from"),
            (name("a>b"), "--name: \"a>b\" has '>' in it"),
            (name("$x"), "has '$' in it"),
            (name(" x"), "begins or ends with a blank"),
            (name(&"x".repeat(41)), "has 41 characters, more than 40"),
            (with(|r| r.timeout = Some(3600)), "--timeout: 3600 seconds are more than isolinux"),
            (with(|r| r.entry = vec!["x".into()]), "--entry: entries are chosen, but no argument"),
            (with(|r| r.entry = vec![" ".into()]), "an empty title would mean every entry"),
            (with(|r| r.default_entry = Some(String::new())), "--default-entry: an empty title"),
        ] {
            let found = fault(&recipe);
            assert!(found.contains(words), "{found:?} says nothing of {words:?}");
            let fault = gather(&recipe).unwrap_err();
            assert!(
                fault.advice().and_then(crate::error::Advice::words).unwrap().starts_with("give ")
            );
        }
    }

    #[test]
    fn a_value_ends_at_a_sign_outside_of_quotes() {
        for (text, key, old, new) in [
            ("a=b", "a", None, "b"),
            ("a=b=c", "a", Some("b"), "c"),
            ("a=\"b=c\"", "a", None, "b=c"),
            ("a=b=\"c=d\"", "a", Some("b"), "c=d"),
            ("a=\"b=c\"=d", "a", Some("b=c"), "d"),
            ("a=\"b=c\"=\"d e\"", "a", Some("b=c"), "d e"),
        ] {
            let found = replacement(text).unwrap();
            assert_eq!((found.key.as_str(), found.old.as_deref(), &*found.new), (key, old, new));
        }
    }

    #[test]
    fn what_is_right_is_taken() {
        let recipe = with(|r| {
            r.karg = vec!["quiet".into(), "dyndbg=\"file x +p\"".into(), "a=b=c;{$d}".into()];
            r.karg_replace = vec!["loglevel=7".into(), "lsm=a=b".into()];
            r.serial = vec!["ttyS0".into(), "ttyS1,9600n8".into()];
            r.label = Some("a2345678901234567890123456789012".into());
        });
        let boot = gather(&recipe).unwrap();
        let added: Vec<&str> = boot.add.iter().map(|asked| asked.value.as_str()).collect();
        assert_eq!(added, ["quiet", "dyndbg=file x +p", "a=b=c;{$d}"]);
        assert_eq!(boot.replace[0].value.old, None);
        assert_eq!(
            (boot.replace[1].value.old.as_deref(), &*boot.replace[1].value.new),
            (Some("a"), "b")
        );
        assert_eq!(boot.serial.len(), 2);
        let serial = &boot.serial[1];
        assert_eq!((serial.console().as_str(), serial.unit), ("console=ttyS1,9600n8", Some(1)));
        let port = |text: &str| super::serial(text).unwrap();
        assert_eq!(port("ttyS0").console(), "console=ttyS0,115200n8");
        assert_eq!(
            (port("ttyAMA0,1500000").unit, port("ttyS4").unit, port("hvc0").speed),
            (None, None, None)
        );
        assert!(gather(&Recipe::default()).unwrap().is_empty());
    }
}
