//! The words of a line of a script, and where they stand.

use crate::formats::boot_config::Word;

/// Words between blanks; the quotes around values are the kernel's.
pub(super) fn words(text: &str, start: usize) -> Vec<Word> {
    let mut found: Vec<Word> = Vec::new();
    let mut at = start;
    for part in text.split_inclusive(char::is_whitespace) {
        let word = part.trim_end();
        if !word.is_empty() {
            let end = at.saturating_add(word.len());
            found.push(Word { text: word.to_owned(), at: at..end });
        }
        at = at.saturating_add(part.len());
    }
    found
}
