//! `remaster find`: where on the local network the machine is that has the host key of an image.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use remaster::error::{Error, Result};
use remaster::find::{self, Asking, Found, Known, Missed, Network};
use serde_json::{Value, json};

use crate::cli::known_hosts::{command, config};
use crate::cli::progress::EVENTS;
use crate::cli::{interrupt, printer};

/// Between two rounds of --wait.
const PAUSE: Duration = Duration::from_secs(1);

/// Find the booted machine on the local network by its host key
///
/// Asks every address for its host keys, 128 at a time, through OpenSSH's ssh-keyscan, and tells of each
/// machine as soon as it answers. An address has 8 seconds. Ends with status 1 if none has one of the keys, or
/// not all addresses could be asked. That a machine shows a key is not proof yet: the ssh command demands it.
/// nixos-anywhere demands no host key: log in by the ssh command first.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File that was written with the image, as `custom.iso.known_hosts`; may be repeated
    #[arg(long, value_name = "FILE", required = true)]
    known_hosts: Vec<PathBuf>,

    /// IPv4 networks to look in, of at most 4,096 addresses each [default: the private networks of this
    /// machine's interfaces, of large ones the 1,024 addresses around its own]
    #[arg(value_name = "CIDR")]
    networks: Vec<String>,

    /// Port of sshd
    #[arg(long, default_value_t = 22)]
    port: u16,

    /// Seconds for all addresses
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,

    /// Ask again until all machines of the files have answered, or --timeout ends
    #[arg(long)]
    wait: bool,

    /// Print lines for ~/.ssh/config: then `ssh NAME` logs in
    #[arg(long, conflicts_with = "json")]
    ssh_config: bool,

    /// Print JSON: `machines`, each with address, port, user, alias, algorithm, `host_key`, fingerprint and command
    #[arg(long)]
    json: bool,
}

/// Tells of every machine that is found.
pub(crate) fn run(args: &Args) -> Result<()> {
    let known: Vec<Vec<Known>> =
        args.known_hosts.iter().map(|file| find::read(file)).collect::<Result<_>>()?;
    let known = known.concat();
    let networks = networks(args)?;
    let addresses = addresses(&networks);
    let shown: Vec<String> = networks.iter().map(ToString::to_string).collect();
    let shown = shown.join(", ");
    if !args.json {
        let again = if args.wait { ", until all machines have answered" } else { "" };
        printer::say(&format!("asking {} addresses of {shown}{again}\n", addresses.len()));
    }
    interrupt::watch()?;
    let mut there = There::default();
    let missed = asked(args, &known, &addresses, &mut there);
    if args.json {
        printer::print_json(&json!({ "v": EVENTS, "machines": there.events }))?;
    }
    let missed = missed?;
    tell_slow(&missed);
    if args.wait {
        return all_there(args, &there.missing(&known));
    }
    let none = there.events.is_empty();
    concluded(args, &missed, none, &format!("{} addresses of {shown}", addresses.len()))
}

/// What has answered.
#[derive(Default)]
struct There {
    events: Vec<Value>,
    aliases: BTreeSet<String>,
}

impl There {
    /// Those that have not, each once.
    fn missing(&self, known: &[Known]) -> BTreeSet<String> {
        let aliases = known.iter().map(|known| known.alias.clone());
        aliases.filter(|alias| !self.aliases.contains(alias)).collect()
    }
}

/// Asks all addresses once, or, if all machines are waited for, again until they have answered. Gives what the last
/// round missed.
fn asked(
    args: &Args,
    known: &[Known],
    addresses: &[Ipv4Addr],
    there: &mut There,
) -> Result<Missed> {
    let begun = Instant::now();
    let whole = Duration::from_secs(args.timeout);
    loop {
        let time = whole.saturating_sub(begun.elapsed());
        let asking = Asking { port: args.port, known, time, stop: &interrupt::is_asked };
        let missed = asking.scan(addresses, &mut |found| {
            let is_new = there.aliases.insert(found.known.alias.clone());
            if args.wait && !is_new {
                return Ok(());
            }
            there.events.push(event(args, &found));
            if args.json { Ok(()) } else { printer::print(&told(args, &found)) }
        })?;
        let is_over = !args.wait || there.missing(known).is_empty() || begun.elapsed() >= whole;
        if is_over {
            return Ok(missed);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Whether all machines that were waited for have answered.
fn all_there(args: &Args, missing: &BTreeSet<String>) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(String::as_str).collect();
    Err(Error::NotFound {
        what: format!("not found within {} s: {}", args.timeout, names.join(", ")),
        hint: "wait longer with --timeout, or give the network that they are in".into(),
    })
}

fn tell_slow(missed: &Missed) {
    if !missed.slow.is_empty() {
        let slow: Vec<String> = missed.slow.iter().map(ToString::to_string).collect();
        printer::note(&format!("did not show a host key in 8 seconds: {}", slow.join(", ")));
    }
}

/// All addresses, each once.
fn addresses(networks: &[Network]) -> Vec<Ipv4Addr> {
    let mut found: Vec<Ipv4Addr> = networks.iter().flat_map(|network| network.hosts()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// What is to be said of addresses of which nothing is known, and where none has a key.
fn concluded(args: &Args, missed: &Missed, none: bool, asked: &str) -> Result<()> {
    if missed.unasked > 0 {
        return Err(Error::NotFound {
            what: format!("not asked within {} s: {} of {asked}", args.timeout, missed.unasked),
            hint: "give a smaller network, or more time with --timeout".into(),
        });
    }
    if none {
        return Err(Error::NotFound {
            what: format!("no machine with these host keys at {asked}"),
            hint: "wait until it has booted, or give the network that it is in".into(),
        });
    }
    Ok(())
}

fn networks(args: &Args) -> Result<Vec<Network>> {
    if !args.networks.is_empty() {
        return args.networks.iter().map(|text| Network::parse(text)).collect();
    }
    let own = find::own()?;
    if own.is_empty() {
        return Err(Error::Usage {
            what: "this machine is in no private IPv4 network".into(),
            hint: "give the network to look in, as 192.168.1.0/24".into(),
        });
    }
    Ok(own)
}

fn ssh(args: &Args, Found { address, known }: &Found<'_>) -> String {
    let command = command(&known.file, &known.alias, &address.to_string());
    match args.port {
        22 => command,
        port => command.replacen("ssh ", &format!("ssh -p {port} "), 1),
    }
}

fn told(args: &Args, found: &Found<'_>) -> String {
    let Found { address, known } = found;
    if args.ssh_config {
        return config(&known.file, &known.alias, &address.to_string(), args.port);
    }
    let key = format!("{} {}", known.algorithm, known.fingerprint);
    let ssh = ssh(args, found);
    let port = if args.port == 22 { String::new() } else { format!(" --ssh-port {}", args.port) };
    format!(
        "{address} is {} ({key})\n  {ssh}\n  nixos-anywhere --target-host root@{address}{port}\n",
        known.alias
    )
}

fn event(args: &Args, found: &Found<'_>) -> Value {
    let Found { address, known } = found;
    json!({
        "address": address.to_string(), "port": args.port, "user": "root", "alias": known.alias,
        "algorithm": known.algorithm, "host_key": format!("{} {}", known.algorithm, known.key),
        "fingerprint": known.fingerprint, "command": ssh(args, found),
    })
}
