//! Whether a medium holds another image than one that it is compared with, by what both say that they are.
//!
//! A flipped bit may turn a name into another one, and a damaged block may take all names away. So what is read is
//! weighed by structures, each of which one fault may change in all its fields: two that differ make another image on
//! their own, a single one only if most of the bytes differ as well.

use crate::checked;
use crate::error::Result;
use crate::formats::gpt::Gpt;
use crate::formats::iso9660::volume_descriptor::{PRIMARY, VolumeDescriptor, text};
use crate::image::ReadAt;
use crate::image::file_type::{self, DiskImage, FileType, Kind};
use crate::image::partitions::Partitions;
use crate::stamp::base_image::Surveyed;
use crate::stamp::manifest::found::{self, Found};
use crate::units::ByteRange;

/// Where the Primary Volume Descriptor stands (ECMA-119 §6.7.1).
const DESCRIPTOR: std::ops::Range<usize> = 0x8000..0x8800;

/// Fields of it that tell volumes apart: label, size, root, application, creation (§8.4).
const FIELDS: [std::ops::Range<usize>; 5] = [40..72, 80..88, 156..190, 574..702, 813..830];

/// Bytes that damage may change in a manifest before it counts as another one.
const MAX_DAMAGED: usize = 8;

/// Places that are looked at before a medium is called blank, and bytes of each.
const SAMPLES: u64 = 64;
const SAMPLE: u64 = 4096;

/// Where the tables and descriptors of an image are over.
const BEHIND_TABLES: u64 = 1 << 20;

/// What makes another image of a medium without more being read.
const ENOUGH: usize = 2;

/// What was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Nothing speaks against it.
    Same,
    /// It is another image if most of its bytes differ as well.
    Perhaps(Other),
    /// It is another image.
    Other(Other),
}

/// What a medium holds instead.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Other {
    /// What follows the name of the medium in a sentence, as `holds another image: …` or `is blank: …`.
    pub is: String,
    /// What the wanted image is.
    pub wanted: String,
}

/// Compares what a medium says that it is with what an image says.
///
/// # Errors
/// An image that cannot be read. What cannot be read of the medium says nothing.
pub fn compare(medium: &dyn ReadAt, image: &dyn ReadAt) -> Result<Verdict> {
    let wanted = Identity::read(image)?;
    let FileType::Disk(disk) = &wanted.file_type else { return Ok(Verdict::Same) };
    let Ok(found) = Identity::read(medium) else { return Ok(Verdict::Same) };
    let other = Other { is: found.is(), wanted: wanted.name(disk) };
    let differing = match &found.file_type {
        FileType::Disk(on_medium) => {
            let differing = [found.differs(&wanted), differ(on_medium, disk).into()];
            // Another table before nothing is that of another disk.
            match differing.into_iter().sum() {
                1 if is_blank(medium, (BEHIND_TABLES, image.size()))? => ENOUGH,
                differing => differing,
            }
        }
        FileType::Other(_) if is_blank(medium, (0, image.size()))? => ENOUGH,
        FileType::Other(_) => 1,
    };
    Ok(match differing {
        0 => Verdict::Same,
        ENOUGH.. => Verdict::Other(other),
        _ => Verdict::Perhaps(other),
    })
}

/// Whether they are disks of two kinds, apart from that a volume or table is lost, which is weighed by itself: damage
/// makes no filesystem.
fn differ(one: &DiskImage, other: &DiskImage) -> bool {
    let is_filesystem = |kind| matches!(kind, Kind::Filesystem(_) | Kind::Udf);
    one.kind != other.kind && (is_filesystem(one.kind) || is_filesystem(other.kind))
}

/// What an image says that it is.
struct Identity {
    file_type: FileType,
    /// The Primary Volume Descriptor.
    descriptor: Option<Vec<u8>>,
    partitions: Option<Partitions>,
    /// None of what is not NixOS, or damaged.
    system: Option<System>,
}

/// What a NixOS image says more.
struct System {
    release: String,
    label: String,
    /// The identifier of a raw image's root filesystem.
    root: Option<[u8; 16]>,
    manifest: Option<Found>,
}

impl Identity {
    fn read(image: &dyn ReadAt) -> Result<Self> {
        let head = file_type::head(image)?;
        let descriptor = head.get(DESCRIPTOR).filter(|block| {
            let parsed = VolumeDescriptor::parse(block);
            parsed.is_ok_and(|found| found.volume_descriptor_type == PRIMARY)
        });
        Ok(Self {
            descriptor: descriptor.map(<[u8]>::to_vec),
            file_type: FileType::read(image)?,
            partitions: Partitions::read(&image).ok().filter(|found| !found.is_empty()),
            system: system(&image),
        })
    }

    /// How many structures speak against their being one image.
    fn differs(&self, other: &Self) -> usize {
        let volumes = match (&self.descriptor, &other.descriptor) {
            (Some(one), Some(other)) => {
                FIELDS.iter().any(|field| one.get((*field).clone()) != other.get((*field).clone()))
            }
            (None, None) => false,
            _ => true,
        };
        let tables = match (&self.partitions, &other.partitions) {
            (Some(one), Some(other)) => tables_differ(one, other),
            (None, None) => false,
            _ => true,
        };
        let systems = match (&self.system, &other.system) {
            (Some(one), Some(other)) => one.differs(other),
            _ => 0,
        };
        [usize::from(volumes), usize::from(tables), systems].into_iter().sum()
    }

    /// What follows the name of a medium that holds this instead of something else.
    fn is(&self) -> String {
        match &self.file_type {
            FileType::Disk(disk) => format!("holds another image: {}", self.name(disk)),
            FileType::Other(other) => other.is(),
        }
    }

    fn name(&self, disk: &DiskImage) -> String {
        if let Some(system) = &self.system {
            return system.name();
        }
        let Some(descriptor) = self.descriptor.as_deref() else { return disk.name() };
        // The Application Identifier (BP 575-702) and the Volume Identifier (BP 41-72) of ECMA-119 §8.4.
        let field = |range| text(descriptor.get(range).unwrap_or_default());
        let by = Some(field(574..702)).filter(|by| !by.is_empty());
        let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
        format!("an ISO 9660 volume {:?}{by}", field(40..72))
    }
}

/// Whether partition tables differ, which lie side by side. Ends do not count: a system that was started may have made
/// its last partition larger, and flashing moves the backup GPT.
fn tables_differ(one: &Partitions, other: &Partitions) -> bool {
    let starts = |gpt: &Gpt| gpt.partitions().iter().map(|part| part.blocks.0).collect::<Vec<_>>();
    let gpt = |found: &Partitions| found.gpt.as_ref().map(|gpt| (gpt.disk_guid(), starts(gpt)));
    let records = |found: &Partitions| {
        let all = found.mbr.map(|mbr| mbr.partitions.map(|part| (part.os_type, part.starting_lba)));
        all.unwrap_or_default()
    };
    gpt(one) != gpt(other) || records(one) != records(other)
}

fn system(image: &&dyn ReadAt) -> Option<System> {
    let surveyed = Surveyed::read(image).ok()?;
    let manifest = found::read(image, &surveyed).ok()?;
    let (release, label, root) = match surveyed {
        Surveyed::Iso(survey) => (survey.release, survey.volume.identifier(), None),
        Surveyed::Disk(raw) => {
            let root = *raw.filesystem(image).ok()?.superblock().uuid();
            (raw.release, raw.label, Some(root))
        }
    };
    Some(System { release, label, root, manifest })
}

impl System {
    fn differs(&self, other: &Self) -> usize {
        let manifests = match (&self.manifest, &other.manifest) {
            (Some(one), Some(other)) if is_same(&one.text, &other.text) => 0,
            (None, None) => 0,
            _ => ENOUGH,
        };
        // The label of an ISO is a field of its descriptor; a superblock has both label and identifier.
        let is_other_root =
            self.root != other.root || (self.root.is_some() && self.label != other.label);
        let others = [self.release != other.release, is_other_root];
        others.into_iter().map(usize::from).chain([manifests]).sum()
    }

    fn name(&self) -> String {
        let name = format!("NixOS {} ({})", self.release, self.label);
        let Some(Found { manifest, .. }) = &self.manifest else { return name };
        let mut keys: Vec<&str> =
            manifest.keys.iter().map(|key| key.fingerprint.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        let keys = if keys.is_empty() { "no key".to_owned() } else { keys.join(", ") };
        let edits: String = manifest.edits.to_string().chars().take(12).collect();
        format!("{name}, stamped for {keys} (edits {edits}…)")
    }
}

fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).filter(|(one, other)| one != other).count();
    one.len() == other.len() && differing <= MAX_DAMAGED
}

/// Whether nothing is found between two bytes of where an image should be.
fn is_blank(medium: &dyn ReadAt, (start, end): (u64, u64)) -> Result<bool> {
    let Some(whole) = ByteRange::between(start, end.min(medium.size())) else { return Ok(false) };
    let step = whole.size().div_ceil(SAMPLES).max(SAMPLE);
    for part in whole.steps(step) {
        let sample = checked::range(part.start(), part.size().min(SAMPLE), "a sample")?;
        let bytes = medium.read_range("the medium", sample, SAMPLE);
        if !bytes.is_ok_and(|bytes| bytes.iter().all(|byte| *byte == 0)) {
            return Ok(false);
        }
    }
    Ok(!whole.is_empty())
}
