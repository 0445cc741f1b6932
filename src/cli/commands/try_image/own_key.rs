//! A key for one boot, in a copy of an image. Both are gone afterwards.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use remaster::error::{Error, Result};
use remaster::image::ImageFile;
use remaster::leftovers::Leftover;
use remaster::live::Input;
use remaster::progress::Silent;
use remaster::stamp::manifest::below::Kept;
use remaster::stamp::previous::PreviousStamp;
use remaster::temporary;
use remaster::{BaseImage, Customization, ManifestOptions, OverwritePolicy, Recipe};
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey};

use crate::cli::job;

/// The copy, and the private key that opens it.
pub(super) struct KeyedCopy {
    pub(super) image: PathBuf,
    pub(super) key: PathBuf,
}

impl KeyedCopy {
    /// Makes both below `place`.
    pub(super) fn make(image: &Path, place: &Path) -> Result<Self> {
        let fault = |fault: ssh_key::Error| Error::io("make a key pair")(io::Error::other(fault));
        let mut pair = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(fault)?;
        pair.set_comment("remaster try");
        let own = Self { image: place.join("image.iso"), key: place.join("key") };
        let private = pair.to_openssh(LineEnding::LF).map_err(fault)?;
        let file = File::options().write(true).create_new(true).mode(0o600).open(&own.key);
        file.and_then(|mut file| file.write_all(private.as_bytes()))
            .map_err(Error::io(format!("write {}", own.key.display())))?;
        let mut recipe = Recipe::default();
        recipe.key = vec![pair.public_key().to_openssh().map_err(fault)?];
        let file = ImageFile::open(image)?;
        let base = job::base(&file, Kept::All, &Silent)?;
        let made = base.customize(&customization(&base, recipe)?, &ManifestOptions::default());
        let made = made.map_err(|fault| file.at_fault(fault))?;
        made.write_to_file(&own.image, OverwritePolicy::Refuse)?;
        Ok(own)
    }
}

/// A recipe over what an image has already, which stays.
fn customization(base: &BaseImage<&ImageFile>, recipe: Recipe) -> Result<Customization> {
    let Some(previous) = PreviousStamp::read(base)? else {
        return Customization::from_recipe(&recipe);
    };
    let carried = previous.carried(&base.facts(), &recipe)?;
    let mut recipe = previous.with(recipe)?;
    // Nobody verifies the copy.
    recipe.manifest_digests = None;
    Customization::gather_over(&recipe, &mut Input::none(), carried)
}

/// A folder of the user's own for a machine's files, gone when it is dropped.
pub(super) struct Folder {
    folder: tempfile::TempDir,
    /// Removes it if the program ends at once.
    #[expect(dead_code, reason = "it does what it is for when it is dropped")]
    leftover: Leftover,
}

impl Folder {
    /// Makes it.
    pub(super) fn make() -> Result<Self> {
        let made = tempfile::Builder::new().prefix("remaster-try-").tempdir_in(temporary::folder());
        let folder = made.map_err(Error::io(temporary::doing()))?;
        let leftover = Leftover::path(folder.path());
        Ok(Self { folder, leftover })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use remaster::inspect::Report;

    use super::*;

    #[test]
    fn a_stock_image_gets_a_key_in_a_copy_that_goes() {
        let place = Folder::make().unwrap();
        let base = place.path().join("base.iso");
        let bytes = zstd::decode_all(&include_bytes!("../../../../tests/tiny/tiny.iso.zst")[..]);
        fs::write(&base, bytes.unwrap()).unwrap();
        let own = KeyedCopy::make(&base, place.path()).unwrap();
        let report = Report::read(&ImageFile::open(&own.image).unwrap()).unwrap();
        let private = PrivateKey::read_openssh_file(&own.key).unwrap();
        let print = private.fingerprint(ssh_key::HashAlg::Sha256).to_string();
        assert_eq!(report.injected.unwrap().keys[0].fingerprint, print);
        assert_eq!(fs::metadata(&own.key).unwrap().permissions().mode() & 0o777, 0o600);
        let path = place.path().to_owned();
        drop(place);
        assert!(!path.exists());
    }

    #[test]
    fn a_stamped_image_keeps_what_it_has() {
        let place = Folder::make().unwrap();
        let (base, stamped) = (place.path().join("base.iso"), place.path().join("stamped.iso"));
        let bytes = zstd::decode_all(&include_bytes!("../../../../tests/tiny/tiny.iso.zst")[..]);
        fs::write(&base, bytes.unwrap()).unwrap();
        let mut recipe = Recipe::default();
        (recipe.hostname, recipe.host_key) = (Some("box".into()), vec!["generate".into()]);
        let file = ImageFile::open(&base).unwrap();
        let made = BaseImage::open(&file).unwrap();
        let made = made
            .customize(&Customization::from_recipe(&recipe).unwrap(), &ManifestOptions::default());
        made.unwrap().write_to_file(&stamped, OverwritePolicy::Refuse).unwrap();
        let report =
            |path: &Path| Report::read(&ImageFile::open(path).unwrap()).unwrap().injected.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let own = KeyedCopy::make(&stamped, folder.path()).unwrap();
        let (before, now) = (report(&stamped), report(&own.image));
        assert!(before.keys.is_empty() && now.keys.len() == 2, "{now:?}");
        assert_eq!(before.host_keys[0].fingerprint, now.host_keys[0].fingerprint);
        assert_eq!(now.settings[0].value, "box");
        assert_eq!(fs::metadata(&own.image).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
