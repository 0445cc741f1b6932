//! NixOS that starts over the network or by kexec: a kernel, an initrd that holds the store, and what starts them, laid
//! out as nixpkgs does (`nixos/modules/installer/netboot/netboot.nix`).

pub mod added;
pub mod archive;
pub mod installer;
pub mod ipxe;
mod ipxe_lines;
pub mod layout;
mod loads;
pub mod script;
mod shell_lines;
pub mod tables;
pub mod tree;
pub mod verify;
mod words;

/// The name of the initrd's file, as nixpkgs has it; the kernel keeps its own.
pub const INITRD: &str = "initrd";

/// The name of the iPXE script.
pub const SCRIPT: &str = "netboot.ipxe";

/// Whether a file is called as the initrd of a folder or tar archive.
fn is_initrd(name: &str) -> bool {
    name == INITRD || name.starts_with("initrd.")
}
