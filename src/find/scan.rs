//! Asks addresses for their host keys, a bounded number at a time, each by a program of its own: who does not answer, or
//! answers slowly, holds up nobody else, and what is found is told at once.

use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::known::Known;
use crate::error::{Error, Result};

/// Addresses that are asked at a time.
const AT_ONCE: usize = 128;

/// Seconds that an address has to take the connection.
const PATIENCE: &str = "3";

/// Time for one address. `ssh-keyscan -T` does not cover the greeting: of a printer that says `login: ` and waits, or of a
/// tarpit, it waits for ever.
const LONGEST: Duration = Duration::from_secs(8);

/// Bytes of the answer that are read of one address.
const LARGEST: u64 = 1 << 16;

/// Time between two looks who has answered.
const GLANCE: Duration = Duration::from_millis(20);

/// A machine that was found. Its key was shown, not proved: ssh does that when it connects.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found<'a> {
    /// Where it is.
    pub address: Ipv4Addr,
    /// By what it was known.
    pub known: &'a Known,
}

/// What is asked of every address, and for how long.
#[expect(missing_debug_implementations, reason = "a function has no text form")]
pub struct Asking<'a> {
    /// Port of sshd.
    pub port: u16,
    /// The keys that are looked for.
    pub known: &'a [Known],
    /// Time for all addresses.
    pub time: Duration,
    /// Whether the user wants to stop.
    pub stop: &'a dyn Fn() -> bool,
}

/// Addresses of which nothing is known.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Missed {
    /// Those that took the connection, as it seems, and then did not show their keys in time.
    pub slow: Vec<Ipv4Addr>,
    /// How many were not asked, or not to the end, in the time for all.
    pub unasked: usize,
}

impl<'a> Asking<'a> {
    /// Asks every address for keys of the kinds that are known, and tells of each that has one of them as soon as it answers.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if the user wants to stop; [`Error::Usage`] if there is no `ssh-keyscan`.
    pub fn scan(
        &self,
        addresses: &[Ipv4Addr],
        tell: &mut dyn FnMut(Found<'a>) -> Result<()>,
    ) -> Result<Missed> {
        let since = Instant::now();
        let mut missed = Missed::default();
        let mut waiting = addresses.iter();
        let mut asked: Vec<Scan> = Vec::new();
        loop {
            let room = AT_ONCE.saturating_sub(asked.len());
            for address in waiting.by_ref().take(room) {
                asked.push(self.start(*address)?);
            }
            let mut still = Vec::new();
            for mut scan in asked {
                match scan.look()? {
                    Answer::None => still.push(scan),
                    Answer::Late => missed.slow.push(scan.address),
                    Answer::Is(text) => self.told(scan.address, &text, tell)?,
                }
            }
            asked = still;
            missed.unasked = waiting.len().saturating_add(asked.len());
            match missed.unasked {
                _ if (self.stop)() => return Err(Error::Interrupted),
                0 => return Ok(missed),
                _ if since.elapsed() >= self.time => return Ok(missed),
                _ => thread::sleep(GLANCE),
            }
        }
    }

    /// Tells what an address has answered. One machine may have several of the keys.
    fn told(
        &self,
        address: Ipv4Addr,
        text: &str,
        tell: &mut dyn FnMut(Found<'a>) -> Result<()>,
    ) -> Result<()> {
        let mut told: Vec<&str> = Vec::new();
        let found = text.lines().filter_map(|line| recognised(line, self.known));
        for found in found.filter(|found| found.address == address) {
            if !told.contains(&found.known.alias.as_str()) {
                told.push(&found.known.alias);
                tell(found)?;
            }
        }
        Ok(())
    }

    fn start(&self, address: Ipv4Addr) -> Result<Scan> {
        let mut kinds: Vec<&str> = self.known.iter().map(Known::scan_type).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let child = Command::new("ssh-keyscan")
            .args(["-T", PATIENCE, "-p", &self.port.to_string(), "-t", &kinds.join(",")])
            .arg(address.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(not_started)?;
        Ok(Scan { address, child, since: Instant::now() })
    }
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

/// An `ssh-keyscan` that runs. It is ended with this.
struct Scan {
    address: Ipv4Addr,
    child: Child,
    since: Instant,
}

/// What has come of an address.
enum Answer {
    /// Nothing yet.
    None,
    /// Nothing in time.
    Late,
    Is(String),
}

impl Scan {
    fn look(&mut self) -> Result<Answer> {
        let ended = self.child.try_wait().map_err(Error::io("wait for ssh-keyscan"))?;
        match ended {
            None if self.since.elapsed() >= LONGEST => Ok(Answer::Late),
            None => Ok(Answer::None),
            Some(_) => self.answer().map(Answer::Is),
        }
    }

    /// What a program that has ended said: some keys, for which the pipe has room.
    fn answer(&mut self) -> Result<String> {
        let mut bytes = Vec::new();
        if let Some(output) = self.child.stdout.take() {
            let read = output.take(LARGEST).read_to_end(&mut bytes);
            read.map_err(Error::io("read what ssh-keyscan says"))?;
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn not_started(fault: io::Error) -> Error {
    match fault.kind() {
        io::ErrorKind::NotFound => Error::Usage {
            what: "there is no program ssh-keyscan".into(),
            hint: "install OpenSSH's client programs".into(),
        },
        _ => Error::io("start ssh-keyscan")(fault),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn only_the_very_key_is_recognised() {
        let known = [Known {
            alias: "n".into(),
            algorithm: "ssh-ed25519".into(),
            key: "AAAA".into(),
            fingerprint: String::new(),
            file: PathBuf::new(),
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
