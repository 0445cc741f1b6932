//! Help texts: what `-h` shows on one screen, under which headings `--help` has the rest, and examples.

use std::ffi::OsString;

use clap::{Arg, Command};

/// Columns that a terminal has at least.
const WIDTH: usize = 80;

/// What is said to who types the name of the program and nothing else.
pub(super) const CARD: &str = "\
remaster puts an ssh key into an official NixOS installer, and writes sticks.

  remaster flash nixos-25.11-minimal --key ~/.ssh/id_ed25519.pub /dev/sdc
      fetch the installer, put the key in, write it to the stick, read it back

  remaster devices                           which of the disks is the stick
  remaster inspect custom.iso                what was put into an image
  remaster demo                              try it without a stick

An image instead of a stick, then one for each of many people:
  remaster nixos.iso --key ~/.ssh/id_ed25519.pub -o custom.iso
  remaster stamp nixos.iso users.toml -o images/

`remaster -h` lists the commands, `remaster COMMAND -h` explains one.
";

/// The commands that `-h` explains; it names the others.
const COMMANDS: &[&str] =
    &["flash", "stamp", "devices", "inspect", "verify", "edit", "reset", "ssh", "base"];

/// What the program ends with.
pub(super) const STATUSES: &[(&str, &str)] = &[
    ("0", "done"),
    (
        "1",
        "the operating system, a medium or the network refused (no space, no permission); `find` or `ssh` did not find the machine; `try` could not log in, or a unit failed; `diff` found a difference",
    ),
    ("2", "wrong usage: a flag, a recipe, a users file, a refused key, or an output that exists"),
    (
        "3",
        "bytes are not what they should be: a difference, a checksum, another base, a file that changed while it was read",
    ),
    ("4", "the image is broken, is not understood, or cannot be changed safely"),
    ("5", "the target is refused"),
    ("11", "users of a batch failed; the others have what they should"),
    ("70", "remaster has a bug, please report it"),
    ("130", "interrupted by Control-C, or not confirmed; 143 by SIGTERM, 129 by SIGHUP"),
];

/// A command, the arguments that `-h` shows of it (all if there are none), and examples.
pub(super) struct Page {
    pub(super) name: &'static str,
    short: &'static [&'static str],
    pub(super) examples: &'static [&'static str],
}

const fn page(
    name: &'static str,
    short: &'static [&'static str],
    examples: &'static [&'static str],
) -> Page {
    Page { name, short, examples }
}

/// The program itself is called by no name.
pub(super) const PAGES: &[Page] = &[
    page(
        "",
        &["key", "output", "help", "version"],
        &[
            "remaster flash nixos-25.11-minimal --key ~/.ssh/id_ed25519.pub /dev/sdc",
            "remaster nixos.iso --key ~/.ssh/id_ed25519.pub -o custom.iso",
            "remaster nixos.iso --recipe laptop.toml --hostname box -o box.iso",
            "remaster nixos.iso --key ~/.ssh/id_ed25519.pub -o - | ssh host 'cat > c.iso'",
        ],
    ),
    page(
        "flash",
        &[
            "image",
            "devices",
            "key",
            "hostname",
            "recipe",
            "no_verify",
            "yes",
            "expect_serial",
            "unmount",
            "quiet",
            "help",
        ],
        &[
            "remaster flash nixos-25.11-minimal --key ~/.ssh/id_ed25519.pub /dev/sdc",
            "remaster flash custom.iso /dev/sdc /dev/sdd",
            "remaster flash custom.iso.xz /dev/sdc --yes --expect-serial 4C530001",
        ],
    ),
    page(
        "stamp",
        &[
            "base",
            "users",
            "output",
            "form",
            "key",
            "recipe",
            "resume",
            "skip_existing",
            "force",
            "json",
            "quiet",
            "help",
        ],
        &[
            "remaster stamp nixos.iso users.toml -o images/",
            "remaster stamp nixos.iso users.csv --recipe shared.toml -o images/ --resume",
            "remaster stamp nixos.iso users.toml --as patch -o patches/",
        ],
    ),
    page(
        "devices",
        &[],
        &["remaster devices", "remaster devices --all", "remaster devices --json"],
    ),
    page(
        "inspect",
        &["image", "all", "json", "kargs", "offline", "help"],
        &[
            "remaster inspect custom.iso",
            "remaster inspect /dev/sdc",
            "remaster inspect --all custom.iso",
        ],
    ),
    page(
        "verify",
        &["medium", "against", "manifest", "allowed_signers", "sha256", "json", "quiet", "help"],
        &["remaster verify /dev/sdc --against custom.iso", "remaster verify custom.iso"],
    ),
    page(
        "diff",
        &["before", "after", "all", "json", "offline", "help"],
        &["remaster diff custom.iso", "remaster diff nixos.iso custom.iso"],
    ),
    page(
        "edit",
        &[
            "image",
            "in_place",
            "recover",
            "replace",
            "remove_key",
            "key",
            "hostname",
            "recipe",
            "dry_run",
            "quiet",
            "help",
        ],
        &["remaster edit --in-place custom.iso --key ~/.ssh/id_ed25519.pub"],
    ),
    page(
        "reset",
        &[
            "devices",
            "output",
            "in_place",
            "force",
            "sha256",
            "yes",
            "expect_serial",
            "json",
            "quiet",
            "help",
        ],
        &["remaster reset custom.iso -o nixos.iso", "remaster reset --in-place /dev/sdc"],
    ),
    page(
        "format",
        &["devices", "yes", "expect_serial", "expect_size", "unmount", "to_file", "label", "help"],
        &[
            "remaster format /dev/sdc",
            "remaster format --label DATA /dev/sdc --yes --expect-serial 4C530001",
        ],
    ),
    page(
        "apply",
        &["base", "patch", "output", "name", "force", "json", "quiet", "help"],
        &[
            "remaster apply nixos.iso alice.remaster -o alice.iso",
            "remaster apply alice.remaster.descriptor.json -o alice.iso",
            "remaster apply layout/ --name alice -o alice.iso",
        ],
    ),
    page(
        "netboot",
        &["image", "key", "hostname", "recipe", "output", "force", "quiet", "help"],
        &["remaster netboot nixos.iso --key ~/.ssh/id_ed25519.pub -o tftp/"],
    ),
    page(
        "find",
        &["known_hosts", "networks", "timeout", "wait", "ssh_config", "json", "help"],
        &[
            "remaster find --known-hosts custom.iso.known_hosts",
            "remaster find --known-hosts custom.iso.known_hosts 192.168.1.0/24",
            "remaster find --known-hosts rack.iso.known_hosts --wait --timeout 900",
            "remaster find --known-hosts known_hosts --ssh-config > ssh_config",
        ],
    ),
    page(
        "ssh",
        &[],
        &[
            "remaster ssh custom.iso",
            "remaster ssh node1 --known-hosts rack.iso.known_hosts",
            "remaster ssh custom.iso nixos-install --no-root-passwd",
        ],
    ),
    page(
        "try",
        &[
            "image",
            "key",
            "user",
            "firmware",
            "entry",
            "timeout",
            "serial",
            "screenshot",
            "json",
            "help",
        ],
        &[
            "remaster try custom.iso --key ~/.ssh/id_ed25519",
            "remaster try custom.iso --firmware uefi --serial boot.log",
            "remaster try base.iso --entry copytoram --screenshot screen.png",
        ],
    ),
    page("base", &[], &["remaster base list", "remaster base fetch nixos-25.11-minimal"]),
    page("recipe", &[], &["remaster recipe check laptop.toml", "remaster recipe schema"]),
    page("demo", &[], &["remaster demo"]),
    page(
        "completions",
        &[],
        &["remaster completions bash > remaster.bash", "remaster completions zsh > _remaster"],
    ),
    page("man", &[], &["remaster man ~/.local/share/man/man1"]),
];

/// Where `--help` has arguments that would stand among all others.
const HEADINGS: &[(&str, &[&str])] = &[
    ("Base", &["offline", "cache", "sha256", "sha256_file", "cache_digest", "mirror", "ca_file"]),
    ("What to put in", &["recipe"]),
    (
        "Output",
        &["output", "form", "force", "no_sync", "dry_run", "name_template", "json", "failures"],
    ),
    (
        "Batch",
        &["jobs", "shard", "fail_fast", "resume", "skip_existing", "format", "list_separator"],
    ),
    (
        "Disk",
        &[
            "yes",
            "expect_serial",
            "expect_size",
            "allow_fixed",
            "unmount",
            "exact",
            "no_eject",
            "probe",
            "no_probe",
            "to_file",
            "force",
        ],
    ),
    ("Writing", &["verify", "no_verify", "delta", "no_delta", "any"]),
];

/// Which of the two help texts is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Length {
    /// `-h`: few arguments, in one list.
    Short,
    /// `--help`: all of them, under headings.
    Long,
    /// The manual page, which has sections of its own for what stands behind them.
    Manual,
}

impl Length {
    /// The one that a command line asks for.
    pub(super) fn from_words(mut words: impl Iterator<Item = OsString>) -> Self {
        if words.any(|word| word == "--help" || word == "help") { Self::Long } else { Self::Short }
    }
}

/// The program with its help texts.
pub(super) fn dressed(program: Command, length: Length) -> Command {
    let mut program = program.max_term_width(WIDTH);
    for page in PAGES {
        program = if page.name.is_empty() {
            dress(program, page, length)
        } else {
            program.mut_subcommand(page.name, |command| dress(command, page, length))
        };
    }
    program
}

pub(super) fn page_of(name: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.name == name)
}

fn dress(command: Command, page: &Page, length: Length) -> Command {
    let own = command.get_after_long_help().map(ToString::to_string);
    let statuses = if page.name.is_empty() { statuses() } else { String::new() };
    let long = [Some(examples(page)), own, Some(statuses)];
    let long: Vec<String> = long.into_iter().flatten().filter(|text| !text.is_empty()).collect();
    let command = command.mut_args(|argument| sorted(argument, page, length));
    match length {
        Length::Short if page.name.is_empty() => {
            let screen = screen(&command);
            with_more(command, "remaster", "commands and options, with examples")
                .help_template(screen)
        }
        Length::Short => {
            let call = format!("remaster {}", page.name);
            let below = |below: Command| {
                let call = format!("{call} {}", below.get_name());
                with_more(below, &call, "options")
            };
            with_more(command.mut_subcommands(below), &call, "options, with examples")
        }
        Length::Manual => command,
        Length::Long => command.after_long_help(long.join("\n\n")),
    }
}

/// A command whose `-h` ends with where there is more.
fn with_more(command: Command, call: &str, what: &str) -> Command {
    command.after_help(format!("`{call} --help` lists all {what}."))
}

/// The `-h` of the program itself: the commands that are used most, and the names of the others.
fn screen(program: &Command) -> String {
    let all = || program.get_subcommands().filter(|command| command.get_name() != "help");
    let (few, others): (Vec<&Command>, Vec<&Command>) =
        all().partition(|command| COMMANDS.contains(&command.get_name()));
    let row = |command: &Command| {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        format!("  {:<8} {about}\n", command.get_name())
    };
    let others: Vec<&str> = others.into_iter().map(Command::get_name).collect();
    let rows: String = few.into_iter().map(row).collect();
    let head = "{about-with-newline}\n{usage-heading} {usage}\n\nCommands:\n";
    format!("{head}{rows}  and {}\n\nOptions:\n{{options}}{{after-help}}", others.join(", "))
}

/// An argument under its heading, and in `-h` only if it is among the few.
fn sorted(argument: Arg, page: &Page, length: Length) -> Arg {
    let id = argument.get_id().as_str();
    let is_hidden = !page.short.is_empty() && !page.short.contains(&id);
    let is_plain = argument.get_help_heading().is_none() && !argument.is_positional();
    let heading = HEADINGS.iter().find(|(_, ids)| is_plain && ids.contains(&id));
    let heading = heading.map(|(heading, _)| *heading);
    // A manual page leaves out the text of what is hidden.
    let argument = argument.hide_short_help(is_hidden && length == Length::Short);
    if length == Length::Short {
        return argument.help_heading(None::<&str>);
    }
    if let Some(heading) = heading { argument.help_heading(heading) } else { argument }
}

fn examples(page: &Page) -> String {
    format!("Examples:\n  {}", page.examples.join("\n  "))
}

/// The statuses, on lines that are not broken.
fn statuses() -> String {
    let mut text = "Exit status:".to_owned();
    for (status, meaning) in STATUSES {
        text.extend(["\n  ", &format!("{status:<4} "), &folded(meaning, WIDTH - 8, "\n       ")]);
    }
    text
}

/// A text in lines of at most so many columns.
fn folded(text: &str, columns: usize, between: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len().saturating_add(word.len()) < columns => {
                line.extend([" ", word]);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join(between)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::{Cli, slips};

    /// Lines of a screen.
    const SCREEN: usize = 24;

    fn each(check: &mut dyn FnMut(&str, &mut Command, Length)) {
        fn walk(name: &str, command: &mut Command, check: &mut dyn FnMut(&str, &mut Command)) {
            check(name, command);
            for below in command.get_subcommands_mut() {
                let name = format!("{name} {}", below.get_name());
                walk(&name, below, check);
            }
        }
        for length in [Length::Short, Length::Long] {
            let mut program = dressed(Cli::command(), length);
            program.build();
            walk("remaster", &mut program, &mut |name, command| check(name, command, length));
        }
    }

    #[test]
    fn every_help_fits_a_terminal() {
        each(&mut |name, command, length| {
            let text = match length {
                Length::Short => command.render_help().to_string(),
                Length::Long | Length::Manual => command.render_long_help().to_string(),
            };
            // `remaster help -h` is refused.
            let is_of_clap = name.split(' ').any(|word| word == "help");
            let (is_free, lines) = (length == Length::Long || is_of_clap, text.lines().count());
            assert!(is_free || lines <= SCREEN, "{name}: {lines} lines:\n{text}");
            let more = format!("\n\n`{name} --help` lists all ");
            assert!(is_free || text.contains(&more), "{name}: {text}");
            let wide = text.lines().find(|line| line.chars().count() > WIDTH);
            assert_eq!(wide, None, "{name}, {length:?}");
            assert!(!text.contains("src/"), "{name}, {length:?}: names a file of the source");
            let behind = command.get_after_long_help().map(ToString::to_string);
            for line in behind.iter().flat_map(|text| text.lines()) {
                assert!(line.chars().count() <= WIDTH, "{name}: would be broken: {line}");
            }
        });
        assert!(
            CARD.lines().all(|line| line.chars().count() <= WIDTH) && CARD.lines().count() <= 15
        );
    }

    /// The flags that a text names, but for those in calls of a command, as `find --wait`.
    fn named(text: &str) -> Vec<&str> {
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let spans = (0..).zip(text.split('`'));
        let spans = spans.filter(|(number, span)| number % 2 == 0 || span.starts_with("--"));
        let words = spans.flat_map(|(_, span)| span.split([' ', '(', '/']));
        let words = words.filter_map(|word| word.strip_prefix("--"));
        let names = words.map(|word| word.split(|c: char| !is_part(c)).next().unwrap());
        names.filter(|name| !name.is_empty() && !name.ends_with('-')).collect()
    }

    #[test]
    fn the_help_of_an_argument_names_flags_as_its_command_has_them() {
        let (mut faults, mut seen) = (Vec::new(), 0);
        each(&mut |name, command, _| {
            let is_shown =
                |arg: &Arg, flag: &str| arg.get_long() == Some(flag) && !arg.is_hide_set();
            for arg in command.get_arguments() {
                let texts = [arg.get_help(), arg.get_long_help()];
                let text: String = texts.into_iter().flatten().map(ToString::to_string).collect();
                for flag in named(&text) {
                    seen += 1;
                    if !command.get_arguments().any(|other| is_shown(other, flag)) {
                        faults.push(format!("{name} {}: --{flag}", arg.get_id()));
                    }
                }
            }
        });
        assert!(seen > 50 && faults.is_empty(), "{seen}: {faults:#?}");
    }

    #[test]
    fn every_command_has_examples_that_are_understood() {
        let mut program = dressed(Cli::command(), Length::Long);
        program.build();
        let names: Vec<&str> = program.get_subcommands().map(Command::get_name).collect();
        let without: Vec<&&str> =
            names.iter().filter(|name| **name != "help" && page_of(name).is_none()).collect();
        assert!(without.is_empty(), "{without:?}");
        let on_card = CARD
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .filter(|line| line.starts_with("remaster"));
        let on_card = on_card.map(|line| line.split("   ").next().unwrap_or_default());
        for example in PAGES.iter().flat_map(|page| page.examples).copied().chain(on_card) {
            let typed = example.split(" | ").next().unwrap_or_default();
            let typed = typed.split(" > ").next().unwrap_or_default();
            // As a shell does.
            let typed = typed.replace(" ~/", " /home/ann/");
            let words: Vec<String> = typed.split(' ').map(str::to_owned).collect();
            let matches = program.clone().try_get_matches_from(&words);
            let matches = matches.unwrap_or_else(|refused| panic!("{example}: {refused}"));
            slips::check(&program, &words[1..], &matches)
                .unwrap_or_else(|fault| panic!("{example}: {fault}"));
        }
    }
}
