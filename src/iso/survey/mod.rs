//! Facts about a base, each with its address. Reads; decides nothing but whether the image is understood.

pub mod block_device;
pub mod boot_catalog;
pub mod configs;
pub mod console;
pub(crate) mod directory;
pub mod esp;
mod esp_check;
pub mod loaders;
pub mod located;
pub mod nixos;
mod read_places;
pub mod squashfs;
pub mod tree;
pub mod volume;

use crate::boot::config::Config;
use crate::boot::stage_one::Initrd;
use crate::checked;
use crate::error::{Error, Result};
use crate::formats::iso9660::Hierarchy;
use crate::formats::iso9660::volume_descriptor::VolumeDescriptor;
use crate::image::ReadAt;
use crate::image::file_type;
use crate::image::partitions::Partitions;
use crate::iso::survey::boot_catalog::ElToritoEntry;
use crate::iso::survey::located::Located;
use crate::iso::survey::nixos::BootTarget;
use crate::iso::survey::tree::Tree;
use crate::iso::survey::volume::Volume;
use crate::units::Lbn;

/// The structures of an image, read and checked against each other, without the initrds' insides.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Bytes of the image.
    pub size: u64,
    /// The Volume Descriptor Set.
    pub volume: Volume,
    /// The hierarchies: the primary one first.
    pub trees: Vec<Tree>,
    /// The partition tables.
    pub partitions: Partitions,
    /// What firmware starts.
    pub boot: Vec<ElToritoEntry>,
    /// Boot configs that start NixOS.
    pub configs: Vec<Config>,
    /// `version.txt`.
    pub release: String,
    /// The architecture, if the loaders tell it.
    pub architecture: Option<&'static str>,
    /// What the menus start.
    pub triplets: Vec<BootTarget>,
}

impl Survey {
    /// Reads an installer image.
    ///
    /// # Errors
    /// [`crate::Error::Malformed`] where a structure is broken, [`crate::Error::Unsupported`] where the
    /// image cannot be changed safely.
    pub fn read<I: ReadAt>(image: &I) -> Result<Self> {
        // What is not an image, or not all of one, is named before anything in it is looked for.
        file_type::check_iso(image)?;
        let mut volume = Volume::read(image)?;
        let trees: Vec<Tree> = volume
            .hierarchies()
            .map(|(hierarchy, _)| Tree::read(image, hierarchy))
            .collect::<Result<_>>()?;
        let primary = primary(&trees);
        volume
            .hierarchies()
            .zip(&trees)
            .try_for_each(|((_, found), tree)| check_root(found, tree))?;
        volume.find_second(image, primary)?;
        if let Err(fault) = nixos::check_markers(primary) {
            // Images that are made for Secure Boot have no `version.txt`, but that is not why they are refused.
            configs::check_unified(image, primary)?;
            nixos::check_system(primary, &volume.identifier())?;
            return Err(fault);
        }
        let partitions = Partitions::read(image)?;
        let boot = boot_catalog::catalog(image, primary)?;
        nixos::check_uefi_marker(primary, &boot)?;
        let configs = configs::all(image, &volume, primary, &boot)?;
        let triplets = nixos::triplets(&configs);
        nixos::check_menus(&configs, primary, &boot)?;
        boot_catalog::check_bios(image, &boot)?;
        nixos::check_named(primary, &configs)?;
        configs::check_kernels(image, primary, &triplets)?;
        let release = nixos::release(image, primary)?;
        let architecture = nixos::architecture(primary);
        Ok(Self {
            size: image.size(),
            volume,
            partitions,
            boot,
            configs,
            release,
            architecture,
            triplets,
            trees,
        })
    }

    /// The primary hierarchy.
    pub fn tree(&self) -> &Tree {
        primary(&self.trees)
    }

    /// Looks into the initrds that the menus name.
    pub fn initrds<I: ReadAt>(&self, image: &I) -> Result<Vec<Initrd>> {
        nixos::initrds(image, self.tree(), &self.triplets)
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "Volume::hierarchies always begins with the primary one"
)]
fn primary(trees: &[Tree]) -> &Tree {
    debug_assert_eq!(trees[0].hierarchy, Hierarchy::Primary);
    &trees[0]
}

/// The root that a descriptor names is the one that was read (§8.4.18).
fn check_root(found: &Located<VolumeDescriptor>, tree: &Tree) -> Result<()> {
    let root = &found.value.root;
    let named = (root.location_of_extent.get(), root.data_length.get().map(u64::from));
    let extent = tree.get("/").and_then(|node| node.extents.first());
    let read = (
        extent.and_then(|at| Lbn::at_byte(at.start())).map(|block| block.0),
        extent.map(|at| at.size()),
    );
    if named == read && named.0.is_some() {
        return Ok(());
    }
    let at = checked::sum(found.at.start(), 156, "the root's record")?;
    let (found, expected) =
        (format!("a root at {named:?}"), format!("{read:?}, as its own record says"));
    Err(Error::malformed("Volume Descriptor", at, found, expected))
}
