//! The keys to let in, in the order given and each once.

use super::fault::SourceSpan;
use super::key::AuthorizedKey;
use super::note::Note;
use super::verdict::Verdict;

/// A line that is kept.
#[derive(Clone, Debug)]
struct Entry {
    at: SourceSpan,
    key: AuthorizedKey,
    verdict: Verdict,
}

/// Keys in the order in which sshd shall try them.
///
/// A line with the data and options of an earlier one is dropped, its comment too. The same key with other options is
/// kept as a second line: sshd goes on to the next line if the options of one forbid the login, so both count.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    entries: Vec<Entry>,
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
        self.entries.iter().map(|entry| &entry.key)
    }

    /// The keys in order, each with why it lets nobody in to a shell, if it does not.
    pub fn judged(&self) -> impl ExactSizeIterator<Item = (&AuthorizedKey, Option<&str>)> {
        self.entries.iter().map(|entry| (&entry.key, entry.verdict.shut_out.as_deref()))
    }

    /// How many lines let somebody in to a shell.
    pub fn letting_in(&self) -> usize {
        self.judged().filter(|(_, shut_out)| shut_out.is_none()).count()
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
    pub(super) fn add(
        &mut self,
        at: SourceSpan,
        key: AuthorizedKey,
        mut verdict: Verdict,
    ) -> Option<Note> {
        let same_key: Vec<_> =
            self.entries.iter().filter(|entry| entry.key.data == key.data).collect();
        if let Some(twin) = same_key.iter().find(|entry| entry.key.options == key.options) {
            return Some(Note::Duplicate { at, first: twin.at.clone() });
        }
        let above = same_key.iter().find_map(|entry| Some((entry, entry.verdict.of_all_logins()?)));
        let note = match above.filter(|_| verdict.is_login()) {
            Some((above, why)) => {
                let note =
                    Note::Behind { at: at.clone(), first: above.at.clone(), why: why.to_owned() };
                verdict.shut_out = Some(why.to_owned());
                Some(note)
            }
            None => same_key
                .first()
                .map(|first| Note::OtherOptions { at: at.clone(), first: first.at.clone() }),
        };
        self.entries.push(Entry { at, key, verdict });
        note
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::expiry::Moment;
    use crate::keys::samples;

    fn at(line: usize) -> SourceSpan {
        SourceSpan { source: "keys".to_owned(), line }
    }

    fn add(set: &mut KeySet, line: usize, text: &str) -> Option<Note> {
        let (key, options) = AuthorizedKey::parse(text).unwrap();
        let verdict = Verdict::of(&key, options.as_ref(), Moment::now());
        set.add(at(line), key, verdict)
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
