//! Asks addresses for their host keys, a bounded number at a time, each by a program of its own: who does not answer, or
//! answers slowly, holds up nobody else, and what is found is reported at once.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::address::Address;
use super::announcement::Listener;
use super::known::Known;
use crate::error::{Error, Result};

/// Addresses that are asked at a time.
const AT_ONCE: usize = 128;

/// Seconds that an address has to take the connection.
const TIMEOUT_SECONDS: &str = "3";

/// Time for one address. `ssh-keyscan -T` does not cover the greeting: of a printer that says `login: ` and waits, or of a
/// tarpit, it waits for ever.
const LONGEST: Duration = Duration::from_secs(8);

/// Bytes of the answer that are read of one address.
const LARGEST: u64 = 1 << 16;

/// Addresses that are asked because of announcements, of one scan: there is room for others at all times.
const MOST_ANNOUNCED: usize = 64;

/// Time between two looks who has answered.
const GLANCE: Duration = Duration::from_millis(20);

/// A machine that was found. Its key was shown, not proved: ssh does that when it connects.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found<'a> {
    /// Where it is.
    pub address: Address,
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
    /// Whether to stop.
    pub stop: &'a dyn Fn() -> bool,
    /// Where announcements are heard: who announces one of the keys is asked first.
    pub listener: Option<&'a Listener>,
}

/// Addresses that nothing is known about.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct UnknownAddresses {
    /// Those that took the connection, as it seems, and then did not show their keys in time.
    pub slow: Vec<Address>,
    /// How many were not asked, or not to the end, in the time for all.
    pub unasked: usize,
    /// Those that announce one of the keys and show others.
    pub other: Vec<Address>,
    /// Why `ssh-keyscan` could not ask, if that happened.
    pub failed: Option<String>,
}

impl<'a> Asking<'a> {
    /// Asks every address for keys of the kinds that are known, and tells of each that has one of them as soon as it answers.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if it is to stop; [`Error::Usage`] if there is no `ssh-keyscan`.
    pub fn scan(
        &self,
        addresses: &[Address],
        tell: &mut dyn FnMut(Found<'a>) -> Result<()>,
    ) -> Result<UnknownAddresses> {
        let since = Instant::now();
        let mut missed = UnknownAddresses::default();
        let mut waiting = addresses.iter();
        let mut announced = Announced::default();
        let mut asked: Vec<Scan> = Vec::new();
        loop {
            self.listen(&mut announced)?;
            while asked.len() < AT_ONCE {
                let first = announced.waiting.pop_front();
                let is_announced = first.is_some();
                let Some(address) = first.or_else(|| waiting.next().cloned()) else { break };
                asked.push(self.start(address, is_announced)?);
            }
            let mut still = Vec::new();
            for mut scan in asked {
                match scan.look()? {
                    Answer::None => still.push(scan),
                    Answer::Failed(why) => drop(missed.failed.get_or_insert(why)),
                    Answer::Late => missed.slow.push(scan.address.clone()),
                    Answer::Is(text) => {
                        let is_known = self.report(&scan.address, &text, tell)?;
                        if scan.is_announced && !is_known && !text.trim().is_empty() {
                            missed.other.push(scan.address.clone());
                        }
                    }
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

    /// Takes down who has announced one of the keys.
    fn listen(&self, announced: &mut Announced) -> Result<()> {
        let Some(listener) = self.listener else { return Ok(()) };
        for address in listener.receive(self.known)? {
            announced.add(address);
        }
        Ok(())
    }

    /// Tells what an address has answered, and gives whether one of the keys was there. One machine may have several.
    fn report(
        &self,
        address: &Address,
        text: &str,
        tell: &mut dyn FnMut(Found<'a>) -> Result<()>,
    ) -> Result<bool> {
        let mut told: Vec<&str> = Vec::new();
        let shown = address.to_string();
        for known in text.lines().filter_map(|line| recognised(line, &shown, self.known)) {
            if !told.contains(&known.alias.as_str()) {
                told.push(&known.alias);
                tell(Found { address: address.clone(), known })?;
            }
        }
        Ok(!told.is_empty())
    }

    fn start(&self, address: Address, is_announced: bool) -> Result<Scan> {
        let mut kinds: Vec<&str> = self.known.iter().map(Known::scan_type).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let child = Command::new("ssh-keyscan")
            .args(["-T", TIMEOUT_SECONDS, "-p", &self.port.to_string(), "-t", &kinds.join(",")])
            .arg(address.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(not_started)?;
        Ok(Scan { address, is_announced, child, since: Instant::now() })
    }
}

/// The addresses of announcements.
#[derive(Debug, Default)]
struct Announced {
    seen: BTreeSet<Address>,
    waiting: VecDeque<Address>,
}

impl Announced {
    /// Has an address wait to be asked, once, if there is room.
    fn add(&mut self, address: Address) {
        if self.seen.len() < MOST_ANNOUNCED && self.seen.insert(address.clone()) {
            self.waiting.push_back(address);
        }
    }
}

/// Reads a line of an address as `ADDRESS KIND KEY` or `[ADDRESS]:PORT KIND KEY` (`ssh-keyscan(1)`).
fn recognised<'a>(line: &str, address: &str, known: &'a [Known]) -> Option<&'a Known> {
    let mut words = line.split_ascii_whitespace();
    let (place, algorithm, key) = (words.next()?, words.next()?, words.next()?);
    let place = place.strip_prefix('[').and_then(|rest| rest.split(']').next()).unwrap_or(place);
    let is_key = |known: &&Known| known.algorithm == algorithm && known.key == key;
    known.iter().find(is_key).filter(|_| place == address)
}

/// An `ssh-keyscan` that runs. It is ended with this.
struct Scan {
    address: Address,
    is_announced: bool,
    child: Child,
    since: Instant,
}

/// What has come of an address.
enum Answer {
    /// Nothing yet.
    None,
    /// Nothing in time.
    Late,
    /// The program could not ask at all, and why.
    Failed(String),
    Is(String),
}

/// The status of `ssh-keyscan` if a host showed no key: the program worked. Any other one is its fault, as 255 for a kind of
/// key that it does not know (OpenSSH 9.2).
const NO_KEY: i32 = 1;

impl Scan {
    fn look(&mut self) -> Result<Answer> {
        let ended = self.child.try_wait().map_err(Error::io("wait for ssh-keyscan"))?;
        match ended {
            None if self.since.elapsed() >= LONGEST => Ok(Answer::Late),
            None => Ok(Answer::None),
            Some(status) if status.success() || status.code() == Some(NO_KEY) => {
                self.answer().map(Answer::Is)
            }
            // The terminal's signal goes to it, too, and this program ends by it.
            Some(status) if status.signal().is_some() => Ok(Answer::Late),
            Some(status) => Ok(Answer::Failed(self.complaint(status))),
        }
    }

    /// What a program that could not ask said, or how it ended.
    fn complaint(&mut self, status: ExitStatus) -> String {
        let text = self.child.stderr.take().and_then(|output| said(output).ok());
        let line = text.as_deref().and_then(|text| text.lines().next());
        line.map_or_else(|| status.to_string(), |line| line.trim().to_owned())
    }

    /// What a program that has ended said: some keys, for which the pipe has room.
    fn answer(&mut self) -> Result<String> {
        let text = self.child.stdout.take().map(said).transpose();
        text.map(Option::unwrap_or_default).map_err(Error::io("read what ssh-keyscan says"))
    }
}

/// What comes of a program, as far as it is read.
fn said(output: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    output.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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
            what: "ssh-keyscan is not on the PATH".into(),
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
            others: Vec::new(),
            algorithm: "ssh-ed25519".into(),
            key: "AAAA".into(),
            fingerprint: String::new(),
            file: PathBuf::new(),
        }];
        let is = |line: &str, address: &str| recognised(line, address, &known).is_some();
        assert!(is("10.0.0.1 ssh-ed25519 AAAA", "10.0.0.1"));
        assert!(is("[10.0.0.1]:2222 ssh-ed25519 AAAA", "10.0.0.1"));
        assert!(is("[fe80::1%eth0]:2222 ssh-ed25519 AAAA", "fe80::1%eth0"));
        for other in [
            "10.0.0.2 ssh-ed25519 AAAA",
            "10.0.0.1 ssh-ed25519 AAAB",
            "10.0.0.1 ssh-rsa AAAA",
            "# 10.0.0.1:22 SSH-2.0",
            "x ssh-ed25519 AAAA",
        ] {
            assert!(!is(other, "10.0.0.1"), "{other}");
        }
    }

    #[test]
    fn a_flood_is_cut_off_at_its_limits() {
        let mut announced = Announced::default();
        for number in 0..=64 {
            announced.add(Address::V4([10, 0, 0, number].into()));
        }
        assert_eq!((announced.waiting.len(), MOST_ANNOUNCED), (64, 64));
        for bytes in [LARGEST, LARGEST + 1] {
            let text = said(io::repeat(b'x').take(bytes)).unwrap();
            assert_eq!(text.len(), usize::try_from(LARGEST).unwrap());
        }
    }

    #[test]
    fn an_address_has_its_time_and_no_more() {
        let scan = |since| {
            let child = Command::new("sleep").arg("60").spawn().unwrap();
            let address = Address::V4([10, 0, 0, 1].into());
            Scan { address, is_announced: false, child, since }.look().unwrap()
        };
        let now = Instant::now();
        assert!(matches!(scan(now.checked_sub(LONGEST / 2).unwrap()), Answer::None));
        assert!(matches!(scan(now.checked_sub(LONGEST).unwrap()), Answer::Late));
    }
}
