//! The keys to let in, in the order given and each once.

use std::collections::BTreeMap;

use super::fault::SourceSpan;
use super::key::AuthorizedKey;
use super::note::Note;
use super::verdict::Verdict;

/// A line that is kept.
#[derive(Clone, Debug)]
struct Entry {
    key: AuthorizedKey,
    verdict: Verdict,
}

/// The lines of one key.
#[derive(Clone, Debug)]
struct SameKey {
    /// Where the first one stands.
    first: SourceSpan,
    /// Where the one stands behind which no line gives a shell, and why.
    above: Option<(SourceSpan, String)>,
    /// Where each stands, by its options.
    by_options: BTreeMap<Option<String>, SourceSpan>,
}

impl SameKey {
    fn new(first: SourceSpan) -> Self {
        Self { first, above: None, by_options: BTreeMap::new() }
    }

    /// What is to be told of a line with other options, whose verdict may change.
    fn note_on(&self, at: SourceSpan, verdict: &mut Verdict) -> Note {
        match self.above.as_ref().filter(|_| verdict.is_login()) {
            Some((first, why)) => {
                verdict.shut_out = Some(why.clone());
                Note::Behind { at, first: first.clone(), why: why.clone() }
            }
            None => Note::OtherOptions { at, first: self.first.clone() },
        }
    }

    fn add(&mut self, at: SourceSpan, key: &AuthorizedKey, verdict: &Verdict) {
        if let Some(why) = verdict.of_all_logins() {
            self.above.get_or_insert_with(|| (at.clone(), why.to_owned()));
        }
        self.by_options.insert(key.options.clone(), at);
    }
}

/// Keys in the order in which sshd shall try them.
///
/// A line with the data and options of an earlier one is dropped, its comment too. The same key with other options is
/// kept as a second line: sshd goes on to the next line if the options of one forbid the login, so both count.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    entries: Vec<Entry>,
    /// Those of each key, by its data.
    by_data: BTreeMap<String, SameKey>,
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
        let known = self.by_data.get(&key.data);
        if let Some(first) = known.and_then(|known| known.by_options.get(&key.options)) {
            return Some(Note::Duplicate { at, first: first.clone() });
        }
        let note = known.map(|known| known.note_on(at.clone(), &mut verdict));
        let known = self.by_data.entry(key.data.clone());
        known.or_insert_with(|| SameKey::new(at.clone())).add(at, &key, &verdict);
        self.entries.push(Entry { key, verdict });
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
