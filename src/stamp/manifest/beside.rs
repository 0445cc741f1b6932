//! What is written beside an image: its manifest and signature, provenance, and what is in it.

use base64ct::{Base64, Encoding as _};
use serde_json::Value;

use super::TOOL;
use super::provenance::{self, Build};
use crate::error::Result;
use crate::image::digest::Digest;
use crate::stamp::planned_image::PlannedImage;
use crate::stamp::sign::{self, Sign, dsse};

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

    /// The record whose name ends so.
    pub(crate) fn of_ending(ending: &str) -> Option<Self> {
        let all = [Self::Manifest, Self::Signature, Self::Provenance, Self::Sbom];
        all.into_iter().find(|record| record.ending() == ending)
    }

    /// Whether bytes are a record of this kind, of whatever image, that this program wrote.
    pub(crate) fn is_of(self, bytes: &[u8]) -> bool {
        let json = || serde_json::from_slice::<Value>(bytes).ok();
        match self {
            Self::Manifest => is_ours(json().and_then(|json| json.pointer("/tool/name").cloned())),
            Self::Signature => sign::is_of_manifest(bytes),
            Self::Provenance => json().is_some_and(|json| is_provenance(&json)),
            Self::Sbom => {
                let name = "/metadata/tools/components/0/name";
                is_ours(json().and_then(|json| json.pointer(name).cloned()))
            }
        }
    }
}

/// Whether this is the name of the program.
fn is_ours(name: Option<Value>) -> bool {
    name.is_some_and(|name| name == TOOL)
}

/// Whether a statement names this program, also one in an envelope.
fn is_provenance(json: &Value) -> bool {
    let signed = json.get("payload").and_then(Value::as_str);
    let signed = signed.and_then(|text| Base64::decode_vec(text).ok());
    let signed = signed.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let statement = signed.as_ref().unwrap_or(json);
    statement
        .pointer("/predicate/runDetails/builder/version")
        .is_some_and(|it| it.get(TOOL).is_some())
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
