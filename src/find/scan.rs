//! Asks addresses for their host keys, a bounded number at a time.

use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::known::Known;
use crate::error::{Error, Result};

/// Addresses that are asked at a time; the next ones follow when these have answered or waited.
const AT_ONCE: usize = 128;

/// Seconds that an address has to answer.
const PATIENCE: &str = "3";

/// Time for a round of addresses. `ssh-keyscan -T` does not cover the greeting: a printer that says `login: ` and waits, or a
/// tarpit, holds all others up for ever.
const ROUND: Duration = Duration::from_secs(15);

/// Time for one address by itself.
const ALONE: Duration = Duration::from_secs(8);

/// Programs that ask one address each, at a time.
const PROGRAMS: usize = 32;

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
    let asking = Asking { port, known, stop };
    for round in addresses.chunks(AT_ONCE) {
        let answers = asking.round(round)?;
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

/// What is asked of every address.
struct Asking<'a> {
    port: u16,
    known: &'a [Known],
    stop: &'a dyn Fn() -> bool,
}

impl Asking<'_> {
    /// What one round of addresses answers. If one of them holds up the others, each is asked by itself.
    fn round(&self, addresses: &[Ipv4Addr]) -> Result<String> {
        if let Some(answers) = self.start(addresses, ROUND)?.finish(self.stop)? {
            return Ok(answers);
        }
        let mut answers = String::new();
        for some in addresses.chunks(PROGRAMS) {
            let started = some.iter().map(|address| self.start(&[*address], ALONE));
            // All of them run before the first one is waited for.
            let started: Vec<Scan> = started.collect::<Result<_>>()?;
            for scan in started {
                answers.push_str(&scan.finish(self.stop)?.unwrap_or_default());
            }
        }
        Ok(answers)
    }

    fn start(&self, addresses: &[Ipv4Addr], time: Duration) -> Result<Scan> {
        let mut kinds: Vec<&str> = self.known.iter().map(Known::scan_type).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let mut child = Command::new("ssh-keyscan")
            .args(["-T", PATIENCE, "-p", &self.port.to_string(), "-t", &kinds.join(","), "-f", "-"])
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
        Ok(Scan { child, reader: Some(reader), since: Instant::now(), time })
    }
}

/// An `ssh-keyscan` that runs. It is ended with this.
struct Scan {
    child: Child,
    reader: Option<thread::JoinHandle<io::Result<String>>>,
    since: Instant,
    time: Duration,
}

impl Scan {
    /// What was answered; none if it took too long.
    fn finish(mut self, stop: &dyn Fn() -> bool) -> Result<Option<String>> {
        let in_time = self.wait(stop)?;
        let read = self.reader.take().and_then(|reader| reader.join().ok());
        let text = read.transpose().map_err(Error::io("read what ssh-keyscan says"))?;
        Ok(text.filter(|_| in_time))
    }

    /// Ends the program. It may have ended by itself, which is as good.
    fn end(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }

    /// Waits for the end, or makes it; whether it came by itself.
    fn wait(&mut self, stop: &dyn Fn() -> bool) -> Result<bool> {
        loop {
            let ended = self.child.try_wait().map_err(Error::io("wait for ssh-keyscan"))?;
            let is_late = self.since.elapsed() >= self.time;
            if ended.is_none() && (stop() || is_late) {
                self.end();
            }
            match ended {
                _ if stop() => return Err(Error::Interrupted),
                Some(_) => return Ok(true),
                None if is_late => return Ok(false),
                None => thread::sleep(GLANCE),
            }
        }
    }
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

impl Drop for Scan {
    fn drop(&mut self) {
        self.end();
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
