//! `remaster ssh`: finds the machine that has the host key of an image, and logs in to it.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use remaster::error::{Error, Result};
use remaster::few::Few;
use remaster::find::{Address, Asking, Known, Listener};
use remaster::image::ImageFile;
use remaster::inspect::{Injected, Report};
use rustix::process::{Pid, Signal, kill_process};

use super::find::{Impostors, PAUSE, SearchScope, listener, read_known_hosts};
use super::try_image::no_ssh;
use crate::cli::known_hosts::known_hosts_option;
use crate::cli::shell::shell_quote;
use crate::cli::slips::is_known_hosts;
use crate::cli::{base, interrupt, printer};

/// Between two looks whether ssh has ended.
const GLANCE: Duration = Duration::from_millis(20);

/// Find the machine that booted an image, and log in to it
///
/// Finds it as `find --wait` does, and runs ssh from the PATH, which takes that host key alone. Ends with the status of
/// ssh: that of the command, or 255 where ssh could not log in.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Image with a host key, or the name of a machine in a `known_hosts` file
    #[arg(value_name = "NAME|IMAGE")]
    machine: OsString,

    /// Command to run there, with its arguments [default: a shell]
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    command: Vec<OsString>,

    /// File that has the name; may be repeated [default: `*.known_hosts` in this folder]
    #[arg(long, value_name = "FILE")]
    known_hosts: Vec<PathBuf>,

    /// IPv4 network to look in; may be repeated [default: as for `find`]
    #[arg(long, value_name = "CIDR")]
    network: Vec<String>,

    /// Port of sshd
    #[arg(long, default_value_t = 22, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,

    /// User to log in as
    #[arg(long, value_name = "NAME", default_value = "root", value_parser = ["root", "nixos"])]
    user: String,

    /// Seconds until the machine must have answered
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

/// Finds, logs in, and gives the status of ssh.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let known = wanted(args)?;
    let listener = listener();
    let scope = SearchScope::new(&args.network, listener.as_ref())?;
    printer::say(&format!("{}\n", scope.description()));
    interrupt::watch()?;
    let address = search(args, &known, &scope, listener.as_ref())?;
    drop(listener);
    printer::say(&format!("{address} is {}\n", alias(&known)));
    connect(args, &known, &address)
}

/// The keys of the machine that is meant: of a name where its file is given, else of an image if there is one, else of a
/// name.
fn wanted(args: &Args) -> Result<Vec<Known>> {
    let path = Path::new(&args.machine);
    if !args.known_hosts.is_empty() {
        return of_name(args);
    }
    if is_known_hosts(path) {
        let name = shell_quote(path);
        return Err(Error::Usage {
            what: format!("{name} has host keys, and is not an image"),
            hint: format!(
                "give the image, or the name of a machine: `remaster ssh NAME --known-hosts {name}`"
            )
            .into(),
        });
    }
    if path.exists() { of_image(path) } else { no_address(path).and_then(|()| of_name(args)) }
}

/// Refuses an address, and a user in front of a name.
fn no_address(machine: &Path) -> Result<()> {
    let text = machine.to_string_lossy();
    let (user, host) = text.split_once('@').map_or((None, &*text), |(u, host)| (Some(u), host));
    let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    if !is_address && user.is_none() {
        return Ok(());
    }
    let what = format!("{text} is not the name of a machine");
    let hint = match user {
        Some(user) if !is_address => format!("give the name alone, and `--user {user}`"),
        _ => format!(
            "give an image or a name, whose address it finds; `ssh {}` logs in at an address",
            shell_quote(Path::new(&format!("{}@{host}", user.unwrap_or("root"))))
        ),
    };
    Err(Error::Usage { what, hint: hint.into() })
}

fn of_image(path: &Path) -> Result<Vec<Known>> {
    base::check_plain(path, "ssh")?;
    let report = Report::read(&ImageFile::open(path)?);
    let report = report.map_err(|fault| fault.with_path(path.display()))?;
    let name = shell_quote(path);
    let Some(injected) = report.injected else { return Err(without_key(&name, None)) };
    if injected.settings.iter().any(|setting| setting.name == "machine") {
        return Err(Error::Usage {
            what: format!("{name} is for several machines"),
            hint: format!(
                "give the name of one, and the file that has it: --known-hosts {name}.known_hosts"
            )
            .into(),
        });
    }
    let known = keys_of(&injected, path);
    if known.is_empty() { Err(without_key(&name, Some(&injected))) } else { Ok(known) }
}

/// What all keys of a machine are called.
fn alias(known: &[Known]) -> &str {
    known.first().map(|known| known.alias.as_str()).unwrap_or_default()
}

/// The host keys of an image, by its host name.
fn keys_of(injected: &Injected, path: &Path) -> Vec<Known> {
    // The name comes from the image, so it may be anything.
    let is_plain = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let named = injected.settings.iter().find(|setting| setting.name == "hostname");
    let alias = named.map_or("nixos", |setting| setting.value.as_str());
    let alias = if is_plain(alias) { alias } else { "nixos" };
    let known = injected.host_keys.iter().filter_map(|key| {
        let (algorithm, text) = key.public.split_once(' ')?;
        Some(Known {
            alias: alias.to_owned(),
            others: Vec::new(),
            algorithm: algorithm.to_owned(),
            key: text.to_owned(),
            fingerprint: key.fingerprint.clone(),
            file: path.to_owned(),
        })
    });
    known.collect()
}

/// The error of an image without a host key, where nothing was put in, or something else.
fn without_key(name: &str, injected: Option<&Injected>) -> Error {
    let edit = format!("`remaster edit --in-place {name} --host-key generate");
    let hint = match injected {
        None => format!(
            "make an image that has one, and boot that: `remaster {name} --key KEY.pub --host-key generate -o FILE`"
        ),
        Some(injected) if injected.keys.is_empty() => {
            format!("put one in, with a key that may log in, and boot that: {edit} --key KEY.pub`")
        }
        Some(_) => format!(
            "put one in, and boot that: {edit}`; or `ssh root@ADDRESS`, with the address that its console shows"
        ),
    };
    Error::Usage {
        what: format!("{name} has no host key, so its machine cannot be told from others"),
        hint: hint.into(),
    }
}

fn of_name(args: &Args) -> Result<Vec<Known>> {
    let name = shell_quote(Path::new(&args.machine));
    let files = if args.known_hosts.is_empty() { files_here()? } else { args.known_hosts.clone() };
    if files.is_empty() {
        return Err(Error::Usage {
            what: format!(
                "there is no image {name}, and no file *.known_hosts here that has the name"
            ),
            hint: "give an image, or the file that was written with it by --known-hosts".into(),
        });
    }
    let is_meant = |name: &str| name == args.machine;
    let (known, others): (Vec<Known>, Vec<Known>) =
        read_known_hosts(&files)?.into_iter().partition(|known| known.names().any(is_meant));
    if !known.is_empty() {
        return Ok(known
            .into_iter()
            .map(|known| known.called(&args.machine.to_string_lossy()))
            .collect());
    }
    let files: Vec<String> = files.iter().map(|file| shell_quote(file)).collect();
    let mut names: Vec<&str> = others.iter().flat_map(Known::names).collect();
    names.dedup();
    let names: Few = names.iter().collect();
    let files = files.join(", ");
    let (what, image) = if args.known_hosts.is_empty() {
        (format!("there is no image {name}, and no machine of that name in {files}"), "")
    } else {
        (format!("no machine is called {name} in {files}"), " without --known-hosts")
    };
    let hint = format!("give an image{image}, or one of the names there: {names}");
    Err(Error::Usage { what, hint: hint.into() })
}

/// The `known_hosts` files of this folder.
fn files_here() -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(".").map_err(Error::io("look for known_hosts files"))?;
    let names = entries.filter_map(|entry| Some(PathBuf::from(entry.ok()?.file_name())));
    let mut files: Vec<PathBuf> = names
        .filter(|name| name.extension().is_some_and(|ending| ending == "known_hosts"))
        .collect();
    files.sort();
    Ok(files)
}

/// Where the machine is.
fn search(
    args: &Args,
    known: &[Known],
    scope: &SearchScope,
    listener: Option<&Listener>,
) -> Result<Address> {
    let begun = Instant::now();
    let whole = Duration::from_secs(args.timeout);
    let found = RefCell::new(None);
    let stop = || interrupt::is_asked() || found.borrow().is_some();
    let mut impostors = Impostors::default();
    loop {
        let time = whole.saturating_sub(begun.elapsed());
        let asking = Asking { port: args.port, known, time, stop: &stop, listener };
        let missed = asking.scan(&scope.addresses, &mut |machine| {
            found.replace(Some(machine.address));
            Ok(())
        });
        if let Some(address) = found.take() {
            return Ok(address);
        }
        impostors.tell(&missed?);
        if begun.elapsed() >= whole {
            return Err(nobody(args, scope));
        }
        std::thread::sleep(PAUSE);
        listener.map(Listener::join).transpose()?;
    }
}

fn nobody(args: &Args, scope: &SearchScope) -> Error {
    let machine = shell_quote(Path::new(&args.machine));
    Error::NotFound {
        what: format!("no machine with a host key of {machine} answered within {} s, {}", args.timeout, scope.description()),
        hint: "wait until it has booted, give the network that it is in with --network, or more time with --timeout".into(),
    }
}

/// Runs ssh, which takes the machine's keys and no others, and gives how it ended.
fn connect(args: &Args, known: &[Known], address: &Address) -> Result<ExitCode> {
    let folder = tempfile::Builder::new().prefix("remaster-ssh-").tempdir();
    let folder = folder.map_err(Error::io("make a folder for a temporary file"))?;
    let file = folder.path().join("known_hosts");
    let mut text = String::new();
    for Known { alias, algorithm, key, .. } in known {
        let _ = writeln!(text, "{alias} {algorithm} {key}");
    }
    fs::write(&file, text).map_err(Error::io(format!("write {}", file.display())))?;
    let alias = alias(known);
    let mut ssh = Command::new("ssh");
    ssh.arg("-o").arg(known_hosts_option(&file));
    for option in [
        "GlobalKnownHostsFile=/dev/null".to_owned(),
        format!("HostKeyAlias={alias}"),
        "StrictHostKeyChecking=yes".to_owned(),
        "UpdateHostKeys=no".to_owned(),
    ] {
        ssh.arg("-o").arg(option);
    }
    ssh.args(["-p", &args.port.to_string(), "--"]).arg(format!("{}@{address}", args.user));
    ssh.args(&args.command);
    let child = ssh.spawn().map_err(no_ssh)?;
    let ended = wait(child)?;
    Ok(ExitCode::from(status(ended)))
}

/// Waits until ssh has ended. A signal that ends this program ends ssh, too.
fn wait(mut ssh: Child) -> Result<ExitStatus> {
    loop {
        if let Some(ended) = ssh.try_wait().map_err(Error::io("wait for ssh"))? {
            return Ok(ended);
        }
        if interrupt::is_asked() {
            // It may just have ended.
            let _ = kill_process(Pid::from_child(&ssh), Signal::TERM);
            ssh.wait().map_err(Error::io("wait for ssh"))?;
            return Err(Error::Interrupted);
        }
        std::thread::sleep(GLANCE);
    }
}

/// As a shell tells of it.
fn status(ended: ExitStatus) -> u8 {
    let code = ended.code().or_else(|| ended.signal().map(|signal| signal.saturating_add(128)));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_that_of_a_shell() {
        assert_eq!(status(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(status(ExitStatus::from_raw(255 << 8)), 255);
        assert_eq!(status(ExitStatus::from_raw(9)), 137);
    }
}
