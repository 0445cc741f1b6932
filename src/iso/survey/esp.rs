//! The FAT filesystem of a UEFI boot image, read and written through `fatfs`.

use std::collections::BTreeSet;
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::checked;
use crate::error::{Error, Result};
use crate::image::ReadAt;
use crate::image::scratch::Scratch;
use crate::iso::survey::esp_check;
use crate::units::{ByteRange, beyond, u64_len};

/// Levels of folders that are looked into.
const DEEPEST: usize = 8;

/// Files and folders that are listed; a loop of folders ends here, too.
const MOST_FILES: usize = 20_000;

/// A FAT filesystem on a window of an image, changed in memory only.
pub struct Esp<'s, 'a, I: ReadAt> {
    volume: fatfs::FileSystem<&'s mut Scratch<'a, I>>,
    at: ByteRange,
}

impl<I: ReadAt> std::fmt::Debug for Esp<'_, '_, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Esp").field("at", &self.at).finish_non_exhaustive()
    }
}

/// A file of the filesystem.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EspFile {
    /// Its path, as `/EFI/BOOT/grub.cfg`.
    pub path: String,
    /// Its bytes.
    pub size: u64,
}

/// Changed files carry one fixed time, that of the files nixpkgs puts there; no clock is read.
#[derive(Debug)]
struct NoClock;

static NO_CLOCK: NoClock = NoClock;

impl fatfs::TimeProvider for NoClock {
    fn get_current_date(&self) -> fatfs::Date {
        fatfs::Date { year: 2000, month: 1, day: 1 }
    }

    fn get_current_date_time(&self) -> fatfs::DateTime {
        let time = fatfs::Time { hour: 0, min: 0, sec: 0, millis: 0 };
        fatfs::DateTime { date: self.get_current_date(), time }
    }
}

impl<'s, 'a, I: ReadAt> Esp<'s, 'a, I> {
    /// Opens the filesystem of a boot image. One that was not closed properly is refused.
    pub fn open(scratch: &'s mut Scratch<'a, I>) -> Result<Self> {
        esp_check::check(scratch)?;
        let at = scratch.window();
        let options = fatfs::FsOptions::new().update_accessed_date(false).time_provider(&NO_CLOCK);
        let fault = |fault| broken("", at, &fault);
        let volume = fatfs::FileSystem::new(scratch, options).map_err(fault)?;
        let status = volume.read_status_flags().map_err(fault)?;
        if status.dirty() || status.io_error() {
            let what = "the FAT filesystem of the UEFI boot image";
            return Err(Error::unsupported(what, "a clean one", "one that is marked dirty").with_hint(
                "give the image as it was published, or repair that filesystem with `fsck.vfat -a`",
            ));
        }
        Ok(Self { volume, at })
    }

    fn fault(&self, doing: &str, fault: &io::Error) -> Error {
        broken(&format!(" ({doing})"), self.at, fault)
    }

    /// All files, in the order of their folders.
    pub fn files(&self) -> Result<Vec<EspFile>> {
        self.files_up_to(MOST_FILES)
    }

    /// The same, if there are so many of them and their folders at most.
    fn files_up_to(&self, most: usize) -> Result<Vec<EspFile>> {
        let mut listing = Listing { found: Vec::new(), left: most, most };
        let root = self.volume.root_dir();
        list(&root, "", 0, &mut listing).map_err(|fault| self.fault("list folders", &fault))?;
        Ok(listing.found)
    }

    /// The bytes of a file, `limit` at the most.
    pub fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let bytes = self.head(path, checked::sum(limit, 1, "the limit of a file")?)?;
        if u64_len(&bytes) > limit {
            return Err(Error::unsupported(path, format!("at most {limit} bytes"), "more"));
        }
        Ok(bytes)
    }

    /// The first bytes of a file, `count` at the most.
    pub fn head(&self, path: &str, count: u64) -> Result<Vec<u8>> {
        let read = || {
            let mut bytes = Vec::new();
            let file = self.volume.root_dir().open_file(path.trim_start_matches('/'))?;
            file.take(count).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(|fault| self.fault(&format!("read {path}"), &fault))
    }

    /// Bytes of clusters that are missing for files to get contents of these sizes; 0 if there is room.
    pub fn missing(&self, files: &[(&str, u64)]) -> Result<u64> {
        let stats = self.volume.stats().map_err(|fault| self.fault("count clusters", &fault))?;
        let cluster = u64::from(stats.cluster_size());
        let mut room =
            checked::product(u64::from(stats.free_clusters()), cluster, "free clusters")?;
        let mut needed = 0_u64;
        for (path, size) in files {
            let now = u64_len(&self.read(path, u64::from(u32::MAX))?);
            let now = checked::round_up(now, cluster, "clusters of a file")?;
            room = checked::sum(room, now, "room for files")?;
            let size = checked::round_up(*size, cluster, "clusters for a file")?;
            needed = checked::sum(needed, size, "clusters for files")?;
        }
        Ok(beyond(needed, room))
    }

    /// Gives a file new contents. The room for them is checked first.
    pub fn replace(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let stats = self.volume.stats().map_err(|fault| self.fault("count clusters", &fault))?;
        let cluster = u64::from(stats.cluster_size());
        let free = checked::product(u64::from(stats.free_clusters()), cluster, "free clusters")?;
        let now = u64_len(&self.read(path, u64::from(u32::MAX))?);
        let now = checked::round_up(now, cluster, "clusters of a file")?;
        let free = checked::sum(free, now, "room for a file")?;
        if u64_len(bytes) > free {
            return Err(Error::FullEsp {
                what: format!("the UEFI boot image, for {path}"),
                needed: u64_len(bytes),
                free,
            });
        }
        let write = || {
            let mut file = self.volume.root_dir().open_file(path.trim_start_matches('/'))?;
            file.seek(SeekFrom::Start(0))?;
            file.truncate()?;
            file.write_all(bytes)?;
            file.flush()
        };
        write().map_err(|fault| self.fault(&format!("write {path}"), &fault))
    }

    /// Closes the filesystem: all changes are in the scratch window then.
    pub fn close(self) -> Result<()> {
        let at = self.at;
        self.volume.unmount().map_err(|fault| broken("", at, &fault))
    }
}

/// What the filesystem's driver refuses while it is `doing` something.
fn broken(doing: &str, at: ByteRange, fault: &io::Error) -> Error {
    let what = format!("the FAT filesystem of the UEFI boot image{doing}");
    Error::unreadable(what, at.start(), fault, "a sound one")
}

/// Files that were found, and how many files and folders more may be.
struct Listing {
    found: Vec<EspFile>,
    left: usize,
    most: usize,
}

impl Listing {
    /// Counts one more.
    fn take(&mut self, depth: usize) -> io::Result<()> {
        let left = self.left.checked_sub(1).filter(|_| depth <= DEEPEST);
        self.left = left.ok_or_else(|| {
            let what =
                format!("over {DEEPEST} levels of folders, or {} files and folders", self.most);
            io::Error::new(io::ErrorKind::Unsupported, what)
        })?;
        Ok(())
    }
}

fn list<I: ReadAt>(
    dir: &fatfs::Dir<'_, &mut Scratch<'_, I>>,
    path: &str,
    depth: usize,
    listing: &mut Listing,
) -> io::Result<()> {
    let mut names = BTreeSet::new();
    for entry in dir.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name == "." || name == ".." {
            continue;
        }
        let below = depth.saturating_add(usize::from(entry.is_dir()));
        listing.take(below)?;
        take_names(&mut names, path, [&name, &entry.short_file_name()])?;
        let path = format!("{path}/{name}");
        if entry.is_dir() {
            list(&entry.to_dir(), &path, below, listing)?;
        } else {
            listing.found.push(EspFile { path, size: entry.len() });
        }
    }
    Ok(())
}

/// Takes the long and the short name of a file. Loaders look for either, and do not agree which of two files they find.
fn take_names(names: &mut BTreeSet<String>, path: &str, own: [&str; 2]) -> io::Result<()> {
    let own: BTreeSet<String> = own.map(str::to_uppercase).into();
    for name in own {
        let what = format!("two files with the name {path}/{name}");
        if !names.insert(name) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_folder_leads_to_one_file() {
        let told = |files: &[[&str; 2]]| {
            let mut names = BTreeSet::new();
            let mut files = files.iter();
            files.try_for_each(|own| take_names(&mut names, "/EFI", *own)).is_ok()
        };
        assert!(told(&[["grub.cfg", "GRUB.CFG"], ["grubx64.efi", "GRUBX64.EFI"]]));
        assert!(!told(&[["decoy.txt", "GRUB.CFG"], ["grub.cfg", "GRUB~1.CFG"]]));
        assert!(!told(&[["grub.cfg", "GRUB~1.CFG"], ["decoy.txt", "GRUB.CFG"]]));
        assert!(!told(&[["a.txt", "X.TXT"], ["b.txt", "X.TXT"]]));
        assert!(!told(&[["long name", "A"], ["LONG NAME", "B"]]));
    }

    #[test]
    fn so_many_files_and_folders_are_listed() {
        let mut bytes = vec![0; 1 << 20];
        let new = fatfs::FormatVolumeOptions::new();
        fatfs::format_volume(io::Cursor::new(&mut bytes), new).unwrap();
        let disk = io::Cursor::new(&mut bytes);
        let volume = fatfs::FileSystem::new(disk, fatfs::FsOptions::new()).unwrap();
        volume.root_dir().create_dir("a").unwrap();
        volume.root_dir().create_dir("b").unwrap();
        volume.root_dir().create_file("a/c").unwrap();
        volume.unmount().unwrap();
        let mut scratch = Scratch::new(&bytes, ByteRange::up_to(1 << 20));
        let esp = Esp::open(&mut scratch).unwrap();
        assert_eq!(esp.files_up_to(3).unwrap().len(), 1);
        let fault = esp.files_up_to(2).unwrap_err().to_string();
        assert!(fault.contains("or 2 files and folders"), "{fault}");
    }
}
