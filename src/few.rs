//! Names for a message: an image or archive can hold any number of them, of any length.

use std::fmt;

/// Names that are shown.
const MAX_SHOWN: usize = 6;

/// Characters of a name that are shown.
const MAX_LENGTH: usize = 200;

/// The first of many names, and how many more there are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Few {
    shown: Vec<String>,
    more: usize,
}

impl Few {
    /// Adds a name, or counts it.
    pub fn add(&mut self, name: &str) {
        if self.shown.len() < MAX_SHOWN {
            self.shown.push(name.chars().take(MAX_LENGTH).collect());
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// Whether there are no names.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }
}

impl<S: AsRef<str>> FromIterator<S> for Few {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let mut few = Self::default();
        names.into_iter().for_each(|name| few.add(name.as_ref()));
        few
    }
}

impl fmt::Display for Few {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.shown.join(", "))?;
        if self.more > 0 { write!(to, " and {} more", self.more) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_names_are_shown_and_the_others_counted() {
        let names = |count: usize| (0..count).map(|number| number.to_string()).collect::<Few>();
        assert_eq!(names(6).to_string(), "0, 1, 2, 3, 4, 5");
        assert_eq!(names(9).to_string(), "0, 1, 2, 3, 4, 5 and 3 more");
        let long: Few = ["x".repeat(1000)].into_iter().collect();
        assert_eq!(long.to_string(), "x".repeat(200));
    }
}
