//! `remaster verify`: compare a medium or file with an image, or with what it says of itself.

use std::path::{Path, PathBuf};

use remaster::bounded;
use remaster::error::{Error, Result};
use remaster::flash::{self, Medium, Readable};
use remaster::image::ReadAt;
use remaster::image::digest::Digest;
use remaster::image::file_type;
use remaster::stamp::base_image::Original;
use remaster::stamp::identity::{self, Other, Verdict};
use remaster::stamp::manifest::found::{self, Found};
use remaster::stamp::manifest::verify::verify;
use remaster::stamp::manifest::{self, Manifest};
use remaster::stamp::sign;
use remaster::target::System;
use serde_json::json;

use super::flash::{tell_differences, tell_end};
use crate::cli::base;
use crate::cli::events;
use crate::cli::printer;
use crate::cli::progress::{Meter, Style};

/// Compare a stick or file with its image or its manifest
///
/// It is read past the page cache, from the medium itself.
#[derive(Debug, clap::Args)]
#[command(mut_arg("sha256", |argument| argument.help("SHA-256 that the image of --against must have, or else the file that is read")))]
#[command(mut_arg("sha256_file", |argument| argument.help("File with that SHA-256, as it is published beside the ISO")))]
// They are about the image of --against.
#[command(mut_arg("cache_digest", |argument| argument.requires("against")))]
#[command(mut_arg("offline", |argument| argument.requires("against")))]
#[command(mut_arg("cache", |argument| argument.requires("against")))]
pub(crate) struct Args {
    /// Disk or file to read
    pub(crate) medium: PathBuf,
    /// Image it should hold, plain or packed (xz, zst, gz, bz2, lz4, zip), or the name of a base
    #[arg(long, value_name = "IMAGE")]
    pub(crate) against: Option<PathBuf>,
    /// Compare even if the image is truncated, or not known to be a disk image
    #[arg(long, requires = "against")]
    any: bool,
    #[command(flatten)]
    source: base::Source,
    /// Compare with this manifest, which was written beside the image; its signature is FILE.sig
    #[arg(long, value_name = "FILE", conflicts_with = "against")]
    pub(crate) manifest: Option<PathBuf>,
    /// The manifest must be signed by a key of this file, in the form of `ssh-keygen -Y verify -f`
    #[arg(long, value_name = "FILE", conflicts_with = "against")]
    pub(crate) allowed_signers: Option<PathBuf>,
    /// Print events as JSON, one per line
    #[arg(long)]
    pub(crate) json: bool,
}

impl Args {
    /// Whether nothing but the SHA-256 of the file is demanded, which a packed one has, too.
    fn demands_only_digest(&self) -> bool {
        let has_more =
            self.against.is_some() || self.manifest.is_some() || self.allowed_signers.is_some();
        self.source.demands_digest() && !has_more
    }
}

/// Compares with the image of `--against`, or with a manifest.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.json {
        printer::tell_events();
    }
    let compared = compare(args);
    if let Err(fault) = &compared
        && args.json
    {
        tell_end(fault);
    }
    compared
}

fn compare(args: &Args) -> Result<()> {
    if !args.any && !args.demands_only_digest() {
        base::check_plain(&args.medium, "verify")?;
    }
    match &args.against {
        Some(against) => {
            let open = |given, source| {
                if args.any {
                    base::open_any(given, source, || Ok(()))
                } else {
                    base::open(given, source, || Ok(()))
                }
            };
            let image = open(against, &args.source).map_err(|fault| too_large(args, fault))?;
            against_image(args, &image, &image.name())
        }
        None => against_manifest(args),
    }
}

/// Compares the medium with the manifest in it, or with one beside it.
fn against_manifest(args: &Args) -> Result<()> {
    let demanded = demanded(args)?;
    let medium = Readable::open(&args.medium, &System::default())?;
    let is_packed =
        args.demands_only_digest() && base::check_plain(&args.medium, "verify").is_err();
    let inside = if is_packed {
        None
    } else {
        found::of_image(&medium).map_err(|fault| fault.with_path(medium.name()))?
    };
    if let Some(demanded) = demanded {
        check_digest(&medium, demanded, inside.as_ref())?;
        let is_enough = args.manifest.is_none() && args.allowed_signers.is_none();
        if is_enough && inside.as_ref().is_none_or(|found| found.manifest.blocks.is_none()) {
            return tell(args, Verified { sha256: Some(demanded), ..Verified::default() });
        }
    }
    let found = match &args.manifest {
        Some(path) => beside(path, inside, &medium)?,
        None => inside.ok_or_else(|| Error::Usage {
            what: format!("{} has no manifest to compare with", medium.name()),
            hint: "give the image with `--against IMAGE`, the manifest with `--manifest FILE`, or a digest with `--sha256 HEX`".into(),
        })?,
    };
    let signer =
        args.allowed_signers.as_deref().map(|path| signer(args, path, &found)).transpose()?;
    let meter = Meter::new(medium.name(), Style::choose(args.json));
    verify(&medium, &found, &meter)?;
    tell(args, Verified { sha256: demanded, manifest: Some(found.manifest), signer })
}

/// The SHA-256 that the file itself must have.
fn demanded(args: &Args) -> Result<Option<Digest>> {
    let demanded = args.source.expected(&args.medium)?;
    let about = args.medium.metadata();
    let about = about.map_err(Error::io(format!("open {}", args.medium.display())))?;
    if demanded.is_none() || about.is_file() {
        return Ok(demanded);
    }
    let hint = "add `--against IMAGE`, the image that was written: they are about that one then";
    Err(base::no_file(&args.medium, hint))
}

/// Compares the SHA-256 of a file with the one that is demanded.
fn check_digest(medium: &Readable, demanded: Digest, inside: Option<&Found>) -> Result<()> {
    let found = Digest::compute(medium, &Meter::stages_without_signals())?;
    if found == demanded {
        return Ok(());
    }
    let base = inside.and_then(|found| found.manifest.base.sha256);
    let expected = demanded.to_string();
    let hint = if base == Some(demanded) {
        "that is the SHA-256 of the base that it was made from: `remaster reset --sha256 HEX` demands that one"
    } else {
        "give the SHA-256 of this very file, or the image that it should be with `--against IMAGE`"
    };
    Err(Error::Checksum {
        what: medium.name(),
        found: found.to_string(),
        expected,
        hint: hint.into(),
    })
}

/// The manifest of a file, which is the one inside if there is one.
fn beside(path: &Path, inside: Option<Found>, medium: &Readable) -> Result<Found> {
    let text = read(path)?.into_bytes();
    let name = signature_of(path);
    let signature = if name.exists() { Some(read_beside(&name)?) } else { None };
    let manifest = manifest::parse(&text, 0).map_err(|fault| not_a_manifest(path, fault))?;
    let (inside_text, own) =
        inside.map_or((None, Vec::new()), |found| (Some(found.text), found.own));
    let why = match inside_text {
        Some(inside) if inside == text => None,
        Some(_) => Some("the manifest in that is another one"),
        None if Original::below(medium)?.is_none() => Some("nothing was put into that"),
        None => None,
    };
    if let Some(why) = why {
        return Err(Error::Signature {
            what: format!("{} was not written for {}: {why}", path.display(), medium.name()),
            hint: "give the manifest that was written with this image, or the image that it was written for".into(),
        });
    }
    Ok(Found { manifest, text, signature, own })
}

/// The image itself may be sound: a file beside it is not what was meant.
fn not_a_manifest(path: &Path, fault: Error) -> Error {
    match fault {
        Error::Malformed { found, .. } => Error::Usage {
            what: format!("{} is not a manifest: {found}", path.display()),
            hint: "give the file that --manifest wrote beside the image".into(),
        },
        other => other.with_path(path.display()),
    }
}

fn read(path: &Path) -> Result<String> {
    bounded::read_text(path, manifest::LARGEST, &format!("read {}", path.display()))
}

fn read_beside(path: &Path) -> Result<Vec<u8>> {
    let doing = format!("read {}", path.display());
    bounded::read_text_beside(path, manifest::LARGEST, &doing).map(String::into_bytes)
}

/// The principals whose key signed.
fn signer(args: &Args, allowed: &Path, found: &Found) -> Result<String> {
    let beside = args.manifest.as_deref().map(|path| signature_of(path).display().to_string());
    let signature = found.signature.as_ref().ok_or_else(|| not_signed(beside.as_deref()))?;
    if signature.iter().all(u8::is_ascii_whitespace) {
        let name = beside.unwrap_or_else(|| "the signature in the image".to_owned());
        return Err(Error::Signature {
            what: format!("{name} is empty, not a signature"),
            hint: "get the manifest and its signature again from the maker of the image".into(),
        });
    }
    let key = sign::check(&found.text, signature);
    let key = key.map_err(|fault| match (fault, beside) {
        (Error::Signature { what, hint }, Some(name)) => {
            Error::Signature { what: format!("{name}: {what}"), hint }
        }
        (other, _) => other,
    })?;
    let text = read(allowed)?;
    let found = sign::signers::principals(&text, &key);
    found.map_err(|fault| match fault {
        Error::Signature { what, hint } => {
            Error::Signature { what: format!("{}: {what}", allowed.display()), hint }
        }
        other => other,
    })
}

/// The signature beside a manifest.
fn signature_of(manifest: &Path) -> PathBuf {
    let mut name = manifest.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

/// The error for a manifest in an image, or for one whose signature would be `beside` it.
fn not_signed(beside: Option<&str>) -> Error {
    let (what, hint) = match beside {
        Some(name) => (
            format!("there is no {name}, and --allowed-signers asks for a signature"),
            "get it from the maker of the image, or leave --manifest out if the manifest in the image is signed",
        ),
        None => (
            "the manifest is not signed, and --allowed-signers asks for a signature".to_owned(),
            "make the image with `--sign KEY`, or leave --allowed-signers out",
        ),
    };
    Error::Signature { what, hint: hint.into() }
}

/// What a medium was found to be.
#[derive(Default)]
struct Verified {
    /// What was required of the file.
    sha256: Option<Digest>,
    /// What it is as the manifest says.
    manifest: Option<Manifest>,
    signer: Option<String>,
}

fn tell(args: &Args, verified: Verified) -> Result<()> {
    let Verified { sha256, manifest, signer } = verified;
    let sha256 = sha256.map(|digest| digest.to_string());
    if args.json {
        let said = manifest.as_ref();
        let content_id = said.and_then(|said| said.content_id.as_ref());
        printer::event(
            events::VERIFIED,
            json!({ "target": args.medium,
            "recipe": content_id, "recipe_id": said.and_then(|said| said.recipe_id.as_ref()),
            "content_id": content_id, "edits": said.map(|said| &said.edits), "signer": signer,
            "sha256": sha256 }),
        );
        return Ok(());
    }
    let mut parts: Vec<String> = Vec::new();
    parts.extend(manifest.map(|_| "as its manifest says".to_owned()));
    parts.extend(signer.map(|signer| format!("signed by {signer}")));
    parts.extend(sha256.map(|digest| format!("SHA-256 {digest}, as required")));
    printer::tell(&format!("{}: {}\n", args.medium.display(), parts.join(", ")))
}

/// Compares the medium with any image that can be read. That it holds another image is known before all of it is
/// read, and is not a fault of the medium.
fn against_image(args: &Args, image: &dyn ReadAt, name: &str) -> Result<()> {
    let medium = Readable::open(&args.medium, &System::default())?;
    if !args.any {
        file_type::check_finished(&medium, &medium.name())?;
    }
    let other = |Other { is, wanted }| Error::OtherImage {
        medium: medium.name(),
        is,
        image: name.to_owned(),
        wanted,
    };
    let verdict = identity::compare(&medium, image)?;
    if let Verdict::Other(found) = verdict {
        return Err(other(found));
    }
    check_size(&medium, image.size(), name)?;
    let meter = Meter::new(medium.name(), Style::choose(args.json));
    let report = medium.if_unchanged(flash::verify(&medium, image, &meter))?;
    if let Verdict::Perhaps(found) = verdict
        && report.is_other_data()
    {
        return Err(other(found));
    }
    tell_differences(&medium.name(), &report, args.json)?;
    if report.beyond > 0 {
        printer::note(&format!(
            "{} goes on for {} bytes behind the image, which were not compared",
            medium.name(),
            report.beyond
        ));
    }
    report.error(&medium.name()).map_or(Ok(()), Err)
}

/// That a file cannot lie on the medium says more than that it is not a disk image.
fn too_large(args: &Args, fault: Error) -> Error {
    let Error::NotAnImage { name, .. } = &fault else { return fault };
    let size = args.against.as_ref().and_then(|path| path.metadata().ok()).map(|about| about.len());
    let medium = Readable::open(&args.medium, &System::default());
    let checked = medium.and_then(|medium| check_size(&medium, size.unwrap_or(0), name));
    match checked {
        Err(smaller @ Error::Smaller { .. }) => smaller,
        _ => fault,
    }
}

fn check_size(medium: &Readable, needs: u64, image: &str) -> Result<()> {
    let has = ReadAt::size(medium);
    if has >= needs {
        return Ok(());
    }
    let (medium, image) = (medium.name(), image.to_owned());
    Err(Error::Smaller { medium, has, image, needs })
}
