//! The path of a file with blanks that stands by itself, without quotes: the shell makes several words of one.

use std::path::Path;

use remaster::error::Error;

use super::typed::Typed;
use super::usage;

/// Plain words that are the path of a file together, and none of one alone.
pub(super) fn file_that_is_there(typed: &Typed<'_>) -> Option<Error> {
    let words = typed.words;
    let is_plain = |place: usize| typed.plain.contains(&place);
    let starts = typed.plain_words().filter(|(_, word)| !Path::new(word).exists());
    let (start, end, path) = starts.into_iter().find_map(|(start, word)| {
        let mut path = word.to_owned();
        let behind = words.iter().enumerate().skip(start.checked_add(1)?);
        behind.take_while(|(place, _)| is_plain(*place)).find_map(|(end, word)| {
            path.extend([" ", word]);
            Path::new(&path).is_file().then(|| (start, end, path.clone()))
        })
    })?;
    let what = format!("{path} stands without quotes, and a shell makes several words of it");
    Some(usage(what, joined(typed, start, end, &path)))
}

/// The line with these words as one.
fn joined(typed: &Typed<'_>, start: usize, end: usize, path: &str) -> String {
    let before = typed.words.iter().take(start).map(String::as_str);
    let behind = typed.words.iter().skip(end).skip(1).map(String::as_str);
    typed.did_you_mean(before.chain([path]).chain(behind))
}
