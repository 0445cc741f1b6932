//! Which release a channel is at, and the SHA-256 of its image: looked up once, in one folder.

use super::catalog::{Catalog, CatalogEntry};
use super::fetch_options::FetchOptions;
use super::http::{Answer, Client};
use super::url::Url;
use crate::bounded;
use crate::error::{Advice, Error, Result};

/// Redirects that are followed one after the other.
const MOST_REDIRECTS: usize = 8;
/// Bytes of a checksum file that are read.
const LARGEST_CHECKSUM: u64 = 4096;

/// An image of a release.
#[derive(Clone, Debug)]
pub(super) struct Release {
    /// Its version, as `25.11.12484.b6018f87da91`.
    pub(super) version: String,
    /// The image in the folder of its release.
    pub(super) image: Url,
    /// The SHA-256 that stands beside it, in lower-case hexadecimal.
    pub(super) sha256: String,
}

impl Release {
    /// Looks up the newest release of a base.
    pub(super) fn newest(
        client: &Client,
        catalog: &Catalog,
        base: &CatalogEntry,
        origin: &FetchOptions,
    ) -> Result<Self> {
        let mirror = origin.mirror.as_deref().unwrap_or(catalog.mirror());
        let latest = catalog.latest(base, mirror)?;
        let mut chain = RedirectChain::from(&latest);
        let (image, version) = loop {
            let answer = client.get(&chain.end, &[])?;
            if !chain.follow(&answer)? {
                check_status(&answer, &[200])?;
                let reason = "the server gives a file, and no redirect to a release".to_owned();
                return Err(Error::Network {
                    url: answer.url.to_string(),
                    reason,
                    hint: Advice::OtherServer,
                });
            }
            let image = chain.end.without_query();
            if let Some(version) = catalog.version(base, image.file_name()) {
                break (image, version);
            }
        };
        let sha256 = checksum(client, &catalog.checksum(&image)?, image.file_name())?;
        Ok(Self { version, image, sha256 })
    }
}

/// The addresses that redirects have led to.
struct RedirectChain {
    passed: Vec<Url>,
    end: Url,
}

impl RedirectChain {
    fn from(url: &Url) -> Self {
        Self { passed: Vec::new(), end: url.clone() }
    }

    /// Goes where the answer leads; false if it is not a redirect (RFC 9110 §15.4).
    fn follow(&mut self, answer: &Answer) -> Result<bool> {
        if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
            return Ok(false);
        }
        let fault = |reason: String| {
            Err(Error::Network { url: answer.url.to_string(), reason, hint: Advice::OtherServer })
        };
        let Some(location) = &answer.location else {
            return fault("the server redirects to nowhere".to_owned());
        };
        let next = match answer.url.join(location) {
            Ok(next) => next,
            Err(why) => return fault(format!("the server redirects wrongly: {why}")),
        };
        if next == self.end || self.passed.contains(&next) {
            return fault(format!("the server redirects in a circle, to {next}"));
        }
        if self.passed.len() >= MOST_REDIRECTS {
            return fault(format!("more than {MOST_REDIRECTS} redirects"));
        }
        if answer.url.scheme() == "https" && next.scheme() != "https" {
            return fault(format!(
                "the server redirects from https to {next}, and http is not protected against changes on the way"
            ));
        }
        self.passed.push(std::mem::replace(&mut self.end, next));
        Ok(true)
    }
}

/// Asks for `url` and follows redirects.
pub(super) fn follow(client: &Client, url: &Url, headers: &[(&str, String)]) -> Result<Answer> {
    let mut chain = RedirectChain::from(url);
    loop {
        let answer = client.get(&chain.end, headers)?;
        if !chain.follow(&answer)? {
            return Ok(answer);
        }
    }
}

/// An answer with another status than those is an error.
pub(super) fn check_status(answer: &Answer, wanted: &[u16]) -> Result<()> {
    if wanted.contains(&answer.status) {
        return Ok(());
    }
    let (reason, hint) = match answer.status {
        404 | 410 => ("the server has no such file", Advice::GoneFromServer),
        401 | 403 | 407 => ("the server or a proxy does not allow it", Advice::OtherServer),
        500.. => ("the server has a fault of its own", Advice::OtherServer),
        _ => ("the answer is not understood", Advice::OtherServer),
    };
    let reason = format!("{reason} (status {})", answer.status);
    Err(Error::Network { url: answer.url.to_string(), reason, hint })
}

/// The hash in a file as `sha256sum` writes it, which must be about `name`.
fn checksum(client: &Client, url: &Url, name: &str) -> Result<String> {
    let answer = follow(client, url, &[])?;
    check_status(&answer, &[200])?;
    let fault =
        |reason: String| Error::Network { url: url.to_string(), reason, hint: Advice::OtherServer };
    let doing = "read the checksum";
    let text = bounded::read_from(answer.body, LARGEST_CHECKSUM, doing)
        .and_then(|text| bounded::text(text).map_err(|is| is.error(doing)))
        .map_err(|why| fault(why.to_string()))?;
    hash_of(&text, name).map_err(fault)
}

fn hash_of(text: &str, name: &str) -> Result<String, String> {
    let mut words = text.split_whitespace();
    let hash = words.next().unwrap_or_default().to_ascii_lowercase();
    let about = words.next().map(|word| word.trim_start_matches('*'));
    if hash.len() != 64 || !hash.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err("the file holds no SHA-256".to_owned());
    }
    match about {
        Some(about) if about.rsplit('/').next() != Some(name) => {
            Err(format!("the SHA-256 is that of {about:?}, not of {name}"))
        }
        _ if words.next().is_some() => Err("the file holds more than one SHA-256".to_owned()),
        _ => Ok(hash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_taken_only_if_it_is_that_of_the_image() {
        let hash = "0123456789abcdef".repeat(4);
        for text in [
            format!("{hash}  a.iso"),
            format!("{hash}  a.iso\n"),
            format!("{} *a.iso\n", hash.to_uppercase()),
            format!("{hash}  /nix/store/a.iso"),
            hash.clone(),
        ] {
            assert_eq!(hash_of(&text, "a.iso").as_ref(), Ok(&hash), "{text}");
        }
        for text in [
            String::new(),
            "<html>not found</html>".to_owned(),
            format!("{hash}  b.iso"),
            format!("{hash}  a.iso\n{hash}  b.iso"),
            format!("{hash}0  a.iso"),
            format!("{}  a.iso", "é".repeat(32)),
        ] {
            assert!(hash_of(&text, "a.iso").is_err(), "{text}");
        }
    }

    #[test]
    fn so_many_redirects_are_followed() {
        let url = |number: usize| Url::parse(&format!("https://a.example/{number}")).unwrap();
        let mut chain = RedirectChain::from(&url(0));
        let mut follow = |number: usize| {
            chain.follow(&Answer {
                url: url(number),
                status: 302,
                length: None,
                range: None,
                etag: None,
                modified: None,
                location: Some(format!("/{}", number + 1)),
                body: Box::new(std::io::empty()),
            })
        };
        assert!((0..MOST_REDIRECTS).all(|number| follow(number).unwrap()));
        let fault = follow(MOST_REDIRECTS).unwrap_err().to_string();
        assert!(fault.contains("more than 8 redirects"), "{fault}");
    }
}
