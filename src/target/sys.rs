//! The few calls of the kernel's block layer that rustix does not have.
#![expect(unsafe_code, reason = "an ioctl is unsafe by nature; each says why it is sound")]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::IntoRawFd;

use rustix::ioctl::{Getter, Ioctl, IoctlOutput, NoArg, Opcode, ioctl, opcode};

/// `BLKRRPART` of linux/fs.h.
const REREAD_PARTITIONS: u32 = opcode::none(0x12, 95);
/// `BLKFLSBUF` of linux/fs.h.
const FLUSH_BUFFERS: u32 = opcode::none(0x12, 97);
/// `BLKGETDISKSEQ` of linux/fs.h, since Linux 5.15.
const DISK_SEQUENCE: u32 = opcode::read::<u64>(0x12, 128);
/// `CDROMEJECT` of linux/cdrom.h; the SCSI disk driver turns it into START STOP UNIT.
const EJECT: Opcode = opcode::none(b'S', 0x09);
/// `SCSI_IOCTL_DOORUNLOCK` of `scsi/scsi_ioctl.h`.
const UNLOCK_DOOR: Opcode = opcode::none(b'S', 0x81);

/// `LOOP_GET_STATUS64` of linux/loop.h.
const LOOP_STATUS: u32 = 0x4c05;

/// The words of a `struct loop_info64` of linux/loop.h.
type LoopStatus = [u64; 29];

/// What a loop device stands for, as the kernel has it open: device and inode of the file, and its own number if
/// it is a device itself (0 if not).
pub(super) fn loop_status(file: &File) -> io::Result<((u64, u64), u64)> {
    // SAFETY: LOOP_GET_STATUS64 writes one loop_info64 of 232 bytes, which is what the getter gives it room for.
    let status = unsafe { ioctl(file, Getter::<LOOP_STATUS, LoopStatus>::new()) }?;
    let [device, inode, own, ..] = status;
    Ok(((device, inode), own))
}

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

/// Puts the medium out; false if the device refuses.
pub(super) fn eject(file: &File) -> io::Result<bool> {
    // The kernel locks the door of a removable disk while it is open.
    answer(file, UNLOCK_DOOR)?;
    Ok(answer(file, EJECT)? == 0)
}

/// Makes a call without argument whose answer counts: the SCSI layer gives the status of the device
/// as a positive number.
fn answer(file: &File, opcode: Opcode) -> io::Result<i32> {
    // SAFETY: the opcodes above take no argument and touch no memory of ours.
    Ok(unsafe { ioctl(file, Answer(opcode)) }?)
}

/// A call without argument.
struct Answer(Opcode);

// SAFETY: no pointer is passed, and the output is the number that the kernel gives.
unsafe impl Ioctl for Answer {
    type Output = i32;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        self.0
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> rustix::io::Result<i32> {
        Ok(output)
    }
}

/// Closes a file and says if that fails, which dropping it would not: some file systems write only then.
pub(super) fn close(file: File) -> io::Result<()> {
    // SAFETY: the descriptor comes out of its only owner here, and nothing uses it afterwards.
    match unsafe { rustix::io::try_close(file.into_raw_fd()) } {
        // Linux has closed it all the same.
        Ok(()) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(fault) => Err(fault.into()),
    }
}

/// A number that no other disk or medium of this boot has had.
pub(super) fn disk_sequence(file: &File) -> io::Result<u64> {
    // SAFETY: BLKGETDISKSEQ writes one u64, which is what the getter gives it room for.
    Ok(unsafe { ioctl(file, Getter::<DISK_SEQUENCE, u64>::new()) }?)
}
