//! The command lines of the shell scripts of kexec tarballs (nixpkgs' `kexec-boot`, nixos-images' `run`).

use std::ops::Range;

use crate::formats::boot_config::Word;
use crate::netboot::words::words;

/// The variables of `run`.
const VARIABLES: [&str; 2] = ["init", "kernelParams"];

/// Commands that set the variables that they name.
const SETTERS: [&str; 7] = ["read", "unset", "export", "readonly", "local", "declare", "-v"];

/// What a script says.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The arguments of each command line; `init=` may stand elsewhere than the others.
    pub(super) arguments: Vec<Vec<Word>>,
    /// What keeps the first command line that is read from being changed: a character that the shell does not hand on.
    pub(super) fixed: Option<char>,
    /// What is understood in place of the first thing that is not, and what it is.
    pub(super) odd: Option<(&'static str, String)>,
}

/// Reads a script: `--command-line "init=… …"`, or `init="…"` with `kernelParams="…"`.
pub(super) fn read(text: &str) -> Lines {
    let plain = |at: &Range<usize>| {
        text.get(at.clone()).is_some_and(|line| !line.contains(['$', '`', '\\', '\n']))
    };
    let lines = quoted(text, "--command-line \"").into_iter().filter(plain);
    let mut found =
        Lines { arguments: lines.map(|at| shell_words(text, at)).collect(), ..Lines::default() };
    let [init, parameters] = VARIABLES.map(|name| assigned(text, name));
    if let (Some(init), Some(parameters)) = (init, parameters) {
        found.odd = set_again(text).or_else(|| opaque(text, &init).or(opaque(text, &parameters)));
        found.fixed = init.odd.or(parameters.odd);
        let path = text.get(init.at.clone()).unwrap_or_default();
        let mut line = vec![Word { text: format!("init={path}"), at: init.at }];
        line.extend(shell_words(text, parameters.at));
        found.arguments.extend((line.len() > 1 && !path.is_empty()).then_some(line));
    }
    found
}

/// What a variable is set to.
struct Assigned {
    /// Where it stands, without the quotes around all of it.
    at: Range<usize>,
    /// What the shell does not hand on as it stands.
    odd: Option<char>,
}

/// What a variable is set to at the beginning of a line, first.
fn assigned(text: &str, name: &str) -> Option<Assigned> {
    let before = format!("\n{name}=");
    let start = text.find(&before)?.saturating_add(before.len());
    let rest = text.get(start..)?;
    let line = rest.split('\n').next().unwrap_or(rest).trim_end();
    let quote = line.chars().next().filter(|c| ['"', '\''].contains(c));
    let inner = quote.and_then(|quote| line.strip_prefix(quote)?.strip_suffix(quote));
    let (start, value) = inner.map_or((start, line), |inner| (start.saturating_add(1), inner));
    let is_verbatim = inner.is_some() && quote == Some('\'');
    let is_odd = |c: &char| {
        !is_verbatim && ['$', '`', '\\'].contains(c)
            || quote == Some(*c)
            || inner.is_none() && *c == ' '
    };
    let odd = value.chars().find(is_odd);
    Some(Assigned { at: start..start.saturating_add(value.len()), odd })
}

/// What is wrong with a value in which the shell puts in something that is not known.
fn opaque(text: &str, assigned: &Assigned) -> Option<(&'static str, String)> {
    let value = text.get(assigned.at.clone())?;
    let looked_for = "init and kernelParams as quoted text without variables";
    assigned.odd.filter(|odd| ['$', '`'].contains(odd))?;
    Some((looked_for, format!("`{value}`")))
}

/// What sets one of the variables once more: the last one counts.
fn set_again(text: &str) -> Option<(&'static str, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let mut seen = [0_usize; 2];
    for line in lines {
        for (name, count) in VARIABLES.iter().zip(&mut seen) {
            *count = count.saturating_add(times_set(line, name));
            if *count > 1 {
                return Some(("init and kernelParams set once", format!("`{line}`")));
            }
        }
    }
    None
}

/// How often a line sets a variable.
fn times_set(line: &str, name: &str) -> usize {
    // Text, unless another command stands behind it.
    if line.starts_with("echo ") && !line.contains([';', '&', '|', '`', '(']) {
        return 0;
    }
    let starts = |c: char| c.is_whitespace() || ";&|({".contains(c);
    let sets = |(at, _): &(usize, &str)| {
        let (before, behind) = (line.get(..*at), line.get(at.saturating_add(name.len())..));
        let (before, behind) = (before.unwrap_or_default(), behind.unwrap_or_default());
        let is_word = before.is_empty() || before.ends_with(starts);
        let is_given = ["=", "+=", "["].iter().any(|sign| behind.starts_with(sign));
        let ends = behind.is_empty() || behind.starts_with(|c: char| c.is_whitespace() || c == ';');
        let is_named = ends && before.split_whitespace().any(|command| SETTERS.contains(&command));
        let is_default =
            before.ends_with("${") && [":=", "="].iter().any(|sign| behind.starts_with(sign));
        is_word && (is_given || is_named) || is_default
    };
    line.match_indices(name).filter(sets).count()
}

/// The words of a range, without the quotes and backslashes that `lib.escapeShellArgs` puts around some.
fn shell_words(text: &str, at: Range<usize>) -> Vec<Word> {
    let found = words(text.get(at.clone()).unwrap_or_default(), at.start);
    let plain = |word: Word| Word { text: word.text.replace(['\'', '\\'], ""), ..word };
    found.into_iter().map(plain).collect()
}

/// What stands between `before` and the next double quote.
fn quoted(text: &str, before: &str) -> Vec<Range<usize>> {
    let places = text.match_indices(before).map(|(at, _)| at.saturating_add(before.len()));
    let ends = places.filter_map(|start| {
        let length = text.get(start..)?.find('"')?;
        Some(start..start.saturating_add(length))
    });
    ends.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The arguments of the lines with what keeps them as they are, or what is odd.
    fn told(lines: &str) -> String {
        let found = read(&format!("#!/bin/sh\n{lines}\n"));
        let line = |words: &Vec<Word>| {
            words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
        };
        let mut lines: Vec<String> = found.arguments.iter().map(line).collect();
        lines.extend(found.fixed.map(|odd| format!("as it is for {odd}")));
        found.odd.map_or_else(|| lines.join(" | "), |(_, odd)| odd)
    }

    #[test]
    fn command_lines_are_read_as_the_shell_hands_them_on() {
        let two = |parameters: &str, more: &str| {
            format!(
                "init=\"/i\"\nkernelParams={parameters}\n{more}\nkexec 'init=$init $kernelParams'"
            )
        };
        for (script, expected) in [
            (two("\"a 'b'\"", ""), "init=/i a b"),
            (two("'a b'", ""), "init=/i a b"),
            (two("\"a 'b='\\''c'\"", ""), "init=/i a b=c | as it is for \\"),
            (two("'a '\\''b'", ""), "init=/i a b | as it is for '"),
            (two("\"a $b\"", ""), "`a $b`"),
            (
                two("\"a\"", "kernelParams=\"$kernelParams rdinit=/x\""),
                "`kernelParams=\"$kernelParams rdinit=/x\"`",
            ),
            (two("\"a\"", "  kernelParams+=' b'"), "`kernelParams+=' b'`"),
            (two("\"a\"", "export kernelParams=b"), "`export kernelParams=b`"),
            (two("\"a\"", "true && init=/x"), "`true && init=/x`"),
            (two("\"a\"", "read -r kernelParams"), "`read -r kernelParams`"),
            (two("\"a\"", "printf -v kernelParams b"), "`printf -v kernelParams b`"),
            (two("\"a\"", "# kernelParams=b\nkexec --initrd=/initrd"), "init=/i a"),
            ("x --command-line \"init=/i 'a' b\"".into(), "init=/i a b"),
            ("x --command-line \"init=$init a\"".into(), ""),
        ] {
            assert_eq!(told(&script), expected, "{script}");
        }
    }
}
