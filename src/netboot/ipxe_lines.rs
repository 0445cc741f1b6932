//! The `kernel` lines of an iPXE script as iPXE reads them (iPXE `src/image/script.c`, `src/core/exec.c`,
//! `src/hci/commands/image_cmd.c`).

use crate::formats::boot_config::Word;
use crate::netboot::words::words;

/// The variable that our scripts pass to the kernel. The script that chains to them sets it.
const HANDED_ON: &str = "cmdline";

/// What ends a command.
const ENDS: [&str; 3] = ["||", "&&", ";"];

/// Options of `kernel` in front of the path: with a value, and without.
const WITH_VALUE: [&str; 4] = ["-n", "--name", "-t", "--timeout"];
const ALONE: [&str; 2] = ["-a", "--autofree"];

/// What is understood of scripts.
const KERNEL_LINES: &str = "lines that begin with `kernel`, with a path and arguments in whole words, without variables but `${cmdline}`";

/// What a script says.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The arguments of each `kernel` line.
    pub(super) arguments: Vec<Vec<Word>>,
    /// What is understood in place of the first thing that is not, and what it is.
    pub(super) odd: Option<(&'static str, String)>,
}

/// Reads a script.
pub(super) fn read(text: &str) -> Lines {
    let mut found = Lines::default();
    for line in joined(text) {
        let mut all = words(&line.text, line.start);
        if all.first().is_some_and(|word| word.text.starts_with(':')) {
            all.remove(0);
        }
        let comment = all.iter().position(|word| word.text.starts_with('#'));
        all.truncate(comment.unwrap_or(all.len()));
        let (arguments, odd) = match kernel(&all) {
            Ok((arguments, rest)) => (arguments, odd_in(rest)),
            Err(odd) => (Vec::new(), Some(odd)),
        };
        let odd = odd.or_else(|| line.is_split.then(|| line.text.trim().to_owned()));
        found.odd = found.odd.or(odd.map(|odd| (KERNEL_LINES, format!("`{odd}`"))));
        found.arguments.extend((!arguments.is_empty()).then_some(arguments));
    }
    found
}

/// The arguments of a `kernel` command, and what stands behind it on its line; all of the line if it is another command.
///
/// # Errors
/// A word that is not understood.
fn kernel(all: &[Word]) -> Result<(Vec<Word>, &[Word]), String> {
    let Some((_, mut rest)) = all.split_first().filter(|(first, _)| first.text == "kernel") else {
        return Ok((Vec::new(), all));
    };
    while let Some((option, behind)) = rest.split_first().filter(|(it, _)| it.text.starts_with('-'))
    {
        let name = option.text.split('=').next().unwrap_or_default();
        rest = match behind {
            _ if ALONE.contains(&name) => behind,
            _ if WITH_VALUE.contains(&name) && name != option.text => behind,
            [_, behind @ ..] if WITH_VALUE.contains(&name) => behind,
            _ => return Err(option.text.clone()),
        };
    }
    let end = rest.iter().position(|word| ENDS.contains(&word.text.as_str()));
    let (command, behind) = rest.split_at(end.unwrap_or(rest.len()));
    let mut arguments: Vec<Word> = command.iter().skip(1).cloned().collect();
    let last = arguments.iter().rposition(|word| !is_handed_on(&word.text));
    arguments.truncate(last.map_or(0, |last| last.saturating_add(1)));
    let is_start = arguments.iter().any(|word| word.text.starts_with("init="));
    match arguments.iter().find(|word| is_start && word.text.contains("${")) {
        Some(variable) => Err(variable.text.clone()),
        None => Ok((arguments, behind)),
    }
}

fn is_handed_on(word: &str) -> bool {
    let name = word.strip_prefix("${").and_then(|word| word.strip_suffix('}'));
    name == Some(HANDED_ON)
}

/// Commands that set a variable.
const SETTERS: [&str; 5] = ["set", "clear", "inc", "read", "param"];

/// A word behind which NixOS may be started by another command, or that sets what our script hands on.
fn odd_in(rest: &[Word]) -> Option<String> {
    let is_set = rest.iter().any(|word| SETTERS.contains(&word.text.as_str()));
    let is_odd = |word: &&Word| {
        let named = word.text.split(':').next();
        word.text.starts_with("init=") || is_set && named == Some(HANDED_ON)
    };
    let text = |word: &Word| word.text.clone();
    rest.iter()
        .any(|word| is_odd(&word))
        .then(|| rest.iter().map(text).collect::<Vec<_>>().join(" "))
}

/// A line, with those that it goes on in; as long as in the script, with blanks where it goes on.
#[derive(Default)]
struct Line {
    start: usize,
    text: String,
    /// Whether its last part ends within a word.
    is_in_word: bool,
    /// Whether a word goes on in the next line.
    is_split: bool,
}

impl Line {
    /// Takes a part of it, which has so many bytes with what ends it.
    fn take(&mut self, part: &str, length: usize) {
        let is_within = |c: Option<char>| c.is_some_and(|c| !c.is_whitespace());
        self.is_split |= self.is_in_word && is_within(part.chars().next());
        if !part.is_empty() {
            self.is_in_word = is_within(part.chars().next_back());
        }
        self.text.push_str(part);
        self.text.extend((part.len()..length).map(|_| ' '));
    }
}

fn joined(text: &str) -> Vec<Line> {
    let (mut found, mut line, mut at) = (Vec::new(), Line::default(), 0_usize);
    for part in text.split_inclusive('\n') {
        let body = part.strip_suffix('\n').unwrap_or(part);
        let body = body.strip_suffix('\r').unwrap_or(body);
        let goes_on = body.strip_suffix('\\');
        line.take(goes_on.unwrap_or(body), part.len());
        at = at.saturating_add(part.len());
        if goes_on.is_none() {
            found.push(std::mem::replace(&mut line, Line { start: at, ..Line::default() }));
        }
    }
    found.push(line);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The arguments of the lines, or what is odd.
    fn told(script: &str) -> String {
        let found = read(script);
        for word in found.arguments.iter().flatten() {
            assert_eq!(script.get(word.at.clone()), Some(word.text.as_str()), "{script}");
        }
        let line = |words: &Vec<Word>| {
            words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
        };
        let lines: Vec<String> = found.arguments.iter().map(line).collect();
        found.odd.map_or_else(|| lines.join(" | "), |(_, odd)| odd)
    }

    #[test]
    fn lines_are_read_as_ipxe_reads_them() {
        for (script, expected) in [
            ("kernel k init=/i a ${cmdline}\ninitrd initrd\n", "init=/i a"),
            ("kernel k init=/i \\\n a \\\r\n b\nboot", "init=/i a b"),
            (
                " :go kernel --name k -t 5 --timeout=9 -a http://x/k init=/i a || goto x\n",
                "init=/i a",
            ),
            ("# kernel k init=/i\nkernel k init=/i # a\n", "init=/i"),
            ("kernel k ${x}\nkernel k init=/i\n", "${x} | init=/i"),
            ("kernel k init=/i a\\\nb\n", "`kernel k init=/i a  b`"),
            ("kernel k init=/i a=${b}\n", "`a=${b}`"),
            ("kernel --karg k init=/i\n", "`--karg`"),
            ("kernel --name\n", "`--name`"),
            ("iseq a b && kernel k init=/i\n", "`iseq a b && kernel k init=/i`"),
            ("kernel k init=/i && imgargs k init=/i c\n", "`&& imgargs k init=/i c`"),
            ("set cmdline rdinit=/x\nkernel k init=/i ${cmdline}\n", "`set cmdline rdinit=/x`"),
        ] {
            assert_eq!(told(script), expected, "{script}");
        }
    }
}
