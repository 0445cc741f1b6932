//! NixOS that starts over the network or by kexec: a kernel, an initrd that holds the store, and what starts them, laid
//! out as nixpkgs does (`nixos/modules/installer/netboot/netboot.nix`).

pub mod added;
pub mod archive;
pub mod installer;
pub mod ipxe;
pub mod layout;
pub mod script;
pub mod tables;
pub mod tree;

use crate::image::ReadAt;
use crate::image::patched::PatchedImage;
use crate::output::Outgoing;

/// The name of the initrd's file, as nixpkgs has it; the kernel keeps its own.
pub const INITRD: &str = "initrd";

/// The name of the iPXE script.
pub const SCRIPT: &str = "netboot.ipxe";

/// What starts over the network.
#[derive(Debug)]
pub struct Netboot<B> {
    /// Name of the kernel's file, as `bzImage`.
    pub name: String,
    /// The kernel.
    pub kernel: PatchedImage<B>,
    /// The initrd with the store in it.
    pub initrd: PatchedImage<B>,
    /// The iPXE script.
    pub script: String,
    /// The title of what it was made of: a menu entry, or the script with its command line.
    pub entry: String,
    /// Whether the initrd holds what others must not know.
    pub private: bool,
    /// What the keys on the kernel's command line do, if there are any.
    pub credential: Option<String>,
}

impl<B: ReadAt> Netboot<B> {
    /// The kernel for a way out: it is as published.
    pub fn kernel_outgoing(&self) -> Outgoing<'_, B> {
        Outgoing::new(&self.kernel, false)
    }

    /// The initrd for a way out.
    pub fn initrd_outgoing(&self) -> Outgoing<'_, B> {
        Outgoing::new(&self.initrd, self.private)
    }
}
