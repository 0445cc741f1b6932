//! Who has a file system or swap area open: what `/proc` says.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::disk::DeviceNumber;

/// A line of `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Mount {
    /// The device; major 0 for btrfs and others that hide theirs.
    pub(super) number: DeviceNumber,
    /// Where it is mounted.
    pub(super) at: PathBuf,
    /// What was mounted, which is a device node for disk file systems.
    pub(super) source: PathBuf,
}

/// All mounts of `text`; lines that are not understood are left out.
pub(super) fn mounts(text: &[u8]) -> Vec<Mount> {
    text.split(|&byte| byte == b'\n').filter_map(mount).collect()
}

fn mount(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|&byte| byte == b' ');
    let number = DeviceNumber::parse(str::from_utf8(words.nth(2)?).ok()?)?;
    let at = unescaped(words.nth(1)?);
    // Optional fields end at a lone hyphen; then the type, then the source.
    words.find(|word| *word == b"-")?;
    let source = unescaped(words.nth(1)?);
    Some(Mount { number, at, source })
}

/// The devices and files of `/proc/swaps`.
pub(super) fn swaps(text: &[u8]) -> Vec<PathBuf> {
    let lines = text.split(|&byte| byte == b'\n').skip(1);
    lines
        .filter_map(|line| line.split(u8::is_ascii_whitespace).next())
        .filter(|word| !word.is_empty())
        .map(unescaped)
        .collect()
}

/// Undoes `\040` and its like, by which the kernel writes blanks and backslashes.
fn unescaped(word: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|_| first == b'\\').and_then(byte_of_octal);
        plain.push(octal.unwrap_or(first));
        rest = if octal.is_some() { tail.get(3..).unwrap_or_default() } else { tail };
    }
    PathBuf::from(OsString::from_vec(plain))
}

fn byte_of_octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_in_mount_points_are_octal() {
        let text = b"36 35 8:33 / /run/media/me/MY\\040STICK\\134 rw,nosuid shared:1 master:2 - vfat /dev/sdc1 rw\n\
            37 35 0:29 /@ /home rw - btrfs /dev/mapper/a\\040b rw\nbroken line\n";
        let found = mounts(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].at, PathBuf::from("/run/media/me/MY STICK\\"));
        assert_eq!(found[0].number, DeviceNumber { major: 8, minor: 33 });
        assert_eq!(found[1].source, PathBuf::from("/dev/mapper/a b"));
    }

    #[test]
    fn a_hyphen_in_a_path_is_not_the_end_of_the_optional_fields() {
        let text = b"36 35 8:33 / /a-b rw - ext4 /dev/disk/by-id/x-y rw\n";
        assert_eq!(mounts(text)[0].source, PathBuf::from("/dev/disk/by-id/x-y"));
    }

    #[test]
    fn swaps_have_a_heading() {
        let text = b"Filename\t\t\t\tType\t\tSize\n/dev/sda2                               partition\t1\n/swap\\040file file 2\n";
        assert_eq!(swaps(text), [PathBuf::from("/dev/sda2"), PathBuf::from("/swap file")]);
        assert_eq!(swaps(b""), Vec::<PathBuf>::new());
    }
}
