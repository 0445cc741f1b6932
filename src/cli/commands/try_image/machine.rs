//! A machine of QEMU with an image in it, gone when it is dropped.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use remaster::error::{Error, Result};
use remaster::inspect::Report;
use remaster::leftovers::Leftover;
use rustix::process::Pid;

use super::entry::Direct;
use super::{Args, Firmware, Medium};
use crate::cli::interrupt;

/// Where distributions keep UEFI firmware for PCs: code, and the variables it begins with.
const OVMF: [(&str, &str); 5] = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),
    ("/run/libvirt/nix-ovmf/OVMF_CODE.fd", "/run/libvirt/nix-ovmf/OVMF_VARS.fd"),
];

/// The same for aarch64, in one file.
const AAVMF: [&str; 3] = [
    "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
    "/usr/share/edk2/aarch64/QEMU_EFI.fd",
    "/usr/share/qemu/edk2-aarch64-code.fd",
];

/// What a machine starts.
#[derive(Debug)]
pub(super) struct Started<'a> {
    pub(super) image: &'a Path,
    /// The entry, if its kernel is started without the boot loader.
    pub(super) direct: Option<Direct>,
}

/// The firmware of a machine.
pub(super) fn firmware(args: &Args, report: &Report) -> Firmware {
    let arm = report.architecture.as_deref() == Some("aarch64");
    args.firmware.unwrap_or(if arm { Firmware::Uefi } else { Firmware::Bios })
}

/// A running machine; its port 22 is a port of this one.
pub(super) struct Machine {
    child: Child,
    /// Ends it if this program ends at once.
    leftover: Option<Leftover>,
    /// Where it takes commands, if a picture of its screen is wanted.
    pub(super) socket: PathBuf,
    log: PathBuf,
    description: String,
    pub(super) port: u16,
}

/// A machine that ends with this program, however that ends.
fn leftover_of(child: &Child) -> Option<Leftover> {
    Pid::from_raw(child.id().cast_signed()).map(Leftover::process)
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        // Before another process can have its number.
        self.leftover = None;
        let _ = self.child.wait();
    }
}

impl Machine {
    /// Starts the machine; its own files go below `place`.
    pub(super) fn boot(
        args: &Args,
        report: &Report,
        started: &Started<'_>,
        place: &Path,
    ) -> Result<Self> {
        let arm = report.architecture.as_deref() == Some("aarch64");
        let firmware = firmware(args, report);
        let program = if arm { "qemu-system-aarch64" } else { "qemu-system-x86_64" };
        let port = free_port()?;
        let mut command = Command::new(program);
        command.args(["-display", "none", "-monitor", "none", "-no-reboot", "-smp", "2"]);
        let kvm = if args.no_kvm { Kvm::Unused } else { Kvm::probe(program, arm)? };
        let accelerator = if kvm == Kvm::Works { "kvm" } else { "tcg" };
        command.args(["-accel", accelerator, "-cpu", "max", "-m", &args.memory.to_string()]);
        command.args([
            "-netdev",
            &format!("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"),
        ]);
        command.args(["-device", "virtio-net-pci,netdev=net", "-device", "virtio-rng-pci"]);
        let mut serial = OsString::from(if args.serial.is_some() { "file:" } else { "null" });
        // Here a comma is a comma.
        serial.push(args.serial.as_deref().unwrap_or(Path::new("")));
        command.arg("-serial").arg(serial);
        command.args(if arm { ["-machine", "virt"] } else { ["-machine", "q35"] });
        add_firmware(&mut command, arm, firmware, place)?;
        add_medium(&mut command, args.medium, started);
        add_entry(&mut command, started.direct.as_ref());
        let socket = place.join("qmp");
        if args.screenshot.is_some() {
            command.arg("-qmp").arg(option("unix:", &socket, ",server=on,wait=off"));
            // the machine of aarch64 has no screen of its own
            command.args(if arm { &["-device", "ramfb"][..] } else { &[] });
        }
        let log = place.join("qemu.log");
        let out = File::create(&log).map_err(Error::io(format!("write {}", log.display())))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(out);
        let child = command.spawn().map_err(|fault| absent(program, fault))?;
        let leftover = leftover_of(&child);
        let entry = started.direct.as_ref().map(|entry| {
            format!(", with the kernel of {:?}, without the boot loader", entry.title)
        });
        let description = format!(
            "{}, as {}{}{}",
            told_firmware(firmware),
            told_medium(args.medium),
            entry.unwrap_or_default(),
            kvm.note()
        );
        Ok(Self { child, leftover, socket, log, description, port })
    }

    /// How it boots, in words.
    pub(super) fn description(&self) -> &str {
        &self.description
    }

    /// # Errors
    /// The machine has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        let ended = self.child.try_wait().map_err(Error::io("wait for QEMU"))?;
        let Some(status) = ended else { return Ok(()) };
        let mut said = String::new();
        if let Ok(file) = File::open(&self.log) {
            // What it said is all there is to tell.
            let _ = file.take(1000).read_to_string(&mut said);
        }
        let said = said.trim().lines().last().unwrap_or_default().to_owned();
        Err(Error::NotFound {
            what: format!("QEMU ended before anybody could log in ({status}): {said}"),
            hint: "give --serial FILE to see what the machine says, or more --memory".into(),
        })
    }
}

/// Whether the processor runs the machine itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kvm {
    Works,
    /// There is a node for it, and QEMU does not get a machine out of it, as often inside another machine.
    Broken,
    Unused,
}

impl Kvm {
    const NODE: &str = "/dev/kvm";

    /// A machine that has not come up by then does not.
    const START_TIMEOUT: Duration = Duration::from_secs(10);

    /// Between two looks whether it has ended.
    const POLL_INTERVAL: Duration = Duration::from_millis(20);

    /// Tries it with a machine that stops before its first instruction: QEMU itself falls back to emulation only where
    /// KVM does not open, and aborts where it opens and does not work.
    fn probe(program: &str, arm: bool) -> Result<Self> {
        if !Path::new(Self::NODE).exists() {
            return Ok(Self::Unused);
        }
        let mut command = Command::new(program);
        command.args(["-accel", "kvm", "-cpu", "max", "-display", "none", "-S", "-nodefaults"]);
        command.args(["-machine", if arm { "virt" } else { "q35" }, "-monitor", "stdio"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(if Self::quits(&mut command)? { Self::Works } else { Self::Broken })
    }

    /// Whether the machine comes up as far as to take the command to quit.
    fn quits(command: &mut Command) -> Result<bool> {
        let Ok(mut child) = command.spawn() else { return Ok(false) };
        let _unfinished = leftover_of(&child);
        // A machine that has ended already takes no command; its status says so below.
        let _ = child.stdin.take().map(|mut monitor| monitor.write_all(b"quit\n"));
        let begun = Instant::now();
        while begun.elapsed() < Self::START_TIMEOUT && !interrupt::is_asked() {
            if let Some(status) = child.try_wait().map_err(Error::io("wait for QEMU"))? {
                return Ok(status.success());
            }
            std::thread::sleep(Self::POLL_INTERVAL);
        }
        // It may just have ended.
        let _ = child.kill();
        child.wait().map_err(Error::io("wait for QEMU"))?;
        if interrupt::is_asked() { Err(Error::Interrupted) } else { Ok(false) }
    }

    fn note(self) -> &'static str {
        match self {
            Self::Works => "",
            Self::Broken => "; emulated, which is slow: /dev/kvm does not work here",
            Self::Unused => "; emulated, which is slow",
        }
    }
}

fn told_firmware(firmware: Firmware) -> &'static str {
    match firmware {
        Firmware::Bios => "BIOS",
        Firmware::Uefi => "UEFI",
    }
}

fn told_medium(medium: Medium) -> &'static str {
    match medium {
        Medium::Usb => "a USB stick",
        Medium::Cd => "a CD",
    }
}

/// A port that nobody uses now.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0));
    let address = listener.and_then(|listener| listener.local_addr());
    Ok(address.map_err(Error::io("find a free port"))?.port())
}

fn absent(program: &str, fault: io::Error) -> Error {
    if fault.kind() != io::ErrorKind::NotFound {
        return Error::io(format!("start {program}"))(fault);
    }
    Error::NotFound {
        what: format!("{program} is not on the PATH"),
        hint: "install QEMU: qemu-system-x86 and qemu-system-arm on Debian, qemu on NixOS, Fedora and Arch".into(),
    }
}

/// An option of QEMU with a path in it, whose commas are written twice.
fn option(before: &str, path: &Path, behind: &str) -> OsString {
    let mut bytes = before.as_bytes().to_vec();
    for byte in path.as_os_str().as_bytes() {
        bytes.push(*byte);
        bytes.extend((*byte == b',').then_some(b','));
    }
    bytes.extend(behind.as_bytes());
    OsString::from_vec(bytes)
}

fn add_firmware(command: &mut Command, arm: bool, firmware: Firmware, place: &Path) -> Result<()> {
    match (arm, firmware) {
        (true, Firmware::Bios) => Err(Error::Usage {
            what: "aarch64 machines have no BIOS".into(),
            hint: "leave --firmware out".into(),
        }),
        (true, Firmware::Uefi) => {
            let code =
                AAVMF.iter().find(|code| Path::new(code).exists()).ok_or_else(no_firmware)?;
            command.args(["-bios", code]);
            Ok(())
        }
        (false, Firmware::Bios) => Ok(()),
        (false, Firmware::Uefi) => add_ovmf(command, place),
    }
}

/// Firmware writes to its variables, so it gets a copy.
fn add_ovmf(command: &mut Command, place: &Path) -> Result<()> {
    let found =
        OVMF.iter().find(|(code, vars)| [code, vars].iter().all(|file| Path::new(file).exists()));
    let (code, vars) = found.ok_or_else(no_firmware)?;
    let own = place.join("vars.fd");
    fs::copy(vars, &own).map_err(Error::io(format!("copy {vars}")))?;
    command.arg("-drive").arg(format!("if=pflash,format=raw,readonly=on,file={code}"));
    command.arg("-drive").arg(option("if=pflash,format=raw,file=", &own, ""));
    Ok(())
}

fn no_firmware() -> Error {
    Error::NotFound {
        what: "UEFI firmware for QEMU was not found".into(),
        hint: "install it (ovmf and qemu-efi-aarch64 on Debian, edk2-ovmf elsewhere), or give --firmware bios".into(),
    }
}

fn add_entry(command: &mut Command, entry: Option<&Direct>) {
    let Some(entry) = entry else { return };
    command.arg("-kernel").arg(&entry.kernel).arg("-initrd").arg(&entry.initrd);
    command.arg("-append").arg(&entry.arguments);
}

fn add_medium(command: &mut Command, medium: Medium, started: &Started<'_>) {
    let (kind, devices): (&str, &[&str]) = match medium {
        Medium::Usb => ("", &["qemu-xhci", "usb-storage,drive=image,removable=on"]),
        Medium::Cd => ("media=cdrom,", &["virtio-scsi-pci", "scsi-cd,drive=image"]),
    };
    let drive = format!("if=none,id=image,format=raw,readonly=on,{kind}file=");
    command.arg("-drive").arg(option(&drive, started.image, ""));
    // a kernel that is given is the first thing to boot already
    let first = if started.direct.is_some() { "" } else { ",bootindex=0" };
    for device in devices {
        let first = if device.contains("drive=image") { first } else { "" };
        command.arg("-device").arg(format!("{device}{first}"));
    }
}
