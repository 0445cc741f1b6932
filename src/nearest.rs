//! The name that is meant by a mistyped one.

/// Bytes of the longest word that is compared. A longer one is not a mistyped name, and to compare it takes long.
const LONGEST: usize = 64;

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
    fn a_word_of_megabytes_takes_no_time() {
        let word = "x".repeat(64 << 20);
        let before = std::time::Instant::now();
        assert_eq!(nearest(&word, ["hostname"; 100], |_| 3), None);
        assert!(before.elapsed().as_secs() < 5);
    }
}
