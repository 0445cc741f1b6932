//! Logs in to a machine that boots, by the user's own ssh, and asks it what it is.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use remaster::error::{Error, Result};
use remaster::inspect::Report;

use super::Args;
use super::machine::Machine;
use crate::cli::interrupt;

/// What the live system is asked. It ends when all of it is up.
const QUESTIONS: &str = include_str!("questions.sh");

/// Bytes of the answer that are read.
const LONGEST: usize = 1 << 16;

/// Between two looks; an interrupt waits no longer.
const EVENT_INTERVAL: Duration = Duration::from_millis(500);

/// How long one connection waits for sshd to greet.
const GREETING_PACES: u32 = 20;

/// How ssh is called.
pub(super) struct Login {
    words: Vec<String>,
    key: Option<PathBuf>,
    known: PathBuf,
    to: String,
    port: u16,
}

/// What a live system says of itself.
#[derive(Debug, Default)]
pub(super) struct LiveSystem {
    pub(super) hostname: String,
    pub(super) state: String,
    pub(super) addresses: Vec<String>,
    pub(super) host_keys: Vec<String>,
    pub(super) failed: Vec<String>,
}

impl Login {
    /// For the machine at a port of this one; its host keys go into a file below `place`.
    pub(super) fn new(
        args: &Args,
        report: &Report,
        (port, key): (u16, Option<&Path>),
        place: &Path,
    ) -> Result<Self> {
        let known = place.join("known_hosts");
        let keys = report.injected.iter().flat_map(|injected| &injected.host_keys);
        let lines: Vec<String> =
            keys.map(|key| format!("[127.0.0.1]:{port} {}\n", key.public)).collect();
        let lines = lines.concat();
        // Without host keys in the image the machine makes new ones, which nobody can know.
        let strict = if lines.is_empty() { "no" } else { "yes" };
        fs::write(&known, &lines).map_err(Error::io(format!("write {}", known.display())))?;
        let port_word = port.to_string();
        let strict = format!("StrictHostKeyChecking={strict}");
        let mut words: Vec<&str> = vec!["-F", "none", "-p", &port_word];
        for option in [
            "BatchMode=yes",
            "ConnectTimeout=20",
            "LogLevel=ERROR",
            "GlobalKnownHostsFile=/dev/null",
            &strict,
        ] {
            words.extend(["-o", option]);
        }
        let words = words.into_iter().map(str::to_owned).collect();
        let to = format!("{}@127.0.0.1", args.user);
        Ok(Self { words, key: key.map(Path::to_owned), known, to, port })
    }

    /// Waits until the login works, and gives what was seen and how many seconds that took.
    pub(super) fn wait(
        &self,
        machine: &mut Machine,
        started: Instant,
        end: Option<Instant>,
    ) -> Result<(LiveSystem, u64)> {
        loop {
            if interrupt::is_asked() {
                return Err(Error::Interrupted);
            }
            machine.check()?;
            if end.is_some_and(|end| Instant::now() > end) {
                return Err(Error::NotFound {
                    what: format!("nobody could log in within {} s", started.elapsed().as_secs()),
                    hint: "give --serial FILE to see what the machine says, or more time with --timeout".into(),
                });
            }
            if self.greets(end) {
                let seconds = started.elapsed().as_secs();
                let done = self.ask(end)?;
                if done.status.success() {
                    return Ok((LiveSystem::parse(&done.stdout), seconds));
                }
                self.judge(&done)?;
            }
            std::thread::sleep(EVENT_INTERVAL);
        }
    }

    /// Whether sshd is there: QEMU itself takes connections before it is, and leaves them without an answer.
    fn greets(&self, end: Option<Instant>) -> bool {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let Ok(mut stream) = TcpStream::connect_timeout(&address, EVENT_INTERVAL) else {
            return false;
        };
        if stream.set_read_timeout(Some(EVENT_INTERVAL)).is_err() {
            return false;
        }
        let mut start = [0; 4];
        for _ in 0..GREETING_PACES {
            match stream.read(&mut start) {
                Ok(_) => return start == *b"SSH-",
                Err(fault) if is_silence(&fault) && !is_over(end) => {}
                Err(_) => return false,
            }
        }
        false
    }

    fn ask(&self, end: Option<Instant>) -> Result<Output> {
        let mut command = Command::new("ssh");
        command.args(&self.words);
        let mut known = std::ffi::OsString::from("UserKnownHostsFile=");
        known.push(&self.known);
        command.arg("-o").arg(known);
        if let Some(key) = &self.key {
            command.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(key);
        }
        command.arg(&self.to).arg("sh -s");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(no_ssh)?;
        if let Some(mut input) = child.stdin.take() {
            // A login that is refused reads nothing; its status tells that.
            let _ = input.write_all(QUESTIONS.as_bytes());
        }
        // The answer is shorter than what a pipe holds, so ssh ends though nobody reads yet.
        while child.try_wait().map_err(Error::io("wait for ssh"))?.is_none() {
            if is_over(end) {
                // It may just have ended.
                let _ = child.kill();
                break;
            }
            std::thread::sleep(EVENT_INTERVAL);
        }
        child.wait_with_output().map_err(Error::io("wait for ssh"))
    }

    /// Whether a login that failed may work later: sshd greets before all of the system is up.
    fn judge(&self, done: &Output) -> Result<()> {
        let said = String::from_utf8_lossy(&done.stderr);
        if said.contains("Host key verification failed") {
            return Err(Error::NotFound {
                what: "the machine shows another host key than the image has".into(),
                hint: "give --serial FILE to see what the machine says".into(),
            });
        }
        if said.contains("Permission denied") {
            return Err(Error::NotFound {
                what: format!("the machine answers, but accepts none of your keys for {}", self.to),
                hint: "give the private half of a key in the image to --key; `remaster inspect` lists them".into(),
            });
        }
        Ok(())
    }
}

/// Whether the user wants to stop, or the time is up.
fn is_over(end: Option<Instant>) -> bool {
    interrupt::is_asked() || end.is_some_and(|end| Instant::now() > end)
}

/// Whether nothing came within the time for one read.
fn is_silence(fault: &std::io::Error) -> bool {
    matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

pub(in crate::cli::commands) fn no_ssh(fault: std::io::Error) -> Error {
    if fault.kind() != ErrorKind::NotFound {
        return Error::io("start ssh")(fault);
    }
    Error::NotFound {
        what: "ssh is not on the PATH".into(),
        hint: "install OpenSSH: openssh-client on Debian, openssh elsewhere".into(),
    }
}

impl LiveSystem {
    /// Of lines that begin with a word each.
    fn parse(answer: &[u8]) -> Self {
        let text = String::from_utf8_lossy(answer.get(..LONGEST).unwrap_or(answer));
        let mut seen = Self::default();
        for (word, rest) in text.lines().filter_map(|line| line.split_once(' ')) {
            let rest = rest.trim().to_owned();
            match word {
                "hostname" => seen.hostname = rest,
                "state" => seen.state = rest,
                "address" => seen.addresses.push(rest),
                "hostkey" => seen.host_keys.push(rest),
                "failed" => seen.failed.push(rest),
                _ => {}
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart_by_its_first_words() {
        let answer = b"motd of somebody\nhostname web07\nstate running\naddress eth0 10.0.2.15/24\nfailed a.service\nfailed b.service\n";
        let seen = LiveSystem::parse(answer);
        assert_eq!((seen.hostname.as_str(), seen.state.as_str()), ("web07", "running"));
        assert_eq!(seen.addresses, ["eth0 10.0.2.15/24"]);
        assert_eq!(seen.failed, ["a.service", "b.service"]);
    }

    #[test]
    fn an_answer_is_read_up_to_its_limit() {
        for (over, state) in [(0, "running"), (1, "runnin")] {
            let last = "\nstate running";
            let answer = format!("{:1$}{last}", "motd", LONGEST + over - last.len());
            assert_eq!(LiveSystem::parse(answer.as_bytes()).state, state);
        }
    }
}
