//! Where things are in a FAT filesystem (Microsoft FAT specification 1.03, "Boot Sector and BPB"), and how the
//! same filesystem begins if it has more clusters. Clusters keep their numbers, so all that points to
//! one stays as it is.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::formats::Malformed;
use crate::units::{u64_len, usize_of};

const WHAT: &str = "BIOS Parameter Block";

/// Bytes of a record of a folder.
const FOLDER_RECORD: u64 = 32;

/// Entries of a FAT that stand for no cluster.
const RESERVED_ENTRIES: u64 = 2;

/// Signatures of an information sector, and where the number of free clusters stands there; all ones if it is
/// not known ("FAT32 `FSInfo` Sector Structure").
const FS_INFO: [(usize, &[u8; 4]); 2] = [(0, b"RRaA"), (484, b"rrAa")];
const FREE_CLUSTERS: usize = 488;

/// How wide an entry of a FAT is; the number of clusters alone decides it ("FAT Type Determination").
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// 12 bits.
    Fat12,
    /// 16 bits.
    Fat16,
    /// 32 bits, and the root folder is a chain of clusters.
    Fat32,
}

impl Kind {
    fn from_clusters(clusters: u64) -> Self {
        match clusters {
            0..4085 => Self::Fat12,
            4085..65525 => Self::Fat16,
            _ => Self::Fat32,
        }
    }

    fn bits(self) -> u64 {
        match self {
            Self::Fat12 => 12,
            Self::Fat16 => 16,
            Self::Fat32 => 32,
        }
    }
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct BootSector {
    jump: [u8; 3],
    oem_name: [u8; 8],
    bytes_per_sector: U16,
    sectors_per_cluster: u8,
    reserved_sectors: U16,
    fats: u8,
    root_entries: U16,
    total_sectors_16: U16,
    media: u8,
    fat_size_16: U16,
    sectors_per_track: U16,
    heads: U16,
    hidden_sectors: U32,
    total_sectors_32: U32,
    // What follows stands here with 32 bits only.
    fat_size_32: U32,
    flags: U16,
    version: U16,
    root_cluster: U32,
    fs_info: U16,
    backup: U16,
}

/// Where the records of a folder are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Folder {
    /// At a place of its own, in bytes of the filesystem.
    Place {
        /// The first byte.
        at: u64,
        /// Bytes.
        size: u64,
    },
    /// In a chain of clusters that begins with this one.
    Chain(u32),
}

/// The sizes that a boot sector gives.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    boot: BootSector,
    kind: Kind,
    /// Sectors of one FAT.
    fat_sectors: u64,
    clusters: u64,
}

impl Layout {
    /// Reads a boot sector.
    ///
    /// # Errors
    /// Sizes that contradict each other.
    pub fn parse(sector: &[u8]) -> Result<Self, Malformed> {
        let (boot, _) = BootSector::read_from_prefix(sector)
            .map_err(|_| Malformed::short(WHAT, sector, size_of::<BootSector>()))?;
        let fat_sectors = match boot.fat_size_16.get() {
            0 => u64::from(boot.fat_size_32.get()),
            sectors => u64::from(sectors),
        };
        let unsized_layout = Self { boot, kind: Kind::Fat12, fat_sectors, clusters: 0 };
        let clusters = unsized_layout.clusters_held();
        let clusters = clusters.filter(|clusters| (1..1 << 28).contains(clusters));
        let found = || Malformed::new(WHAT, 11, format!("{boot:?}"), "sizes that fit together");
        let clusters = clusters.ok_or_else(found)?;
        let kind =
            if boot.fat_size_16.get() == 0 { Kind::Fat32 } else { Kind::from_clusters(clusters) };
        let layout = Self { kind, clusters, ..unsized_layout };
        let fits = layout.fat_bytes() <= fat_sectors.saturating_mul(layout.sector());
        if fits { Ok(layout) } else { Err(found()) }
    }

    /// Clusters that the sectors behind the head make.
    fn clusters_held(&self) -> Option<u64> {
        let head = self.head_size()?.checked_div(self.sector())?;
        self.sectors().checked_sub(head)?.checked_div(u64::from(self.boot.sectors_per_cluster))
    }

    fn sector(&self) -> u64 {
        u64::from(self.boot.bytes_per_sector.get())
    }

    /// The width of the FAT.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many clusters there are.
    pub(crate) fn clusters(&self) -> u64 {
        self.clusters
    }

    /// Whether one FAT counts and the others are not kept like it ("FAT32 Extended BPB", `BPB_ExtFlags`).
    pub(crate) fn has_one_active_fat(&self) -> bool {
        self.kind == Kind::Fat32 && self.boot.flags.get() & 0x80 != 0
    }

    /// The root folder.
    pub(crate) fn root(&self) -> Folder {
        if self.kind == Kind::Fat32 {
            return Folder::Chain(self.boot.root_cluster.get());
        }
        let fats = self.fat_sectors.saturating_mul(self.sector());
        let at = fats.saturating_mul(self.boot.fats.into()).saturating_add(self.reserved());
        Folder::Place {
            at,
            size: FOLDER_RECORD.saturating_mul(self.boot.root_entries.get().into()),
        }
    }

    /// Bytes of a cluster.
    pub fn cluster(&self) -> u64 {
        self.sector().saturating_mul(u64::from(self.boot.sectors_per_cluster))
    }

    /// Bytes of the sectors before the FATs.
    pub(crate) fn reserved(&self) -> u64 {
        self.sector().saturating_mul(u64::from(self.boot.reserved_sectors.get()))
    }

    /// Bytes of one FAT that stand for clusters, a started one counted whole.
    pub(crate) fn fat_bytes(&self) -> u64 {
        let entries = self.clusters.saturating_add(RESERVED_ENTRIES);
        entries.saturating_mul(self.kind.bits()).div_ceil(8)
    }

    /// Bytes before the first cluster: reserved sectors, FATs, and the root folder if it has a place of
    /// its own. None if a sector has no bytes.
    pub(crate) fn head_size(&self) -> Option<u64> {
        let root = u64::from(self.boot.root_entries.get()).checked_mul(FOLDER_RECORD)?;
        let root = root.checked_next_multiple_of(self.sector())?;
        let fats = u64::from(self.boot.fats).checked_mul(self.fat_sectors)?;
        fats.checked_mul(self.sector())?.checked_add(self.reserved())?.checked_add(root)
    }

    /// Bytes of all clusters.
    pub(crate) fn data_size(&self) -> u64 {
        self.clusters.saturating_mul(self.cluster())
    }

    /// Bytes of all its sectors.
    pub fn size(&self) -> u64 {
        self.sectors().saturating_mul(self.sector())
    }

    fn sectors(&self) -> u64 {
        match self.boot.total_sectors_16.get() {
            0 => u64::from(self.boot.total_sectors_32.get()),
            sectors => u64::from(sectors),
        }
    }

    /// One of so many clusters of 512 bytes.
    #[cfg(test)]
    pub(crate) fn sample(kind: Kind, clusters: u64) -> Self {
        Self { boot: zerocopy::FromZeros::new_zeroed(), kind, fat_sectors: 1, clusters }
    }

    /// The same filesystem with at least `more` clusters more, and whole tracks if it has them, as DOS and
    /// mtools want it. None where the number of clusters would ask for wider entries, or the sizes
    /// have no room for it.
    pub fn grown(&self, more: u64) -> Option<Self> {
        let mut new = *self;
        new.clusters = self.clusters.checked_add(more)?;
        // a larger FAT leaves a started track to fewer clusters, never to more
        for _ in 0..8 {
            new.fat_sectors = new.fat_sectors.max(new.fat_bytes().div_ceil(self.sector()));
            let sectors = new.whole_tracks(self)?;
            new.set_sizes(sectors)?;
            new.clusters = new.clusters_held()?;
            if new.fat_bytes() <= new.fat_sectors.checked_mul(self.sector())? {
                let asks_for = Kind::from_clusters(new.clusters);
                let kept = asks_for == self.kind || self.kind == Kind::Fat32;
                return (kept && new.clusters < 1 << 28).then_some(new);
            }
        }
        None
    }

    /// Sectors of the head and all clusters; whole tracks if the `old` filesystem had them.
    fn whole_tracks(&self, old: &Self) -> Option<u64> {
        let track = u64::from(self.boot.sectors_per_track.get());
        let track = if track != 0 && old.sectors().is_multiple_of(track) { track } else { 1 };
        let bytes = self.head_size()?.checked_add(self.data_size())?;
        bytes.checked_div(self.sector())?.checked_next_multiple_of(track)
    }

    fn set_sizes(&mut self, sectors: u64) -> Option<()> {
        let fat_sectors = u32::try_from(self.fat_sectors).ok()?;
        match self.kind {
            Kind::Fat32 => self.boot.fat_size_32.set(fat_sectors),
            Kind::Fat12 | Kind::Fat16 => {
                self.boot.fat_size_16.set(u16::try_from(fat_sectors).ok()?);
            }
        }
        let sectors = u32::try_from(sectors).ok()?;
        let small = u16::try_from(sectors).ok().filter(|_| self.boot.total_sectors_16.get() != 0);
        self.boot.total_sectors_16.set(small.unwrap_or(0));
        self.boot.total_sectors_32.set(if small.is_some() { 0 } else { sectors });
        Some(())
    }

    /// The head of the grown filesystem, made of the old one's. None if that is too short.
    pub fn head(&self, old: &[u8], new: &Self) -> Option<Vec<u8>> {
        let (reserved, rest) = old.split_at_checked(usize_of(self.reserved()))?;
        let mut head = reserved.to_vec();
        for sector in self.boot_sectors() {
            new.write_boot(head.get_mut(sector..)?)?;
        }
        for sector in self.info_sectors() {
            let more = new.clusters.checked_sub(self.clusters)?;
            add_free_clusters(head.get_mut(sector..)?, more);
        }
        let old_fat = usize_of(self.fat_sectors.checked_mul(self.sector())?);
        let new_fat = usize_of(new.fat_sectors.checked_mul(self.sector())?);
        let (fats, root) =
            rest.split_at_checked(old_fat.checked_mul(usize::from(self.boot.fats))?)?;
        for fat in fats.chunks_exact(old_fat) {
            let end = head.len().checked_add(new_fat)?;
            head.extend(self.entries(fat)?);
            head.resize(end, 0);
        }
        let root_size = self.head_size()?.checked_sub(self.reserved())?;
        let root_size = root_size.checked_sub(u64_len(fats))?;
        head.extend(root.get(..usize_of(root_size))?);
        Some(head)
    }

    /// The part of a FAT that stands for clusters, nothing behind it.
    fn entries(&self, fat: &[u8]) -> Option<Vec<u8>> {
        let mut entries = fat.get(..usize_of(self.fat_bytes()))?.to_vec();
        let half = self.kind == Kind::Fat12 && !self.clusters.is_multiple_of(2);
        if let Some(last) = entries.last_mut().filter(|_| half) {
            *last &= 0x0f;
        }
        Some(entries)
    }

    /// Bytes where the boot sector and its copy start.
    fn boot_sectors(&self) -> Vec<usize> {
        self.with_copy(0)
    }

    /// Bytes where the information sector and its copy start.
    fn info_sectors(&self) -> Vec<usize> {
        let at = self.boot.fs_info.get();
        let known = self.kind == Kind::Fat32 && at != 0 && at != u16::MAX;
        if known { self.with_copy(u64::from(at)) } else { Vec::new() }
    }

    fn with_copy(&self, sector: u64) -> Vec<usize> {
        let copy = u64::from(self.boot.backup.get());
        let has_copy = self.kind == Kind::Fat32 && copy != 0;
        let copy = copy.saturating_add(sector);
        let reserved = u64::from(self.boot.reserved_sectors.get());
        let copy = Some(copy).filter(|copy| has_copy && *copy < reserved);
        let sectors = [Some(sector), copy].into_iter().flatten();
        sectors.map(|sector| usize_of(sector.saturating_mul(self.sector()))).collect()
    }

    /// Puts the sizes into a boot sector; everything else in it stays.
    fn write_boot(&self, sector: &mut [u8]) -> Option<()> {
        let (boot, _) = BootSector::mut_from_prefix(sector).ok()?;
        boot.total_sectors_16 = self.boot.total_sectors_16;
        boot.total_sectors_32 = self.boot.total_sectors_32;
        boot.fat_size_16 = self.boot.fat_size_16;
        // With less than 32 bits something else stands here, the same in both.
        boot.fat_size_32 = self.boot.fat_size_32;
        Some(())
    }
}

fn add_free_clusters(sector: &mut [u8], more: u64) {
    let is_info = FS_INFO.iter().all(|(at, signature)| {
        sector.get(*at..).is_some_and(|bytes| bytes.starts_with(*signature))
    });
    let free = sector.get_mut(FREE_CLUSTERS..).filter(|_| is_info);
    let Some(free) = free.and_then(|bytes| bytes.first_chunk_mut::<4>()) else { return };
    let old = u32::from_le_bytes(*free);
    let new = u32::try_from(more).ok().and_then(|more| old.checked_add(more));
    *free = new.filter(|_| old != u32::MAX).unwrap_or(u32::MAX).to_le_bytes();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(sectors: u16, per_cluster: u8, fat_sectors: u16) -> Vec<u8> {
        let mut sector = vec![0; 512];
        let (boot, _) = BootSector::mut_from_prefix(&mut sector).unwrap();
        boot.bytes_per_sector = U16::new(512);
        boot.sectors_per_cluster = per_cluster;
        boot.reserved_sectors = U16::new(1);
        boot.fats = 2;
        boot.root_entries = U16::new(512);
        boot.total_sectors_16 = U16::new(sectors);
        boot.fat_size_16 = U16::new(fat_sectors);
        sector
    }

    #[test]
    fn a_fat_that_grows_over_a_sector_moves_what_is_behind_it() {
        // 33 sectors before the clusters with FATs of one sector each: 341 entries are 512 bytes
        let sector = boot(1 + 2 + 32 + 339, 1, 1);
        let layout = Layout::parse(&sector).unwrap();
        assert_eq!(
            (layout.kind(), layout.clusters, layout.head_size()),
            (Kind::Fat12, 339, Some(35 * 512))
        );
        let grown = layout.grown(1).unwrap();
        assert_eq!((grown.fat_sectors, grown.head_size()), (2, Some(37 * 512)));
        let mut old = vec![0xee; 35 * 512];
        old[..512].copy_from_slice(&sector);
        let head = layout.head(&old, &grown).unwrap();
        assert_eq!(head.len(), 37 * 512);
        assert_eq!(Layout::parse(&head).unwrap().clusters, 340);
        // 341 entries end in the middle of byte 511
        assert_eq!(head[512 + 511], 0x0e);
        assert!(head[1024..1536].iter().all(|byte| *byte == 0));
        assert!(head[5 * 512..].iter().all(|byte| *byte == 0xee));
    }

    #[test]
    fn whole_tracks_stay_whole() {
        let mut sector = boot(6144, 4, 5);
        BootSector::mut_from_prefix(&mut sector).unwrap().0.sectors_per_track = U16::new(32);
        let layout = Layout::parse(&sector).unwrap();
        assert_eq!(layout.clusters, 1525);
        let grown = layout.grown(1).unwrap();
        assert_eq!((grown.size(), grown.clusters), (6176 * 512, 1533));
    }

    #[test]
    fn the_number_of_clusters_never_changes_the_width() {
        let layout = Layout::parse(&boot(1 + 24 + 32 + 4084, 1, 12)).unwrap();
        assert_eq!(layout.kind(), Kind::Fat12);
        assert!(layout.grown(1).is_none());
        let layout = Layout::parse(&boot(1 + 34 + 32 + 4085, 1, 17)).unwrap();
        assert_eq!(layout.kind(), Kind::Fat16);
        assert!(layout.grown(1).is_some());
        assert!(layout.grown(65525 - 4085).is_none());
    }

    /// The head of a filesystem of 32 bits with 100 clusters: at `info` an information sector, at `backup` a copy of
    /// the boot sector, behind that one of the information sector.
    fn head_of_32_bits(info: u16, backup: u16, free: u32) -> Vec<u8> {
        let mut sector = boot(0, 1, 0);
        let (boot, _) = BootSector::mut_from_prefix(&mut sector).unwrap();
        boot.reserved_sectors = U16::new(32);
        boot.root_entries = U16::new(0);
        boot.total_sectors_32 = U32::new(32 + 2 + 100);
        boot.fat_size_32 = U32::new(1);
        (boot.fs_info, boot.backup) = (U16::new(info), U16::new(backup));
        let mut head = vec![0; 34 * 512];
        for (at, sector) in head.chunks_mut(512).enumerate() {
            sector[0] = u8::try_from(at).unwrap();
        }
        for sector in [1, 7] {
            let sector = head.chunks_mut(512).nth(sector).unwrap();
            for (at, signature) in FS_INFO {
                sector[at..].first_chunk_mut().map(|bytes| *bytes = *signature).unwrap();
            }
            sector[FREE_CLUSTERS..][..4].copy_from_slice(&free.to_le_bytes());
        }
        head[..512].copy_from_slice(&sector);
        head
    }

    #[test]
    fn what_a_head_of_32_bits_has_twice_changes_in_both_places() {
        const NONE: u16 = u16::MAX;
        let rows: [(u16, u16, u32, &[usize]); 9] = [
            (1, 6, 50, &[0, 1, 6, 7]),
            (1, 0, 50, &[0, 1]),
            (1, NONE, 50, &[0, 1]),
            (0, 6, 50, &[0, 6]),
            (NONE, 6, 50, &[0, 6]),
            (2, 6, 50, &[0, 6]),
            // The copy of the information sector would be behind what is reserved.
            (1, 31, 50, &[0, 1, 31]),
            (0, 32, 50, &[0]),
            (1, 6, u32::MAX, &[0, 6]),
        ];
        for (info, backup, free, changed) in rows {
            let old = head_of_32_bits(info, backup, free);
            let layout = Layout::parse(&old).unwrap();
            assert_eq!((layout.kind(), layout.clusters), (Kind::Fat32, 100));
            let grown = layout.grown(3).unwrap();
            let new = layout.head(&old, &grown).unwrap();
            assert_eq!((new.len(), Layout::parse(&new).unwrap().clusters), (old.len(), 103));
            let pairs = old.chunks(512).zip(new.chunks(512)).enumerate();
            let found: Vec<usize> =
                pairs.filter(|(_, (old, new))| old != new).map(|(at, _)| at).collect();
            assert_eq!(found, changed, "{info} {backup} {free}");
            for at in changed.iter().filter(|at| [1, 7].contains(*at)) {
                assert_eq!(new[at * 512 + FREE_CLUSTERS..][..4], 53_u32.to_le_bytes());
            }
        }
    }

    #[test]
    fn sizes_that_do_not_fit_together_are_refused() {
        for sector in
            [boot(30, 1, 1), boot(1000, 0, 1), boot(1000, 1, 1), vec![0; 512], vec![0; 40]]
        {
            assert!(Layout::parse(&sector).is_err());
        }
    }
}
