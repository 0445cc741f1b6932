//! The few calls of the kernel's block layer that rustix does not have.
#![expect(unsafe_code, reason = "an ioctl is unsafe by nature; each says why it is sound")]

use std::fs::File;
use std::io;

use rustix::ioctl::{Getter, NoArg, ioctl, opcode};

/// `BLKRRPART` of linux/fs.h.
const REREAD_PARTITIONS: u32 = opcode::none(0x12, 95);
/// `BLKFLSBUF` of linux/fs.h.
const FLUSH_BUFFERS: u32 = opcode::none(0x12, 97);
/// `BLKGETDISKSEQ` of linux/fs.h, since Linux 5.15.
const DISK_SEQUENCE: u32 = opcode::read::<u64>(0x12, 128);
/// `CDROMEJECT` of linux/cdrom.h; the SCSI disk driver turns it into START STOP UNIT.
const EJECT: u32 = opcode::none(b'S', 0x09);

/// Writes what the kernel keeps of the device and forgets it.
pub(super) fn flush_buffers(file: &File) -> io::Result<()> {
    // SAFETY: BLKFLSBUF takes no argument and touches no memory of ours.
    Ok(unsafe { ioctl(file, NoArg::<FLUSH_BUFFERS>::new()) }?)
}

/// Makes the kernel look at the partition table again.
pub(super) fn reread_partitions(file: &File) -> io::Result<()> {
    // SAFETY: BLKRRPART takes no argument and touches no memory of ours.
    Ok(unsafe { ioctl(file, NoArg::<REREAD_PARTITIONS>::new()) }?)
}

/// Puts the medium out, or lets the device sleep so that it can be pulled.
pub(super) fn eject(file: &File) -> io::Result<()> {
    // SAFETY: CDROMEJECT takes no argument and touches no memory of ours.
    Ok(unsafe { ioctl(file, NoArg::<EJECT>::new()) }?)
}

/// A number that no other disk or medium of this boot has had.
pub(super) fn disk_sequence(file: &File) -> io::Result<u64> {
    // SAFETY: BLKGETDISKSEQ writes one u64, which is what the getter gives it room for.
    Ok(unsafe { ioctl(file, Getter::<DISK_SEQUENCE, u64>::new()) }?)
}
