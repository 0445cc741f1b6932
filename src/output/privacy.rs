//! Who may read what is written, and why.

/// Who may read an image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Privacy {
    /// Everyone may read it: it holds no secret.
    Public,
    /// Nobody but its owner: it holds secrets.
    Private,
    /// Nobody but its owner: what was put in cannot be read, and may be secret.
    Unknown,
    /// Nobody but its owner: the file that it was made from is closed to others.
    Closed,
}

impl Privacy {
    /// Whether others are kept from it.
    pub fn is_private(self) -> bool {
        self != Self::Public
    }

    /// Whether that is for what is in it.
    pub fn holds_secrets(self) -> bool {
        !matches!(self, Self::Public | Self::Closed)
    }

    /// The same of what is made of a file that is closed to others, or is not: who closed that had a reason, and no other
    /// file tells more.
    #[must_use]
    pub fn of_closed(self, is_closed: bool) -> Self {
        if is_closed && self == Self::Public { Self::Closed } else { self }
    }
}

impl From<bool> for Privacy {
    fn from(is_private: bool) -> Self {
        if is_private { Self::Private } else { Self::Public }
    }
}
