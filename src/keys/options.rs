//! Checks the options of a line, as sshd skips a line if it does not understand every option.

use super::expiry::Moment;
use super::fault::LineError;
use super::forced;
use super::values;

/// Options with a value in quotes; the names are compared without case (`sshauthopt_parse` in OpenSSH).
const VALUED: [&str; 8] = [
    "command",
    "environment",
    "expiry-time",
    "from",
    "permitlisten",
    "permitopen",
    "principals",
    "tunnel",
];

/// Options that sshd refuses to see twice.
const ONCE: [&str; 3] = ["command", "from", "principals"];

/// Options without a value.
const FLAGS: [&str; 2] = ["cert-authority", "restrict"];

/// Options without a value that `no-` turns round.
const SWITCHES: [&str; 7] = [
    "agent-forwarding",
    "port-forwarding",
    "pty",
    "touch-required",
    "user-rc",
    "verify-required",
    "x11-forwarding",
];

const HINT: &str = "correct the options, see AUTHORIZED_KEYS FILE FORMAT in sshd(8)";

const HINT_WORD: &str = "correct the options, see AUTHORIZED_KEYS FILE FORMAT in sshd(8); if this is a known_hosts file, its keys are those of machines, not of users";

/// The options of a line sshd understands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// In lower case, in the order given; those with a value end in `=`.
    pub(super) names: Vec<String>,
    /// What runs instead of what the user asks for.
    command: Option<String>,
    /// The earliest time from which on the key is taken no more.
    expires: Option<Moment>,
}

impl Options {
    /// Reads the names and checks that sshd will take the whole.
    pub(super) fn parse(text: &str) -> Result<Self, LineError> {
        // sshd passes over a comma too many.
        let present: Vec<&str> = pieces(text).into_iter().filter(|one| !one.is_empty()).collect();
        let names: Vec<String> =
            present.iter().map(|piece| name(piece)).collect::<Result<_, _>>()?;
        let times = values(&present, "expiry-time");
        let times = times.map(|value| Moment::parse(&value).ok_or_else(no_time));
        let expires = times.collect::<Result<Vec<_>, _>>()?.into_iter().min();
        let options = Self { names, command: values(&present, "command").next(), expires };
        options.check_together()?;
        for option in VALUED {
            values(&present, option).try_for_each(|value| values::check(option, &value))?;
        }
        Ok(options)
    }

    /// Says why the key lets nobody in to a shell, if it does not, in words that go behind the line.
    pub(super) fn shuts_out(&self, now: Moment) -> Option<String> {
        if let Some(at) = self.expires.filter(|at| *at <= now) {
            return Some(format!("expiry-time= lets nobody in since {}", at.day()));
        }
        let forced = self.command.as_ref().filter(|command| !forced::gives_a_shell(command))?;
        let word = forced.split_whitespace().next().unwrap_or("nothing");
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._".contains(&b);
        let word = if word.len() <= 32 && word.bytes().all(plain) { word } else { "a command" };
        Some(format!("command= runs {word} instead of a shell"))
    }

    /// Says whether they allow a login at this time from everywhere.
    pub(super) fn allow_all(&self, now: Moment) -> bool {
        self.expires.is_none_or(|at| at > now) && !self.has("from=")
    }

    /// Says whether the key is a CA's, so that it lets in certificates and not itself.
    pub(super) fn is_authority(&self) -> bool {
        self.has("cert-authority")
    }

    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|n| n == name)
    }

    fn check_together(&self) -> Result<(), LineError> {
        for option in ONCE.map(|name| format!("{name}=")) {
            if self.names.iter().filter(|name| **name == option).count() > 1 {
                return Err(LineError::malformed(
                    format!("found {option} twice, expected once"),
                    HINT,
                ));
            }
        }
        if self.has("principals=") && !self.is_authority() {
            let problem =
                "found principals= without cert-authority, with which sshd lets nobody in";
            return Err(LineError::malformed(problem, HINT));
        }
        Ok(())
    }
}

/// Cuts at commas outside of quotes; `\"` is not a quote.
fn pieces(text: &str) -> Vec<&str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(|c: char| {
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\';
        c == ',' && !quoted
    })
    .collect()
}

/// Checks one option and gives its name.
fn name(piece: &str) -> Result<String, LineError> {
    let (name, value) = match piece.split_once('=') {
        Some((name, value)) => (name.to_ascii_lowercase(), Some(value)),
        None => (piece.to_ascii_lowercase(), None),
    };
    let valued = VALUED.contains(&name.as_str());
    match value {
        None if is_flag(&name) => Ok(name),
        Some(value) if valued && is_quoted(value) => Ok(format!("{name}=")),
        _ if valued => Err(LineError::malformed(unquoted(&name), HINT)),
        Some(_) if is_flag(&name) => {
            Err(LineError::malformed(format!("found {name} with a value"), HINT))
        }
        None => Err(LineError::malformed(unknown(), HINT_WORD)),
        Some(_) => Err(LineError::malformed(unknown(), HINT)),
    }
}

fn is_flag(name: &str) -> bool {
    let positive = name.strip_prefix("no-").unwrap_or(name);
    FLAGS.contains(&name) || SWITCHES.contains(&positive)
}

/// Says whether the value is one quoted string, with nothing behind it.
fn is_quoted(value: &str) -> bool {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return false;
    };
    let mut escaped = false;
    let stray = inner.chars().any(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\';
        ends
    });
    !stray && !escaped
}

/// The values of an option, without quotes: sshd takes `\"` for a quote in them.
fn values<'a>(pieces: &'a [&str], option: &'a str) -> impl Iterator<Item = String> + 'a {
    let valued = pieces.iter().filter_map(|piece| piece.split_once('='));
    let named = valued.filter(move |(name, _)| name.eq_ignore_ascii_case(option));
    let inner = named.filter_map(|(_, value)| value.strip_prefix('"')?.strip_suffix('"'));
    inner.map(|value| value.replace("\\\"", "\""))
}

fn no_time() -> LineError {
    let problem = "found an expiry-time that is not a time, with which sshd skips the line";
    LineError::malformed(
        problem,
        "write the time as YYYYMMDD, or as YYYYMMDDHHMM, with Z behind it for UTC",
    )
}

fn unquoted(name: &str) -> String {
    format!("found option {name} without a value in double quotes, expected {name}=\"…\"")
}

/// The word is not shown: nothing says that it is an option at all.
fn unknown() -> String {
    "found something in front of the key that is not an option of sshd, which would skip the line"
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_named_in_order() {
        let rows: [(&str, &[&str]); 6] = [
            ("no-pty", &["no-pty"]),
            (r#"from="10.0.0.0/8,*.lan",command="echo \"a,b\"""#, &["from=", "command="]),
            (r#"restrict,PTY,Command="x""#, &["restrict", "pty", "command="]),
            (r#"environment="A=b c",environment="C=d""#, &["environment=", "environment="]),
            (r#"cert-authority,principals="root""#, &["cert-authority", "principals="]),
            (",,no-pty,,pty,", &["no-pty", "pty"]),
        ];
        for (text, names) in rows {
            assert_eq!(Options::parse(text).unwrap().names, names, "{text}");
        }
    }

    #[test]
    fn options_for_which_sshd_skips_the_line_are_refused() {
        let rows = [
            ("from=10.0.0.1", "from without a value in double quotes"),
            ("command", "command without a value"),
            (r#"from="a"b"#, "from without a value"),
            (r#"from="a"b"c""#, "from without a value"),
            (r#"from="a\""#, "from without a value"),
            (r#"from=""#, "from without a value"),
            (r#"restrict="1""#, "restrict with a value"),
            ("no-restrict", "not an option of sshd"),
            ("github.com", "not an option of sshd"),
            ("no-no-pty", "not an option of sshd"),
            (r#"from="a",FROM="b""#, "from= twice"),
            (r#"principals="root""#, "principals= without cert-authority"),
        ];
        for (text, expected) in rows {
            let found = format!("{:?}", Options::parse(text).unwrap_err());
            assert!(found.contains(expected), "{text}: {found}");
        }
    }
}
