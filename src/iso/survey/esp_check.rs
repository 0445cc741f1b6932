//! Whether the clusters of a UEFI boot image hang together. `fatfs` follows them without a look: it panics at a number that
//! no cluster has, and goes round in a chain without an end.

use std::io::{self, Read, Seek, SeekFrom};

use crate::checked;
use crate::error::{Error, Result};
use crate::formats::Malformed;
use crate::formats::fat::{Folder, Layout};
use crate::formats::fat_chains::{Chains, Record};
use crate::image::ReadAt;
use crate::image::scratch::Scratch;

/// Bytes of a boot sector that have sizes.
const BOOT: u64 = 512;

/// Bytes of a FAT: that of a filesystem of 4 GB with clusters of 4 KiB.
const LARGEST_FAT: u64 = 4 << 20;

/// Bytes of a folder: 65,536 records (FAT specification 1.03, "FAT Directory Structure").
const LARGEST_FOLDER: usize = 2 << 20;

/// Refuses a filesystem whose chains or folders lead elsewhere than to a cluster of their own.
pub(super) fn check<I: ReadAt>(scratch: &mut Scratch<'_, I>) -> Result<()> {
    let mut look = Look { scratch };
    let boot = look.read(0, BOOT)?;
    let layout = Layout::parse(&boot).map_err(|fault| look.fault(fault))?;
    let size = layout.fat_bytes();
    if size > LARGEST_FAT || layout.has_one_active_fat() {
        let looked_for = format!("mirrored ones of at most {LARGEST_FAT} bytes");
        let what = "the File Allocation Tables of the UEFI boot image";
        return Err(Error::unsupported(what, looked_for, format!("{size} bytes")));
    }
    let fat = look.read(layout.reserved(), size)?;
    let mut chains = Chains::parse(&layout, &fat).map_err(|fault| look.fault(fault))?;
    look.folders(&layout, &mut chains)?;
    look.scratch.seek(SeekFrom::Start(0)).map_err(|fault| look.unreadable(&fault))?;
    Ok(())
}

struct Look<'s, 'a, I> {
    scratch: &'s mut Scratch<'a, I>,
}

impl<I: ReadAt> Look<'_, '_, I> {
    /// Bytes of the filesystem, fewer at its end.
    fn read(&mut self, at: u64, size: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.scratch.seek(SeekFrom::Start(at)).and_then(|_| {
            let window: &mut Scratch<'_, I> = self.scratch;
            window.take(size).read_to_end(&mut bytes)
        });
        read.map_err(|fault| self.unreadable(&fault))?;
        Ok(bytes)
    }

    fn unreadable(&self, fault: &io::Error) -> Error {
        let what = "the FAT filesystem of the UEFI boot image";
        Error::unreadable(what, self.scratch.window().start(), fault, "a sound one")
    }

    fn fault(&self, fault: Malformed) -> Error {
        fault.in_image(self.scratch.window().start())
    }

    /// Every folder, from the root on. Each cluster belongs to one file or folder, so there is an end of them.
    fn folders(&mut self, layout: &Layout, chains: &mut Chains) -> Result<()> {
        let mut waiting = vec![layout.root()];
        if let Folder::Chain(cluster) = layout.root() {
            chains.lead_to(cluster, "the boot sector").map_err(|fault| self.fault(fault))?;
        }
        while let Some(folder) = waiting.pop() {
            let bytes = self.folder(layout, chains, folder)?;
            for Record { cluster, is_folder } in Record::all(layout.kind(), &bytes) {
                if cluster == 0 && !is_folder {
                    continue;
                }
                chains.lead_to(cluster, "a folder").map_err(|fault| self.fault(fault))?;
                waiting.extend(is_folder.then_some(Folder::Chain(cluster)));
            }
        }
        Ok(())
    }

    /// The records of a folder.
    fn folder(&mut self, layout: &Layout, chains: &Chains, folder: Folder) -> Result<Vec<u8>> {
        let first = match folder {
            Folder::Place { at, size } => return self.read(at, size),
            Folder::Chain(first) => first,
        };
        let mut bytes = Vec::new();
        for cluster in chains.from(first) {
            let at = checked::present(layout.place_of(cluster), "the place of a cluster")?;
            bytes.extend(self.read(at, layout.cluster())?);
            if bytes.len() > LARGEST_FOLDER {
                let what = "a folder of the UEFI boot image";
                let looked_for = format!("at most {LARGEST_FOLDER} bytes");
                return Err(Error::unsupported(what, looked_for, "more"));
            }
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{ByteRange, u64_len};

    const SECTOR: usize = 512;

    fn checked(image: &Vec<u8>) -> Result<()> {
        check(&mut Scratch::new(image, ByteRange::up_to(u64_len(image))))
    }

    #[test]
    fn a_folder_has_so_many_bytes_at_most() {
        // A filesystem with 12 bits for each of 40 clusters of 64 KiB, and a folder in the first `used` of them.
        let with_folder = |used: u16| {
            let clusters = 40;
            let mut image = vec![0; (1 + 1 + 1 + clusters * 128) * SECTOR];
            let sectors = u16::try_from(image.len() / SECTOR).unwrap();
            image[11..13].copy_from_slice(&512_u16.to_le_bytes());
            image[13] = 128;
            image[14] = 1; // reserved sectors
            image[16] = 1; // FATs
            image[17] = 16; // records of the root folder
            image[19..21].copy_from_slice(&sectors.to_le_bytes());
            image[22] = 1; // sectors of a FAT
            for cluster in 2..2 + used {
                let next = if cluster == 1 + used { 0xfff } else { cluster + 1 };
                let at = SECTOR + usize::from(cluster) * 3 / 2;
                let pair = u16::from_le_bytes([image[at], image[at + 1]]);
                let new = if cluster % 2 == 0 { pair | next } else { pair | next << 4 };
                image[at..at + 2].copy_from_slice(&new.to_le_bytes());
            }
            let record = &mut image[2 * SECTOR..];
            record[..11].copy_from_slice(b"FOLDER     ");
            (record[11], record[26]) = (0x10, 2);
            image
        };
        checked(&with_folder(32)).unwrap();
        let fault = checked(&with_folder(33)).unwrap_err().to_string();
        assert!(fault.contains("at most 2097152 bytes"), "{fault}");
    }

    #[test]
    fn a_fat_has_so_many_bytes_at_most_and_is_mirrored() {
        // 32 bits each, in sectors of 4096 bytes.
        let with = |clusters: u32, flags: u8| {
            let mut image = vec![0; SECTOR];
            image[11..13].copy_from_slice(&4096_u16.to_le_bytes());
            (image[13], image[14], image[16]) = (1, 1, 1);
            let fat = (clusters + 2).div_ceil(1024);
            image[32..36].copy_from_slice(&(1 + fat + clusters).to_le_bytes());
            image[36..40].copy_from_slice(&fat.to_le_bytes());
            image[40] = flags;
            checked(&image).unwrap_err().to_string()
        };
        let most = u32::try_from(LARGEST_FAT / 4).unwrap() - 2;
        for (clusters, flags, is_refused) in
            [(most, 0, false), (most + 1, 0, true), (most, 0x80, true)]
        {
            let fault = with(clusters, flags);
            assert_eq!(fault.contains("mirrored ones of at most"), is_refused, "{fault}");
        }
    }
}
