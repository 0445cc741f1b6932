//! Dashes and quotes of typography, as pages, chats and PDF files have them in the place of those that are typed.

use std::path::Path;

use clap::Arg;
use remaster::error::Error;

use super::typed::{Typed, flag_of};
use super::usage;

/// Hyphens, dashes and the minus sign (Unicode 16, "Dashes and Hyphens").
const DASHES: [char; 10] = [
    '\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}', '\u{2015}', '\u{2212}', '\u{fe58}',
    '\u{fe63}', '\u{ff0d}',
];

/// What opens a quotation, and what closes it, in any language.
const OPENING: [char; 8] =
    ['\u{201c}', '\u{201d}', '\u{201e}', '\u{201f}', '\u{2018}', '\u{2019}', '\u{201a}', '\u{ab}'];
const CLOSING: [char; 5] = ['\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}', '\u{bb}'];

/// What is meant by a line with such words.
pub(super) fn explain(typed: &Typed<'_>) -> Option<Error> {
    let mut words = typed.words.iter();
    let mut meant: Vec<String> = Vec::new();
    let mut first = None;
    while let Some(word) = words.next() {
        let with_dash = dash(typed, word);
        let with_dash_word = with_dash.as_deref().unwrap_or(word);
        let quoted = quoted(with_dash_word, words.as_slice());
        if first.is_none() && (with_dash.is_some() || quoted.is_some()) {
            first = Some((word, with_dash.is_some()));
        }
        let (text, more) = quoted.unwrap_or_else(|| (with_dash_word.to_owned(), 0));
        words = words.as_slice().get(more..)?.iter();
        meant.push(text);
    }
    let (word, is_dash) = first?;
    let what = if is_dash {
        format!("`{word}` begins with a dash of typography, and flags begin with `-`")
    } else {
        format!("`{word}` has quotes of typography, which a shell does not take for quotes")
    };
    let is_more = typed.refusal(&meant.iter().map(String::as_str).collect::<Vec<_>>());
    let hint = match is_more {
        None => typed.did_you_mean(meant.iter().map(String::as_str)),
        Some(_) if is_dash => "write `-`, or `--` in front of a word".to_owned(),
        Some(_) => "write `'` or `\"`".to_owned(),
    };
    Some(usage(what, hint))
}

/// A flag of the command with the dashes that are typed, if a word is one with others.
fn dash(typed: &Typed<'_>, word: &str) -> Option<String> {
    let is_other = |c: char| DASHES.contains(&c);
    let rest = word.trim_start_matches(|c| c == '-' || is_other(c));
    let is_meant = word.chars().take_while(|c| *c == '-' || is_other(*c)).any(is_other);
    let name = rest.split('=').next().filter(|_| is_meant && !Path::new(word).exists())?;
    let letter = name.chars().next()?;
    let is_letter = |arg: &Arg| arg.get_short() == Some(letter) && name.len() == letter.len_utf8();
    if typed.command.get_arguments().any(is_letter) {
        return Some(format!("-{rest}"));
    }
    flag_of(typed.command, name).map(|_| format!("--{rest}"))
}

/// The text between such quotes, and how many of the words behind are part of it.
fn quoted(word: &str, behind: &[String]) -> Option<(String, usize)> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) if name.starts_with("--") => (format!("{name}="), value),
        _ => (String::new(), word),
    };
    let inner = value.strip_prefix(OPENING).filter(|_| !Path::new(word).exists())?;
    let all = [inner].into_iter().chain(behind.iter().map(String::as_str));
    let more = all.clone().position(|part| part.ends_with(CLOSING))?;
    let text = all.take(more.checked_add(1)?).collect::<Vec<_>>().join(" ");
    Some((format!("{name}{}", text.strip_suffix(CLOSING)?), more))
}
