//! What the NixOS project publishes, as `base-images/catalog.toml` lists it.

use serde::Deserialize;

use super::url::Url;
use crate::error::{Advice, Error, Result};

const TEXT: &str = include_str!("../../base-images/catalog.toml");

/// The architecture that a name without one means.
const USUAL: &str = "x86_64";

/// All channels and how their images are named.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    mirror: String,
    latest: String,
    image: String,
    checksum: String,
    channel: Vec<Channel>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Channel {
    name: String,
    version: String,
    editions: Vec<String>,
    architectures: Vec<String>,
}

/// One image of one channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CatalogEntry {
    /// The channel, as `nixos-25.11`.
    pub channel: String,
    /// The edition, as `minimal`.
    pub edition: String,
    /// The architecture, as `x86_64`.
    pub architecture: String,
    /// What the versions of its releases start with.
    version: String,
}

impl CatalogEntry {
    /// Its name, as `nixos-25.11-minimal` or `nixos-25.11-minimal-aarch64`.
    pub fn name(&self) -> String {
        let Self { channel, edition, architecture, .. } = self;
        if architecture == USUAL {
            format!("{channel}-{edition}")
        } else {
            format!("{channel}-{edition}-{architecture}")
        }
    }

    fn full_name(&self) -> String {
        format!("{}-{}-{}", self.channel, self.edition, self.architecture)
    }

    fn fill(&self, pattern: &str) -> String {
        let filled = pattern.replace("{channel}", &self.channel);
        filled.replace("{edition}", &self.edition).replace("{architecture}", &self.architecture)
    }
}

impl Catalog {
    /// The catalogue that is part of the program.
    pub fn built_in() -> Result<Self> {
        toml::from_str(TEXT).map_err(|fault| {
            let at = fault.span().and_then(|span| u64::try_from(span.start).ok());
            let found = fault.message().to_owned();
            Error::malformed("the catalogue of bases", at.unwrap_or(0), found, "its own form")
        })
    }

    /// All bases, oldest channel first.
    pub fn bases(&self) -> Vec<CatalogEntry> {
        let mut found = Vec::new();
        for channel in &self.channel {
            for edition in &channel.editions {
                found.extend(channel.architectures.iter().map(|architecture| CatalogEntry {
                    channel: channel.name.clone(),
                    edition: edition.clone(),
                    architecture: architecture.clone(),
                    version: channel.version.clone(),
                }));
            }
        }
        found
    }

    /// The base with this name; an architecture of `x86_64` may be left out.
    pub fn find(&self, name: &str) -> Option<CatalogEntry> {
        self.bases().into_iter().find(|base| base.name() == name || base.full_name() == name)
    }

    /// The base with this name.
    ///
    /// # Errors
    /// None, with the names that come near.
    pub fn get(&self, name: &str) -> Result<CatalogEntry> {
        self.find(name).ok_or_else(|| {
            let all = self.bases();
            let of_channel = all.iter().filter(|base| name.starts_with(&base.channel));
            let near: Vec<String> = of_channel.map(CatalogEntry::name).collect();
            let what = if near.is_empty() {
                format!("no base is called {name:?}")
            } else {
                format!("no base is called {name:?}; there are {}", near.join(", "))
            };
            let hint = match self.meant(name) {
                Some(base) => format!("did you mean `{}`?", base.name()).into(),
                None => Advice::NameInCatalog,
            };
            Error::Usage { what, hint }
        })
    }

    /// The base that is meant by the name of an image file, as `nixos-minimal-25.11-x86_64-linux.iso`, or by a version
    /// alone.
    pub fn meant(&self, text: &str) -> Option<CatalogEntry> {
        let text = text.strip_suffix(".iso").unwrap_or(text);
        let words: Vec<&str> =
            text.split('-').filter(|word| !["nixos", "linux"].contains(word)).collect();
        let is_version = |base: &CatalogEntry, word: &str| {
            let version = base.channel.trim_start_matches("nixos-");
            word.strip_prefix(version).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let is_meant = |base: &CatalogEntry| {
            let is_part = |word: &&str| {
                is_version(base, word) || *word == base.edition || *word == base.architecture
            };
            words.iter().all(is_part) && words.iter().any(|word| is_version(base, word))
        };
        let usual = |base: &CatalogEntry| (base.edition == "minimal", base.architecture == USUAL);
        self.bases().into_iter().filter(is_meant).max_by_key(usual)
    }

    /// The host that channels are looked up at, unless another is given.
    pub fn mirror(&self) -> &str {
        &self.mirror
    }

    /// Where a server tells the newest release of a base.
    pub fn latest(&self, base: &CatalogEntry, mirror: &str) -> Result<Url> {
        Url::parse(&base.fill(&self.latest).replace("{mirror}", mirror.trim_end_matches('/')))
    }

    /// Where the SHA-256 of an image is.
    pub fn checksum(&self, image: &Url) -> Result<Url> {
        Url::parse(&format!("{image}{}", self.checksum))
    }

    /// The version in the name of a published image, as `25.11.12484.b6018f87da91`; none if the name is not
    /// that of an image of this base.
    pub fn version(&self, base: &CatalogEntry, file_name: &str) -> Option<String> {
        let pattern = base.fill(&self.image);
        let (before, behind) = pattern.split_once("{version}")?;
        let version = file_name.strip_prefix(before)?.strip_suffix(behind)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        let fits = version.starts_with(&base.version)
            && version.starts_with(|c: char| c.is_ascii_digit())
            && version.chars().all(plain);
        fits.then(|| version.to_owned())
    }

    /// The name of the image of a version.
    pub fn image(&self, base: &CatalogEntry, version: &str) -> String {
        base.fill(&self.image).replace("{version}", version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_base_is_found_by_its_name_and_no_two_share_one() {
        let catalog = Catalog::built_in().unwrap();
        let bases = catalog.bases();
        for base in &bases {
            assert_eq!(catalog.find(&base.name()).as_ref(), Some(base));
            assert_eq!(catalog.find(&base.full_name()).as_ref(), Some(base));
        }
        let names: std::collections::BTreeSet<String> =
            bases.iter().map(CatalogEntry::name).collect();
        assert_eq!(names.len(), bases.len());
        assert!(names.contains("nixos-25.11-minimal") && names.contains("nixos-23.11-plasma5"));
    }

    #[test]
    fn urls_are_those_of_the_project() {
        let catalog = Catalog::built_in().unwrap();
        let base = catalog.get("nixos-25.11-minimal").unwrap();
        let latest = catalog.latest(&base, catalog.mirror()).unwrap();
        assert_eq!(
            latest.to_string(),
            "https://channels.nixos.org/nixos-25.11/latest-nixos-minimal-x86_64-linux.iso"
        );
        let slash = catalog.latest(&base, "http://localhost:80/").unwrap().to_string();
        assert_eq!(slash, "http://localhost:80/nixos-25.11/latest-nixos-minimal-x86_64-linux.iso");
    }

    #[test]
    fn a_version_is_taken_only_from_an_image_of_the_base() {
        let catalog = Catalog::built_in().unwrap();
        let base = catalog.get("nixos-25.11-minimal").unwrap();
        let version = |name: &str| catalog.version(&base, name);
        let name = "nixos-minimal-25.11.1.abc-x86_64-linux.iso";
        assert_eq!(version(name).as_deref(), Some("25.11.1.abc"));
        assert_eq!(catalog.image(&base, "25.11.1.abc"), name);
        for other in [
            "nixos-graphical-25.11.1.abc-x86_64-linux.iso",
            "nixos-minimal-25.05.1.abc-x86_64-linux.iso",
            "nixos-minimal-25.11.1.abc-aarch64-linux.iso",
            "nixos-minimal-25.11.1.a/bc-x86_64-linux.iso",
            "nixos-minimal-25.11.1.abc-x86_64-linux.iso.sha256",
            "nixos-minimal--x86_64-linux.iso",
            "",
        ] {
            assert_eq!(version(other), None, "{other}");
        }
    }

    #[test]
    fn the_name_of_an_image_file_and_a_version_alone_mean_a_base() {
        let catalog = Catalog::built_in().unwrap();
        for (text, name) in [
            ("nixos-minimal-25.11-x86_64-linux.iso", Some("nixos-25.11-minimal")),
            ("nixos-minimal-25.11.1.abc-aarch64-linux.iso", Some("nixos-25.11-minimal-aarch64")),
            ("nixos-graphical-25.11", Some("nixos-25.11-graphical")),
            ("nixos-25.11", Some("nixos-25.11-minimal")),
            ("25.11", Some("nixos-25.11-minimal")),
            ("25.110", None),
            ("nixos", None),
            ("nixos-minimal", None),
            ("", None),
            ("nixos-25.11-plasma9", None),
        ] {
            let found = catalog.meant(text).map(|base| base.name());
            assert_eq!(found.as_deref(), name, "{text}");
        }
    }

    #[test]
    fn a_mistyped_name_is_answered_with_similar_names() {
        let fault =
            Catalog::built_in().unwrap().get("nixos-25.11-plasma6").unwrap_err().to_string();
        assert!(fault.contains("nixos-25.11-graphical") && !fault.contains("24.11"), "{fault}");
    }
}
