//! Gathers the facts about disks from sysfs, procfs and udev's database.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::contents;
use super::disk::{Backing, DeviceNumber, Disk, Partition, Transport, Use};
use super::policy::{ImagePlace, Refusal};
use super::sys;
use super::users::{Mount, mounts, swaps};
use crate::error::{Advice, Error, Result};

/// Sectors of sysfs have 512 bytes, whatever the disk has (Documentation/block/stat.rst).
const SYSFS_SECTOR: u64 = 512;

/// Where the facts come from; tests put a made-up tree here.
#[derive(Clone, Debug)]
pub struct System {
    root: PathBuf,
}

/// What the kernel reports about the users of disks and files, read once for all that is judged by it.
struct InUse {
    mounts: Vec<Mount>,
    swaps: Vec<PathBuf>,
}

impl Default for System {
    fn default() -> Self {
        Self::at("/")
    }
}

impl System {
    /// The system whose `sys`, `proc`, `dev` and `run` lie in `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, rest: impl AsRef<Path>) -> PathBuf {
        self.root.join(rest)
    }

    /// The whole disks that an image may be meant for, by name: those of [`Self::all_disks`] that are
    /// [`Disk::is_usual`].
    pub fn disks(&self) -> Result<Vec<Disk>> {
        let all = self.all_disks()?;
        Ok(all.into_iter().filter(Disk::is_usual).collect())
    }

    /// All whole disks, by name, and drives and readers without a medium. What stands for nothing is left out: the
    /// kernel makes loop devices and the like before anybody uses them.
    pub fn all_disks(&self) -> Result<Vec<Disk>> {
        let in_use = self.in_use()?;
        let folder = self.path("sys/block");
        let doing = || format!("list {}", folder.display());
        let entries = fs::read_dir(&folder).map_err(|fault| Error::io(doing())(fault))?;
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|fault| Error::io(doing())(fault))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            found.extend(self.disk(&name, &in_use).filter(|disk| disk.size > 0 || disk.removable));
        }
        found.sort_by(|one, other| {
            (one.name.len(), &one.name).cmp(&(other.name.len(), &other.name))
        });
        Ok(found)
    }

    /// Something that changes whenever a disk or medium comes or goes.
    pub fn seen(&self) -> Vec<(PathBuf, Option<String>, Option<String>)> {
        let disks = children(&self.path("sys/block"));
        let facts = |disk: PathBuf| {
            let (sequence, size) = (text(disk.join("diskseq")), text(disk.join("size")));
            (disk, sequence, size)
        };
        let mut found: Vec<_> = disks.map(facts).collect();
        found.sort_unstable();
        found
    }

    /// The whole disk that `path` (a node or any link to it) stands for.
    pub fn find(&self, path: &Path) -> Result<Disk> {
        let shown = path.display().to_string();
        let about = fs::metadata(path).map_err(|fault| match fault.kind() {
            io::ErrorKind::NotFound if !path.starts_with("/dev") => Error::NotFound {
                what: format!("{shown}: no such device"),
                hint: Advice::PathOfDevice(shown.clone().into()),
            },
            io::ErrorKind::NotFound => Error::no_device(path),
            _ => Error::io(format!("open {shown}"))(fault),
        })?;
        if about.is_dir() {
            return Err(Refusal::Folder.error(&shown));
        }
        if !about.file_type().is_block_device() {
            return Err(Refusal::NotABlockDevice.error(&shown));
        }
        let disk = self.by_number(DeviceNumber::from_raw(about.rdev()), &shown)?;
        // The node that is given is the one to open: in a container there need be no other.
        let is_there = device_number(&disk.path) == Some(disk.number);
        let path = if is_there { disk.path } else { path.to_owned() };
        Ok(Disk { path, ..disk })
    }

    /// What is mounted and swapped to. Refuses a system that does not tell: nothing could be known to be free.
    fn in_use(&self) -> Result<InUse> {
        Ok(InUse { mounts: self.mounts()?, swaps: self.swaps()? })
    }

    fn mounts(&self) -> Result<Vec<Mount>> {
        let table = self.path("proc/self/mountinfo");
        let doing = format!("read {}, which tells what is mounted", table.display());
        Ok(mounts(&fs::read(table).map_err(Error::io(doing))?))
    }

    fn swaps(&self) -> Result<Vec<PathBuf>> {
        let areas = self.path("proc/swaps");
        match fs::read(&areas) {
            Ok(in_use) => Ok(swaps(&in_use)),
            // A kernel without swap has no such file.
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(fault) => {
                let doing = format!("read {}, which tells what is swapped to", areas.display());
                Err(Error::io(doing)(fault))
            }
        }
    }

    /// The whole disk with this number.
    pub(super) fn by_number(&self, number: DeviceNumber, shown: &str) -> Result<Disk> {
        let in_use = self.in_use()?;
        let link = self.path(format!("sys/dev/block/{number}"));
        let folder = fs::canonicalize(&link)
            .map_err(Error::io(format!("find {shown} ({number}) in {}", link.display())))?;
        if folder.join("partition").exists() {
            let disk = folder.parent().map(name_of).unwrap_or_default();
            let of = node(&disk).display().to_string();
            return Err(Refusal::Partition { of }.error(shown));
        }
        self.disk(&name_of(&folder), &in_use).ok_or_else(|| Refusal::Gone.error(shown))
    }

    /// Reads what is known of the disk `name`; none if it has gone.
    fn disk(&self, name: &str, in_use: &InUse) -> Option<Disk> {
        let folder = fs::canonicalize(self.path("sys/block").join(name)).ok()?;
        let number = DeviceNumber::parse(&text(folder.join("dev"))?)?;
        let sectors: u64 = number_in(folder.join("size"))?;
        let transport = self.transport(&folder, number);
        let partitions = self.partitions(&folder);
        let (family, uses) = self.family(name, &folder, in_use);
        let block = number_in(folder.join("queue/logical_block_size")).unwrap_or(SYSFS_SECTOR);
        Some(Disk {
            name: name.to_owned(),
            path: node(name),
            by_id: self.by_id(name),
            number,
            model: model(&folder),
            serial: serial(&folder).or_else(|| self.udev(number, "E:ID_SERIAL_SHORT=")),
            size: sectors.saturating_mul(SYSFS_SECTOR),
            logical_block: block,
            physical_block: number_in(folder.join("queue/physical_block_size")).unwrap_or(block),
            transport,
            removable: flag(folder.join("removable")),
            read_only: flag(folder.join("ro")),
            sequence: number_in(folder.join("diskseq")),
            backing: self.backing(name, &folder, in_use),
            content: self
                .content(number)
                .or_else(|| self.look(name, block))
                .filter(|_| sectors > 0),
            partitions,
            uses,
            family,
        })
    }

    fn transport(&self, folder: &Path, number: DeviceNumber) -> Transport {
        const LOOP_MAJOR: u32 = 7;
        if number.major == LOOP_MAJOR {
            return Transport::Loop;
        }
        if folder.join("dm").is_dir() {
            return Transport::DeviceMapper;
        }
        if folder.join("md").is_dir() {
            return Transport::Md;
        }
        let end = fs::canonicalize(self.path("sys")).unwrap_or_default();
        let above = folder.ancestors().take_while(|folder| *folder != end);
        above.filter_map(transport_of).last().unwrap_or(Transport::Other)
    }

    fn partitions(&self, folder: &Path) -> Vec<Partition> {
        let mut found: Vec<Partition> = children(folder)
            .filter(|child| child.join("partition").exists())
            .filter_map(|child| {
                let number = DeviceNumber::parse(&text(child.join("dev"))?)?;
                let sectors: u64 = number_in(child.join("size")).unwrap_or_default();
                Some(Partition {
                    name: name_of(&child),
                    number,
                    size: sectors.saturating_mul(SYSFS_SECTOR),
                    content: self
                        .content(number)
                        .or_else(|| self.look(&name_of(&child), SYSFS_SECTOR)),
                })
            })
            .collect();
        found.sort_by_key(|part| part.number);
        found
    }

    /// The disk with all that is built on it, and everyone who uses any of that.
    fn family(&self, name: &str, folder: &Path, in_use: &InUse) -> (Vec<DeviceNumber>, Vec<Use>) {
        let mut found = Vec::new();
        let mut uses = Vec::new();
        let mut seen = BTreeSet::new();
        let mut open: Vec<(String, PathBuf)> = vec![(name.to_owned(), folder.to_owned())];
        let parts = children(folder).filter(|child| child.join("partition").exists());
        open.extend(parts.map(|part| (name_of(&part), part)));
        while let Some((name, folder)) = open.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            let number = text(folder.join("dev")).and_then(|text| DeviceNumber::parse(&text));
            found.extend(number);
            let pool = number.and_then(|number| self.pool_over(number));
            uses.extend(pool.map(|by| Use::Held { device: name.clone(), by }));
            let holders = self.holders(&folder, number);
            uses.extend(
                holders.iter().map(|by| Use::Held { device: name.clone(), by: self.describe(by) }),
            );
            open.extend(holders.into_iter().filter_map(|by| {
                let folder = fs::canonicalize(self.path("sys/class/block").join(&by)).ok()?;
                Some((by, folder))
            }));
        }
        uses.extend(self.mounted(&found, in_use));
        uses.extend(self.swapped(&found, in_use));
        found.sort_unstable();
        (found, uses)
    }

    /// Names of the devices built directly on this one.
    fn holders(&self, folder: &Path, number: Option<DeviceNumber>) -> Vec<String> {
        let mut found: Vec<String> =
            children(&folder.join("holders")).map(|holder| name_of(&holder)).collect();
        // A loop device does not show up as holder of what its file is.
        let over = |lower: &LoopBacking| lower.device.is_some() && lower.device == number;
        found.extend(self.loops().filter(|(_, lower)| over(lower)).map(|(name, _)| name));
        found.extend(self.btrfs_over(folder));
        found
    }

    /// ZFS does not show up as holder of its disks: udev knows to which pool a disk belongs, and the
    /// module which pools are imported.
    fn pool_over(&self, number: DeviceNumber) -> Option<String> {
        self.udev(number, "E:ID_FS_TYPE=").filter(|kind| kind == "zfs_member")?;
        let pool = self.udev(number, "E:ID_FS_LABEL=").filter(|pool| !pool.contains('/'))?;
        let is_imported = self.path("proc/spl/kstat/zfs").join(&pool).is_dir();
        is_imported.then(|| format!("ZFS pool {pool}"))
    }

    /// Loop devices in use, and what they stand for.
    fn loops(&self) -> impl Iterator<Item = (String, LoopBacking)> {
        children(&self.path("sys/block")).filter_map(|folder| {
            let name = name_of(&folder);
            let lower = self.lower(&name, &folder)?;
            Some((name, lower))
        })
    }

    /// What a loop device stands for, as the kernel tells it; where that cannot be asked, by its path.
    fn lower(&self, name: &str, folder: &Path) -> Option<LoopBacking> {
        let path = PathBuf::from(text(folder.join("loop/backing_file"))?);
        let in_use =
            open_node(&self.path("dev").join(name)).and_then(|node| sys::loop_status(&node));
        let about = fs::metadata(&path).ok();
        let by_path = about.as_ref().map(|about| (about.dev(), about.ino()));
        let (in_use, own) = in_use.ok().unzip();
        let device = match own {
            Some(0) => None,
            Some(own) => Some(DeviceNumber::from_raw(own)),
            None => device_number(&path),
        };
        // btrfs tells files another device than the kernel does: of two numbers one counts.
        Some(LoopBacking { path, ids: by_path.into_iter().chain(in_use).collect(), device })
    }

    /// Who else has a file as a disk or as swap.
    pub fn user_of(&self, ids: &[(u64, u64)]) -> Result<Option<String>> {
        Ok(self.other_user_of(ids, "", &self.swaps()?))
    }

    /// The same, but for the loop device `but`, where this is swapped to.
    fn other_user_of(&self, ids: &[(u64, u64)], but: &str, swaps: &[PathBuf]) -> Option<String> {
        let same = |other: &[(u64, u64)]| other.iter().any(|id| ids.contains(id));
        let mut loops = self.loops().filter(|(name, lower)| name != but && same(&lower.ids));
        loops.next().map(|(name, _)| name).or_else(|| {
            let mut about = swaps.iter().filter_map(|area| fs::metadata(area).ok());
            about.any(|area| same(&[(area.dev(), area.ino())])).then(|| "swap".to_owned())
        })
    }

    /// A mounted btrfs of several devices shows only one of them in mountinfo.
    fn btrfs_over(&self, folder: &Path) -> Option<String> {
        let name = name_of(folder);
        let volumes = children(&self.path("sys/fs/btrfs"));
        let mut holding = volumes.filter(|volume| {
            let devices = volume.join("devices");
            devices.join(&name).exists() && children(&devices).nth(1).is_some()
        });
        holding.next().map(|volume| format!("btrfs:{}", name_of(&volume)))
    }

    fn describe(&self, holder: &str) -> String {
        if let Some(volume) = holder.strip_prefix("btrfs:") {
            return format!("btrfs file system {volume}");
        }
        let folder = self.path("sys/class/block").join(holder);
        let name = text(folder.join("dm/name")).unwrap_or_default();
        let id = text(folder.join("dm/uuid")).unwrap_or_default();
        let kind = match id.split('-').next() {
            Some("LVM") => "LVM volume",
            Some("CRYPT") => "LUKS volume",
            Some("mpath") => "multipath device",
            _ if folder.join("md").is_dir() => return format!("RAID array {holder}"),
            _ if folder.join("loop").is_dir() => return format!("loop device {holder}"),
            _ if folder.join("dm").is_dir() => "device-mapper volume",
            _ => return format!("device {holder}"),
        };
        format!("{kind} {name} ({holder})")
    }

    fn mounted(&self, family: &[DeviceNumber], in_use: &InUse) -> Vec<Use> {
        let on = |mount: &&Mount| self.number_of(mount).is_some_and(|on| family.contains(&on));
        let shown = |mount: &Mount| Use::Mounted {
            device: mount.source.display().to_string(),
            at: mount.at.clone(),
        };
        in_use.mounts.iter().filter(on).map(shown).collect()
    }

    /// The device a file system is on; btrfs hides it behind a number of its own.
    fn number_of(&self, mount: &Mount) -> Option<DeviceNumber> {
        if mount.number.major != 0 {
            return Some(mount.number);
        }
        device_number(&mount.source).or_else(|| self.device_in_tree(&mount.source))
    }

    /// The number of a `/dev/NAME`, by sysfs, where there is no node to ask.
    fn device_in_tree(&self, node: &Path) -> Option<DeviceNumber> {
        let name = node.strip_prefix("/dev").ok()?;
        let name = name.to_str()?.replace('/', "!");
        DeviceNumber::parse(&text(self.path("sys/class/block").join(name).join("dev"))?)
    }

    fn swapped(&self, family: &[DeviceNumber], in_use: &InUse) -> Vec<Use> {
        let number = |area: &Path| device_number(area).or_else(|| self.device_in_tree(area));
        in_use
            .swaps
            .iter()
            .filter(|area| number(area).is_some_and(|on| family.contains(&on)))
            .map(|area| Use::Swap { device: area.display().to_string() })
            .collect()
    }

    fn backing(&self, name: &str, folder: &Path, in_use: &InUse) -> Option<Backing> {
        let LoopBacking { path, ids, device } = self.lower(name, folder)?;
        let also_used_by = self.other_user_of(&ids, name, &in_use.swaps);
        Some(Backing { path, ids, is_device: device.is_some(), also_used_by })
    }

    /// Where the bytes of the image `path` lie: nothing that holds them may be overwritten.
    pub fn place_of(&self, path: &Path) -> Result<ImagePlace> {
        let shown = path.display();
        let about = fs::metadata(path).map_err(Error::io(format!("open {shown}")))?;
        if about.file_type().is_block_device() {
            let device = DeviceNumber::from_raw(about.rdev());
            return Ok(ImagePlace { path: path.to_owned(), id: None, device: Some(device) });
        }
        let id = Some((about.dev(), about.ino()));
        let number = DeviceNumber::from_raw(about.dev());
        let device = if number.major == 0 { self.device_below(path)? } else { Some(number) };
        Ok(ImagePlace { path: path.to_owned(), id, device })
    }

    /// The device of the file system that holds `path`, by the longest mount point above it.
    fn device_below(&self, path: &Path) -> Result<Option<DeviceNumber>> {
        let shown = path.display();
        let path = fs::canonicalize(path).map_err(Error::io(format!("open {shown}")))?;
        let mounts = self.mounts()?;
        let above = mounts.iter().filter(|mount| path.starts_with(&mount.at));
        // Of two mounts at one place the later one is on top.
        let nearest = above.max_by_key(|mount| mount.at.as_os_str().len());
        Ok(nearest.and_then(|mount| self.number_of(mount)))
    }

    fn by_id(&self, name: &str) -> Option<PathBuf> {
        let folder = self.path("dev/disk/by-id");
        let mut found: Vec<String> = fs::read_dir(&folder)
            .ok()?
            .filter_map(Result::ok)
            .filter(|link| {
                fs::read_link(link.path()).is_ok_and(|to| to.ends_with(name.replace('!', "/")))
            })
            .map(|link| link.file_name().to_string_lossy().into_owned())
            .collect();
        // Names made of the model are easier to recognise than world wide names.
        found.sort_by_key(|id| (id.starts_with("wwn-") || id.contains("-eui."), id.clone()));
        Some(Path::new("/dev/disk/by-id").join(found.first()?))
    }

    /// A property that udev has stored for a device.
    fn udev(&self, number: DeviceNumber, key: &str) -> Option<String> {
        let stored = fs::read_to_string(self.path(format!("run/udev/data/b{number}"))).ok()?;
        let value = stored.lines().find_map(|line| line.strip_prefix(key))?;
        Some(value.to_owned()).filter(|value| !value.is_empty())
    }

    /// Looks at the disk itself; a made-up tree has no nodes to look at.
    fn look(&self, name: &str, block: u64) -> Option<String> {
        contents::look(&self.path("dev").join(name.replace('!', "/")), block)
    }

    fn content(&self, number: DeviceNumber) -> Option<String> {
        let kind = self.udev(number, "E:ID_FS_TYPE=");
        let kind = kind.or_else(|| self.udev(number, "E:ID_PART_TABLE_TYPE="))?;
        match self.udev(number, "E:ID_FS_LABEL=") {
            Some(label) => Some(format!("{kind} \"{label}\"")),
            None => Some(kind),
        }
    }
}

/// The node of a device. Names with a slash, as `cciss/c0d0`, have an exclamation mark in sysfs.
fn node(name: &str) -> PathBuf {
    PathBuf::from("/dev").join(name.replace('!', "/"))
}

/// What a loop device stands for.
#[derive(Debug)]
struct LoopBacking {
    path: PathBuf,
    /// Device and inode of it, by its path and as the kernel has it open.
    ids: Vec<(u64, u64)>,
    /// Its number, if it is a device itself.
    device: Option<DeviceNumber>,
}

/// Opens a node without waiting for anything.
fn open_node(path: &Path) -> io::Result<fs::File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

fn transport_of(folder: &Path) -> Option<Transport> {
    if name_of(folder).strip_prefix("ata").is_some_and(|rest| rest.parse::<u32>().is_ok()) {
        return Some(Transport::Ata);
    }
    let subsystem = name_of(&fs::read_link(folder.join("subsystem")).ok()?);
    match subsystem.as_str() {
        "usb" => Some(Transport::Usb),
        "nvme" => Some(Transport::Nvme),
        "virtio" => Some(Transport::Virtio),
        "scsi" => Some(Transport::Scsi),
        "mmc" => match text(folder.join("type")).as_deref() {
            Some("SD") => Some(Transport::Sd),
            _ => Some(Transport::Emmc),
        },
        _ => None,
    }
}

fn model(folder: &Path) -> String {
    let part = |name: &str| text(folder.join("device").join(name));
    let named = part("model").or_else(|| part("name")).or_else(|| text(folder.join("dm/name")));
    // The vendor of ATA disks is always "ATA", which says nothing.
    let vendor = part("vendor").filter(|vendor| vendor != "ATA" && !vendor.starts_with("0x"));
    let words: Vec<String> = vendor.into_iter().chain(named).collect();
    words.join(" ")
}

/// The serial number as the bus tells it: the disk's own, or that of the USB device above it.
fn serial(folder: &Path) -> Option<String> {
    let own = text(folder.join("device/serial")).or_else(|| text(folder.join("serial")));
    let usb = || {
        let mut above = folder.ancestors().filter(|above| above.join("idVendor").exists());
        above.find_map(|above| text(above.join("serial")))
    };
    own.or_else(usb).or_else(|| unit_serial(folder))
}

/// The Unit Serial Number page of a SCSI disk (SPC-4 §7.8.15).
fn unit_serial(folder: &Path) -> Option<String> {
    let page = fs::read(folder.join("device/vpd_pg80")).ok()?;
    let serial = String::from_utf8_lossy(page.get(4..)?).trim().to_owned();
    Some(serial).filter(|serial| !serial.is_empty())
}

fn device_number(path: &Path) -> Option<DeviceNumber> {
    let about = fs::metadata(path).ok()?;
    about.file_type().is_block_device().then(|| DeviceNumber::from_raw(about.rdev()))
}

fn children(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(Result::ok).map(|entry| entry.path())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn text(path: PathBuf) -> Option<String> {
    let found = String::from_utf8_lossy(&fs::read(path).ok()?).trim().to_owned();
    Some(found).filter(|found| !found.is_empty())
}

fn number_in(path: PathBuf) -> Option<u64> {
    text(path)?.parse().ok()
}

fn flag(path: PathBuf) -> bool {
    text(path).is_some_and(|text| text != "0")
}
