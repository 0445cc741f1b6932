//! The descriptor of a patch: a small JSON file with everything that `remaster apply` needs to make the image.
//!
//! It may come from anybody. It names no path, only files in its own folder, and what it names is held to its SHA-256.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::error::{Advice, Error, Material, Result};
use crate::formats::patch_file::PatchFile;
use crate::image::ReadAt;
use crate::image::digest::Digest;
use crate::stamp::batch::names::flaw;
use crate::stamp::manifest::{content_id, found, recipe_id};
use crate::units::u64_len;

/// The version of the form; raised when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// Bytes of a descriptor; they are some hundreds.
pub const LARGEST: u64 = 1 << 16;

/// What the name of a descriptor has behind that of its patch.
pub(crate) const ENDING: &str = ".descriptor.json";

/// What messages call the file.
const WHAT: &str = "the descriptor";

/// An image as its base and its patch.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Descriptor {
    /// [`VERSION`].
    pub descriptor: u32,
    /// The user whose image it is.
    pub name: String,
    /// The base.
    pub base: Base,
    /// The patch.
    pub patch: Patch,
    /// The recipe id of the image.
    pub recipe_id: Digest,
    /// The content id of the image.
    pub content_id: Digest,
}

/// A base, and where there is one.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Its name, as `nixos-25.11-minimal`, if it was given by that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What its file is called.
    pub file: String,
    /// Where it can be fetched by https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Its release.
    pub release: String,
    /// Its bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

/// A patch file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// What it is called: it stands beside the descriptor.
    pub file: String,
    /// Its bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

impl Descriptor {
    /// Whether a file that starts so may be a descriptor.
    pub fn may_be(start: &[u8]) -> bool {
        start.trim_ascii_start().starts_with(b"{")
    }

    /// Reads a descriptor.
    ///
    /// # Errors
    /// [`Error::NotAnImage`] for what does not have its form, [`Error::Unsupported`] for another version.
    pub fn parse(text: &[u8]) -> Result<Self> {
        /// The one field of every version.
        #[derive(Deserialize)]
        struct Head {
            descriptor: u32,
        }
        let fault = |fault: serde_json::Error| malformed(&fault, "a descriptor that a batch wrote");
        let head: Head = serde_json::from_slice(text).map_err(fault)?;
        if head.descriptor > VERSION {
            let found = format!("version {}", head.descriptor);
            return Err(Error::newer(WHAT, format!("version {VERSION}"), found));
        }
        if head.descriptor < VERSION {
            let found = format!("version {}", head.descriptor);
            return Err(malformed(&found, &format!("version {VERSION}")));
        }
        let found: Self = serde_json::from_slice(text).map_err(fault)?;
        found.base.check()?;
        check_name(&found.patch.file)?;
        Ok(found)
    }

    /// Its bytes.
    pub fn text(&self) -> Result<Vec<u8>> {
        let text = serde_json::to_string_pretty(self);
        let text = text.map_err(|fault| Error::bug(format!("a descriptor is JSON: {fault}")))?;
        Ok((text + "\n").into_bytes())
    }

    /// Reads the patch, and holds it to what is said of it.
    ///
    /// # Errors
    /// [`Error::Checksum`] for other bytes, [`Error::NotAnImage`] for a patch of another base, and what is not a patch.
    pub fn patch(&self, bytes: &[u8]) -> Result<PatchFile> {
        self.check_patch(bytes)?;
        let patch = PatchFile::parse(bytes).map_err(|fault| fault.in_image(0))?;
        let of = (patch.base_size, Digest(patch.base_sha256));
        if of == (self.base.size, self.base.sha256) {
            return Ok(patch);
        }
        let found = format!("{} bytes of SHA-256 {} as the base", self.base.size, self.base.sha256);
        Err(malformed(&found, &format!("{} of {}, as its patch has", of.0, of.1)))
    }

    fn check_patch(&self, bytes: &[u8]) -> Result<()> {
        let found = Digest::of_bytes(bytes);
        if found == self.patch.sha256 && u64_len(bytes) == self.patch.size {
            return Ok(());
        }
        Err(Error::Checksum {
            what: self.patch.file.clone(),
            found: format!("{found} ({} bytes)", u64_len(bytes)),
            expected: format!("{} ({} bytes)", self.patch.sha256, self.patch.size),
            hint: "get the patch and its descriptor again, from where they were made".into(),
        })
    }

    /// Holds the image that came of it to its ids.
    ///
    /// # Errors
    /// [`Error::Differs`] for another image.
    pub fn check_image<I: ReadAt>(&self, image: &I) -> Result<()> {
        let base = self.base.sha256;
        let made = found::of_image(image)?.map(|found| found.manifest);
        let content = made.as_ref().map(|made| made.edits);
        let inputs = made.as_ref().and_then(|made| made.inputs);
        let all = [
            ("the recipe id", inputs.map(|inputs| recipe_id(base, inputs)), self.recipe_id),
            ("the content id", content.map(|edits| content_id(base, edits)), self.content_id),
        ];
        for (what, found, expected) in all {
            if found != Some(expected) {
                let found = found.map_or_else(|| "none".to_owned(), |found| found.to_string());
                let expected = format!("{expected}, as the descriptor says");
                return Err(Error::Differs { what: what.into(), at: 0, found, expected });
            }
        }
        Ok(())
    }
}

impl Base {
    /// Whether it is one that a descriptor can have.
    ///
    /// # Errors
    /// [`Error::NotAnImage`] for a name that leads elsewhere, and an address of anything but https.
    pub fn check(&self) -> Result<()> {
        check_name(&self.file)?;
        match &self.url {
            Some(url) if !url.starts_with("https://") => {
                Err(malformed(&format!("the address {url}"), "one that starts with https://"))
            }
            _ => Ok(()),
        }
    }
}

/// A file in the folder of the descriptor.
fn check_name(name: &str) -> Result<()> {
    flaw(name).map_or(Ok(()), |flaw| {
        Err(malformed(
            &format!("the name {name:?}: {flaw}"),
            "a file in the folder of the descriptor",
        ))
    })
}

fn malformed(found: &impl Display, expected: &str) -> Error {
    Error::NotAnImage {
        name: WHAT.into(),
        is: format!("cannot be used: found {found}, expected {expected}"),
        hint: Advice::GetAgain(Material::Descriptor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Descriptor {
        let id = Digest([0xab; 32]);
        Descriptor {
            descriptor: VERSION,
            name: "alice".into(),
            base: Base {
                name: None,
                file: "base.iso".into(),
                url: Some("https://example.org/base.iso".into()),
                release: "25.11".into(),
                size: 1,
                sha256: id,
            },
            patch: Patch {
                file: "alice.remaster".into(),
                size: 5,
                sha256: Digest::of_bytes(b"patch"),
            },
            recipe_id: id,
            content_id: id,
        }
    }

    #[test]
    fn a_descriptor_is_read_as_it_was_written() {
        let text = sample().text().unwrap();
        assert!(Descriptor::may_be(&text) && u64_len(&text) < LARGEST);
        assert_eq!(Descriptor::parse(&text).unwrap(), sample());
        sample().check_patch(b"patch").unwrap();
        let fault = sample().check_patch(b"other").unwrap_err().to_string();
        assert!(fault.starts_with("alice.remaster has the SHA-256"), "{fault}");
    }

    #[test]
    fn what_leads_out_of_its_folder_or_is_not_fetched_by_https_is_refused() {
        type Harm = fn(&mut Descriptor);
        let harms: [(Harm, &str); 8] = [
            (|it| it.patch.file = "../alice.remaster".into(), "it has a slash"),
            (|it| it.patch.file = "/etc/shadow".into(), "it has a slash"),
            (|it| it.patch.file = "..".into(), "it starts with a dot"),
            (|it| it.patch.file = "a\u{1b}[2J".into(), "cannot be seen"),
            (|it| it.base.file = "a/b.iso".into(), "it has a slash"),
            (|it| it.base.url = Some("http://example.org/base.iso".into()), "https://"),
            (|it| it.base.url = Some("file:///etc/shadow".into()), "https://"),
            (|it| it.descriptor = 2, "version 2"),
        ];
        for (harm, words) in harms {
            let mut it = sample();
            harm(&mut it);
            let fault = Descriptor::parse(&it.text().unwrap()).unwrap_err();
            assert!(fault.to_string().contains(words), "{fault}");
            let is_refused = matches!(fault, Error::NotAnImage { .. } | Error::Unsupported { .. });
            assert!(is_refused, "{fault:?}");
        }
        for text in [&b"{}"[..], b"{\"descriptor\": 1}", b"[]", b"\xff", b""] {
            assert!(Descriptor::parse(text).is_err());
        }
        let short = String::from_utf8(sample().text().unwrap()).unwrap();
        let short = short.replace(&"ab".repeat(32), "ab");
        let fault = Descriptor::parse(short.as_bytes()).unwrap_err().to_string();
        assert!(fault.contains("the 64 hexadecimal digits of a SHA-256"), "{fault}");
        let more = String::from_utf8(sample().text().unwrap()).unwrap();
        let more = more.replacen('{', "{\"run\": \"sh\",", 1);
        assert!(Descriptor::parse(more.as_bytes()).unwrap_err().to_string().contains("`run`"));
    }
}
