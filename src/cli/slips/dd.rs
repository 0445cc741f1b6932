//! `flash` with the operands of dd, or with the flags that other programs have for input and output.

use std::path::Path;

use remaster::error::Error;

use super::typed::Typed;
use super::usage;

/// Operands of dd that say how it copies.
const HOW: [&str; 9] = ["bs", "cbs", "conv", "count", "ibs", "iflag", "obs", "oflag", "status"];

/// The place of image and disk in a command line of `flash`, where they stand behind names.
#[derive(Default)]
struct Meant<'a> {
    image: Option<&'a str>,
    disks: Vec<&'a str>,
    others: Vec<&'a str>,
}

/// What is meant by such a command line.
pub(super) fn explain(typed: &Typed<'_>) -> Option<Error> {
    if typed.path != ["flash"] {
        return None;
    }
    let mut meant = Meant::default();
    let mut found = None;
    let mut words = typed.words.iter().map(String::as_str).enumerate().skip(1);
    while let Some((place, word)) = words.next() {
        let is_plain = typed.plain.contains(&place) && !Path::new(word).exists();
        match word.split_once('=').filter(|_| is_plain) {
            Some(("if", image)) => meant.image = Some(image),
            Some(("of", disk)) => meant.disks.push(disk),
            Some((name, _)) if HOW.contains(&name) => {}
            _ => match word {
                "-i" | "--input" => meant.image = words.next().map(|(_, next)| next),
                "-o" | "--output" => meant.disks.extend(words.next().map(|(_, next)| next)),
                _ => {
                    meant.others.push(word);
                    continue;
                }
            },
        }
        found = found.or(Some(word));
    }
    let what = format!("`remaster flash` takes the image and the disk without `{}`", found?);
    let words = ["flash"].into_iter().chain(meant.image).chain(meant.others).chain(meant.disks);
    Some(usage(what, typed.did_you_mean(words)))
}
