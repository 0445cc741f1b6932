//! Puts an ssh key and an overlay into a stock NixOS installer image, and writes it to a stick.
//!
//! An image file becomes a base, a base and a recipe become a stamped image, and a stamped image goes out: to
//! a file, a pipe, a patch or a disk. A [`StampedImage`] was verified; there is no other way to one.
//!
//! ```
//! use std::path::Path;
//!
//! use remaster::flash;
//! use remaster::target::Target;
//! use remaster::{BaseImage, Digest, OverwritePolicy, ImageFile, ManifestOptions, Recipe, Silent, Customization};
//!
//! # let folder = tempfile::tempdir()?;
//! # let base = zstd::decode_all(&include_bytes!("../tests/tiny/tiny.iso.zst")[..])?;
//! # std::fs::write(folder.path().join("nixos.iso"), base)?;
//! # std::env::set_current_dir(folder.path())?;
//! let mut recipe = Recipe::default();
//! recipe.key = vec!["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ me".into()];
//! recipe.hostname = Some("web07".into());
//!
//! // Open and customise.
//! let file = ImageFile::open(Path::new("nixos.iso"))?;
//! let base = BaseImage::open(&file)?;
//! let image = base.customize(&Customization::from_recipe(&recipe)?, &ManifestOptions::default())?;
//!
//! // Write it to a file, which appears whole or not at all, and to a pipe.
//! image.write_to_file(Path::new("custom.iso"), OverwritePolicy::Refuse)?;
//! let mut pipe = Vec::new();
//! image.write_to(&mut pipe)?;
//! assert_eq!(pipe, std::fs::read("custom.iso")?);
//!
//! // Or as a patch, which makes it of the base again.
//! let patch = image.patch(Digest::compute(base.original(), &Silent)?)?;
//! assert!(patch.pack().is_some_and(|bytes| bytes.len() < 20_000));
//!
//! // Or onto a disk, read back and compared: a file here, `target::Candidate::open` for a device.
//! let target = Target::file(Path::new("stick"), &[])?;
//! let options = flash::Options::default();
//! for written in flash::write(flash::Image::Whole(image.image()), &[(&target, &Silent)], &options)? {
//!     assert_eq!(written?.size, image.size());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Without default features this is all there is, and clap is not among its dependencies. `netboot` and `records` add
//! what the program has beside it: starts over the network; batches, OCI layouts and the records of an image.
//!
//! [`target`] knows which disks are safe to overwrite, and [`flash`] writes to them and compares. Modules that are not
//! shown here belong to the program. They change as it needs them, in any version.
//! `docs/architecture.md` says which module may use which.

pub use advice::Advice;
pub use error::{Error, Result};
pub use formats::patch_file::PatchFile;
pub use image::ImageFile;
pub use image::digest::Digest;
pub use live::Customization;
pub use output::file::OverwritePolicy;
pub use progress::{Progress, Silent};
pub use recipe::Recipe;
pub use stamp::base_image::BaseImage;
pub use stamp::planned_image::{ManifestOptions, PlannedImage};
pub use stamp::stamped_image::StampedImage;

mod access;
mod advice;
#[doc(hidden)]
pub mod bases;
#[doc(hidden)]
pub mod boot;
#[doc(hidden)]
pub mod bounded;
mod checked;
#[doc(hidden)]
pub mod disk;
#[doc(hidden)]
pub mod environment;
#[doc(hidden)]
pub mod error;
#[doc(hidden)]
pub mod few;
mod file_state;
#[doc(hidden)]
pub mod find;
pub mod flash;
#[doc(hidden)]
pub mod formats;
mod hex;
#[doc(hidden)]
pub mod image;
#[doc(hidden)]
pub mod inspect;
#[doc(hidden)]
pub mod iso;
#[doc(hidden)]
pub mod keys;
#[doc(hidden)]
pub mod leftovers;
#[doc(hidden)]
pub mod live;
mod lock;
#[doc(hidden)]
pub mod named_file;
#[doc(hidden)]
pub mod nearest;
#[cfg(feature = "netboot")]
#[doc(hidden)]
pub mod netboot;
#[doc(hidden)]
pub mod output;
#[doc(hidden)]
pub mod place;
#[doc(hidden)]
pub mod progress;
#[doc(hidden)]
pub mod recipe;
mod rights;
#[doc(hidden)]
pub mod run_files;
#[doc(hidden)]
pub mod stamp;
#[doc(hidden)]
pub mod stop;
pub mod target;
#[doc(hidden)]
pub mod temporary;
#[doc(hidden)]
pub mod threads;
#[doc(hidden)]
pub mod units;
#[doc(hidden)]
pub mod waiting;
