//! `remaster try`: boots an image in QEMU, logs in as its user would, and says what the live system is like.

mod entry;
mod given_key;
mod login;
mod machine;
mod own_key;
mod screen;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use remaster::error::{Error, Result};
use remaster::image::ImageFile;
use remaster::inspect::Report;
use remaster::output::file::Output;
use serde_json::{Value, json};

use crate::cli::destination::place_of;
use crate::cli::{base, interrupt, printer};
use entry::Direct;
pub(super) use login::no_ssh;
use login::{LiveSystem, Login};
use machine::{Machine, Started};
use own_key::KeyedCopy;

/// What --key is given for a key that is made for this boot.
const GENERATE: &str = "generate";

/// Boot an image in QEMU, log in over ssh, and say what came up
///
/// Needs QEMU and ssh on the PATH, and for UEFI its firmware (OVMF). Nothing is written to the image. The machine
/// has one network card with DHCP, which leads nowhere but to this machine. If the image has host keys, the
/// machine must show one of them. An image that lets no key in gets one for this one boot, in a copy that is
/// gone afterwards. Ends with status 1 if nobody can log in, or if a unit failed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Installer ISO, stamped or stock; plain, not packed
    image: PathBuf,

    /// Private key to log in with, or `generate` for a new one [default: those of ssh-agent and ~/.ssh]
    #[arg(long, value_name = "FILE|generate")]
    key: Option<PathBuf>,

    /// User to log in as
    #[arg(long, value_name = "NAME", default_value = "root", value_parser = ["root", "nixos"])]
    user: String,

    /// Firmware to boot by [default: uefi on aarch64, else bios]
    #[arg(long, value_enum)]
    firmware: Option<Firmware>,

    /// How the image is attached
    #[arg(long, value_enum, default_value = "usb")]
    medium: Medium,

    /// Menu entry to start, by its number or a part of its title [default: the one that the menu starts]
    ///
    /// Its kernel is started directly, without the boot loader.
    #[arg(long, value_name = "N|TITLE")]
    entry: Option<String>,

    /// Memory of the machine in MiB
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(256..))]
    memory: u32,

    /// Emulate the processor even where there is KVM
    #[arg(long)]
    no_kvm: bool,

    /// Seconds until the login must have worked; without KVM a boot takes minutes
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,

    /// File to write the output of the serial port to
    #[arg(long, value_name = "FILE")]
    serial: Option<PathBuf>,

    /// PNG file for what the screen shows at the end
    #[arg(long, value_name = "PNG")]
    screenshot: Option<PathBuf>,

    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
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
    let report = inspected(&args.image)?;
    check(args, &report)?;
    let screen =
        args.screenshot.as_deref().map(|path| place_of(path, "--screenshot")).transpose()?;
    args.serial.as_deref().map(|path| place_of(path, "--serial")).transpose()?;
    interrupt::listen()?;
    let place = own_key::Folder::make()?;
    let own = own(args, &report, place.path())?;
    let image = own.as_ref().map_or(args.image.as_path(), |own| &own.image);
    let bios = machine::firmware(args, &report) == Firmware::Bios;
    let direct = args.entry.as_deref().map(|entry| Direct::open(image, entry, bios, place.path()));
    interrupt::watch()?;
    let started = Started { image, direct: direct.transpose()? };
    let begun = Instant::now();
    let mut machine = Machine::boot(args, &report, &started, place.path())?;
    if !args.json {
        printer::say(&format!("booting {} by {}\n", args.image.display(), machine.description()));
    }
    let key = own.as_ref().map(|own| own.key.as_path()).or(args.key.as_deref());
    let login = Login::new(args, &report, (machine.port, key), place.path())?;
    let end = begun.checked_add(Duration::from_secs(args.timeout));
    let done = login.wait(&mut machine, begun, end);
    let shot = screen.map_or(Ok(()), |screen| picture(args, &machine, place.path(), &screen));
    let (seen, seconds) = done?;
    tell(args, &machine, &seen, seconds)?;
    shot?;
    concluded(&seen)
}

fn inspected(image: &Path) -> Result<Report> {
    base::check_plain(image, "try")?;
    let report = Report::read(&ImageFile::open(image)?);
    report.map_err(|fault| fault.with_path(image.display()))
}

/// A key for this boot, where one is asked for or no other can let in.
fn own(args: &Args, report: &Report, place: &Path) -> Result<Option<KeyedCopy>> {
    if !gets_own(args, report) {
        return Ok(None);
    }
    if !args.json {
        let name = args.image.display();
        let what = if lets_in(args, report) {
            format!("a copy of {name} gets a key")
        } else {
            format!("{name} has no key: a copy of it gets one")
        };
        printer::say(&format!("{what} for this boot, and both are removed afterwards\n"));
    }
    KeyedCopy::make(&args.image, place).map(Some)
}

/// A picture also of a machine that nobody could log in to: that is when it is wanted most.
fn picture(args: &Args, machine: &Machine, place: &Path, screen: &Output) -> Result<()> {
    screen::shoot(&machine.socket, place, screen)?;
    if !args.json {
        printer::say(&format!("wrote {}\n", screen.path().display()));
    }
    Ok(())
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
    let settings = report.injected.iter().flat_map(|injected| &injected.settings);
    let is_of_several = settings.map(|setting| &setting.name).any(|name| name == "machine");
    if gets_own(args, report) && is_of_several {
        return Err(Error::Usage {
            what: format!("{name} is for several machines, and gets no key for one boot"),
            hint: "give --key the private half of a key that it lets in".into(),
        });
    }
    if gets_own(args, report) {
        return Ok(());
    }
    if lets_in(args, report) {
        return given_key::check(args, report);
    }
    Err(Error::Usage {
        what: format!("{name} has no key for {}, so nobody can log in", args.user),
        hint: "put one in: `remaster BASE --key KEY.pub -o IMAGE`; without --key it gets one for the boot".into(),
    })
}

/// Whether the image lets a key in as the user.
fn lets_in(args: &Args, report: &Report) -> bool {
    let mut keys = report.injected.iter().flat_map(|injected| &injected.keys);
    keys.any(|key| key.user == args.user && key.shut_out.is_none())
}

/// Whether a key is made for this boot.
fn gets_own(args: &Args, report: &Report) -> bool {
    match &args.key {
        Some(key) => key.as_os_str() == GENERATE,
        None => !lets_in(args, report),
    }
}

fn tell(args: &Args, machine: &Machine, seen: &LiveSystem, seconds: u64) -> Result<()> {
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

/// What came up.
/// - `v`: version of this form
/// - `image`: the image that was booted
/// - `user`: who logged in
/// - `machine`: what it was booted in, in words
/// - `seconds_to_login`: how long that took
/// - `hostname`: the name of the machine
/// - `addresses[]`: its addresses
/// - `host_keys[]`: its host keys
/// - `state`: what `systemctl is-system-running` says
/// - `failed_units[]`: units that failed
fn value(args: &Args, machine: &Machine, seen: &LiveSystem, seconds: u64) -> Value {
    json!({
        "v": 1, "image": args.image.display().to_string(), "user": args.user,
        "machine": machine.description(), "seconds_to_login": seconds, "hostname": seen.hostname,
        "addresses": seen.addresses, "host_keys": seen.host_keys, "state": seen.state,
        "failed_units": seen.failed,
    })
}

fn concluded(seen: &LiveSystem) -> Result<()> {
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
