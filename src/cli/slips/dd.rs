//! `dd`, or `flash` with its operands, or with the flags that other programs have for input and output.

use std::path::Path;

use remaster::error::Error;

use super::role::Kind;
use super::typed::Typed;
use super::usage;

/// Operands of dd that say how it copies.
const HOW: [&str; 9] = ["bs", "cbs", "conv", "count", "ibs", "iflag", "obs", "oflag", "status"];

/// The image and what it is written to, where they stand behind names.
#[derive(Default)]
struct Meant<'a> {
    image: Option<&'a str>,
    targets: Vec<&'a str>,
    others: Vec<&'a str>,
}

/// What is meant by such a command line.
pub(super) fn explain(typed: &Typed<'_>) -> Option<Error> {
    if typed.path != ["flash"] {
        return None;
    }
    let words = typed.words.iter().map(String::as_str).enumerate().skip(1);
    let words = words.map(|(place, word)| (word, typed.plain.contains(&place)));
    let (found, words) = meant(words)?;
    let what = format!("`remaster flash` takes the image and the disk without `{found}`");
    Some(usage(what, typed.did_you_mean(words)))
}

/// The same of `dd` itself, in the place of a command.
pub(super) fn line(typed: &Typed<'_>, dd: usize) -> Option<String> {
    let words = typed.words.iter().map(String::as_str).enumerate();
    let words = words.filter(|(place, _)| *place != dd);
    let (_, words) = meant(words.map(|(_, word)| (word, !word.starts_with('-'))))?;
    typed.proposal(words)
}

/// The first word that `flash` does not take, and the line that is meant by all of them.
fn meant<'a>(mut words: impl Iterator<Item = (&'a str, bool)>) -> Option<(&'a str, Vec<&'a str>)> {
    let mut meant = Meant::default();
    let mut found = None;
    while let Some((word, is_plain)) = words.next() {
        let is_plain = is_plain && !Path::new(word).exists();
        match word.split_once('=').filter(|_| is_plain) {
            Some(("if", image)) => meant.image = Some(image),
            Some(("of", disk)) => meant.targets.push(disk),
            Some((name, _)) if HOW.contains(&name) => {}
            _ => match word {
                "-i" | "--input" => meant.image = words.next().map(|(next, _)| next),
                "-o" | "--output" => meant.targets.extend(words.next().map(|(next, _)| next)),
                _ => {
                    meant.others.push(word);
                    continue;
                }
            },
        }
        found = found.or(Some(word));
    }
    let Meant { image, targets, others } = meant;
    let is_disk =
        |target: &&str| target.starts_with("/dev/") || Kind::recognize(target) == Some(Kind::Disk);
    let (disks, files): (Vec<_>, Vec<_>) = targets.into_iter().partition(is_disk);
    let files = files.into_iter().flat_map(|file| ["--to-file", file]);
    let all = ["flash"].into_iter().chain(image).chain(others).chain(files).chain(disks);
    Some((found?, all.collect()))
}
