//! What a command calls the settings of recipes: the names of its flags, as the parser has them.

use clap::{Args as _, Command};
use remaster::recipe::{OtherNames, Recipe};

/// The flags of a command that have another name than the setting: messages call it by this name.
pub(super) fn names_of(command: &Command) -> OtherNames {
    let settings = Recipe::augment_args(Command::new("settings"));
    let other_name = |setting: &clap::Arg| {
        let own = command.get_arguments().find(|arg| arg.get_id() == setting.get_id())?;
        let (key, name) = (setting.get_long()?, own.get_long()?);
        (key != name).then(|| (key.to_owned(), name.to_owned()))
    };
    OtherNames(settings.get_arguments().filter_map(other_name).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use remaster::recipe::OF_RECORDS;

    use super::*;
    use crate::cli::help::Length;

    /// The commands that take settings, built.
    fn commands() -> Vec<Command> {
        let mut program = crate::cli::program(Length::Long);
        program.build();
        let below: Vec<Command> = program.get_subcommands().cloned().collect();
        let takes = |command: &Command| command.get_arguments().any(|arg| arg.get_id() == "recipe");
        [program].into_iter().chain(below).filter(takes).collect()
    }

    #[test]
    fn every_command_calls_every_setting_by_a_flag_that_it_shows() {
        let (mut renamed, commands) = (Vec::new(), commands());
        // Only commands that make an image have flags for its record.
        let is_of_live = |key: &&String| !OF_RECORDS.contains(&key.as_str());
        for command in &commands {
            let names = names_of(command);
            for key in Recipe::names().iter().filter(is_of_live) {
                let called = names.called(key);
                let mut shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
                let is_called = |arg: &clap::Arg| {
                    arg.get_long().is_some_and(|long| called.strip_prefix("--") == Some(long))
                };
                assert!(shown.any(is_called), "{}: {key} is {called}", command.get_name());
            }
            let name = command.get_name().to_owned();
            renamed.extend(names.0.into_iter().map(|(key, own)| (name.clone(), key, own)));
        }
        assert!(commands.len() >= 5, "{}", commands.len());
        let renamed: Vec<[&str; 3]> =
            renamed.iter().map(|(of, key, own)| [of.as_str(), key, own]).collect();
        assert_eq!(
            renamed,
            [["flash", "file", "root-file"]],
            "tests/suite/wrong.rs has texts of each"
        );
    }

    /// Texts that name a setting which some command calls otherwise: a table of names, and what tells of the other name.
    const MEANT: [(&str, &str); 1] = [("commands/flash/to.rs", "its --file is an old name")];

    fn files(folder: &Path) -> Vec<PathBuf> {
        let found = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let each = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
        found.flat_map(each).collect()
    }

    #[test]
    fn no_text_of_the_program_has_a_name_that_a_command_calls_otherwise() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli");
        let renamed: Vec<String> =
            commands().iter().flat_map(|command| names_of(command).0).map(|(key, _)| key).collect();
        let mut faults = Vec::new();
        for path in files(&source) {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let code = text.split("\n#[cfg(test)]").next().unwrap();
            for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
                let has = |key: &String| {
                    line.split(&format!("--{key}"))
                        .skip(1)
                        .any(|rest| !rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '-'))
                };
                let is_meant =
                    |(file, words): &(&str, &str)| path.ends_with(file) && line.contains(words);
                if renamed.iter().any(has) && !MEANT.iter().any(is_meant)
                    || line.contains("--{name")
                {
                    faults.push(format!("{}: {}", path.display(), line.trim()));
                }
            }
        }
        assert!(faults.is_empty(), "say it by `called`: {faults:#?}");
    }
}
