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
        let is_word = match argument.split_once(':') {
            None => argument == "agent",
            Some((start, rest)) => {
                ["gh", "gl"].contains(&start)
                    || ["http", "https"].contains(&start) && rest.starts_with("//")
            }
        };
        is_word || meant(argument).is_some() || is_fingerprint(argument)
    }

    /// Where an argument sends, if it does. A file of that name wins, but not of what stands in a file, where a path has
    /// the folder of that one in front.
    ///
    /// # Errors
    /// A name that no user has, an address that is not of https.
    pub fn parse(argument: &str, is_in_file: bool) -> Result<Option<Self>, KeyError> {
        let is_there = |argument: &str| !is_in_file && is_there(argument);
        let unnamed = |problem: &str, hint: Option<String>| {
            let (argument, problem) = (shown(argument), problem.to_owned());
            Err(KeyError::Unnamed { argument, problem, hint })
        };
        let refused = |problem: &str| unnamed(problem, None);
        if let Some(meant) = meant(argument).filter(|_| !is_there(argument)) {
            let hint = format!("did you mean `{meant}`?");
            return unnamed("this is not how the keys of a user are named", Some(hint));
        }
        if is_fingerprint(argument) && !is_there(argument) {
            let hint = "give the key itself: nothing can make a key of its fingerprint".to_owned();
            return unnamed("this is the fingerprint of a key, not the key", Some(hint));
        }
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
                return refused("this cannot be a user name");
            }
            Some(("http", rest)) if rest.starts_with("//") => {
                return refused("http is not protected against changes on the way");
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

/// How users of GitHub and GitLab are named elsewhere.
const FORGES: [(&str, &[&str]); 2] = [
    ("gh", &["gh:", "github:", "git@github.com:", "https://github.com/", "@"]),
    ("gl", &["gl:", "gitlab:", "git@gitlab.com:", "https://gitlab.com/"]),
];

/// The word for the keys of a user that is named in another way.
fn meant(argument: &str) -> Option<String> {
    // Of these words, only the name can be wrong.
    if argument.starts_with("gh:") || argument.starts_with("gl:") {
        return None;
    }
    let (forge, rest) = FORGES.iter().find_map(|(forge, starts)| {
        let rest = starts.iter().find_map(|start| {
            let (found, rest) = argument.split_at_checked(start.len())?;
            found.eq_ignore_ascii_case(start).then_some(rest)
        });
        Some((*forge, rest?))
    })?;
    // A page of a user or a repository. What is deeper may be a file of keys.
    if argument.contains("//") && rest.trim_end_matches('/').matches('/').count() > 1 {
        return None;
    }
    let user = rest.split('/').next().filter(|user| is_user(user))?;
    // An address of keys is right as it is.
    if user.strip_suffix(".keys").is_some() {
        return None;
    }
    Some(format!("{forge}:{user}"))
}

/// Whether it is what `ssh-keygen -l` shows of a key.
fn is_fingerprint(argument: &str) -> bool {
    ["SHA256:", "MD5:"].iter().any(|start| argument.starts_with(start))
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
    fn a_user_that_is_named_as_elsewhere_is_answered_with_the_right_word() {
        for (argument, hint) in [
            ("github:alice", "`gh:alice`"),
            ("GH:alice", "`gh:alice`"),
            ("@alice", "`gh:alice`"),
            ("git@github.com:alice", "`gh:alice`"),
            ("https://github.com/alice", "`gh:alice`"),
            ("https://github.com/alice/repo", "`gh:alice`"),
            ("https://gitlab.com/a.b/", "`gl:a.b`"),
            ("gitlab:alice", "`gl:alice`"),
            ("SHA256:uNiVztksCsDhcc0u9e8BrrQXVUpJ4JzUdkQsJRFk1Tk", "give the key itself"),
        ] {
            let fault = RemoteKeys::parse(argument, true).unwrap_err();
            assert!(RemoteKeys::is_word(argument), "{argument}");
            assert!(fault.hint().is_some_and(|told| told.contains(hint)), "{argument}: {fault}");
        }
        let keys = "https://github.com/alice.keys";
        assert_eq!(RemoteKeys::parse(keys, true).unwrap(), Some(RemoteKeys::Server(keys.into())));
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
