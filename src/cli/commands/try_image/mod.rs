//! `remaster try`: boots an image in QEMU, logs in as its user would, and says what the live system is like.

mod login;
mod machine;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use remaster::error::{Error, Result};
use remaster::image::ImageFile;
use remaster::inspect::Report;
use serde_json::{Value, json};

use crate::cli::{interrupt, printer};
use login::{Login, Seen};
use machine::Machine;

/// Boot an image in QEMU, log in over ssh, and say what came up
///
/// Needs QEMU and ssh on the PATH, and for UEFI its firmware (OVMF). Nothing is written to the image. The machine
/// has one network card with DHCP, which leads nowhere but to this machine. If the image has host keys, the
/// machine must show one of them. Ends with status 1 if nobody can log in, or if a unit failed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Stamped installer ISO; plain, not packed
    image: PathBuf,

    /// Private key to log in with [default: those of ssh-agent and ~/.ssh]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// User to log in as
    #[arg(long, value_name = "NAME", default_value = "root", value_parser = ["root", "nixos"])]
    user: String,

    /// Firmware to boot by [default: uefi on aarch64, else bios]
    #[arg(long, value_enum)]
    firmware: Option<Firmware>,

    /// What the image is in the machine
    #[arg(long, value_enum, default_value = "usb")]
    medium: Medium,

    /// Memory of the machine in MiB
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(256..))]
    memory: u32,

    /// Emulate the processor, also where KVM is there
    #[arg(long)]
    no_kvm: bool,

    /// Seconds until the login must have worked; without KVM a boot takes minutes
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,

    /// File for what the machine says on its serial port
    #[arg(long, value_name = "FILE")]
    serial: Option<PathBuf>,

    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Firmware {
    Bios,
    Uefi,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Medium {
    Usb,
    Cd,
}

/// Boots, logs in, tells.
pub(crate) fn run(args: &Args) -> Result<()> {
    let report = Report::of(&ImageFile::open(&args.image)?);
    let report = report.map_err(|fault| fault.of_image(args.image.display()))?;
    let place = tempfile::tempdir().map_err(Error::io("make a folder for temporary files"))?;
    check(args, &report)?;
    interrupt::watch()?;
    let started = Instant::now();
    let mut machine = Machine::boot(args, &report, place.path())?;
    if !args.json {
        printer::say(&format!("booting {} by {}\n", args.image.display(), machine.told()));
    }
    let login = Login::new(args, &report, machine.port, place.path())?;
    let end = started.checked_add(Duration::from_secs(args.timeout));
    let (seen, seconds) = login.wait(&mut machine, started, end)?;
    tell(args, &machine, &seen, seconds)?;
    concluded(&seen)
}

/// Refuses an image that nobody can log in to, before a machine is booted.
fn check(args: &Args, report: &Report) -> Result<()> {
    let name = args.image.display();
    if report.volume.is_none() {
        return Err(Error::Usage {
            what: format!("{name} is an image for SD cards; `remaster try` boots ISOs"),
            hint: "flash it, and boot the card".into(),
        });
    }
    let lets_in = |injected: &remaster::inspect::Injected| {
        injected.keys.iter().any(|key| key.user == args.user)
    };
    if report.injected.as_ref().is_some_and(lets_in) {
        return Ok(());
    }
    Err(Error::Usage {
        what: format!("{name} has no key for {}, so nobody can log in", args.user),
        hint: "put one in: `remaster BASE --key KEY.pub -o IMAGE`".into(),
    })
}

fn tell(args: &Args, machine: &Machine, seen: &Seen, seconds: u64) -> Result<()> {
    if args.json {
        return printer::print_json(&value(args, machine, seen, seconds));
    }
    let mut text = format!("{} logged in after {seconds} s\n", args.user);
    let _ = writeln!(text, "  hostname   {}", seen.hostname);
    for address in &seen.addresses {
        let _ = writeln!(text, "  address    {address}");
    }
    for key in &seen.host_keys {
        let _ = writeln!(text, "  host key   {key}");
    }
    let _ = writeln!(text, "  system     {}", seen.state);
    for unit in &seen.failed {
        let _ = writeln!(text, "  failed     {unit}");
    }
    printer::tell(&text)
}

fn value(args: &Args, machine: &Machine, seen: &Seen, seconds: u64) -> Value {
    json!({
        "v": 1, "image": args.image.display().to_string(), "user": args.user,
        "machine": machine.told(), "seconds_to_login": seconds, "hostname": seen.hostname,
        "addresses": seen.addresses, "host_keys": seen.host_keys, "state": seen.state,
        "failed_units": seen.failed,
    })
}

fn concluded(seen: &Seen) -> Result<()> {
    if seen.failed.is_empty() {
        return Ok(());
    }
    let mut units = seen.failed.clone();
    units.truncate(5);
    Err(Error::NotFound {
        what: format!("units of the live system failed: {}", units.join(", ")),
        hint: "`journalctl -b -u UNIT` in the live system says why".into(),
    })
}
