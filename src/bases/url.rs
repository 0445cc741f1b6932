//! Addresses on the web, as far as bases need them (RFC 3986).

use std::fmt;

use crate::error::{Error, Result};

/// An absolute `http` or `https` address without user, password and fragment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Url {
    text: String,
    /// Bytes of the scheme.
    scheme: usize,
    /// Bytes up to the path.
    origin: usize,
}

impl Url {
    /// Takes an absolute address.
    pub fn parse(text: &str) -> Result<Self> {
        Self::read(text).ok_or_else(|| Error::Usage {
            what: format!("{:?} is not an address of a web server", without_user(text)),
            hint: "give one that starts with http:// or https:// and has no user, password or blank in it".into(),
        })
    }

    fn read(text: &str) -> Option<Self> {
        let text = text.split('#').next()?.to_owned();
        let (scheme, rest) = text.split_once("://")?;
        let host = rest.split(['/', '?']).next()?;
        let plain = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c);
        let sound = (scheme == "http" || scheme == "https")
            && host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
            && !host.contains('@')
            && rest.chars().all(plain);
        let (scheme, origin) =
            (scheme.len(), scheme.len().checked_add(3)?.checked_add(host.len())?);
        sound.then_some(Self { text, scheme, origin })
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &str {
        self.text.get(..self.scheme).unwrap_or_default()
    }

    fn origin(&self) -> &str {
        self.text.get(..self.origin).unwrap_or_default()
    }

    /// The host without the port.
    pub fn host(&self) -> &str {
        let authority = self.origin().split("://").nth(1).unwrap_or_default();
        if let Some(end) = authority.find(']') {
            return authority.get(1..end).unwrap_or_default();
        }
        authority.split(':').next().unwrap_or_default()
    }

    fn path(&self) -> &str {
        let path = self.text.get(self.origin..).unwrap_or_default();
        path.split('?').next().unwrap_or_default()
    }

    /// What stands behind the last slash of the path.
    pub fn file_name(&self) -> &str {
        self.path().rsplit('/').next().unwrap_or_default()
    }

    /// The same without what stands behind a question mark.
    #[must_use]
    pub(crate) fn without_query(&self) -> Self {
        let text = format!("{}{}", self.origin(), self.path());
        Self { text, ..self.clone() }
    }

    /// Where a `Location` leads to (RFC 9110 §10.2.2), absolute or relative to this.
    pub fn join(&self, location: &str) -> Result<Self> {
        if location.contains("://") {
            return Self::parse(location);
        }
        if location.starts_with("//") {
            return Self::parse(&format!("{}:{location}", self.scheme()));
        }
        if location.starts_with('/') {
            return Self::parse(&format!("{}{location}", self.origin()));
        }
        let folder = self.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        Self::parse(&format!("{}{folder}/{location}", self.origin()))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An address that may be shown: a password in it does not belong in a log.
fn without_user(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    match rest.split_once('/') {
        Some((host, path)) if host.contains('@') => {
            format!("{scheme}://…@{}/{path}", host.rsplit('@').next().unwrap_or_default())
        }
        None if rest.contains('@') => {
            format!("{scheme}://…@{}", rest.rsplit('@').next().unwrap_or_default())
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_address() {
        let url = Url::parse("https://a.b:81/c/d.iso?x=/y#z").unwrap();
        assert_eq!((url.scheme(), url.host(), url.file_name()), ("https", "a.b", "d.iso"));
        assert_eq!(url.without_query().to_string(), "https://a.b:81/c/d.iso");
        assert_eq!(Url::parse("http://[::1]:81/x").unwrap().host(), "::1");
    }

    #[test]
    fn locations_lead_on() {
        let url = Url::parse("http://a:1/b/c?d").unwrap();
        for (location, expected) in [
            ("https://x/y", "https://x/y"),
            ("//x/y", "http://x/y"),
            ("/y", "http://a:1/y"),
            ("y", "http://a:1/b/y"),
        ] {
            assert_eq!(url.join(location).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_is_not_an_address_is_refused_and_no_password_is_shown() {
        for text in [
            "",
            "a",
            "ftp://a/b",
            "file:///etc",
            "http://",
            "http:///x",
            "http://a b/",
            "http://a/\n",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
        for text in ["https://me:secret@host/x", "https://me:secret@host"] {
            let fault = Url::parse(text).unwrap_err().to_string();
            assert!(fault.contains("host") && !fault.contains("secret"), "{fault}");
        }
    }
}
