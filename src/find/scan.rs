//! Asks addresses for their host keys, a bounded number at a time.

use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::known::Known;
use crate::error::{Error, Result};

/// Addresses that are asked at a time; the next ones follow when these have answered or waited.
const AT_ONCE: usize = 128;

/// Seconds that an address has to answer.
const PATIENCE: &str = "3";

/// Bytes of answers that are read of one round.
const LARGEST: u64 = 1 << 20;

/// Time between two looks whether the user wants to stop.
const GLANCE: Duration = Duration::from_millis(50);

/// A machine that was found. Its key was shown, not proved: ssh does that when it connects.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found<'a> {
    /// Where it is.
    pub address: Ipv4Addr,
    /// By what it was known.
    pub known: &'a Known,
}

/// Asks every address for keys of the kinds that are known, and tells of each that has one of them.
///
/// # Errors
/// [`Error::Interrupted`] if `stop` says so; [`Error::Usage`] if there is no `ssh-keyscan`.
pub fn scan<'a>(
    addresses: &[Ipv4Addr],
    port: u16,
    known: &'a [Known],
    stop: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(Found<'a>) -> Result<()>,
) -> Result<()> {
    for round in addresses.chunks(AT_ONCE) {
        let answers = ask(round, port, known, stop)?;
        let mut told: Vec<(Ipv4Addr, &str)> = Vec::new();
        for found in answers.lines().filter_map(|line| recognised(line, known)) {
            // One machine may have several of the keys.
            if round.contains(&found.address)
                && !told.contains(&(found.address, &found.known.alias))
            {
                told.push((found.address, &found.known.alias));
                tell(found)?;
            }
        }
    }
    Ok(())
}

/// Reads a line as `ADDRESS KIND KEY` or `[ADDRESS]:PORT KIND KEY` (`ssh-keyscan(1)`).
fn recognised<'a>(line: &str, known: &'a [Known]) -> Option<Found<'a>> {
    let mut words = line.split_ascii_whitespace();
    let (place, algorithm, key) = (words.next()?, words.next()?, words.next()?);
    let place = place.strip_prefix('[').and_then(|rest| rest.split(']').next()).unwrap_or(place);
    let address = place.parse().ok()?;
    let known = known.iter().find(|known| known.algorithm == algorithm && known.key == key)?;
    Some(Found { address, known })
}

/// What one round of addresses answers.
fn ask(
    addresses: &[Ipv4Addr],
    port: u16,
    known: &[Known],
    stop: &dyn Fn() -> bool,
) -> Result<String> {
    let mut kinds: Vec<&str> = known.iter().map(Known::scan_type).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut child = Command::new("ssh-keyscan")
        .args(["-T", PATIENCE, "-p", &port.to_string(), "-t", &kinds.join(","), "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(not_started)?;
    let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let list = list.join("\n") + "\n";
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let reader = thread::spawn(move || {
        let mut text = String::new();
        let read = output.map(|output| output.take(LARGEST).read_to_string(&mut text));
        read.transpose().map(|_| text)
    });
    // A few kilobytes, which a pipe takes at once; a reader that is gone is told of by its exit.
    let _ = input.map(|mut input| input.write_all(list.as_bytes()));
    wait(&mut child, stop)?;
    let read = reader.join().unwrap_or_else(|_| Ok(String::new()));
    read.map_err(Error::io("read what ssh-keyscan says"))
}

fn not_started(fault: io::Error) -> Error {
    match fault.kind() {
        io::ErrorKind::NotFound => Error::Usage {
            what: "there is no program ssh-keyscan".into(),
            hint: "install OpenSSH's client programs",
        },
        _ => Error::io("start ssh-keyscan")(fault),
    }
}

/// Waits for the end, or makes it.
fn wait(child: &mut Child, stop: &dyn Fn() -> bool) -> Result<()> {
    loop {
        if child.try_wait().map_err(Error::io("wait for ssh-keyscan"))?.is_some() {
            return if stop() { Err(Error::Interrupted) } else { Ok(()) };
        }
        if stop() {
            // It may have ended by itself, which is as good.
            let _ = child.kill().and_then(|()| child.wait());
            return Err(Error::Interrupted);
        }
        thread::sleep(GLANCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_key_is_recognised() {
        let known = [Known {
            alias: "n".into(),
            algorithm: "ssh-ed25519".into(),
            key: "AAAA".into(),
            fingerprint: String::new(),
        }];
        let address = |line: &str| recognised(line, &known).map(|found| found.address.to_string());
        assert_eq!(address("10.0.0.1 ssh-ed25519 AAAA").as_deref(), Some("10.0.0.1"));
        assert_eq!(address("[10.0.0.1]:2222 ssh-ed25519 AAAA").as_deref(), Some("10.0.0.1"));
        for other in [
            "10.0.0.1 ssh-ed25519 AAAB",
            "10.0.0.1 ssh-rsa AAAA",
            "# 10.0.0.1:22 SSH-2.0",
            "x ssh-ed25519 AAAA",
        ] {
            assert_eq!(address(other), None);
        }
    }
}
