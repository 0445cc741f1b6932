//! What is reported of images that are made: manifest, signature, provenance, in the image and beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use remaster::environment;
use remaster::error::{Error, Result};
use remaster::image::digest::Digest;
use remaster::image::{ImageFile, ReadAt};
use remaster::live::note_on_key;
use remaster::output::file::StagedFile;
use remaster::progress::Progress;
use remaster::recipe::Recipe;
use remaster::run_files::RunFiles;
use remaster::stamp::base_image::BaseImage;
use remaster::stamp::manifest::beside::{Record, WantedSidecars};
use remaster::stamp::manifest::blocks::Blocks;
use remaster::stamp::manifest::provenance::Build;
use remaster::stamp::planned_image::{ManifestOptions, PlannedImage};
use remaster::stamp::sign::{self, Sign};

use super::destination::{OutputArgs, of_flag};
use super::shell::shell_quote;
use super::{interrupt, printer, prompt};

/// What images tell of themselves.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Records")]
pub(super) struct ManifestArgs {
    /// Put digests of the image's blocks, and the base's SHA-256, into the manifest; reads the base whole
    #[arg(long)]
    pub(super) manifest_digests: bool,

    /// Sign the manifest, and the provenance: an ssh private key (ed25519 or ecdsa), or the `.pub` of a key that ssh-agent has
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,

    /// Whether a recipe wants the same bytes each time.
    #[arg(skip)]
    reproducible: bool,

    /// The time that stays where the environment has no other.
    #[arg(skip)]
    earlier_epoch: Option<u64>,
}

impl ManifestArgs {
    /// The same where a recipe may ask for it, too.
    pub(super) fn or_by(&self, recipe: &Recipe) -> Self {
        Self {
            manifest_digests: self.manifest_digests || recipe.manifest_digests == Some(true),
            sign: self.sign.clone().or_else(|| recipe.sign.clone()),
            earlier_epoch: self.earlier_epoch,
            reproducible: recipe.reproducible == Some(true),
        }
    }

    /// The same over what an image told before, whose time stays where the environment has no other.
    pub(super) fn over_epoch(&self, earlier_epoch: Option<u64>) -> Self {
        let Self { manifest_digests, reproducible, .. } = *self;
        Self { manifest_digests, sign: self.sign.clone(), reproducible, earlier_epoch }
    }

    /// Whether the manifest is to be signed.
    pub(super) fn signs(&self, recipe: &Recipe) -> bool {
        self.or_by(recipe).sign.is_some()
    }

    /// The flags that are given.
    pub(super) fn flag_names(&self) -> Vec<&'static str> {
        let all = [("--manifest-digests", self.manifest_digests), ("--sign", self.sign.is_some())];
        set_of(&all)
    }

    /// The signer and the clock, which is asked for nowhere else.
    pub(super) fn options(&self) -> Result<ManifestOptions> {
        let signer = self.sign.as_deref().map(signer).transpose()?;
        let exposed = self.sign.as_deref().and_then(|path| note_on_key("sign", path));
        if let Some(line) = exposed {
            printer::note(&line);
        }
        if self.reproducible && signer.as_ref().is_some_and(|signer| !signer.is_reproducible()) {
            return Err(Error::Usage {
                what: "a signature by such a key may be another one each time, and --reproducible is given".into(),
                hint: "sign with an ed25519 key".into(),
            });
        }
        Ok(ManifestOptions {
            epoch: epoch()?.or(self.earlier_epoch),
            signer,
            ..ManifestOptions::default()
        })
    }

    /// The same with what is known of the base, and what is asked for.
    pub(super) fn options_for(
        &self,
        base: &BaseImage<&ImageFile>,
        progress: &dyn Progress,
    ) -> Result<ManifestOptions> {
        let mut options = self.options()?;
        options.sha256 = base.known_sha256();
        if self.manifest_digests {
            let (blocks, sha256) = Blocks::compute(base.original(), progress)?;
            (options.blocks, options.sha256) = (Some(blocks), Some(sha256));
        }
        Ok(options)
    }
}

/// Those of the flags that are given.
fn set_of(all: &[(&'static str, bool)]) -> Vec<&'static str> {
    all.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name).collect()
}

fn signer(path: &Path) -> Result<Arc<dyn Sign>> {
    let socket = environment::path("SSH_AUTH_SOCK");
    let signer =
        interrupt::while_waiting(|| sign::signer(path, socket.as_deref(), &mut prompt::secret));
    signer.map(Arc::from)
}

/// The time that the user's build says it is (reproducible-builds.org, `SOURCE_DATE_EPOCH`).
pub(super) fn epoch() -> Result<Option<u64>> {
    let Some(text) = environment::bytes("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let number = text.to_str().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| Error::Usage {
        what: if text.is_empty() {
            "SOURCE_DATE_EPOCH is empty, not a number of seconds".into()
        } else {
            "SOURCE_DATE_EPOCH is not a number of seconds".into()
        },
        hint: "set it to the seconds since 1970, as `date +%s` prints them, or unset it".into(),
    })
}

/// What provenance says of the build.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Records")]
pub(super) struct Builder {
    #[arg(long, help = "URI of who runs the build, for --provenance [default: https://remaster.invalid/local]", value_name = "URI", requires = "provenance", value_parser = uri)]
    builder_id: Option<String>,

    #[arg(long, help = "URI of the kind of build, for --provenance [default: https://remaster.invalid/stamp/v2]", value_name = "URI", requires = "provenance", value_parser = uri)]
    build_type: Option<String>,
}

impl Builder {
    fn build(&self) -> Build {
        let Build { builder_id, build_type } = Build::default();
        Build {
            builder_id: self.builder_id.clone().unwrap_or(builder_id),
            build_type: self.build_type.clone().unwrap_or(build_type),
        }
    }
}

/// A URI has a scheme (RFC 3986 §3.1) and no blanks.
fn uri(text: &str) -> std::result::Result<String, String> {
    let scheme =
        text.split_once(':').filter(|(_, rest)| !rest.is_empty()).map(|(scheme, _)| scheme);
    let of_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let is_scheme = scheme.is_some_and(|scheme| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(of_scheme)
    });
    if is_scheme && text.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err("a URI starts with a scheme, as `https://example.org/builder`".into())
}

/// What is written beside an image.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Records")]
pub(super) struct SidecarArgs {
    /// Write the manifest to this file, too, and its signature to FILE.sig
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,

    /// Write how the image was made: an in-toto statement with SLSA provenance, with --sign in a DSSE envelope
    #[arg(long, value_name = "FILE")]
    provenance: Option<PathBuf>,

    /// Write what is in the image: an SBOM in the form of `CycloneDX` 1.5
    #[arg(long, value_name = "FILE")]
    sbom: Option<PathBuf>,

    #[command(flatten)]
    builder: Builder,
}

/// What is written beside each file of a batch.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Records")]
pub(super) struct SidecarEachArgs {
    /// Write each file's manifest beside it, as FILE.manifest.json, and its signature to FILE.manifest.json.sig
    #[arg(long)]
    manifest: bool,

    /// Write how each file was made beside it, as FILE.provenance.json: an in-toto statement with SLSA provenance, with
    /// --sign in a DSSE envelope
    #[arg(long)]
    provenance: bool,

    /// Write what is in each file beside it, as FILE.sbom.json: an SBOM in the form of `CycloneDX` 1.5
    #[arg(long)]
    sbom: bool,

    #[command(flatten)]
    builder: Builder,
}

impl SidecarEachArgs {
    /// The flags that are given.
    pub(super) fn flag_names(&self) -> Vec<&'static str> {
        let Self { manifest, provenance, sbom, .. } = *self;
        set_of(&[("--manifest", manifest), ("--provenance", provenance), ("--sbom", sbom)])
    }

    pub(super) fn wanted(&self) -> WantedSidecars {
        let Self { manifest, provenance, sbom, .. } = *self;
        WantedSidecars { manifest, provenance, sbom, build: self.builder.build() }
    }
}

/// What is reported beside an image, and of which image.
pub(super) struct SidecarContext<'a> {
    pub(super) made: &'a PlannedImage,
    pub(super) name: &'a str,
    pub(super) written: OutputArgs,
}

impl SidecarArgs {
    /// The flags that are given.
    pub(super) fn flag_names(&self) -> Vec<&'static str> {
        let Self { manifest, provenance, sbom, .. } = self;
        set_of(&[
            ("--manifest", manifest.is_some()),
            ("--provenance", provenance.is_some()),
            ("--sbom", sbom.is_some()),
        ])
    }

    /// Refuses places that cannot take what was asked for, before the image is written. The signature is the only one that
    /// no argument names.
    pub(super) fn check(
        &self,
        written: OutputArgs,
        is_signed: bool,
        files: &mut RunFiles,
    ) -> Result<()> {
        let signature = self.path(Record::Signature).filter(|_| is_signed);
        if let Some(path) = &signature {
            files.write(&format!("the signature {}", shell_quote(path)), path)?;
        }
        self.check_free(written, is_signed)
    }

    /// The same of places alone, before a base is fetched.
    pub(super) fn check_free(&self, written: OutputArgs, is_signed: bool) -> Result<()> {
        let named = [
            (Record::Manifest, "--manifest"),
            (Record::Provenance, "--provenance"),
            (Record::Sbom, "--sbom"),
        ];
        let named = named.into_iter().filter_map(|(record, flag)| Some((self.path(record)?, flag)));
        let signature = self.path(Record::Signature).filter(|_| is_signed);
        let signature = signature.map(|path| (path, "--manifest"));
        named
            .chain(signature)
            .try_for_each(|(path, flag)| written.beside(&path).map(drop).map_err(of_flag(flag)))
    }

    fn wanted(&self) -> WantedSidecars {
        WantedSidecars {
            manifest: self.manifest.is_some(),
            provenance: self.provenance.is_some(),
            sbom: self.sbom.is_some(),
            build: self.builder.build(),
        }
    }

    /// The files that are written.
    pub(super) fn written(&self, is_signed: bool) -> Vec<PathBuf> {
        let all = [Record::Manifest, Record::Signature, Record::Provenance, Record::Sbom];
        let is_made = |record: &Record| !matches!(record, Record::Signature) || is_signed;
        all.into_iter().filter(is_made).filter_map(|record| self.path(record)).collect()
    }

    /// What a dry run tells of the files that would be written.
    pub(super) fn dry_run(&self, made: &PlannedImage) -> Result<String> {
        self.check_signer(made)?;
        let written = self.written(made.signer().is_some());
        let lines: Vec<String> =
            written.iter().map(|path| format!("would write {}\n", shell_quote(path))).collect();
        Ok(lines.concat())
    }

    /// Refuses a key that cannot sign what was asked for, before the image is written.
    pub(super) fn check_signer(&self, made: &PlannedImage) -> Result<()> {
        self.wanted().check(made.signer())
    }

    /// What was asked for, in files that have no names yet, and what is said once they have.
    pub(super) fn stage(
        &self,
        told: &SidecarContext<'_>,
        image: &impl ReadAt,
        progress: &dyn Progress,
    ) -> Result<(Vec<StagedFile>, String)> {
        let SidecarContext { made, name, written } = *told;
        let (mut staged, mut summary) = (Vec::new(), String::new());
        for (record, bytes) in
            self.wanted().make(made, name, || Digest::compute(image, progress))?
        {
            if let Some(path) = self.path(record) {
                staged.push(written.beside(&path)?.stage_bytes(&bytes, made.readers())?);
                summary.extend(["wrote ", &shell_quote(&path), "\n"]);
            }
        }
        Ok((staged, summary))
    }

    fn path(&self, record: Record) -> Option<PathBuf> {
        match record {
            Record::Manifest => self.manifest.clone(),
            Record::Signature => self.manifest.as_ref().map(|path| {
                let mut path = path.clone().into_os_string();
                path.push(".sig");
                path.into()
            }),
            Record::Provenance => self.provenance.clone(),
            Record::Sbom => self.sbom.clone(),
        }
    }
}
