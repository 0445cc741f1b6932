//! Slips: what was typed and cannot be meant, and what is meant instead. Messages suggest; nothing is run that was not typed.

mod bases;
mod before_command;
mod blanks;
mod dash;
mod dd;
mod files;
mod lists;
mod makings;
mod missing;
mod nearly;
mod not_a_path;
mod repeated;
mod role;
mod table;
mod to_flash;
mod typed;
mod typography;
mod unexpanded;
mod values;

use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command};
use remaster::bases::name_of;
use remaster::error::{Error, KeyOf};
use remaster::named_file::name_of_file;
use remaster::nearest::typo;
use remaster::recipe::Recipe;
use remaster::run_files::RunFiles;

use super::help::Length;
use super::settings;
use super::shell::shell_quote;
pub(super) use makings::is_descriptor;
use nearly::{closest_flag, declined};
pub(super) use repeated::is_known_hosts;
use role::Kind;
pub(crate) use role::is_disk_name;
use table::{COMMANDS, FLAGS, FOLLOWED, IN_RECIPES, OF_USERS};
use typed::{Typed, flag_of};

fn usage(what: String, hint: String) -> Error {
    Error::Recipe { what, hint: hint.into() }
}

/// The words with the flags of every command behind the command, where the parser takes them. `words` begins with the
/// name of the program.
pub(super) fn flags_behind(program: &Command, mut words: Vec<OsString>) -> Vec<OsString> {
    let mut end: usize = 1;
    while let Some(own) =
        words.get(end).and_then(|word| own_words(program, &word.to_string_lossy()))
    {
        end = end.saturating_add(own);
    }
    if words.get(end).is_some_and(|word| program.find_subcommand(word).is_some())
        && let Some(moved) = words.get_mut(1..=end)
    {
        moved.rotate_right(1);
    }
    words
}

/// How many words a flag of every command takes, with its own.
fn own_words(program: &Command, word: &str) -> Option<usize> {
    let (name, is_joined) = word.split_once('=').map_or((word, false), |(name, _)| (name, true));
    let mut all = program.get_arguments().filter(|arg| arg.is_global_set());
    let is_called = |arg: &&Arg| {
        name.strip_prefix("--").is_some_and(|long| arg.get_long() == Some(long))
            || arg.get_short().is_some_and(|short| word == format!("-{short}"))
    };
    let flag = all.find(is_called)?;
    Some(if flag.get_action().takes_values() && !is_joined { 2 } else { 1 })
}

/// Refuses arguments of a command line that was understood and cannot be meant.
pub(super) fn check(
    program: &Command,
    words: &[String],
    matches: &ArgMatches,
) -> Result<(), Error> {
    let typed = Typed::new(program, words);
    let mut below = matches;
    while let Some((_, next)) = below.subcommand() {
        below = next;
    }
    if let Some(meant) = typography::explain(&typed) {
        return Err(meant);
    }
    dash::check(&typed, below)?;
    unexpanded::check(&typed, below)?;
    let meant = values::value_behind(&typed).or_else(|| dd::explain(&typed));
    let meant = meant.or_else(|| page_of_command(&typed));
    let meant = meant.or_else(|| serial_of_disk(&typed, below));
    let meant = meant.or_else(|| lists::explain(&typed, below));
    let meant = meant.or_else(|| unquoted_key(&typed));
    let meant = meant.or_else(|| repeated::check(&typed));
    if let Some(meant) = meant.or_else(|| mistyped_command(&typed)) {
        return Err(meant);
    }
    bases::check(&typed.path, typed.command, below)?;
    role::check(&typed, below)
}

/// Refuses files that are surely not what their arguments ask for, and those that are both read and written. Gives all that
/// are named.
pub(super) fn check_files(
    program: &Command,
    words: &[String],
    matches: &ArgMatches,
) -> Result<RunFiles, Error> {
    let mut below = matches;
    while let Some((_, next)) = below.subcommand() {
        below = next;
    }
    let command = command(program, words);
    files::check(command, below)?;
    files::of_run(command, below)
}

/// The command that a command line calls.
pub(super) fn command<'a>(program: &'a Command, words: &'a [String]) -> &'a Command {
    Typed::new(program, words).command
}

/// What is meant by a command line that the parser refuses; none where it says that best itself.
pub(super) fn explain(program: &Command, words: &[String], refused: &clap::Error) -> Option<Error> {
    let is_fault = refused.use_stderr();
    if let Some(meant) = before_command::explain(program, words).filter(|_| is_fault) {
        return Some(meant);
    }
    let typed = Typed::new(program, words);
    if let Some(meant) = typography::explain(&typed).filter(|_| is_fault) {
        return Some(meant);
    }
    let kind = refused.kind();
    let word = match refused.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) => word.as_str(),
        _ => "",
    };
    if kind == ErrorKind::UnknownArgument && word.starts_with('-') {
        let meant = negative(&typed, word).or_else(|| dd::explain(&typed));
        let meant = meant.or_else(|| one_hyphen(&typed));
        // No flag is known of a word that names nothing here.
        let is_first = typed.plain.first() == Some(&0);
        let meant = meant.or_else(|| mistyped_command(&typed).filter(|_| is_first));
        return Some(meant.unwrap_or_else(|| unknown_flag(program, &typed, word)));
    }
    let is_about_words = [
        ErrorKind::UnknownArgument,
        ErrorKind::ArgumentConflict,
        ErrorKind::MissingRequiredArgument,
        ErrorKind::InvalidSubcommand,
    ];
    if !is_about_words.contains(&kind) {
        return values::explain(&typed, refused);
    }
    let meant = dash::check_words(&typed).or_else(|| values::value_behind(&typed));
    let meant = meant.or_else(|| unquoted_key(&typed));
    let meant = meant.or_else(|| repeated::explain(&typed));
    let meant = meant.or_else(|| mistyped_command(&typed));
    if let Some(meant) = meant.or_else(|| one_hyphen(&typed)) {
        return Some(meant);
    }
    if kind == ErrorKind::MissingRequiredArgument {
        return missing::explain(program, &typed, refused);
    }
    if kind == ErrorKind::InvalidSubcommand && !typed.path.is_empty() {
        let Some((_, word)) = typed.plain_words().next() else {
            let name = typed.name();
            let above = name.trim_end_matches(" help");
            let what = format!("`{name}` takes the name of a command, and no flag");
            return Some(usage(what, format!("`{above} -h` lists the commands")));
        };
        return Some(missing::command_below(&typed, word));
    }
    let one_more = if typed.path.is_empty() {
        typed.plain_words().nth(1)
    } else {
        typed.plain_words().find(|(_, plain)| kind == ErrorKind::UnknownArgument && *plain == word)
    };
    one_more
        .map(|(place, word)| one_word_more(&typed, place, word))
        .or_else(|| values::explain(&typed, refused))
}

/// The first word where a command is expected, if it is neither a command nor something to work with.
fn mistyped_command(typed: &Typed<'_>) -> Option<Error> {
    let (place, word) = typed.plain_words().next().filter(|_| typed.path.is_empty())?;
    let is_path = word.contains(['/', '.']) || word == "-" || Path::new(word).exists();
    if let Some(meant) = blanks::file_that_is_there(typed) {
        return Some(meant);
    }
    if is_path || name_of(Path::new(word)).is_some() || Kind::recognize(word).is_some() {
        return None;
    }
    let what = format!("`{word}` is neither a command nor a file");
    if let Some(name) = bases::meant(word) {
        return Some(usage(what, bases::hint(&name)));
    }
    let line_with = |command: &str| {
        let rest = typed.words.iter().enumerate().filter(|(other, _)| *other != place);
        let rest = rest.map(|(_, other)| other.as_str());
        let command = command.split(' ').filter(|word| !word.is_empty());
        typed.proposal(command.chain(rest)).map(|line| format!("`{line}`"))
    };
    let known = COMMANDS.iter().find(|(words, _)| words.contains(&word));
    let close = || typo(word, typed.command.get_subcommands().map(Command::get_name));
    let commands: Vec<&str> = match known {
        Some((_, commands)) => commands.to_vec(),
        None => close().into_iter().collect(),
    };
    let of_dd = dd::line(typed, place).filter(|_| word == "dd").map(|line| format!("`{line}`"));
    let lines: Vec<String> = match of_dd {
        Some(line) => vec![line],
        None => commands.iter().filter_map(|command| line_with(command)).collect(),
    };
    let hint = match commands.first() {
        _ if !lines.is_empty() => format!("did you mean {}?", lines.join(" or ")),
        Some(command) if !command.is_empty() => {
            format!("did you mean `{command}`? `remaster {command} -h` shows what it takes")
        }
        Some(_) => "`remaster BASE --key KEY.pub -o FILE` makes an image".to_owned(),
        None => "`remaster -h` lists the commands".to_owned(),
    };
    Some(usage(what, hint))
}

/// The serial number of a disk where `flash` asks for a port of the machine.
fn serial_of_disk(typed: &Typed<'_>, matches: &ArgMatches) -> Option<Error> {
    let mut given = matches.try_get_raw("serial").ok().flatten()?;
    let is_port =
        |word: &str| word.trim_start_matches("/dev/").starts_with("tty") || word == "hvc0";
    let word = given.find_map(|word| word.to_str().filter(|word| !is_port(word)))?;
    let what = format!("--serial takes a port of the machine, as `ttyS0,115200`, not {word}");
    let hint = format!("give `--expect-serial {word}` where that is the serial number of the disk");
    (typed.path == ["flash"]).then(|| usage(what, hint))
}

/// The name of a command where `man` asks for a folder: its page is meant.
fn page_of_command(typed: &Typed<'_>) -> Option<Error> {
    let (_, word) = typed.plain_words().next().filter(|_| typed.path == ["man"])?;
    let name = word.strip_prefix("remaster-").unwrap_or(word);
    let command = typed.program.find_subcommand(name).filter(|_| !Path::new(word).exists())?;
    let name = command.get_name();
    let what = format!("{word} is the name of a command, and a folder is asked for");
    let hint = format!(
        "`remaster {name} --help` shows its page, and `man remaster-{name}` once the pages are written; `./{word}` is a folder of that name"
    );
    Some(usage(what, hint))
}

/// A negative number behind a flag that takes a value.
fn negative(typed: &Typed<'_>, word: &str) -> Option<Error> {
    let is_number = word.get(1..)?.starts_with(|c: char| c.is_ascii_digit());
    let place = typed.words.iter().position(|other| other == word).filter(|_| is_number)?;
    let (name, flag) = typed.before(place)?;
    let takes = value_of(flag);
    let hint = format!("give {name} a number without `-` in front");
    Some(usage(format!("{name} takes {takes}, not {word}"), hint))
}

fn value_of(flag: &Arg) -> String {
    let names = flag.get_value_names().unwrap_or_default();
    names.iter().map(clap::builder::Str::as_str).collect::<Vec<_>>().join(" ")
}

fn unknown_flag(program: &Command, typed: &Typed<'_>, word: &str) -> Error {
    let name = word.split('=').next().unwrap_or_default();
    let long = name.trim_start_matches('-');
    let is_long = name.starts_with("--");
    let value = value_typed(typed, word);
    // The image of `dd`, and the key of `ssh`.
    let is_disk = Kind::recognize(value) == Some(Kind::Disk);
    let of_disk = || table::flag(typed.command, "--device", "").filter(|_| is_disk && name == "-i");
    let known = || of_disk().or_else(|| table::flag(typed.command, name, value));
    let shown = typed.command.get_arguments().filter(|arg| !arg.is_hide_set());
    let longs: Vec<&str> = shown.filter_map(Arg::get_long).collect();
    let close = || closest_flag(long, &longs).map(|close| format!("did you mean `--{close}`?"));
    let hint = known()
        .map(|flag| flag.answer.to_owned())
        .or_else(|| declined(typed.command, long).filter(|_| is_long))
        .or_else(|| elsewhere(program, typed, name))
        .or_else(|| close().filter(|_| is_long))
        .unwrap_or_else(|| format!("`{} --help` lists its flags", typed.name()));
    usage(format!("`{}` has no flag `{name}`", typed.name()), hint)
}

/// The value of a flag that is not known: what stands behind `=`, or the next word.
fn value_typed<'a>(typed: &Typed<'a>, word: &str) -> &'a str {
    let name = word.split('=').next().unwrap_or_default();
    let is_it = |typed: &&String| typed.split('=').next() == Some(name);
    let mut words = typed.words.iter().skip_while(|word| !is_it(word));
    match words.next().and_then(|found| found.split_once('=')) {
        Some((_, value)) => value,
        None => words.next().map_or("", String::as_str),
    }
}

/// What is meant by a key that is not known: recipes, users files and flags have one table.
pub(super) fn key_meant(key: &str, of: KeyOf) -> Option<String> {
    // Columns are often named as variables are.
    let key = &key.to_lowercase().replace(['_', ' '], "-");
    let of_users = if of == KeyOf::Recipe { &[][..] } else { OF_USERS };
    let mut own = of_users.iter().chain(IN_RECIPES);
    if let Some((_, answer)) = own.find(|(typed, _)| typed.contains(&key.as_str())) {
        return Some((*answer).to_owned());
    }
    let flag = format!("--{key}");
    let names = Recipe::names();
    let known = FLAGS.iter().find(|row| {
        row.typed.contains(&flag.as_str()) && names.iter().any(|name| name == row.needs)
    });
    known.map(|row| row.answer.replace("--", "")).or_else(|| flag_meant(&flag))
}

/// Where all keys are listed.
pub(super) fn keys_of(of: KeyOf) -> &'static str {
    match of {
        KeyOf::Recipe => "see `remaster recipe schema` for the keys there are",
        KeyOf::User => {
            "leave it out: the keys are `name` and those of recipes, as `remaster recipe schema` lists them"
        }
        KeyOf::Column => {
            "leave the column out: columns are `name` and the keys of recipes, as `remaster recipe schema` lists them"
        }
    }
}

/// What is meant by a key that is called as a flag of the command line.
fn flag_meant(flag: &str) -> Option<String> {
    let mut program = super::program(Length::Short);
    program.build();
    let renamed = program.get_subcommands().find_map(|command| {
        let own = settings::names_of(command).0.into_iter();
        own.into_iter().find(|(_, name)| flag.strip_prefix("--") == Some(name)).map(|(key, _)| key)
    });
    if let Some(key) = renamed {
        return Some(format!("did you mean `{key}`?"));
    }
    let of = commands_with(&program, flag);
    (!of.is_empty())
        .then(|| format!("give {flag} to the command: it is a flag of {}", of.join(", ")))
}

/// Which commands have a flag that this one does not have.
fn elsewhere(program: &Command, typed: &Typed<'_>, name: &str) -> Option<String> {
    let (of, own) = (commands_with(program, name), typed.name());
    (!of.is_empty()).then(|| {
        let of = of.join(", ");
        format!("it is a flag of {of}; `{own} --help` lists the flags of this command")
    })
}

/// The commands that show a flag of this name.
fn commands_with(program: &Command, name: &str) -> Vec<String> {
    let is_called = |arg: &&Arg| match name.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short().is_some_and(|short| name == format!("-{short}")),
    };
    let has = |command: &Command| {
        command.get_arguments().filter(|arg| !arg.is_hide_set()).any(|arg| is_called(&arg))
    };
    let mut found: Vec<String> =
        has(program).then(|| "`remaster BASE`".to_owned()).into_iter().collect();
    for command in program.get_subcommands() {
        let name = command.get_name();
        found.extend(has(command).then(|| format!("`remaster {name}`")));
        let below = command.get_subcommands().filter(|below| has(below));
        found.extend(below.map(|below| format!("`remaster {name} {}`", below.get_name())));
    }
    found
}

/// A public key that the shell made several words of.
fn unquoted_key(typed: &Typed<'_>) -> Option<Error> {
    let is_type = |word: &str| TYPES.iter().any(|start| word.starts_with(start));
    let is_flag = |place| typed.before(place).is_some_and(|(_, flag)| flag.get_id() == "key");
    let mut words = typed.words.iter().enumerate();
    let (place, _) = words.find(|(place, word)| is_type(word) && is_flag(*place))?;
    if typed.words.get(place)?.contains(' ') {
        return None;
    }
    // The key itself, and a comment.
    let behind = |other: usize| {
        let is_plain = typed.plain.contains(&other);
        typed.words.get(other).filter(|_| is_plain).map(String::as_str)
    };
    let key = behind(place.checked_add(1)?).filter(|word| word.starts_with("AAAA"))?;
    let comment = behind(place.checked_add(2)?).filter(|word| Kind::recognize(word).is_none());
    let rest = place.checked_add(if comment.is_some() { 3 } else { 2 })?;
    let parts = [typed.words.get(place).map(String::as_str), Some(key), comment];
    let whole = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let before = typed.words.iter().take(place).map(String::as_str);
    let after = typed.words.iter().skip(rest).map(String::as_str);
    let meant = typed.did_you_mean(before.chain([whole.as_str()]).chain(after));
    Some(usage("a public key without quotes is several words".to_owned(), meant))
}

/// How the types of public keys begin.
const TYPES: [&str; 3] = ["ssh-", "ecdsa-", "sk-"];

/// A flag of several letters with one hyphen, as `-out`: the parser reads it as `-o ut`.
fn one_hyphen(typed: &Typed<'_>) -> Option<Error> {
    let flag = |word: &str| {
        let long =
            word.strip_prefix('-').filter(|long| !long.starts_with('-') && long.len() > 2)?;
        let is_flag = flag_of(typed.command, long).is_some();
        match long {
            "out" if flag_of(typed.command, "output").is_some() => Some("-o".to_owned()),
            _ => is_flag.then(|| format!("--{long}")),
        }
    };
    let mut words = typed.words.iter().enumerate();
    let (place, word, meant) = words.find_map(|(place, word)| Some((place, word, flag(word)?)))?;
    let words = typed.words.iter().enumerate();
    let words = words.map(|(at, word)| if at == place { meant.as_str() } else { word.as_str() });
    let what = format!("`{word}` has one hyphen, and is read as flags of one letter");
    Some(usage(what, typed.did_you_mean(words)))
}

/// A word behind all that a command takes.
fn one_word_more(typed: &Typed<'_>, place: usize, word: &str) -> Error {
    if let Some(meant) = no_dashes(typed) {
        return meant;
    }
    let kind = Kind::recognize(word);
    if kind == Some(Kind::Key) && typed.command.get_arguments().any(|arg| arg.get_id() == "key") {
        let what = format!("{word} is a public key, and stands alone");
        return usage(what, role::one_key_each(typed, word));
    }
    if let Some((flag, _)) = typed.before(place) {
        let known = FOLLOWED.iter().find(|(name, _)| *name == flag);
        let hint = known.map_or_else(|| format!("leave `{word}` out"), |(_, hint)| (*hint).into());
        return usage(format!("{flag} takes no word after it, and `{word}` stands there"), hint);
    }
    if !typed.path.is_empty() {
        let name = typed.name();
        let what = format!("`{word}` is one word more than `{name}` takes");
        let meant = with_flag(typed, place, kind).unwrap_or_else(|| {
            let takes_words = typed.command.get_arguments().any(Arg::is_positional);
            let help = format!("`{name} -h` shows what it takes");
            if takes_words { help } else { format!("leave `{word}` out; {help}") }
        });
        return usage(what, meant);
    }
    if kind == Some(Kind::Disk) {
        let what = format!("{word} is a disk, and disks are written to by `remaster flash`");
        return usage(what, to_flash::hint(typed, None, None));
    }
    let what = format!("`{word}` is one word more: an image is made of one base");
    let disk =
        typed.plain_words().next().filter(|(_, first)| Kind::recognize(first) == Some(Kind::Disk));
    if let Some((first, disk)) = disk {
        let what = format!("{disk} is a disk, and disks are written to by `remaster flash`");
        return usage(what, to_flash::hint(typed, Some(first), Some(disk)));
    }
    if let Some(meant) = key_first(typed, place, word) {
        return meant;
    }
    if kind == Some(Kind::List) {
        let word = shell_quote(Path::new(word));
        let what = format!("{word} is a users file or a recipe, and stands alone");
        let hint = format!(
            "`remaster stamp BASE {word} -o DIR` makes an image for each user, `--recipe {word}` takes a recipe"
        );
        return usage(what, hint);
    }
    if typed.has(&["output"]) {
        return usage(what, one_base());
    }
    let key = if typed.has(&["key", "recipe"]) { &[][..] } else { &["--key", "KEY"] };
    let rest = typed.words.iter().enumerate().filter(|(other, _)| *other != place);
    let rest = rest.map(|(_, word)| word.as_str());
    let meant = typed.proposal(rest.chain(key.iter().copied()).chain(["-o", word]));
    usage(what, meant.map_or_else(one_base, |line| format!("did you mean `{line}`?")))
}

/// A word that is a flag but for its dashes, as in `b.iso key k.pub`.
fn no_dashes(typed: &Typed<'_>) -> Option<Error> {
    let is_flag = |word: &str| flag_of(typed.command, word).is_some_and(|flag| !flag.is_hide_set());
    let is_meant = |word: &str| is_flag(word) && !Path::new(word).exists();
    let (place, word) = typed.plain_words().skip(1).find(|(_, word)| is_meant(word))?;
    let flag = format!("--{word}");
    let words = typed.words.iter().enumerate();
    let words = words.map(|(at, word)| if at == place { flag.as_str() } else { word.as_str() });
    let line = typed.proposal(words)?;
    Some(usage(
        format!("`{word}` stands without its dashes, and is not a file"),
        format!("did you mean `{line}`?"),
    ))
}

/// The line with a flag in front of the word too many: that of the output, or of what an image is compared with.
fn with_flag(typed: &Typed<'_>, place: usize, kind: Option<Kind>) -> Option<String> {
    let has = |id: &str| typed.command.get_arguments().any(|arg| arg.get_id() == id);
    let mut words: Vec<&str> = typed.words.iter().map(String::as_str).collect();
    let is_sums = typed.words.get(place).is_some_and(|word| is_checksums(Path::new(word)));
    if is_sums && has("sha256_file") && !typed.has(&["sha256", "sha256_file"]) {
        words.insert(place, "--sha256-file");
        return typed.proposal(words).map(|line| format!("did you mean `{line}`?"));
    }
    let is_compared = has("against") && !typed.has(&["against", "manifest"]);
    if is_compared && kind == Some(Kind::Disk) {
        // What is on the disk is compared with the image, not the other way round.
        let (first, _) = typed.plain_words().next()?;
        words.swap(first, place);
    }
    if !is_compared && (!has("output") || typed.has(&["output", "in_place"])) {
        return None;
    }
    words.insert(place, if is_compared { "--against" } else { "-o" });
    typed.proposal(words).map(|line| format!("did you mean `{line}`?"))
}

/// Whether a file lists checksums.
fn is_checksums(path: &Path) -> bool {
    let name = name_of_file(path).ok().flatten();
    name.is_some_and(|name| name == "a list of checksums")
}

fn one_base() -> String {
    "give one base, and the image to write to -o".to_owned()
}

/// `remaster KEY BASE`.
fn key_first(typed: &Typed<'_>, place: usize, word: &str) -> Option<Error> {
    let (first, key) = typed.plain_words().next()?;
    if (Kind::recognize(key), Kind::recognize(word)) != (Some(Kind::Key), Some(Kind::Image)) {
        return None;
    }
    let rest = typed.words.iter().enumerate().filter(|(other, _)| ![first, place].contains(other));
    let rest = rest.map(|(_, word)| word.as_str());
    let output = if typed.has(&["output"]) { &[][..] } else { &["-o", "FILE"] };
    let words = [word, "--key", key].into_iter().chain(rest).chain(output.iter().copied());
    let hint = typed.did_you_mean(words);
    Some(usage(format!("{key} is a public key, and the base comes first"), hint))
}
