//! Whether a forced command (`command=` in `authorized_keys`) lets somebody work on the machine.

/// Programs that are a shell, or lead to one.
const SHELLS: [&str; 18] = [
    "ash",
    "bash",
    "byobu",
    "csh",
    "dash",
    "fish",
    "ksh",
    "login",
    "nu",
    "nix-shell",
    "screen",
    "sh",
    "su",
    "sudo",
    "tmux",
    "tcsh",
    "zellij",
    "zsh",
];

/// Words that stand before a program and run it.
const BEFORE: [&str; 5] = ["exec", "env", "nice", "nohup", "command"];

/// Whether a command is a shell, leads to one, or runs what the user asked for. What only prints a text or
/// does one job does not.
pub(super) fn gives_a_shell(command: &str) -> bool {
    let named = ["SSH_ORIGINAL_COMMAND", "$SHELL", "${SHELL}"];
    named.iter().any(|name| command.contains(name))
        || parts(command).iter().any(|part| SHELLS.contains(&program(part)))
}

/// The commands of a line: what stands between `;`, `&`, `|` and line ends outside of quotes.
fn parts(command: &str) -> Vec<&str> {
    let mut quote = None;
    command
        .split(|c: char| {
            match quote {
                None if matches!(c, '\'' | '"') => quote = Some(c),
                Some(open) if c == open => quote = None,
                _ => {}
            }
            quote.is_none() && matches!(c, ';' | '&' | '|' | '\n')
        })
        .collect()
}

/// The name of the program that a command runs, without its folder.
fn program(part: &str) -> &str {
    let passed = |word: &&str| BEFORE.contains(word) || word.contains('=');
    let word = part.split_whitespace().find(|word| !passed(word)).unwrap_or_default();
    word.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_count_and_messages_and_jobs_do_not() {
        for (command, shell) in [
            ("bash", true),
            ("/run/current-system/sw/bin/fish -l", true),
            ("exec env TERM=xterm tmux new -A -s main", true),
            ("logger in; zsh", true),
            ("test -n \"$SSH_ORIGINAL_COMMAND\" && eval \"$SSH_ORIGINAL_COMMAND\"", true),
            ("echo 'Please login as the user \"x\".';exit 142", false),
            ("echo 'Please login as the user \"ubuntu\"; bash';echo;sleep 10;exit 142", false),
            ("echo bash", false),
            ("borg serve --restrict-to-path /backup", false),
            ("internal-sftp", false),
            ("/bin/false", false),
            ("", false),
        ] {
            assert_eq!(gives_a_shell(command), shell, "{command}");
        }
    }
}
