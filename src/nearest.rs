//! The name that is meant by a mistyped one.

/// Bytes of the longest word that is compared. A longer one is not a mistyped name, and to compare it takes long.
const LONGEST: usize = 64;

/// Letters of a word for which it may differ in one more.
const LETTERS: usize = 4;

/// Letters that a mistyped word differs in at most.
const MISTYPED_LETTERS: usize = 2;

/// The name that was mistyped, if the word differs little from it: one of another meaning would be worse than none.
pub fn typo<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (most, names) = (allowed(word), names.into_iter());
    nearest(word, names.filter(|name| is_near_in_parts(word, name)), |name| most.min(allowed(name)))
}

/// One letter in words of up to seven: two of four or five make another word.
fn allowed(word: &str) -> usize {
    let letters = word.chars().count();
    if letters < 3 { 0 } else { (letters / LETTERS).clamp(1, MISTYPED_LETTERS) }
}

/// Whether each part of a name differs little, where both have as many: `root-key` is not `host-key`.
fn is_near_in_parts(word: &str, name: &str) -> bool {
    let word = word.to_lowercase();
    let (own, other): (Vec<&str>, Vec<&str>) =
        (word.split('-').collect(), name.split('-').collect());
    let is_near = |own: &str, other: &str| {
        own == other || nearest(own, [other], |_| allowed(other)).is_some()
    };
    own.len() == 1
        || own.len() != other.len()
        || own.iter().zip(&other).all(|(own, other)| is_near(own, other))
}

/// The name that differs least from a word, in whatever case, if it differs in no more letters than `most` allows for
/// that name.
pub fn nearest<'a>(
    word: &str,
    names: impl IntoIterator<Item = &'a str>,
    most: impl Fn(&str) -> usize,
) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_lowercase();
    let letters = |name: &str| strsim::damerau_levenshtein(&word, &name.to_lowercase());
    let distances = names.into_iter().map(|name| (letters(name), name));
    distances.filter(|(letters, name)| *letters <= most(name)).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_none_for_what_is_far_or_long() {
        let names = ["hostname", "host-key", "key"];
        let found = |word: &str| nearest(word, names, |_| 2);
        assert_eq!(found("hostnam"), Some("hostname"));
        assert_eq!(found("HOSTNAME"), Some("hostname"));
        assert_eq!(found("rubbish"), None);
        let long = ["x".repeat(65), "x".repeat(64)];
        let found = |word: &String| nearest(word, long.iter().map(String::as_str), |_| 2);
        assert_eq!((found(&long[0]), found(&long[1])), (None, Some(long[1].as_str())));
    }

    #[test]
    fn a_name_of_another_meaning_is_not_mistyped() {
        let names = ["file", "host-key", "unit", "port", "help", "no-eject", "hostname", "verify"];
        for other in ["size", "root-key", "undo", "host", "shell", "ke", "x", "eject", "no-inject"]
        {
            assert_eq!(typo(other, names), None, "{other}");
        }
        for (typed, meant) in [
            ("flie", "file"),
            ("hostnam", "hostname"),
            ("Hostnmae", "hostname"),
            ("no-ejcet", "no-eject"),
            ("host-ky", "host-key"),
            ("hostkey", "host-key"),
            ("verfy", "verify"),
        ] {
            assert_eq!(typo(typed, names), Some(meant), "{typed}");
        }
    }

    #[test]
    fn a_word_of_megabytes_takes_no_time() {
        let word = "x".repeat(64 << 20);
        let before = std::time::Instant::now();
        assert_eq!(nearest(&word, ["hostname"; 100], |_| 3), None);
        assert!(before.elapsed().as_secs() < 5);
    }
}
