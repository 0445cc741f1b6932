//! Values that a flag does not take, flags without a value, and flags that exclude each other.

use std::num::{IntErrorKind, ParseIntError};
use std::path::Path;

use clap::Arg;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use remaster::error::Error;

use super::typed::{Typed, flag_of, takes_the_next};
use super::usage;
use crate::cli::shell::shell_quote;

/// What is said of them; none for what the parser refuses for another reason.
pub(super) fn explain(typed: &Typed<'_>, refused: &clap::Error) -> Option<Error> {
    let one = |kind| match refused.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    if refused.kind() == ErrorKind::InvalidUtf8 {
        return Some(no_text(typed));
    }
    let flag = one(ContextKind::InvalidArg)?;
    let help = || format!("`{} --help` shows what it takes", typed.name());
    let value = one(ContextKind::InvalidValue).unwrap_or_default();
    match refused.kind() {
        ErrorKind::InvalidValue | ErrorKind::ValueValidation if value.is_empty() => {
            Some(usage(format!("{flag} needs a value"), allowed(refused).unwrap_or_else(help)))
        }
        ErrorKind::InvalidValue => {
            let elsewhere = ELSEWHERE
                .iter()
                .find(|(of, values, _)| flag.starts_with(of) && values.contains(&value));
            let hint = elsewhere.map(|(_, _, hint)| (*hint).to_owned());
            let hint = hint.or_else(|| allowed(refused)).unwrap_or_else(help);
            Some(usage(format!("{flag} does not take `{value}`"), hint))
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(refused)
                .map(|source| why(source, value))
                .unwrap_or_default();
            let hint = in_units(flag, value).or_else(|| digest(flag, value)).unwrap_or_else(help);
            Some(usage(format!("{flag} does not take `{value}`{why}"), hint))
        }
        ErrorKind::TooManyValues => Some(usage(
            format!("{flag} takes no value, and `{value}` is given"),
            format!("give {flag} alone, or leave it out"),
        )),
        ErrorKind::ArgumentConflict => {
            let others = others(refused);
            if others == flag {
                return Some(usage(
                    format!("{flag} is given more than once"),
                    "give it once".into(),
                ));
            }
            let what = match others.as_str() {
                "" => format!("{flag} excludes another argument"),
                others => format!("{flag} and {others} exclude each other"),
            };
            Some(usage(what, "leave one of them out".to_owned()))
        }
        _ => None,
    }
}

/// Values that are taken elsewhere: the flag, the values, what to do.
const ELSEWHERE: &[(&str, &[&str], &str)] = &[
    ("--as ", &["oci"], "`remaster stamp BASE USERS --as oci -o FOLDER` writes such layouts"),
    (
        "--as ",
        &["qcow2", "vdi", "vhdx", "vmdk"],
        "write an image, and convert it: `qemu-img convert -f raw -O qcow2 IMAGE.iso IMAGE.qcow2`",
    ),
    ("--as ", &["iso", "img", "raw"], "leave it out: an image is what is written without it"),
];

/// How a SHA-256 is given that is written in another form, or stands in a file.
fn digest(flag: &str, value: &str) -> Option<String> {
    if !flag.starts_with("--sha256 ") {
        return None;
    }
    if Path::new(value).is_file() {
        return Some(format!(
            "give the file to --sha256-file: `--sha256-file {}`",
            shell_quote(Path::new(value))
        ));
    }
    if value.starts_with("sha256-") {
        return Some(format!(
            "that is base64, as Nix prints it: `nix hash convert --to base16 {value}` gives the digits"
        ));
    }
    let words = value.split(|c: char| c.is_whitespace() || c == ':');
    let is_digits = |word: &&str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    words.into_iter().find(is_digits).map(|digits| format!("give the digits alone: `{digits}`"))
}

type Unit = (&'static str, &'static str, &'static str, &'static [(&'static str, u64)]);

/// What a number counts, by what stands for it in help texts: what it is called, an example, and how many of it other units
/// are, by their letters.
const UNITS: &[Unit] = &[
    (
        "<SECONDS>",
        "seconds",
        "600",
        &[("s", 1), ("sec", 1), ("m", 60), ("min", 60), ("h", 3600), ("d", 86_400)],
    ),
    (
        "<MIB>",
        "MiB",
        "2048",
        &[("m", 1), ("mb", 1), ("mib", 1), ("g", 1024), ("gb", 1024), ("gib", 1024)],
    ),
];

/// How a value is written that has a unit or is a word, where a number of one unit is wanted; and the part of a batch.
fn in_units(flag: &str, value: &str) -> Option<String> {
    if flag.starts_with("--shard ") {
        let of = value.split_once('/')?.1.parse::<u64>().ok().filter(|of| *of > 0)?;
        return Some(format!("there are {of} parts in it: give `1/{of}` to `{of}/{of}`"));
    }
    let (_, unit, example, others) = UNITS.iter().find(|(name, ..)| flag.ends_with(name))?;
    if value.parse::<i128>().is_ok() {
        return None;
    }
    let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, letters) = value.split_at_checked(end)?;
    let letters = letters.trim().to_lowercase();
    let one = others.iter().find(|(other, _)| *other == letters).map(|(_, one)| *one);
    let whole =
        number.parse::<u64>().ok().zip(one).and_then(|(number, one)| number.checked_mul(one));
    Some(match whole {
        Some(whole) => format!("give {unit}, as {whole}"),
        None => format!("give {unit}, as {example}"),
    })
}

/// A word that says yes or no, and how it is written behind `=`.
const TRUTHS: &[(&str, &str)] = &[
    ("true", "true"),
    ("yes", "true"),
    ("on", "true"),
    ("1", "true"),
    ("false", "false"),
    ("no", "false"),
    ("off", "false"),
    ("0", "false"),
];

/// A value behind a flag that takes one only behind `=`, or none: the parser takes it for a file or a disk.
pub(super) fn value_behind(typed: &Typed<'_>) -> Option<Error> {
    typed.plain_words().find_map(|(place, word)| {
        let (name, flag) = typed
            .before(place)
            .filter(|(_, flag)| !takes_the_next(flag) && !Path::new(word).exists())?;
        let truth = TRUTHS.iter().find(|(truth, _)| *truth == word).map(|(_, value)| *value);
        let mut values = flag.get_possible_values().into_iter();
        let is_value = flag.get_action().takes_values();
        let value = values.find(|value| is_value && value.matches(word, false)).map(|_| word);
        let hint = match (is_value, value.or(truth)) {
            (_, None) => return None,
            (true, Some(value)) => format!("write `{}={value}`", long_of(flag, name)),
            (false, Some("false")) => no_form(typed, flag, name),
            (false, Some(_)) => format!("give {name} alone"),
        };
        Some(usage(format!("{name} takes no value after a blank, and `{word}` stands there"), hint))
    })
}

fn long_of(flag: &Arg, name: &str) -> String {
    flag.get_long().map_or_else(|| name.to_owned(), |long| format!("--{long}"))
}

/// How what a flag asks for is declined.
fn no_form(typed: &Typed<'_>, flag: &Arg, name: &str) -> String {
    let opposite = flag.get_long().map(|long| format!("no-{long}"));
    match opposite.filter(|opposite| flag_of(typed.command, opposite).is_some()) {
        Some(opposite) => format!("give --{opposite} in its place"),
        None => format!("leave {name} out"),
    }
}

/// An argument that is not text, where text is wanted. What is not text shows as U+FFFD.
fn no_text(typed: &Typed<'_>) -> Error {
    let mut words = typed.words.iter().enumerate();
    let found = words.find(|(_, word)| word.contains(char::REPLACEMENT_CHARACTER));
    let flag = found.and_then(|(place, _)| typed.before(place)).map(|(flag, _)| flag);
    let what = match (flag, found) {
        (Some(flag), Some((_, word))) => format!("{flag} takes text in UTF-8, not `{word}`"),
        (_, Some((_, word))) => format!("`{word}` is not text in UTF-8"),
        (_, None) => "an argument is not text in UTF-8".to_owned(),
    };
    usage(what, "type it again, on a terminal that is set to UTF-8 (`locale charmap`)".to_owned())
}

/// Why a value was not understood, behind it.
fn why(source: &(dyn std::error::Error + 'static), value: &str) -> String {
    // The words of this one are about text in a program.
    if let Some(fault) = source.downcast_ref::<ParseIntError>() {
        return format!(": {}", no_number(fault, value));
    }
    // A range is written as in a program.
    let text = source.to_string().replace(" is not in ", " is not from ").replace("..=", " to ");
    format!(": {text}")
}

/// Why a word is not a number that is taken.
fn no_number(fault: &ParseIntError, value: &str) -> &'static str {
    let is_negative = value.strip_prefix('-').is_some_and(|digits| digits.parse::<u128>().is_ok());
    match fault.kind() {
        IntErrorKind::Zero => "it must be 1 or more",
        IntErrorKind::PosOverflow => "it is too large",
        _ if is_negative => "it must not be negative",
        _ => "not a whole number",
    }
}

/// The values that a flag takes, if they are few enough to be listed.
fn allowed(refused: &clap::Error) -> Option<String> {
    match refused.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) if (1..=12).contains(&values.len()) => {
            Some(format!("give one of {}", values.join(", ")))
        }
        _ => None,
    }
}

fn others(refused: &clap::Error) -> String {
    match refused.get(ContextKind::PriorArg) {
        Some(ContextValue::String(one)) => one.clone(),
        Some(ContextValue::Strings(all)) => all.join(", "),
        _ => String::new(),
    }
}
