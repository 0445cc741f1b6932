//! What is known of a whole disk: plain facts, gathered by `System`, judged by `policy`.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// The kernel's number of a block device.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct DeviceNumber {
    /// The driver.
    pub major: u32,
    /// The device among those of the driver.
    pub minor: u32,
}

impl DeviceNumber {
    /// Takes apart the `dev_t` that `stat` gives.
    pub fn from_raw(raw: u64) -> Self {
        Self { major: rustix::fs::major(raw), minor: rustix::fs::minor(raw) }
    }

    /// Reads the `8:16` of sysfs and mountinfo.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once(':')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// How a disk is attached.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// USB, by mass storage or UAS.
    Usb,
    /// An SD card in a slot of its own.
    Sd,
    /// Flash memory soldered to the board.
    Emmc,
    /// `NVMe`.
    Nvme,
    /// SATA or PATA.
    Ata,
    /// SCSI that is none of the above.
    Scsi,
    /// A disk of a virtual machine.
    Virtio,
    /// A file that pretends to be a disk.
    Loop,
    /// Put together by the device mapper: LVM, LUKS, multipath.
    DeviceMapper,
    /// Put together by the md driver: software RAID.
    Md,
    /// Something else.
    Other,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Usb => "usb",
            Self::Sd => "sd",
            Self::Emmc => "emmc",
            Self::Nvme => "nvme",
            Self::Ata => "ata",
            Self::Scsi => "scsi",
            Self::Virtio => "virtio",
            Self::Loop => "loop",
            Self::DeviceMapper => "dm",
            Self::Md => "md",
            Self::Other => "other",
        })
    }
}

/// A partition the kernel sees.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Partition {
    /// Its name in sysfs, as `sdc1`.
    pub name: String,
    /// Its number.
    pub number: DeviceNumber,
    /// Its bytes.
    pub size: u64,
    /// The file system and label that udev found.
    pub content: Option<String>,
}

/// Who uses a disk, a part of it, or something built on it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// A mounted file system.
    Mounted {
        /// The device that is mounted.
        device: String,
        /// Where.
        at: PathBuf,
    },
    /// A swap area in use.
    Swap {
        /// The device that holds it.
        device: String,
    },
    /// Another device is built on it.
    Held {
        /// The part that is held.
        device: String,
        /// What holds it, as `LUKS volume home (dm-0)`.
        by: String,
    },
}

/// What a loop device stands for.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Backing {
    /// The file.
    pub path: PathBuf,
    /// Device and inode of it: by its path, if it still has one, and as the kernel has it open, if it tells.
    pub ids: Vec<(u64, u64)>,
    /// Whether the file is a block device itself.
    pub is_device: bool,
    /// Another loop device over the same file, or swap in it.
    pub also_used_by: Option<String>,
}

/// A whole disk.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Disk {
    /// Its name in sysfs, as `sdc`.
    pub name: String,
    /// Its node, as `/dev/sdc`.
    pub path: PathBuf,
    /// A name that stays the same when it is plugged in again.
    pub by_id: Option<PathBuf>,
    /// Its number.
    pub number: DeviceNumber,
    /// Maker and model.
    pub model: String,
    /// Serial number.
    pub serial: Option<String>,
    /// Its bytes; 0 without a medium.
    pub size: u64,
    /// Bytes that are addressed as one.
    pub logical_block: u64,
    /// Bytes that are written as one.
    pub physical_block: u64,
    /// How it is attached.
    pub transport: Transport,
    /// Whether the medium can be taken out.
    pub removable: bool,
    /// Whether it refuses writes.
    pub read_only: bool,
    /// Changes when another disk or medium comes to this name.
    pub sequence: Option<u64>,
    /// The file of a loop device.
    pub backing: Option<Backing>,
    /// What udev found on the disk as a whole.
    pub content: Option<String>,
    /// The partitions the kernel sees.
    pub partitions: Vec<Partition>,
    /// Everyone who uses any of it.
    pub uses: Vec<Use>,
    /// The disk, its partitions and all devices built on them.
    pub family: Vec<DeviceNumber>,
}

impl Disk {
    /// Whether people carry it around: what `flash` takes without further questions.
    pub fn is_portable(&self) -> bool {
        self.removable || matches!(self.transport, Transport::Usb | Transport::Sd)
    }

    /// Whether an image may be meant for it: no loop device, memory, floppy or CD drive, nor a reader without a medium.
    pub fn is_usual(&self) -> bool {
        // Documentation/admin-guide/devices.txt: ram, floppy, sr. The numbers of zram are given as they come.
        let is_odd = matches!(self.number.major, 1 | 2 | 11) || self.name.starts_with("zram");
        self.size > 0 && self.transport != Transport::Loop && !is_odd
    }

    /// What people call it: its node without the folder, as `sdc` or `cciss/c0d0`.
    pub fn word(&self) -> String {
        self.name.replace('!', "/")
    }

    /// What would be lost, in a few words.
    pub fn contents(&self) -> String {
        let mut found: Vec<String> = self.content.iter().cloned().collect();
        found.extend(self.partitions.iter().map(|part| match &part.content {
            Some(content) => format!("{}: {content}", part.name),
            None => part.name.clone(),
        }));
        if found.is_empty() { "nothing known".to_owned() } else { found.join(", ") }
    }
}
