//! The keys to let in, in the order given and each once.

use super::fault::SourceSpan;
use super::key::AuthorizedKey;
use super::note::Note;

/// Keys in the order in which sshd shall try them.
///
/// A line with the data and options of an earlier one is dropped, its comment too. The same key with other options is
/// kept as a second line: sshd goes on to the next line if the options of one forbid the login, so both count.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    entries: Vec<(SourceSpan, AuthorizedKey)>,
}

/// By content: where the lines stood does not matter.
impl PartialEq for KeySet {
    fn eq(&self, other: &Self) -> bool {
        self.keys().eq(other.keys())
    }
}

impl Eq for KeySet {}

impl KeySet {
    /// The keys in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &AuthorizedKey> {
        self.entries.iter().map(|(_, key)| key)
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody would be let in.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Gives the whole of `authorized_keys`, every line ended.
    pub(crate) fn to_text(&self) -> String {
        self.keys().map(|key| key.line() + "\n").collect()
    }

    /// Appends a key, or tells of the line that makes it needless.
    pub(super) fn add(&mut self, at: SourceSpan, key: AuthorizedKey) -> Option<Note> {
        let same_key: Vec<_> = self.entries.iter().filter(|(_, k)| k.data == key.data).collect();
        let twin = same_key.iter().find(|(_, k)| k.options == key.options);
        if let Some((first, _)) = twin {
            return Some(Note::Duplicate { at, first: first.clone() });
        }
        let note = same_key.first().map(|(first, _)| {
            let (at, first) = (at.clone(), first.clone());
            Note::OtherOptions { at, first }
        });
        self.entries.push((at, key));
        note
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::samples;

    fn at(line: usize) -> SourceSpan {
        SourceSpan { source: "keys".to_owned(), line }
    }

    fn add(set: &mut KeySet, line: usize, text: &str) -> Option<Note> {
        set.add(at(line), AuthorizedKey::parse(text).unwrap().0)
    }

    #[test]
    fn the_same_key_is_kept_once_with_its_first_comment() {
        let mut set = KeySet::default();
        assert_eq!(add(&mut set, 1, samples::ED25519), None);
        assert_eq!(add(&mut set, 2, samples::P256), None);
        let again = samples::ED25519.replace("ed25519@test", "other");
        assert_eq!(add(&mut set, 4, &again), Some(Note::Duplicate { at: at(4), first: at(1) }));
        assert_eq!(set.to_text(), format!("{}\n{}\n", samples::ED25519, samples::P256));
    }

    #[test]
    fn the_same_key_with_other_options_is_kept_as_a_second_line() {
        let mut set = KeySet::default();
        let limited = format!(r#"from="10.0.0.1" {}"#, samples::ED25519);
        add(&mut set, 1, &limited);
        let note = add(&mut set, 2, samples::ED25519);
        assert_eq!(note, Some(Note::OtherOptions { at: at(2), first: at(1) }));
        assert_eq!(
            add(&mut set, 3, samples::ED25519),
            Some(Note::Duplicate { at: at(3), first: at(2) })
        );
        assert_eq!(set.to_text(), format!("{limited}\n{}\n", samples::ED25519));
    }

    #[test]
    fn a_certificate_is_not_the_key_it_is_for() {
        let mut set = KeySet::default();
        add(&mut set, 1, samples::P256);
        assert_eq!(add(&mut set, 2, samples::P256_CERTIFICATE), None);
        assert_eq!(set.len(), 2);
    }

    #[test]
    fn sets_are_equal_by_their_lines() {
        let [mut one, mut other] = [KeySet::default(), KeySet::default()];
        add(&mut one, 1, samples::ED25519);
        add(&mut other, 7, samples::ED25519);
        assert_eq!(one, other);
        assert_ne!(one, KeySet::default());
        assert!(KeySet::default().is_empty() && !one.is_empty());
    }
}
