//! The commands of GRUB 2 by what they start (GRUB manual 2.12, "Commands"). What is in no list may start anything.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::super::Word;

/// Load a kernel, an initrd; the `efi` and `16` ones are of patched or older GRUBs.
pub(super) const KERNEL: [&str; 3] = ["linux", "linuxefi", "linux16"];
pub(super) const INITRD: [&str; 3] = ["initrd", "initrdefi", "initrd16"];

/// Run what another file says in the language of GRUB.
pub(super) const READERS: [&str; 6] =
    [".", "source", "configfile", "normal", "extract_entries_source", "extract_entries_configfile"];

/// Commands that start something, of all GRUBs. GRUB looks for a command before it looks for a function of that name.
const STARTERS: &str = "
    appleloader bls_import blscfg drivemap efi-load-env eval extract_legacy_entries_configfile
    extract_legacy_entries_source extract_syslinux_entries_configfile extract_syslinux_entries_source freedos hiddenentry kfreebsd kfreebsd_loadenv
    kfreebsd_module kfreebsd_module_elf knetbsd knetbsd_module knetbsd_module_elf kopenbsd kopenbsd_ramdisk
    legacy_configfile legacy_initrd legacy_initrd_nounzip legacy_kernel legacy_source linux_xen loadbios menuentry module module2 multiboot multiboot2
    ntldr plan9 pxechainloader submenu syslinux_configfile syslinux_source time truecrypt uki xen_hypervisor xen_initrd xen_linux xen_module
    xnu_devprop_load xnu_kernel xnu_kernel64 xnu_kext xnu_kextdir xnu_mkext xnu_ramdisk xnu_resume xnu_splash";

/// Whether a function of this name would never be called.
pub(super) fn is_starter(name: &str) -> bool {
    STARTERS.split_whitespace().any(|known| known == name)
}

/// End an entry, or the menu: what stands behind them is not loaded.
const ENDS: [&str; 7] = ["boot", "exit", "fwsetup", "halt", "normal_exit", "reboot", "return"];

/// Whether nothing of an entry is run behind a command.
pub(super) fn is_end(name: &str) -> bool {
    ENDS.contains(&name)
}

/// Shows its words, and nothing else.
pub(super) const ECHO: &str = "echo";

/// The options of a menu entry, and whether they have a value, which may be the word behind them.
const OPTIONS: [(&str, bool); 6] = [
    ("class", true),
    ("users", true),
    ("hotkey", true),
    ("source", true),
    ("id", true),
    ("unrestricted", false),
];

/// The title among the words of a menu entry: the first one that is neither an option nor the value of one (GRUB
/// `grub-core/lib/arg.c`, `grub_arg_parse`).
pub(super) fn title_word(words: &[Word]) -> Option<&Word> {
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let Some(option) = word.text.strip_prefix("--") else { return Some(word) };
        if option.is_empty() {
            return words.next();
        }
        let (name, value) = option.split_once('=').map_or((option, None), |(a, b)| (a, Some(b)));
        let Some((_, has_value)) = OPTIONS.iter().find(|(known, _)| *known == name) else {
            return Some(word);
        };
        if *has_value && value.is_none() {
            words.next_if(|value| !value.text.starts_with('-'));
        }
    }
    None
}

/// The option of a menu entry whose value has its commands, in place of a block in braces.
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
    // It is asked for every command of every menu.
    static NAMES: LazyLock<HashSet<&str>> = LazyLock::new(|| HARMLESS.split_whitespace().collect());
    NAMES.contains(name)
}
