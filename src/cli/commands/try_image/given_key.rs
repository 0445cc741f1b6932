//! Whether the key that is given is one of those that the image lets in.

use std::path::{Path, PathBuf};

use remaster::bounded;
use remaster::error::{Error, Result};
use remaster::image::name_of_kind;
use remaster::inspect::{Key, Report};
use ssh_key::{HashAlg, PrivateKey, PublicKey};

use super::Args;
use crate::cli::shell::shell_quote;

/// Bytes of the largest file of a key.
const LARGEST: u64 = 64 << 10;

/// Refuses a key that the image surely does not let in as the user: to boot it would take minutes, and tell less.
pub(super) fn check(args: &Args, report: &Report) -> Result<()> {
    let keys = report.injected.iter().flat_map(|injected| &injected.keys);
    let keys: Vec<&Key> =
        keys.filter(|key| key.user == args.user && key.shut_out.is_none()).collect();
    let Some(path) = &args.key else { return Ok(()) };
    check_file(path)?;
    let Some(given) = fingerprint(path) else { return Ok(()) };
    if keys.iter().any(|key| key.fingerprint == given || is_of_authority(key)) {
        return Ok(());
    }
    let all: Vec<String> = keys.iter().map(|key| shown(key)).collect();
    let (name, user) = (shell_quote(&args.image), &args.user);
    Err(Error::Usage {
        what: format!(
            "{name} does not let {} ({given}) in as {user}: it lets in {}",
            shell_quote(path),
            all.join(", ")
        ),
        hint: "give the private half of a key that it lets in, or `--key generate` for a new one"
            .into(),
    })
}

/// Refuses what is not a file: ssh reads a key again each time it tries.
fn check_file(path: &Path) -> Result<()> {
    // ssh itself says what it has against one that is not there.
    let Some(about) = path.metadata().ok().filter(|about| !about.is_file()) else { return Ok(()) };
    let is = name_of_kind(about.file_type());
    Err(Error::Usage {
        what: format!("--key: {} is {is}, not the file of a key", path.display()),
        hint: "give the path of a private key, or `--key generate` for a new one".into(),
    })
}

/// Whether the key signs certificates: everybody with one of them may log in.
fn is_of_authority(key: &Key) -> bool {
    let options = key.options.as_deref().unwrap_or_default();
    options.split(',').any(|option| option.trim() == "cert-authority")
}

fn shown(key: &Key) -> String {
    format!("{} {} {}", key.algorithm, key.fingerprint, key.comment).trim_end().to_owned()
}

/// The fingerprint of a private key: its public half is not encrypted in it, or stands beside it; none if neither can be
/// read.
fn fingerprint(path: &Path) -> Option<String> {
    let read = |path: &Path| bounded::read_text_beside(path, LARGEST, "read a key").ok();
    let own = read(path).and_then(|text| PrivateKey::from_openssh(&text).ok());
    let beside = || PublicKey::from_openssh(read(&beside(path))?.trim()).ok();
    let public = own.map(|key| key.public_key().clone()).or_else(beside)?;
    Some(public.fingerprint(HashAlg::Sha256).to_string())
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}
