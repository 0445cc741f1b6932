//! `remaster find`: where on the local network the machine is that has the host key of an image.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use remaster::error::{Error, Result};
use remaster::find::{self, Address, Asking, Found, Known, Listener, Network, UnknownAddresses};
use serde_json::{Value, json};

use crate::cli::events;
use crate::cli::known_hosts::{command, config};
use crate::cli::{interrupt, printer};

/// Between two rounds.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// Addresses that are reported because they announce what they are not.
const MOST_TOLD: usize = 8;

/// Find the booted machine on the local network by its host key
///
/// Asks every address for its host keys, 128 at a time, through OpenSSH's ssh-keyscan, and tells of each
/// machine as soon as it answers. An address has 8 seconds. Ends with status 1 if none has one of the keys, or
/// not all addresses could be asked. With --wait it also hears those that announce themselves, whatever their
/// addresses. That a machine shows a key is not proof yet: the ssh command demands it.
/// nixos-anywhere demands no host key: log in by the ssh command first.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File that was written with the image, such as `custom.iso.known_hosts`; may be repeated
    #[arg(long, value_name = "FILE", required = true)]
    known_hosts: Vec<PathBuf>,

    /// IPv4 networks to look in, of at most 4,096 addresses each [default: the private networks of this
    /// machine's interfaces, of large ones the 1,024 addresses around its own]
    #[arg(value_name = "CIDR")]
    networks: Vec<String>,

    /// Port of sshd
    #[arg(long, default_value_t = 22, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,

    /// Seconds for all addresses
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,

    /// Ask again, and listen for announcements, until all machines of the files have answered or --timeout ends
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
    let known = read_known_hosts(&args.known_hosts)?;
    let listener = if args.wait { listener() } else { None };
    let scope = SearchScope::new(&args.networks, listener.as_ref())?;
    if !args.json {
        let again = if args.wait { ", until all machines have answered" } else { "" };
        printer::say(&format!("{}{again}\n", scope.description()));
    }
    interrupt::watch()?;
    let mut answered = Answered::default();
    let missed = ask_all(args, &known, (&scope, listener.as_ref()), &mut answered);
    if args.json {
        printer::print_json(&json!({ "v": events::VERSION, "machines": answered.events }))?;
    }
    let missed = missed?;
    tell_slow(&missed);
    if args.wait {
        return all_there(args, &answered.missing(&known));
    }
    let none = answered.events.is_empty();
    concluded(args, &missed, none, &scope.addresses_shown())
}

/// The keys of `known_hosts` files.
pub(super) fn read_known_hosts(files: &[PathBuf]) -> Result<Vec<Known>> {
    let known: Vec<Vec<Known>> =
        files.iter().map(|file| find::read(file)).collect::<Result<_>>()?;
    Ok(known.concat())
}

/// What hears announcements, if this machine can. A scan does without.
pub(super) fn listener() -> Option<Listener> {
    let listener = Listener::open();
    listener
        .map_err(|fault| {
            printer::note(&format!("this machine cannot listen for announcements: {fault}"));
        })
        .ok()
}

/// The links on which announcements are heard. A scan does without those on which they are not.
fn heard_on(listener: &Listener) -> Vec<String> {
    match listener.join() {
        Ok(joined) => {
            if !joined.unheard.is_empty() {
                let unheard = joined.unheard.join(", ");
                printer::note(&format!("announcements cannot be heard on {unheard}"));
            }
            joined.heard
        }
        Err(fault) => {
            printer::note(&format!("announcements cannot be heard: {fault}"));
            Vec::new()
        }
    }
}

/// Where machines are looked for.
pub(super) struct SearchScope {
    pub(super) addresses: Vec<Address>,
    networks: String,
    /// The interfaces on which announcements are heard.
    heard: Vec<String>,
}

impl SearchScope {
    /// The networks that are given, or those of this machine, and all links.
    pub(super) fn new(networks: &[String], listener: Option<&Listener>) -> Result<Self> {
        let heard = listener.map(heard_on).unwrap_or_default();
        let networks: Vec<Network> = match networks {
            [] => find::own()?,
            given => given.iter().map(|text| Network::parse(text)).collect::<Result<_>>()?,
        };
        if networks.is_empty() && heard.is_empty() {
            return Err(Error::Usage {
                what: "this machine is not in a private IPv4 network".into(),
                hint: "give the network to look in, as 192.168.1.0/24".into(),
            });
        }
        let shown: Vec<String> = networks.iter().map(ToString::to_string).collect();
        Ok(Self { addresses: addresses(&networks), networks: shown.join(", "), heard })
    }

    /// As `254 addresses of 192.168.1.0/24`.
    fn addresses_shown(&self) -> String {
        match self.addresses.len() {
            1 => format!("1 address of {}", self.networks),
            count => format!("{count} addresses of {}", self.networks),
        }
    }

    /// What is done there.
    pub(super) fn description(&self) -> String {
        let heard = format!("listening on {}", self.heard.join(", "));
        match (self.addresses.is_empty(), self.heard.is_empty()) {
            (true, _) => heard,
            (false, true) => format!("asking {}", self.addresses_shown()),
            (false, false) => format!("asking {}, and {heard}", self.addresses_shown()),
        }
    }
}

/// What has answered.
#[derive(Default)]
struct Answered {
    events: Vec<Value>,
    aliases: BTreeSet<String>,
}

impl Answered {
    /// The keys of those that have not.
    fn left(&self, known: &[Known]) -> Vec<Known> {
        known.iter().filter(|known| !self.aliases.contains(&known.alias)).cloned().collect()
    }

    /// Those that have not, each once.
    fn missing(&self, known: &[Known]) -> BTreeSet<String> {
        let aliases = known.iter().map(|known| known.alias.clone());
        aliases.filter(|alias| !self.aliases.contains(alias)).collect()
    }
}

/// Asks all addresses once, or, if all machines are waited for, again until they have answered. Gives what the last
/// round missed.
fn ask_all(
    args: &Args,
    known: &[Known],
    (scope, listener): (&SearchScope, Option<&Listener>),
    answered: &mut Answered,
) -> Result<UnknownAddresses> {
    let begun = Instant::now();
    let whole = Duration::from_secs(args.timeout);
    let mut impostors = Impostors::default();
    loop {
        let time = whole.saturating_sub(begun.elapsed());
        let (port, stop) = (args.port, &interrupt::is_asked);
        let left = answered.left(known);
        let known = if args.wait { &left } else { known };
        let asking = Asking { port, known, time, stop, listener };
        let missed = asking.scan(&scope.addresses, &mut |found| {
            let is_new = answered.aliases.insert(found.known.alias.clone());
            if args.wait && !is_new {
                return Ok(());
            }
            answered.events.push(event(args, &found));
            if args.json { Ok(()) } else { printer::print(&found_shown(args, &found)) }
        })?;
        impostors.tell(&missed);
        let is_over = !args.wait || answered.left(known).is_empty() || begun.elapsed() >= whole;
        if is_over {
            return Ok(missed);
        }
        std::thread::sleep(PAUSE);
        // Links come up late. What cannot be heard was told at the start.
        let _ = listener.map(Listener::join);
    }
}

/// What was told of a scan: who announces a key and shows another one, and that it failed.
#[derive(Default)]
pub(super) struct Impostors {
    told: BTreeSet<Address>,
    /// Whether it was told that `ssh-keyscan` fails.
    is_failure_told: bool,
}

impl Impostors {
    /// Tells of each once, and of no more than a screen takes.
    pub(super) fn tell(&mut self, missed: &UnknownAddresses) {
        if let Some(why) = missed.failed.as_ref().filter(|_| !self.is_failure_told) {
            self.is_failure_told = true;
            printer::note(&format!("ssh-keyscan failed, and did not ask every address: {why}"));
        }
        for address in self.untold(&missed.other) {
            printer::note(&format!(
                "{address} announces a host key that is looked for, and shows another one"
            ));
        }
    }

    /// Those that come to be told of.
    fn untold<'a>(&mut self, all: &'a [Address]) -> Vec<&'a Address> {
        let mut is_new = |address: &&Address| {
            self.told.len() < MOST_TOLD && self.told.insert((*address).clone())
        };
        all.iter().filter(|address| is_new(address)).collect()
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

fn tell_slow(missed: &UnknownAddresses) {
    if !missed.slow.is_empty() {
        let slow: Vec<String> = missed.slow.iter().map(ToString::to_string).collect();
        printer::note(&format!("did not show a host key in 8 seconds: {}", slow.join(", ")));
    }
}

/// All addresses, each once.
fn addresses(networks: &[Network]) -> Vec<Address> {
    let hosts = networks.iter().flat_map(|network| network.hosts());
    let mut found: Vec<Address> = hosts.map(Address::V4).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// What to say about addresses that nothing is known about, and where none has a key.
fn concluded(args: &Args, missed: &UnknownAddresses, none: bool, asked: &str) -> Result<()> {
    if missed.unasked > 0 {
        return Err(Error::NotFound {
            what: format!("not asked within {} s: {} of {asked}", args.timeout, missed.unasked),
            hint: "give a smaller network, or more time with --timeout".into(),
        });
    }
    if none {
        return Err(Error::NotFound {
            what: format!("no machine at {asked} has one of these host keys"),
            hint: "wait until it has booted, or give the network that it is in".into(),
        });
    }
    Ok(())
}

fn ssh(args: &Args, Found { address, known }: &Found<'_>) -> String {
    let command = command(&known.file, &known.alias, &address.to_string());
    match args.port {
        22 => command,
        port => command.replacen("ssh ", &format!("ssh -p {port} "), 1),
    }
}

fn found_shown(args: &Args, found: &Found<'_>) -> String {
    let Found { address, known } = found;
    if args.ssh_config {
        return config(&known.file, &known.alias, &address.to_string(), args.port);
    }
    let key = format!("{} {}", known.algorithm, known.fingerprint);
    let ssh = ssh(args, found);
    let port = if args.port == 22 { String::new() } else { format!(" --ssh-port {}", args.port) };
    // It makes a URL of the address.
    let anywhere = if address.is_plain() {
        format!("  nixos-anywhere --target-host root@{address}{port}\n")
    } else {
        String::new()
    };
    format!("{address} is {} ({key})\n  {ssh}\n{anywhere}", known.alias)
}

/// A machine that was found.
/// - `v`: version of this form
/// - `machines[].address`: where it is
/// - `machines[].port`: of sshd
/// - `machines[].user`: who can log in
/// - `machines[].alias`: its name in the `known_hosts` file
/// - `machines[].algorithm`: of its host key
/// - `machines[].host_key`: as a `known_hosts` file has it behind the name
/// - `machines[].fingerprint`: as `SHA256:…`
/// - `machines[].command`: the command that logs in
fn event(args: &Args, found: &Found<'_>) -> Value {
    let Found { address, known } = found;
    json!({
        "address": address.to_string(), "port": args.port, "user": "root", "alias": known.alias,
        "algorithm": known.algorithm, "host_key": format!("{} {}", known.algorithm, known.key),
        "fingerprint": known.fingerprint, "command": ssh(args, found),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_impostors_are_told_of_and_each_once() {
        let all: Vec<Address> =
            (0..=8).map(|number| Address::V4([10, 0, 0, number].into())).collect();
        let mut impostors = Impostors::default();
        let mut told = |some: &[Address]| impostors.untold(some).len();
        assert_eq!((told(&all[..7]), told(&all), told(&all)), (7, 1, 0));
    }
}
