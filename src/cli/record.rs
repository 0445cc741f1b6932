//! What is told of images that are made: manifest, signature, provenance, in the image and beside it.

use std::path::{Path, PathBuf};

use remaster::digest::Digest;
use remaster::error::{Error, Result};
use remaster::image::ReadAt;
use remaster::manifest::blocks::Blocks;
use remaster::manifest::{About, Made, provenance};
use remaster::progress::Progress;
use remaster::sign::{self, Sign};
use remaster::sink::file::{Existing, write_bytes};

/// What images tell of themselves.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Records")]
pub(super) struct Inside {
    /// Put digests of the image's blocks, and the base's SHA-256, into the manifest; reads the base whole
    #[arg(long)]
    pub(super) manifest_digests: bool,

    /// Sign the manifest: an ssh private key (ed25519 or ecdsa), or the `.pub` of a key that ssh-agent has
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
}

impl Inside {
    /// Whether nothing is asked for.
    pub(super) fn is_empty(&self) -> bool {
        !self.manifest_digests && self.sign.is_none()
    }
}

impl Inside {
    /// The signer and the clock, which is asked for nowhere else.
    pub(super) fn about(&self) -> Result<About> {
        let signer = self.sign.as_deref().map(signer).transpose()?;
        Ok(About { epoch: epoch()?, signer, ..About::default() })
    }

    /// The same with what is asked for of the base.
    pub(super) fn about_base(
        &self,
        base: &impl ReadAt,
        sha256: Option<Digest>,
        progress: &dyn Progress,
    ) -> Result<About> {
        let mut about = self.about()?;
        about.sha256 = sha256;
        if self.manifest_digests {
            let (blocks, sha256) = Blocks::of(base, progress)?;
            (about.blocks, about.sha256) = (Some(blocks), Some(sha256));
        }
        Ok(about)
    }
}

fn signer(path: &Path) -> Result<Box<dyn Sign>> {
    let socket = std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from);
    let mut ask = |what: &str| rpassword::prompt_password(format!("{what}: "));
    sign::signer(path, socket.as_deref(), &mut ask)
}

/// The time that the user's build says it is (reproducible-builds.org, `SOURCE_DATE_EPOCH`).
pub(super) fn epoch() -> Result<Option<u64>> {
    let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let number = text.to_str().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| Error::Usage {
        what: "SOURCE_DATE_EPOCH is no number of seconds".into(),
        hint: "set it to seconds since 1970, or unset it",
    })
}

/// What is written beside an image.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Records")]
pub(super) struct Beside {
    /// Write the manifest to this file, too, and its signature to FILE.sig
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,

    /// Write how the image was made: an in-toto statement with SLSA provenance, as JSON
    #[arg(long, value_name = "FILE")]
    provenance: Option<PathBuf>,

    /// Write what is in the image: an SBOM in the form of `CycloneDX` 1.5
    #[arg(long, value_name = "FILE")]
    sbom: Option<PathBuf>,
}

/// What is told beside an image, and of which image.
pub(super) struct Told<'a> {
    pub(super) made: &'a Made,
    pub(super) name: &'a str,
    pub(super) existing: Existing,
}

impl Beside {
    /// Whether nothing is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.manifest.is_none() && self.provenance.is_none() && self.sbom.is_none()
    }

    /// Writes what was asked for.
    pub(super) fn write(
        &self,
        told: &Told<'_>,
        image: &impl ReadAt,
        progress: &dyn Progress,
    ) -> Result<()> {
        let Told { made, name, existing } = *told;
        if let Some(path) = &self.manifest {
            write_bytes(path, &made.text, existing)?;
            if let Some(signature) = &made.signature {
                let mut path = path.clone().into_os_string();
                path.push(".sig");
                write_bytes(Path::new(&path), signature.as_bytes(), existing)?;
            }
        }
        if self.provenance.is_none() && self.sbom.is_none() {
            return Ok(());
        }
        let digest = Digest::of(image, progress)?;
        for (path, value) in [
            (&self.provenance, provenance::statement(&made.manifest, name, digest)),
            (&self.sbom, provenance::sbom(&made.manifest, name, digest)),
        ] {
            let Some(path) = path else { continue };
            write_bytes(path, format!("{value:#}\n").as_bytes(), existing)?;
        }
        Ok(())
    }
}
