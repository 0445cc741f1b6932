//! A menu entry that is started without the boot loader: its kernel, its initrds, its arguments.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use remaster::boot::config::Config;
use remaster::boot::menu;
use remaster::error::{Error, Result};
use remaster::formats::boot_config::{Entry, Syntax, volume_path};
use remaster::image::{ImageFile, ReadAt as _};
use remaster::iso::survey::Survey;
use remaster::recipe::edits::{Boot, Spanned};

/// Bytes of a kernel or an initrd.
const LARGEST: u64 = 1 << 30;

/// What QEMU starts in the place of a boot loader.
#[derive(Debug)]
pub(super) struct Direct {
    pub(super) kernel: PathBuf,
    pub(super) initrd: PathBuf,
    pub(super) arguments: String,
    /// Its title, with those of the menus above it.
    pub(super) title: String,
}

impl Direct {
    /// The entry of a number or a title, copied below `place`.
    pub(super) fn open(image: &Path, asked: &str, bios: bool, place: &Path) -> Result<Self> {
        let file = ImageFile::open(image)?;
        let survey = Survey::read(&file).map_err(|fault| file.at_fault(fault))?;
        let (entry, arguments) = chosen(&survey.configs, asked, bios)?;
        let (kernel, initrd) = (place.join("kernel"), place.join("initrd"));
        copy(&file, &survey, &[&entry.kernel.text], &kernel)?;
        let initrds: Vec<&String> = entry.initrds.iter().map(|word| &word.text).collect();
        copy(&file, &survey, &initrds, &initrd)?;
        // Variables of a loader's menu, which are empty where it starts by itself.
        let words = arguments.into_iter().filter(|word| !word.starts_with('$'));
        let arguments = words.collect::<Vec<_>>().join(" ");
        Ok(Self { kernel, initrd, arguments, title: entry.path() })
    }
}

/// The entry, and its arguments: by its number in the menu of the firmware, or by a part of its title.
fn chosen(configs: &[Config], asked: &str, bios: bool) -> Result<(Entry, Vec<String>)> {
    let is_of_firmware = |config: &&Config| (config.syntax == Syntax::Isolinux) == bios;
    let menu = configs.iter().find(is_of_firmware).or(configs.first());
    let entries = menu.map(|config| config.entries.as_slice()).unwrap_or_default();
    if !asked.is_empty() && asked.bytes().all(|byte| byte.is_ascii_digit()) {
        // What no integer holds is the number of no entry.
        let index = asked.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let entry = index.and_then(|index| entries.get(index));
        let entry = entry.ok_or_else(|| none_of(asked, entries))?;
        let words = entry.arguments.iter().map(|word| word.text.clone());
        return Ok((entry.clone(), words.collect()));
    }
    let asked = Spanned { value: asked.to_owned(), place: "--entry".to_owned() };
    let boot = Boot { default_entry: Some(asked), ..Boot::default() };
    let menu: Vec<Config> = menu.cloned().into_iter().collect();
    let (entry, words, _) = menu::started_alone(&menu, &boot)?;
    Ok((entry, words))
}

fn none_of(number: &str, entries: &[Entry]) -> Error {
    let shown = (1_usize..).zip(entries).map(|(at, entry)| format!("{at} {}", entry.path()));
    Error::Usage {
        what: format!(
            "--entry {number}: the menu has {} entries: {}",
            entries.len(),
            shown.collect::<Vec<_>>().join(", ")
        ),
        hint: "give one of these numbers, or a part of a title".into(),
    }
}

/// An archive of an initrd starts at a multiple of so many bytes (Linux `init/initramfs.c`, `unpack_to_rootfs`), so boot
/// loaders pad one initrd before the next.
const ALIGNMENT: u64 = 4;

/// Copies files of the volume, one behind the other, each from a multiple of [`ALIGNMENT`] on.
fn copy<W: AsRef<str>>(file: &ImageFile, survey: &Survey, paths: &[W], to: &Path) -> Result<()> {
    let writing = || format!("write {}", to.display());
    let mut out = File::create(to).map_err(Error::io(writing()))?;
    for path in paths {
        let end = out.stream_position().map_err(Error::io(writing()))?;
        let start = end.checked_next_multiple_of(ALIGNMENT).unwrap_or(end);
        out.seek(SeekFrom::Start(start)).map_err(Error::io(writing()))?;
        let path = volume_path(path.as_ref());
        let node = survey.tree().file(&path).ok_or_else(|| Error::Usage {
            what: format!("{path} of the entry is not on the volume"),
            hint: "`remaster inspect --all` shows what each entry starts".into(),
        })?;
        for at in &node.extents {
            let bytes = file.read_range(&path, *at, LARGEST)?;
            out.write_all(&bytes).map_err(Error::io(writing()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn direct(asked: &str, bios: bool) -> Result<(Direct, Vec<u8>)> {
        let place = tempfile::tempdir().unwrap();
        let base = place.path().join("base.iso");
        let bytes = zstd::decode_all(&include_bytes!("../../../../tests/tiny/tiny.iso.zst")[..]);
        fs::write(&base, bytes.unwrap()).unwrap();
        let found = Direct::open(&base, asked, bios, place.path())?;
        let kernel = fs::read(&found.kernel).unwrap();
        assert!(!fs::read(&found.initrd).unwrap().is_empty());
        Ok((found, kernel))
    }

    #[test]
    fn an_entry_is_found_by_number_and_by_title_and_brings_its_own_arguments() {
        for bios in [true, false] {
            let (first, kernel) = direct("1", bios).unwrap();
            assert!(!kernel.is_empty() && first.arguments.contains("init=/nix/store/"));
            assert!(!first.arguments.contains('$'), "{}", first.arguments);
            let (other, _) = direct("copytoram", bios).unwrap();
            assert!(other.arguments.contains("copytoram") && other.title != first.title);
        }
    }

    #[test]
    fn what_is_neither_a_title_nor_the_number_of_an_entry_is_refused_as_what_it_is() {
        for (asked, told) in [
            ("", "--entry: an empty title"),
            (" ", "--entry: an empty title"),
            ("0", "--entry 0: the menu has "),
            ("99999999999999999999999", "--entry 99999999999999999999999: the menu has "),
            ("nosuch", "is called \"nosuch\""),
        ] {
            let fault = direct(asked, false).map(drop).unwrap_err().to_string();
            assert!(fault.contains(told), "{asked:?}: {fault}");
        }
    }

    #[test]
    fn each_initrd_starts_where_the_kernel_looks_for_an_archive() {
        let place = tempfile::tempdir().unwrap();
        let (base, out) = (place.path().join("base.iso"), place.path().join("initrd"));
        let bytes = zstd::decode_all(&include_bytes!("../../../../tests/tiny/tiny.iso.zst")[..]);
        fs::write(&base, bytes.unwrap()).unwrap();
        let file = ImageFile::open(&base).unwrap();
        let survey = Survey::read(&file).unwrap();
        copy(&file, &survey, &["/EFI/BOOT/grub.cfg"], &out).unwrap();
        let one = fs::read(&out).unwrap();
        assert_ne!(one.len() % 4, 0, "this file shows nothing");
        copy(&file, &survey, &["/EFI/BOOT/grub.cfg"; 2], &out).unwrap();
        assert!(fs::read(&out).unwrap()[one.len().next_multiple_of(4)..] == one);
    }

    #[test]
    fn what_no_menu_has_is_refused_with_what_it_has() {
        let shown = direct("99", true).unwrap_err().to_string();
        assert!(
            shown.starts_with("--entry 99: the menu has ") && shown.contains(": 1 NixOS"),
            "{shown}"
        );
        assert!(direct("0", true).is_err());
        let shown = direct("Windows", false).unwrap_err().to_string();
        assert!(shown.contains("--entry: ") && shown.contains("Windows"), "{shown}");
    }
}
