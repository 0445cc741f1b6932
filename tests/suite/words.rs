//! Words that have to be read twice do not stand in messages and documents.

use std::fs;
use std::path::{Path, PathBuf};

/// What must not be written, where it is right all the same, and what to write instead.
const HABITS: [(&str, &str, &str); 12] = [
    (" is no ", "there is no ", "is not a …"),
    (" are no ", "there are no ", "are not …"),
    (" is there already", "", "already exists"),
    ("read back and right", "", "verified"),
    (" is told", "", "the subject first: … says; or: is reported"),
    (" are told", "", "the subject first: … says; or: are reported"),
    (" and told", "", "the subject first: … says; or: is reported"),
    (" not told", "", "the subject first: … does not say; or: is not reported"),
    (" parted by", "", "separated by"),
    (" anew", "", "again"),
    (" be had with", "", "does not work with"),
    ("nobody vouches", "", "what happens: is not protected against changes"),
];

/// Words behind which a habit is another thing.
const OTHERWISE: [&str; 3] = ["longer", "more", "other"];

fn files(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, endings, found);
        } else if path.extension().is_some_and(|end| endings.iter().any(|one| end == *one)) {
            found.push(path);
        }
    }
}

/// The habit of a line, and what to write instead.
fn habit(line: &str) -> Option<(&'static str, &'static str)> {
    let lower = line.to_lowercase();
    let is_one = |(words, but, _): &&(&str, &str, &str)| {
        lower.match_indices(words).any(|(at, _)| {
            let behind = &lower[at + words.len()..];
            let before = &lower[..at + words.len()];
            let is_right = !but.is_empty() && before.ends_with(but);
            !is_right && !OTHERWISE.iter().any(|word| behind.starts_with(word))
        })
    };
    HABITS.iter().find(is_one).map(|(words, _, instead)| (words.trim(), *instead))
}

#[test]
fn messages_and_documents_are_in_plain_words() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    // Shell goes into images byte for byte: no word is worth another image.
    files(&root.join("src"), &["rs"], &mut all);
    files(&root.join("docs"), &["md"], &mut all);
    files(&root.join(".github"), &["md", "yml"], &mut all);
    all.push(root.join("tests/README.md"));
    let mut found = Vec::new();
    for path in &all {
        let text = fs::read_to_string(path).unwrap();
        for (number, line) in (1..).zip(text.lines()) {
            if let Some((words, instead)) = habit(line) {
                found
                    .push(format!("{}:{number}: \"{words}\"; write \"{instead}\"", path.display()));
            }
        }
    }
    assert!(all.len() > 200 && found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_habit_is_seen_and_what_is_right_is_not() {
    for line in
        ["x is no number", "these are no files", "the output is there already", "make it anew"]
    {
        assert!(habit(line).is_some(), "{line}");
    }
    for line in ["there is no file", "it is no longer there", "There are no files"] {
        assert_eq!(habit(line), None, "{line}");
    }
}
