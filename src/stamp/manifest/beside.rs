//! What is written beside an image: its manifest and signature, provenance, and what is in it.

use super::provenance::{self, Build};
use crate::error::Result;
use crate::image::digest::Digest;
use crate::stamp::planned_image::PlannedImage;
use crate::stamp::sign::{Sign, dsse};

/// A file beside an image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Record {
    /// The manifest as it is in the image.
    Manifest,
    /// Its signature (sshsig).
    Signature,
    /// An in-toto statement with SLSA provenance, in a DSSE envelope where there is a signer.
    Provenance,
    /// An SBOM in the form of `CycloneDX`.
    Sbom,
}

impl Record {
    /// What the record of a file is called, after the file's own name.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Manifest => ".manifest.json",
            Self::Signature => ".manifest.json.sig",
            Self::Provenance => ".provenance.json",
            Self::Sbom => ".sbom.json",
        }
    }
}

/// Which of them are wanted; a signature comes with the manifest.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct WantedSidecars {
    /// The manifest.
    pub manifest: bool,
    /// The provenance.
    pub provenance: bool,
    /// The SBOM.
    pub sbom: bool,
    /// What the provenance says of the build.
    pub build: Build,
}

impl WantedSidecars {
    /// Whether they can be made, as far as the signer decides that.
    ///
    /// # Errors
    /// A key that does not sign provenance.
    pub fn check(&self, signer: Option<&dyn Sign>) -> Result<()> {
        signer.filter(|_| self.provenance).map_or(Ok(()), dsse::check)
    }

    /// The bytes of the records of a file: an image, or what makes one. Its digest is asked for only if it is
    /// needed.
    ///
    /// # Errors
    /// Those of the digest, and of the signature.
    pub fn make(
        &self,
        made: &PlannedImage,
        name: &str,
        digest: impl FnOnce() -> Result<Digest>,
    ) -> Result<Vec<(Record, Vec<u8>)>> {
        let mut records = Vec::new();
        if self.manifest {
            records.push((Record::Manifest, made.manifest_text().to_vec()));
            let signature = made.signature().map(|text| (Record::Signature, text.into()));
            records.extend(signature);
        }
        if self.provenance || self.sbom {
            let digest = digest()?;
            let manifest = made.all_known();
            let text = |value: serde_json::Value| format!("{value:#}\n").into_bytes();
            if self.provenance {
                let value = provenance::statement(&manifest, &self.build, name, digest);
                let statement = text(value);
                let signed = made.signer().map(|signer| dsse::envelope(&statement, signer));
                records.push((Record::Provenance, signed.transpose()?.map_or(statement, text)));
            }
            if self.sbom {
                records.push((Record::Sbom, text(provenance::sbom(&manifest, name, digest))));
            }
        }
        Ok(records)
    }
}
