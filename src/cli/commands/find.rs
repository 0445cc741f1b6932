//! `remaster find`: where on the local network the machine is that has the host key of an image.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use remaster::error::{Error, Result};
use remaster::find::{self, Found, Network};
use serde_json::json;

use crate::cli::known_hosts::command;
use crate::cli::progress::EVENTS;
use crate::cli::{interrupt, printer};

/// Find the booted machine on the local network by its host key
///
/// Asks every address for its host keys, 128 at a time, through OpenSSH's ssh-keyscan. Ends with status 1
/// if none has one of the keys. That a machine shows a key is no proof yet: the ssh command demands it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File that was written with the image, as `custom.iso.known_hosts`
    #[arg(long, value_name = "FILE")]
    known_hosts: PathBuf,

    /// IPv4 networks to look in, of at most 4,096 addresses each [default: the private networks of this
    /// machine's interfaces, of large ones the 1,024 addresses around its own]
    #[arg(value_name = "CIDR")]
    networks: Vec<String>,

    /// Port of sshd
    #[arg(long, default_value_t = 22)]
    port: u16,

    /// Print JSON: `machines`, each with address, port, alias, algorithm, fingerprint and command
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let known = find::read(&args.known_hosts)?;
    let networks = networks(args)?;
    let mut addresses: Vec<Ipv4Addr> =
        networks.iter().flat_map(|network| network.hosts()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let shown: Vec<String> = networks.iter().map(ToString::to_string).collect();
    let shown = shown.join(", ");
    if !args.json {
        printer::say(&format!("asking {} addresses of {shown}\n", addresses.len()));
    }
    interrupt::watch()?;
    let mut all = Vec::new();
    find::scan(&addresses, args.port, &known, &interrupt::is_asked, &mut |found| {
        all.push(event(args, &found));
        if args.json { Ok(()) } else { printer::print(&line(args, &found)) }
    })?;
    let none = all.is_empty();
    if args.json {
        printer::print_json(&json!({ "v": EVENTS, "machines": all }))?;
    }
    if none {
        return Err(Error::NotFound {
            what: format!("no machine with these host keys in {shown}"),
            hint: "wait until it has booted, or give the network that it is in",
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
            hint: "give the network to look in, as 192.168.1.0/24",
        });
    }
    Ok(own)
}

fn ssh(args: &Args, found: &Found<'_>) -> String {
    let command = command(&args.known_hosts, &found.known.alias, &found.address.to_string());
    match args.port {
        22 => command,
        port => command.replacen("ssh ", &format!("ssh -p {port} "), 1),
    }
}

fn line(args: &Args, found: &Found<'_>) -> String {
    let Found { address, known } = found;
    let key = format!("{} {}", known.algorithm, known.fingerprint);
    format!("{address} is {} ({key})\n  {}\n", known.alias, ssh(args, found))
}

fn event(args: &Args, found: &Found<'_>) -> serde_json::Value {
    json!({
        "address": found.address.to_string(), "port": args.port, "alias": found.known.alias,
        "algorithm": found.known.algorithm, "fingerprint": found.known.fingerprint,
        "command": ssh(args, found),
    })
}
