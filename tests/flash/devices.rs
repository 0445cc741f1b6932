//! Disks made of files, as sysfs and procfs show them, and what is thought of each.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use remaster::error::{Advice, Error};
use remaster::target::Transport::{Ata, DeviceMapper, Emmc, Sd, Usb};
use remaster::target::{
    Backing, Candidate, Disk, ExpectedSize, ImagePlace, Refusal, System, TargetRequirements,
    Transport,
};

const GIB: u64 = 1 << 30;

/// A machine with a system disk on LUKS and LVM, a USB stick, an SSD in a USB case, eMMC, an SD
/// card, an empty card reader, loop devices, memory, a floppy and a CD drive.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        machine.disk("pci0/ata1/host0/target0/0:0:0:0/block/sda", "8:0", 500 * GIB, false);
        machine.subsystem("pci0/ata1/host0/target0/0:0:0:0", "scsi");
        machine.part("pci0/ata1/host0/target0/0:0:0:0/block/sda/sda1", "8:1");
        machine.part("pci0/ata1/host0/target0/0:0:0:0/block/sda/sda2", "8:2");
        machine.disk("virtual/block/dm-0", "254:0", 400 * GIB, false);
        machine.file("sys/devices/virtual/block/dm-0/dm/name", "cryptroot\n");
        machine.file("sys/devices/virtual/block/dm-0/dm/uuid", "CRYPT-LUKS2-0123\n");
        machine.disk("virtual/block/dm-1", "254:1", 300 * GIB, false);
        machine.file("sys/devices/virtual/block/dm-1/dm/name", "vg-root\n");
        machine.file("sys/devices/virtual/block/dm-1/dm/uuid", "LVM-abc\n");
        machine.holder("pci0/ata1/host0/target0/0:0:0:0/block/sda/sda2", "dm-0");
        machine.holder("virtual/block/dm-0", "dm-1");
        let usb = "pci0/usb1/1-1/1-1:1.0/host1/target1/1:0:0:0";
        machine.disk(&format!("{usb}/block/sdb"), "8:16", 32_000_000_000, true);
        machine.subsystem(usb, "scsi");
        machine.subsystem("pci0/usb1/1-1", "usb");
        machine.file("sys/devices/pci0/usb1/1-1/idVendor", "0781\n");
        machine.file("sys/devices/pci0/usb1/1-1/serial", "4C530001\n");
        machine.file(&format!("sys/devices/{usb}/vendor"), "SanDisk \n");
        machine.file(&format!("sys/devices/{usb}/model"), "Ultra Fit       \n");
        symlink("../..", machine.path(&format!("sys/devices/{usb}/block/sdb/device"))).unwrap();
        machine.part(&format!("{usb}/block/sdb/sdb1"), "8:17");
        // Its name begins like that of the stick.
        let case = "pci0/usb1/1-2/1-2:1.0/host2/target2/2:0:0:0";
        machine.disk(&format!("{case}/block/sdba"), "8:32", 64 * GIB, false);
        machine.subsystem(case, "scsi");
        machine.subsystem("pci0/usb1/1-2", "usb");
        machine.disk("pci0/mmc0/mmc0:0001/block/mmcblk0", "179:0", 8 * GIB, false);
        machine.subsystem("pci0/mmc0/mmc0:0001", "mmc");
        machine.file("sys/devices/pci0/mmc0/mmc0:0001/type", "MMC\n");
        machine.disk("pci0/mmc1/mmc1:0001/block/mmcblk1", "179:8", 16 * GIB, false);
        machine.subsystem("pci0/mmc1/mmc1:0001", "mmc");
        machine.file("sys/devices/pci0/mmc1/mmc1:0001/type", "SD\n");
        machine.disk("pci0/usb1/1-3/1-3:1.0/host3/target3/3:0:0:0/block/sdc", "8:48", 0, true);
        machine.subsystem("pci0/usb1/1-3", "usb");
        machine.disk("virtual/block/loop6", "7:6", GIB, false);
        // One that stands for nothing.
        machine.disk("virtual/block/loop7", "7:7", 0, false);
        machine.disk("virtual/block/ram0", "1:0", GIB, false);
        machine.disk("virtual/block/zram0", "251:0", GIB, false);
        machine.disk("platform/block/fd0", "2:0", 1_474_560, true);
        machine.disk("pci0/ata2/block/sr0", "11:0", GIB, true);
        machine.file(
            "proc/self/mountinfo",
            "22 1 254:1 / / rw - ext4 /dev/mapper/vg-root rw\n\
             23 22 8:1 / /boot rw - vfat /dev/sda1 rw\n",
        );
        machine.file("proc/swaps", "Filename Type Size Used Priority\n");
        machine
    }

    fn path(&self, rest: &str) -> PathBuf {
        self.folder.path().join(rest)
    }

    fn file(&self, rest: &str, text: &str) {
        let path = self.path(rest);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn disk(&self, place: &str, number: &str, size: u64, removable: bool) {
        let at = format!("sys/devices/{place}");
        self.file(&format!("{at}/dev"), number);
        self.file(&format!("{at}/size"), &(size / 512).to_string());
        self.file(&format!("{at}/removable"), if removable { "1\n" } else { "0\n" });
        self.file(&format!("{at}/ro"), "0\n");
        self.file(&format!("{at}/diskseq"), "9\n");
        self.file(&format!("{at}/queue/logical_block_size"), "512\n");
        let name = Path::new(place).file_name().unwrap().to_str().unwrap();
        self.link(place, "sys/block", name);
        self.link(place, "sys/class/block", name);
        self.link(place, "sys/dev/block", number);
    }

    fn part(&self, place: &str, number: &str) {
        let at = format!("sys/devices/{place}");
        self.file(&format!("{at}/partition"), "1\n");
        self.file(&format!("{at}/dev"), number);
        self.file(&format!("{at}/size"), "2048\n");
        let name = Path::new(place).file_name().unwrap().to_str().unwrap();
        self.link(place, "sys/class/block", name);
        self.link(place, "sys/dev/block", number);
    }

    fn link(&self, place: &str, folder: &str, name: &str) {
        fs::create_dir_all(self.path(folder)).unwrap();
        let target = self.path(&format!("sys/devices/{place}"));
        symlink(target, self.path(folder).join(name)).unwrap();
    }

    fn holder(&self, place: &str, by: &str) {
        self.file(&format!("sys/devices/{place}/holders/{by}/dev"), "\n");
    }

    fn subsystem(&self, place: &str, name: &str) {
        let folder = self.path(&format!("sys/devices/{place}"));
        fs::create_dir_all(&folder).unwrap();
        symlink(format!("/bus/{name}"), folder.join("subsystem")).unwrap();
    }

    fn judge(&self, name: &str, demands: TargetRequirements) -> Vec<Refusal> {
        let disks = System::at(self.folder.path()).all_disks().unwrap();
        let disk = disks.into_iter().find(|disk| disk.name == name).unwrap();
        Candidate::judge(disk, demands).err().unwrap_or_default()
    }
}

/// Who swaps sticks while the question is on the screen writes to neither.
#[test]
fn the_disk_that_is_opened_is_the_one_that_was_confirmed() {
    type Swap = fn(&mut Disk);
    let table: [(&str, Option<u64>, Swap); 10] = [
        ("number: found 8:99, expected 8:16", None, |disk| disk.number.minor = 99),
        ("serial: found 4C53FFFF, expected 4C530001", None, |disk| {
            disk.serial = Some("4C53FFFF".into());
        }),
        ("serial: found none, expected 4C530001", None, |disk| disk.serial = None),
        ("model: found Other, expected SanDisk Ultra Fit", None, |disk| {
            disk.model = "Other".into();
        }),
        ("size: found 512, expected 32000000000", None, |disk| disk.size = 512),
        ("disk sequence number: found 10, expected 9", Some(10), |_| {}),
        ("disk sequence number: found 10, expected 9", None, |disk| disk.sequence = Some(10)),
        ("no medium", None, |disk| disk.size = 0),
        ("read-only", None, |disk| disk.read_only = true),
        ("", Some(9), |_| {}),
    ];
    let machine = Machine::new();
    let disks = System::at(machine.folder.path()).disks().unwrap();
    let stick = disks.into_iter().find(|disk| disk.name == "sdb").unwrap();
    let candidate = Candidate::judge(stick.clone(), TargetRequirements::default()).unwrap();
    for (words, sequence, swap) in table {
        let mut now = stick.clone();
        swap(&mut now);
        match candidate.confirmed(now, sequence) {
            Ok(_) => assert_eq!(words, ""),
            Err(fault) => {
                let text = fault.to_string();
                assert!(!words.is_empty() && text.contains(words), "{words}: {text}");
                assert!(matches!(fault, Error::Unsafe { .. }), "{fault:?}");
            }
        }
    }
}

fn size(text: &str) -> ExpectedSize {
    ExpectedSize::parse(text).unwrap()
}

#[test]
fn disks_are_described_by_what_sysfs_says() {
    let machine = Machine::new();
    let disks = System::at(machine.folder.path()).disks().unwrap();
    let names: Vec<&str> = disks.iter().map(|disk| disk.name.as_str()).collect();
    assert_eq!(names, ["sda", "sdb", "dm-0", "dm-1", "sdba", "mmcblk0", "mmcblk1"]);
    let all = System::at(machine.folder.path()).all_disks().unwrap();
    let more: Vec<&str> =
        all.iter().filter(|disk| !disk.is_usual()).map(|disk| &*disk.name).collect();
    assert_eq!(more, ["fd0", "sdc", "sr0", "ram0", "loop6", "zram0"]);
    let transport: Vec<Transport> = disks.iter().map(|disk| disk.transport).collect();
    assert_eq!(transport, [Ata, Usb, DeviceMapper, DeviceMapper, Usb, Emmc, Sd]);
    let stick = &disks[1];
    assert_eq!(stick.model, "SanDisk Ultra Fit");
    assert_eq!(stick.serial.as_deref(), Some("4C530001"));
    assert_eq!(stick.size, 32_000_000_000);
    assert_eq!(stick.partitions.len(), 1);
    assert_eq!(stick.sequence, Some(9));
}

#[test]
fn a_disk_without_another_serial_number_has_that_of_its_unit() {
    let serial = |page: &[u8]| {
        let machine = Machine::new();
        machine.file("sys/devices/pci0/ata1/host0/target0/0:0:0:0/vpd_pg80", "");
        fs::write(machine.path("sys/devices/pci0/ata1/host0/target0/0:0:0:0/vpd_pg80"), page)
            .unwrap();
        let disk = machine.path("sys/devices/pci0/ata1/host0/target0/0:0:0:0/block/sda/device");
        symlink("../..", disk).unwrap();
        System::at(machine.folder.path()).disks().unwrap().swap_remove(0).serial
    };
    assert_eq!(serial(b"\x00\x80\x00\x08 WD-0001").as_deref(), Some("WD-0001"));
    assert_eq!(serial(b"\x00\x80\x00\x04    "), None);
    assert_eq!(serial(b"\x00\x80"), None);
}

#[test]
fn the_system_disk_is_found_through_lvm_on_luks() {
    let machine = Machine::new();
    let demands = TargetRequirements {
        allow_fixed: true,
        size: Some(size("500GiB")),
        ..TargetRequirements::default()
    };
    let against = machine.judge("sda", demands);
    assert_eq!(against[0], Refusal::System { at: "/".into() });
    assert!(against.contains(&Refusal::System { at: "/boot".into() }), "{against:?}");
    let held = |device: &str, by: &str| Refusal::Held { device: device.into(), by: by.into() };
    assert!(against.contains(&held("sda2", "LUKS volume cryptroot (dm-0)")), "{against:?}");
    assert!(against.contains(&held("dm-0", "LVM volume vg-root (dm-1)")), "{against:?}");
}

#[test]
fn portable_disks_are_taken_and_fixed_ones_only_by_name() {
    let machine = Machine::new();
    for name in ["sdb", "sdba", "mmcblk1"] {
        assert_eq!(machine.judge(name, TargetRequirements::default()), [], "{name}");
    }
    let fixed = Refusal::Fixed { transport: "emmc".into() };
    assert_eq!(machine.judge("mmcblk0", TargetRequirements::default())[0], fixed);
    let allowed = TargetRequirements { allow_fixed: true, ..TargetRequirements::default() };
    assert_eq!(machine.judge("mmcblk0", allowed.clone()), [fixed]);
    assert_eq!(
        machine.judge("mmcblk0", TargetRequirements { size: Some(size("8GiB")), ..allowed }),
        []
    );
}

#[test]
fn a_mount_of_a_disk_with_a_similar_name_does_not_count() {
    let machine = Machine::new();
    let mounts = "24 22 8:32 / /media/me/case rw - ext4 /dev/sdba rw\n";
    machine.file("proc/self/mountinfo", mounts);
    assert_eq!(machine.judge("sdb", TargetRequirements::default()), []);
    let mounted = Refusal::Mounted {
        device: "/dev/sdba".into(),
        at: "/media/me/case".into(),
        may_unmount: true,
    };
    assert_eq!(machine.judge("sdba", TargetRequirements::default()), [mounted]);
}

#[test]
fn mounts_with_blanks_and_swap_are_seen() {
    let machine = Machine::new();
    let mounts = "24 22 8:17 / /media/MY\\040STICK rw - vfat /dev/sdb1 rw\n";
    machine.file("proc/self/mountinfo", mounts);
    machine.file("proc/swaps", "Filename Type\n/dev/sdb1 partition 1 0 -2\n");
    let against = machine.judge("sdb", TargetRequirements::default());
    let at = PathBuf::from("/media/MY STICK");
    let mounted = Refusal::Mounted { device: "/dev/sdb1".into(), at, may_unmount: true };
    let swap = Refusal::Swap { device: "/dev/sdb1".into() };
    // A real /dev/sdb1 on the machine of the test would be asked first.
    assert!(against.contains(&mounted), "{against:?}");
    assert!(Path::new("/dev/sdb1").exists() || against.contains(&swap), "{against:?}");
}

#[test]
fn what_the_system_needs_is_never_a_target_wherever_it_lies() {
    let all = TargetRequirements {
        allow_fixed: true,
        size: Some(size("32GB")),
        ..TargetRequirements::default()
    };
    for at in
        ["/", "/boot", "/boot/efi", "/efi", "/etc", "/home", "/nix", "/nix/store", "/usr", "/var"]
    {
        // On a partition of a removable stick; on btrfs, which hides its device, on the disk itself.
        for mount in [
            format!("24 22 8:17 / {at} rw - ext4 /dev/disk/by-label/x rw\n"),
            format!("24 22 0:44 /@ {at} rw - btrfs /dev/sdb rw\n"),
        ] {
            let machine = Machine::new();
            machine.file("proc/self/mountinfo", &mount);
            let against = machine.judge("sdb", all.clone());
            assert_eq!(against, [Refusal::System { at: at.into() }], "{mount}");
            assert_ne!(against[0].advice(), Advice::AllowUnmounting);
        }
    }
}

#[test]
fn the_process_that_holds_a_disk_is_named() {
    let machine = Machine::new();
    let stick = "pci0/usb1/1-1/1-1:1.0/host1/target1/1:0:0:0/block/sdb";
    machine.disk("virtual/block/dm-5", "254:5", 1 << 30, false);
    machine.file("sys/devices/virtual/block/dm-5/dm/name", "mpatha\n");
    machine.file("sys/devices/virtual/block/dm-5/dm/uuid", "mpath-3600508b4\n");
    machine.disk("virtual/block/md7", "9:7", 1 << 30, false);
    machine.file("sys/devices/virtual/block/md7/md/level", "raid1\n");
    machine.holder(stick, "dm-5");
    machine.holder(&format!("{stick}/sdb1"), "md7");
    let member = "E:ID_FS_TYPE=zfs_member\nE:ID_FS_LABEL=tank\n";
    machine.file("run/udev/data/b8:17", member);
    let held = |device: &str, by: &str| Refusal::Held { device: device.into(), by: by.into() };
    let multipath = held("sdb", "multipath device mpatha (dm-5)");
    let raid = held("sdb1", "RAID array md7");
    let mut against = machine.judge("sdb", TargetRequirements::default());
    against.sort_by_key(Refusal::reason);
    // A pool that nobody has imported does not count.
    assert_eq!(against, [multipath.clone(), raid.clone()]);
    machine.file("proc/spl/kstat/zfs/tank/state", "ONLINE\n");
    let mut against = machine.judge("sdb", TargetRequirements::default());
    against.sort_by_key(Refusal::reason);
    assert_eq!(against, [multipath, raid, held("sdb1", "ZFS pool tank")]);
}

#[test]
fn a_loop_device_over_a_file_that_matters_is_refused() {
    let machine = Machine::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    machine.disk("virtual/block/loop3", "7:3", 1 << 20, false);
    let backed_by = |path: &str| {
        machine.file("sys/devices/virtual/block/loop3/loop/backing_file", &format!("{path}\n"));
    };
    let demands = TargetRequirements {
        allow_fixed: true,
        size: Some(size("1MiB")),
        ..TargetRequirements::default()
    };
    let judged = || machine.judge("loop3", demands.clone());
    let over = |path: &str, by: &str| [Refusal::Backing { path: path.into(), by: by.into() }];
    backed_by(path);
    assert_eq!(judged(), []);
    for path in ["/boot/initrd", "/nix/store/x.squashfs", "/etc/disk.img", "/usr/lib/disk.img"] {
        backed_by(path);
        assert_eq!(judged(), over(path, "the running system needs"));
    }
    backed_by(path);
    let other = tempfile::NamedTempFile::new().unwrap();
    let other = other.path().to_str().unwrap();
    machine.file("proc/swaps", &format!("Filename Type\n{other} file 1 0 -2\n"));
    assert_eq!(judged(), [], "swap in another file");
    machine.file("proc/swaps", &format!("Filename Type\n{path} file 1 0 -2\n"));
    assert_eq!(judged(), over(path, "swap also uses"));
    machine.file("proc/swaps", "Filename Type\n");
    machine.disk("virtual/block/loop4", "7:4", 1 << 20, false);
    machine.file("sys/devices/virtual/block/loop4/loop/backing_file", &format!("{path}\n"));
    assert_eq!(judged(), over(path, "loop4 also uses"));
    // The same file by another path.
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    fs::hard_link(path, &other).unwrap();
    backed_by(other.to_str().unwrap());
    assert_eq!(judged(), over(other.to_str().unwrap(), "loop4 also uses"));
}

#[test]
fn what_holds_the_image_has_no_medium_or_is_a_disk_itself_is_refused() {
    let machine = Machine::new();
    let image = |device| TargetRequirements {
        image: vec![ImagePlace { path: "x.iso".into(), id: None, device: Some(device) }],
        ..TargetRequirements::default()
    };
    let on_it = Refusal::HoldsImage { path: "x.iso".into() };
    let disks = System::at(machine.folder.path()).disks().unwrap();
    let stick = disks.into_iter().find(|disk| disk.name == "sdb").unwrap();
    for device in &stick.family {
        let against = machine.judge("sdb", image(*device));
        assert_eq!(against, std::slice::from_ref(&on_it), "{device:?}");
        assert_eq!(machine.judge("sdba", image(*device)), [], "{device:?}");
    }
    let ids = Vec::new();
    let backing = Backing { path: "/dev/sdc".into(), ids, is_device: true, also_used_by: None };
    let empty = Disk { size: 0, ..stick.clone() };
    let against = Candidate::judge(empty, TargetRequirements::default()).unwrap_err();
    assert_eq!(against, [Refusal::NoMedium]);
    let over = Disk { backing: Some(backing), ..stick };
    let by = "is a disk itself".to_owned();
    let refusal = Refusal::Backing { path: "/dev/sdc".into(), by };
    assert_eq!(Candidate::judge(over, TargetRequirements::default()).unwrap_err(), [refusal]);
}

#[test]
fn a_disk_has_a_name_that_stays() {
    let machine = Machine::new();
    let folder = machine.path("dev/disk/by-id");
    fs::create_dir_all(&folder).unwrap();
    for name in ["wwn-0x5000", "usb-SanDisk_Ultra-0:0", "usb-SanDisk_Ultra-0:0-part1"] {
        let to = if name.ends_with("part1") { "../../sdb1" } else { "../../sdb" };
        symlink(to, folder.join(name)).unwrap();
    }
    let disks = System::at(machine.folder.path()).disks().unwrap();
    let stick = disks.iter().find(|disk| disk.name == "sdb").unwrap();
    let by_id = stick.by_id.as_deref();
    assert_eq!(by_id, Some(Path::new("/dev/disk/by-id/usb-SanDisk_Ultra-0:0")));
    machine.file("run/udev/data/b8:16", "E:ID_PART_TABLE_TYPE=gpt\n");
    machine.file("run/udev/data/b8:17", "E:ID_FS_TYPE=vfat\nE:ID_FS_LABEL=PHOTOS\n");
    let disks = System::at(machine.folder.path()).disks().unwrap();
    let stick = disks.iter().find(|disk| disk.name == "sdb").unwrap();
    assert_eq!(stick.contents(), "gpt, sdb1: vfat \"PHOTOS\"");
}

#[test]
fn btrfs_over_several_disks_is_seen_on_each() {
    let machine = Machine::new();
    machine.file("sys/fs/btrfs/77-88/devices/sdb1/dev", "");
    machine.file("sys/fs/btrfs/77-88/devices/sda1/dev", "");
    let by = "btrfs file system 77-88".to_owned();
    let held = Refusal::Held { device: "sdb1".into(), by };
    assert_eq!(machine.judge("sdb", TargetRequirements::default()), [held]);
}

#[test]
fn size_serial_and_write_protection_are_checked() {
    let machine = Machine::new();
    let of_image =
        |size| TargetRequirements { image_size: Some(size), ..TargetRequirements::default() };
    assert_eq!(machine.judge("sdb", of_image(32_000_000_000)), []);
    let small = Refusal::TooSmall { has: 32_000_000_000, needs: 32_000_000_001 };
    assert_eq!(machine.judge("sdb", of_image(32_000_000_001)), [small]);
    let demands =
        TargetRequirements { serial: Some("4C530002".into()), ..TargetRequirements::default() };
    assert!(matches!(machine.judge("sdb", demands)[..], [Refusal::SerialDiffers { .. }]));
    for (text, is_met) in [
        ("32GB", true),
        ("29.8GiB", true),
        ("32000000000", true),
        ("32000000001", false),
        ("30GiB", true),
        ("29GiB", false),
        ("33GB", false),
        ("32000000kB", true),
        ("31250000KiB", true),
        ("32000000KiB", false),
        ("32000MB", true),
        ("30517.6MiB", true),
        ("30518M", true),
        ("32000MiB", false),
        ("29.8g", true),
        ("32G", false),
        ("0.032TB", true),
        ("0.0291TiB", true),
        ("0.032TiB", false),
        ("32000000000b", true),
    ] {
        let demands =
            TargetRequirements { size: Some(size(text)), ..TargetRequirements::default() };
        assert_eq!(machine.judge("sdb", demands).is_empty(), is_met, "{text}");
    }
    for text in [
        "67108864.9",
        "67108864.0",
        "5.5b",
        "1.0001kB",
        "",
        "GB",
        "1.2.3GB",
        "5 XB",
        "5Gx",
        "5GiBs",
        "5bb",
        "5iB",
        "-1",
        "99999999999999999999",
    ] {
        assert_eq!(ExpectedSize::parse(text), None, "{text}");
    }
    machine.file("sys/block/sdb/ro", "1\n");
    assert_eq!(
        machine.judge("sdb", TargetRequirements::default()),
        [Refusal::ReadOnly { transport: Transport::Usb }]
    );
}

#[test]
fn things_that_are_not_disks_are_refused_by_what_they_are() {
    let system = System::default();
    for (path, words) in [
        ("/", "a folder, not a disk"),
        ("/dev/null", "not a block device"),
        ("/etc/passwd", "not a block device"),
    ] {
        let fault = system.find(Path::new(path)).unwrap_err();
        assert!(matches!(fault, Error::Unsafe { .. }), "{fault:?}");
        assert!(fault.to_string().contains(words), "{fault}");
    }
    let fault = system.find(Path::new("/dev/none-such")).unwrap_err();
    assert!(matches!(fault, Error::NotFound { .. }), "{fault:?}");
}

#[test]
fn a_name_with_a_slash_is_known_by_it_everywhere() {
    let machine = Machine::new();
    machine.disk("pci0/block/cciss!c0d0", "104:0", 32_000_000_000, true);
    machine.part("pci0/block/cciss!c0d0/cciss!c0d0p1", "104:1");
    fs::create_dir_all(machine.path("dev/disk/by-id")).unwrap();
    symlink("../../cciss/c0d0", machine.path("dev/disk/by-id/cciss-1")).unwrap();
    let disks = System::at(machine.folder.path()).disks().unwrap();
    let disk = disks.iter().find(|disk| disk.name == "cciss!c0d0").unwrap();
    assert_eq!(
        (disk.path.to_str().unwrap(), disk.word().as_str()),
        ("/dev/cciss/c0d0", "cciss/c0d0")
    );
    assert_eq!(disk.by_id.as_deref(), Some(Path::new("/dev/disk/by-id/cciss-1")));
    let mount = "24 22 0:44 /@ /home rw - btrfs /dev/cciss/c0d0p1 rw\n";
    machine.file("proc/self/mountinfo", mount);
    let against = machine.judge("cciss!c0d0", TargetRequirements::default());
    assert_eq!(against, [Refusal::System { at: "/home".into() }]);
}

#[test]
fn a_system_that_does_not_tell_what_is_mounted_has_no_targets() {
    for missing in ["proc/self/mountinfo", "sys/block"] {
        let machine = Machine::new();
        fs::rename(machine.path(missing), machine.path("away")).unwrap();
        let fault = System::at(machine.folder.path()).disks().unwrap_err();
        assert!(fault.to_string().contains(missing), "{fault}");
    }
    let machine = Machine::new();
    let areas = machine.path("proc/swaps");
    let _ = fs::remove_file(&areas);
    System::at(machine.folder.path()).disks().unwrap();
    fs::create_dir(&areas).unwrap();
    let fault = System::at(machine.folder.path()).disks().unwrap_err();
    assert!(fault.to_string().contains("what is swapped to"), "{fault}");
}
