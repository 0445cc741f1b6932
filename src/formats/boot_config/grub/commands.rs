//! The commands of GRUB 2 by what they start (GRUB manual 2.12, "Commands"). What is in no list may start anything.

/// Load a kernel, an initrd; the `efi` and `16` ones are of patched or older GRUBs.
pub(super) const KERNEL: [&str; 3] = ["linux", "linuxefi", "linux16"];
pub(super) const INITRD: [&str; 3] = ["initrd", "initrdefi", "initrd16"];

/// Run what another file says.
pub(super) const READERS: [&str; 11] = [
    ".",
    "source",
    "configfile",
    "normal",
    "extract_entries_source",
    "extract_entries_configfile",
    "extract_legacy_entries_source",
    "legacy_source",
    "legacy_configfile",
    "syslinux_source",
    "syslinux_configfile",
];

/// The option by which a menu entry has its commands in a text.
pub(super) const IN_TEXT: &str = "--source";

/// Start nothing, or what the menu shows or the firmware has. `chainloader` is looked at by what it loads.
const HARMLESS: &str = "
    [ acpi all_functional_test authenticate background_color background_image badram blocklist boot break cat
    chainloader clear cmosclean cmosdump cmosset cmostest cmp continue cpuid crc cryptomount cutmem date devicetree
    distrust dump echo efi-watchdog efitextmode exit export false fwsetup getenv gettext gptsync halt hashsum
    help hexdump insmod keymap keystatus list_env list_trusted load_env loadfont loopback ls lsacpi lsapm lsefi
    lsefimmap lsefisystab lsfonts lsmmap lsmod lspci md5sum nativedisk net_add_addr net_add_dns net_add_route
    net_bootp net_del_addr net_del_dns net_del_route net_dhcp net_get_dhcp_option net_ipv6_autoconf net_ls_addr
    net_ls_cards net_ls_dns net_ls_routes net_nslookup normal_exit outb outl outw parttool password
    password_pbkdf2 pcidump plainmount play probe rdmsr read reboot regexp return rmmod save_env search
    search.file search.fs_label search.fs_uuid sendkey serial set setparams setpci sha1sum sha256sum sha512sum
    shift sleep smbios terminal terminal_input terminal_output terminfo test true trust unset usb
    vbeinfo vbetest verify_detached videoinfo videotest write_byte write_dword write_word wrmsr xnu_uuid zfsinfo";

/// Whether a command starts nothing by itself.
pub(super) fn is_harmless(name: &str) -> bool {
    HARMLESS.split_whitespace().any(|known| known == name)
}
