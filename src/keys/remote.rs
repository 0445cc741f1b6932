//! Keys that an argument names without being them, or a file of them: those of a server or of an agent.

use std::fs;

use super::fault::{KeyError, shown};

/// Characters that a name of a user has at most: 39 at GitHub, 255 at GitLab.
const LONGEST_USER: usize = 255;

/// Where an argument sends for keys.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RemoteKeys {
    /// The ssh-agent: `agent`.
    Agent,
    /// A server: `gh:USER`, `gl:USER` or an address.
    Server(String),
}

impl RemoteKeys {
    /// Whether an argument is a word for keys that are elsewhere, be it a right one or not.
    pub(super) fn is_word(argument: &str) -> bool {
        match argument.split_once(':') {
            None => argument == "agent",
            Some((start, rest)) => {
                ["gh", "gl"].contains(&start)
                    || ["http", "https"].contains(&start) && rest.starts_with("//")
            }
        }
    }

    /// Where an argument sends, if it does. A file of that name wins, but not of what stands in a file, where a path has
    /// the folder of that one in front.
    ///
    /// # Errors
    /// A name that no user has, an address that is not of https.
    pub fn parse(argument: &str, is_in_file: bool) -> Result<Option<Self>, KeyError> {
        let is_there = |argument: &str| !is_in_file && is_there(argument);
        let refused = |problem: &str| {
            Err(KeyError::Unnamed { argument: shown(argument), problem: problem.to_owned() })
        };
        let found = match argument.split_once(':') {
            None if argument == "agent" => Self::Agent,
            Some(("gh", user)) if is_user(user) => {
                Self::Server(format!("https://github.com/{user}.keys"))
            }
            Some(("gl", user)) if is_user(user) => {
                Self::Server(format!("https://gitlab.com/{user}.keys"))
            }
            Some(("https", rest)) if rest.starts_with("//") => Self::Server(argument.to_owned()),
            Some(("gh" | "gl", _)) if !is_there(argument) => {
                return refused("no user has this name");
            }
            Some(("http", rest)) if rest.starts_with("//") => {
                return refused("what comes by http can be changed on the way");
            }
            _ => return Ok(None),
        };
        Ok(Some(found).filter(|_| !is_there(argument)))
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        match self {
            Self::Agent => "ssh-agent",
            Self::Server(url) => url,
        }
    }
}

fn is_there(argument: &str) -> bool {
    fs::symlink_metadata(argument).is_ok()
}

/// Whether a user of a forge can be called so: nothing that means something in an address.
fn is_user(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= LONGEST_USER
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_name_of_up_to_255_characters() {
        assert!(is_user(&"x".repeat(255)) && !is_user(&"x".repeat(256)));
    }

    #[test]
    fn names_and_addresses_send_elsewhere() {
        let server = |url: &str| Some(RemoteKeys::Server(url.to_owned()));
        for (argument, expected) in [
            ("agent", Some(RemoteKeys::Agent)),
            ("gh:alice", server("https://github.com/alice.keys")),
            ("gl:a_b.c", server("https://gitlab.com/a_b.c.keys")),
            ("https://example.org/keys?x=1", server("https://example.org/keys?x=1")),
            ("id.pub", None),
            ("-", None),
            ("ssh-ed25519 AAAA", None),
            ("command=\"gh:x\" ssh-ed25519 AAAA", None),
        ] {
            assert_eq!(RemoteKeys::parse(argument, false).unwrap(), expected, "{argument}");
        }
    }

    #[test]
    fn what_no_user_is_called_and_what_nobody_vouches_for_is_refused() {
        for argument in ["gh:", "gh:a/../b", "gh:a b", "gl:-x", "gh:a?b", "http://example.org/k"] {
            let fault = RemoteKeys::parse(argument, false).unwrap_err();
            assert!(fault.to_string().starts_with(argument), "{fault}");
            assert!(fault.hint().is_some_and(|hint| hint.contains("https://")));
        }
    }
}
