//! Gets keys from servers and from the ssh-agent, and has the user confirm them.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;

use remaster::bases::fetch_text;
use remaster::environment;
use remaster::error::{Error, Result};
use remaster::live::KeyFetcher;
use remaster::stamp::sign::agent;

use super::{printer, prompt};

/// Bytes of keys that a server may give.
const MOST: u64 = 1 << 18;

/// Keys of the home folder that are proposed.
const MAX_PROPOSED: usize = 4;

/// The program itself.
pub(super) struct Program;

impl KeyFetcher for Program {
    fn fetch(&mut self, url: &str) -> Result<Vec<u8>> {
        fetch_text(url, MOST)
    }

    fn agent(&mut self) -> Result<Vec<u8>> {
        let socket = environment::path("SSH_AUTH_SOCK");
        let text = agent::identities(socket.as_deref())?;
        if text.is_empty() {
            return Err(Error::Usage {
                what: "ssh-agent has no keys".into(),
                hint: "add one with ssh-add, or give the .pub file".into(),
            });
        }
        Ok(text)
    }

    fn show(&mut self, keys: &[String]) {
        printer::say(&list(keys));
    }

    fn confirm(&mut self, keys: &[String], flags: &str) -> Result<()> {
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            let keys = keys.join("\n  ");
            return Err(Error::Recipe {
                what: format!("the keys cannot be confirmed without a terminal:\n  {keys}"),
                hint: format!("if they are, give {flags}").into(),
            });
        }
        printer::ask(&format!("{}Let the owners of these keys in? [y/N] ", list(keys)))?;
        let answer = prompt::line(io::stdin().lock()).map_err(Error::io("read the answer"))?;
        if ["y", "yes"].contains(&answer.to_ascii_lowercase().as_str()) {
            return Ok(());
        }
        Err(Error::Declined { what: "the keys are not confirmed".into() })
    }
}

/// A line for each key.
fn list(keys: &[String]) -> String {
    keys.iter().flat_map(|key| ["fetched ", key, "\n"]).collect()
}

/// The error for a command line that puts nothing in, with keys that its writer may mean; nothing without a terminal.
pub(super) fn proposal() -> Option<Error> {
    if !io::stderr().is_terminal() {
        return None;
    }
    let folder = environment::path("HOME")?.join(".ssh");
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let is_public = |name: &String| Path::new(name).extension() == Some(OsStr::new("pub"));
    let mut names: Vec<String> = names.filter(is_public).collect();
    names.sort();
    names.truncate(MAX_PROPOSED);
    let flags: Vec<String> = names.iter().map(|name| format!("--key ~/.ssh/{name}")).collect();
    let hint =
        format!("give a public key, as {}; see --help for what else there is", flags.join(" or "));
    (!flags.is_empty())
        .then(|| Error::Recipe { what: "nothing to put in".into(), hint: hint.into() })
}
