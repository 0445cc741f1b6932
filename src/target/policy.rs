//! Decides, on facts alone, whether a disk may be overwritten.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::disk::{DeviceNumber, Disk, Transport, Use};
use super::holder::Holder;
use crate::error::{Advice, Error, Result};
use crate::units::{DISK_BLOCK, format_bytes};

/// File systems without which the running system breaks; the image may never go over these.
const SYSTEM_MOUNTS: [&str; 9] =
    ["/", "/boot", "/boot/efi", "/efi", "/etc", "/home", "/nix", "/usr", "/var"];

/// Folders whose files belong to the running system.
const SYSTEM_FOLDERS: [&str; 5] = ["/boot", "/efi", "/etc", "/nix", "/usr"];

/// What the user asks of the target.
#[derive(Clone, Debug, Default)]
pub struct TargetRequirements {
    /// Bytes the image needs, where they are known.
    pub image_size: Option<u64>,
    /// Where the image is read from.
    pub image: Vec<ImagePlace>,
    /// Whether disks that nobody carries around are allowed.
    pub allow_fixed: bool,
    /// The serial number the disk must have.
    pub serial: Option<String>,
    /// The size the disk must have.
    pub size: Option<ExpectedSize>,
}

/// Where the bytes of an image lie.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ImagePlace {
    /// The path the user gave.
    pub path: PathBuf,
    /// Device and inode of a file.
    pub id: Option<(u64, u64)>,
    /// The block device below, if there is one.
    pub device: Option<DeviceNumber>,
}

/// A size as people write it, met by every size that rounds to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExpectedSize {
    text: String,
    low: u64,
    high: u64,
}

impl ExpectedSize {
    /// Reads `15728640`, `16GB`, `14.9GiB`. A plain number is exact; the others mean what
    /// rounds to them.
    pub fn parse(text: &str) -> Option<Self> {
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, unit) = trimmed.split_at(digits.unwrap_or(trimmed.len()));
        let unit = unit_size(unit.trim())?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let count: u64 = format!("{whole}{fraction}").parse().ok()?;
        // A byte has no parts.
        let step = u128::from(unit).checked_div(u128::from(scale)).filter(|step| *step > 0)?;
        let middle = u128::from(count).checked_mul(u128::from(unit))?.checked_div(scale.into())?;
        let half = if unit == 1 { 0 } else { step.checked_div(2)? };
        Some(Self {
            text: trimmed.to_owned(),
            low: u64::try_from(middle.saturating_sub(half)).ok()?,
            high: u64::try_from(middle.saturating_add(half)).ok()?,
        })
    }

    fn is_met_by(&self, size: u64) -> bool {
        (self.low..=self.high).contains(&size)
    }
}

fn unit_size(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    let (letter, rest) = match unit.chars().next() {
        None => return Some(1),
        Some('b') if unit.len() == 1 => return Some(1),
        Some(letter) => (letter, unit.get(1..)?),
    };
    let power = match letter {
        'k' => 1,
        'm' => 2,
        'g' => 3,
        't' => 4,
        _ => return None,
    };
    match rest {
        "" | "ib" => 1024_u64.checked_pow(power),
        "b" => 1000_u64.checked_pow(power),
        _ => None,
    }
}

/// Why a disk is not overwritten.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "refusal")]
pub enum Refusal {
    /// A file or character device.
    NotABlockDevice,
    /// A folder, as the one that a stick is mounted at.
    Folder,
    /// A part of a disk.
    Partition {
        /// The whole disk.
        of: String,
    },
    /// It was there a moment ago.
    Gone,
    /// A reader without a card, or a stick that was ejected.
    NoMedium,
    /// It refuses writes.
    ReadOnly {
        /// How it is attached, which tells what can be done about it.
        transport: Transport,
    },
    /// The image does not fit.
    TooSmall {
        /// Bytes of the disk.
        has: u64,
        /// Bytes of the image.
        needs: u64,
    },
    /// The image fits, but its backup GPT cannot go behind it.
    NoRoomForTable {
        /// Bytes of the disk.
        has: u64,
        /// Bytes that both need.
        needs: u64,
    },
    /// The running system is on it.
    System {
        /// A mount point that cannot be missed.
        at: PathBuf,
    },
    /// The image is on it.
    HoldsImage {
        /// The image.
        path: PathBuf,
    },
    /// Swap is on it.
    Swap {
        /// The swap area.
        device: String,
    },
    /// Another device is built on it.
    Held {
        /// The part that is held.
        device: String,
        /// By what.
        by: String,
    },
    /// A loop device over something that is not just a file.
    Backing {
        /// What it stands for.
        path: PathBuf,
        /// Who else uses that.
        by: String,
    },
    /// A file system on it is mounted.
    Mounted {
        /// The device.
        device: String,
        /// Where.
        at: PathBuf,
        /// Whether it may be unmounted to go on.
        may_unmount: bool,
    },
    /// It has another serial number than the user expects.
    SerialDiffers {
        /// What the user expects.
        expected: String,
        /// What it has.
        found: Option<String>,
    },
    /// It has another size than the user expects.
    SizeDiffers {
        /// What the user expects.
        expected: String,
        /// What it has.
        found: u64,
    },
    /// Nobody carries such a disk around.
    Fixed {
        /// How it is attached.
        transport: String,
    },
    /// Another disk has come to this name since it was chosen.
    Replaced {
        /// What differs.
        what: String,
    },
    /// Its blocks are larger than those of the volume in the image.
    LargeBlocks {
        /// Bytes of one.
        block: u64,
    },
    /// The partition table of the image counts blocks of another size.
    OtherBlocks {
        /// Bytes of a block of the disk.
        block: u64,
        /// Bytes of a block of the table.
        counted: u64,
    },
    /// A program has it open for itself, or mounted where we cannot see it.
    Busy {
        /// Which, where that can be known.
        by: Option<Holder>,
    },
}

impl Refusal {
    /// The error that says so of the disk `target`.
    pub fn error(&self, target: &str) -> Error {
        Error::Unsafe { target: target.to_owned(), reason: self.reason(), hint: self.advice() }
    }

    /// What is wrong with the disk.
    pub fn reason(&self) -> String {
        match self {
            Self::NotABlockDevice => "not a block device".to_owned(),
            Self::Folder => "a folder, not a disk".to_owned(),
            Self::Partition { of } => format!("a partition of {of}, not a whole disk"),
            Self::Gone => "the disk has gone".to_owned(),
            Self::NoMedium => "no medium in it".to_owned(),
            Self::ReadOnly { .. } => "read-only".to_owned(),
            Self::TooSmall { has, needs } => format!(
                "too small: it has {has} bytes ({}), the image needs {needs} ({})",
                format_bytes(*has),
                format_bytes(*needs)
            ),
            Self::NoRoomForTable { has, needs } => format!(
                "too small for the image with the backup GPT behind it: it has {has} bytes, they need {needs}"
            ),
            Self::System { at } => {
                format!("the running system is on it ({})", at.display())
            }
            Self::HoldsImage { path } => format!("the image {} is on it", path.display()),
            Self::Swap { device } => format!("swap on {device} is in use"),
            Self::Held { device, by } => format!("{device} is in use by {by}"),
            Self::Backing { path, by } => {
                format!("a loop device over {}, which {by}", path.display())
            }
            Self::Mounted { device, at, .. } => format!("{device} is mounted at {}", at.display()),
            Self::SerialDiffers { expected, found } => format!(
                "serial number: found {}, expected {expected}",
                found.as_deref().unwrap_or("none")
            ),
            Self::SizeDiffers { expected, found } => {
                format!("size: found {found} bytes ({}), expected {expected}", format_bytes(*found))
            }
            Self::Fixed { transport } => {
                format!("a fixed disk ({transport}), neither removable nor USB")
            }
            Self::Replaced { what } => format!("not the disk that was confirmed: {what}"),
            Self::LargeBlocks { block } => {
                format!("its blocks have {block} bytes: Linux cannot read an ISO from them")
            }
            Self::OtherBlocks { block, counted } => format!(
                "its blocks have {block} bytes, and the partition table of the image counts blocks of {counted}: no partition would be found where it is"
            ),
            Self::Busy { by: Some(by) } => by.to_string(),
            Self::Busy { by: None } => "in use by another program or by the kernel".to_owned(),
        }
    }

    /// What to do instead.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Partition { of } => format!("give the whole disk: {of}").into(),
            Self::Gone | Self::NoMedium => Advice::PlugInAgain,
            Self::ReadOnly { transport } => writable(*transport).into(),
            Self::TooSmall { .. } => "take a larger stick".into(),
            Self::NoRoomForTable { .. } => Advice::LargerOrExact,
            Self::System { .. } => "take another disk; this one is never overwritten".into(),
            Self::HoldsImage { .. } => "copy the image to another disk first".into(),
            Self::Swap { device } => {
                format!("stop using it with `swapoff {device}`, or take another disk").into()
            }
            Self::Held { .. } => "close that volume first, or take another disk".into(),
            Self::Backing { path, .. } => {
                format!("free {} first, or take another disk", path.display()).into()
            }
            Self::Mounted { may_unmount: true, .. } => Advice::AllowUnmounting,
            Self::Mounted { at, .. } => format!("unmount it with `umount {}`", at.display()).into(),
            Self::NotABlockDevice
            | Self::Folder
            | Self::SerialDiffers { .. }
            | Self::SizeDiffers { .. } => Advice::WhichDisk,
            Self::Fixed { .. } => Advice::AllowFixed,
            Self::Replaced { .. } => Advice::LookAgain,
            Self::LargeBlocks { .. } => Advice::BlocksOf(DISK_BLOCK),
            Self::OtherBlocks { counted, .. } => Advice::BlocksOf(*counted),
            Self::Busy { by: Some(_) } => {
                "unmount it there or end that process, and start again".into()
            }
            Self::Busy { by: None } => {
                "find the program as root with `fuser` or `lsof`, and close it".into()
            }
        }
    }
}

/// What may make a disk of this kind take writes again. Nothing tells why it does not.
fn writable(transport: Transport) -> &'static str {
    match transport {
        Transport::Usb | Transport::Sd => {
            "move its write-protect switch if it has one; else a program made it read-only (`blockdev` undoes that), or it is worn out"
        }
        Transport::Loop => {
            "set the loop device up again over a file that you may write, by `losetup` and not read-only"
        }
        Transport::Virtio => "let the virtual machine write to that disk",
        Transport::DeviceMapper | Transport::Md => {
            "make the volume and what is below it writable, or take another disk"
        }
        Transport::Emmc | Transport::Nvme | Transport::Ata | Transport::Scsi | Transport::Other => {
            "find what made it read-only (`blockdev` undoes what a program did), or take another disk"
        }
    }
}

/// All reasons against overwriting `disk`, the most telling first.
pub(super) fn refusals(disk: &Disk, demands: &TargetRequirements) -> Vec<Refusal> {
    let mut found = Vec::new();
    if disk.size == 0 {
        found.push(Refusal::NoMedium);
    }
    found.extend(against_uses(disk, demands));
    found.extend(against_identity(disk, demands));
    if disk.read_only {
        found.push(Refusal::ReadOnly { transport: disk.transport });
    }
    let needs = demands.image_size.filter(|needs| *needs > disk.size && disk.size > 0);
    found.extend(needs.map(|needs| Refusal::TooSmall { has: disk.size, needs }));
    found
}

fn against_uses(disk: &Disk, demands: &TargetRequirements) -> Vec<Refusal> {
    let system = disk.uses.iter().filter_map(|user| match user {
        Use::Mounted { at, .. } if is_system(at) => Some(Refusal::System { at: at.clone() }),
        _ => None,
    });
    let image = demands.image.iter().filter(|image| holds(disk, image));
    let image = image.map(|image| Refusal::HoldsImage { path: image.path.clone() });
    let mut found: Vec<Refusal> = system.chain(image).collect();
    found.extend(disk.uses.iter().filter_map(|user| against_use(user, disk)));
    found.extend(against_backing(disk));
    found
}

fn is_system(at: &Path) -> bool {
    SYSTEM_MOUNTS.iter().any(|mount| at == Path::new(mount)) || at.starts_with("/nix")
}

fn holds(disk: &Disk, image: &ImagePlace) -> bool {
    let same_file = disk
        .backing
        .as_ref()
        .is_some_and(|lower| image.id.is_some_and(|id| lower.ids.contains(&id)));
    same_file || image.device.is_some_and(|device| disk.family.contains(&device))
}

fn against_use(user: &Use, disk: &Disk) -> Option<Refusal> {
    Some(match user {
        Use::Mounted { at, .. } if is_system(at) => return None,
        Use::Mounted { device, at } => Refusal::Mounted {
            device: device.clone(),
            at: at.clone(),
            may_unmount: disk.is_portable(),
        },
        Use::Swap { device } => Refusal::Swap { device: device.clone() },
        Use::Held { device, by } => Refusal::Held { device: device.clone(), by: by.clone() },
    })
}

fn against_backing(disk: &Disk) -> Option<Refusal> {
    let backing = disk.backing.as_ref()?;
    let path = backing.path.clone();
    if backing.is_device {
        return Some(Refusal::Backing { path, by: "is a disk itself".to_owned() });
    }
    if SYSTEM_FOLDERS.iter().any(|folder| path.starts_with(folder)) {
        return Some(Refusal::Backing { path, by: "the running system needs".to_owned() });
    }
    let other = backing.also_used_by.as_ref()?;
    Some(Refusal::Backing { path, by: format!("{other} also uses") })
}

fn against_identity(disk: &Disk, demands: &TargetRequirements) -> Vec<Refusal> {
    let mut found = Vec::new();
    if let Some(expected) = demands.serial.as_ref().filter(|s| disk.serial.as_ref() != Some(s)) {
        let (expected, found_serial) = (expected.clone(), disk.serial.clone());
        found.push(Refusal::SerialDiffers { expected, found: found_serial });
    }
    if let Some(expected) = demands.size.as_ref().filter(|size| !size.is_met_by(disk.size)) {
        found.push(Refusal::SizeDiffers { expected: expected.text.clone(), found: disk.size });
    }
    let is_named = demands.serial.is_some() || demands.size.is_some();
    let is_allowed = disk.is_portable() || (demands.allow_fixed && is_named);
    if !is_allowed {
        found.push(Refusal::Fixed { transport: disk.transport.to_string() });
    }
    found
}

/// A disk that has passed every check that facts allow. Nothing is open yet.
#[derive(Clone, Debug)]
pub struct Candidate {
    disk: Disk,
    demands: TargetRequirements,
}

impl Candidate {
    /// Takes the disk if nothing speaks against it.
    ///
    /// # Errors
    /// Everything that does.
    pub fn judge(disk: Disk, demands: TargetRequirements) -> Result<Self, Vec<Refusal>> {
        let against = refusals(&disk, &demands);
        if against.is_empty() { Ok(Self { disk, demands }) } else { Err(against) }
    }

    /// The disk.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(super) fn demands(&self) -> &TargetRequirements {
        &self.demands
    }
}
