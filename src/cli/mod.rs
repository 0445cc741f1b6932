//! The command line: what was typed becomes one call into the library, and its answer a status.

mod base;
mod closed;
mod commands;
mod destination;
mod diagnostics;
mod earlier;
mod echo;
mod edit_args;
mod events;
mod help;
mod interrupt;
mod job;
mod known_hosts;
mod panics;
mod printer;
mod progress;
mod prompt;
mod record;
mod remote_keys;
mod settings;
mod shell;
mod slips;
mod stale;
mod summary;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};

use remaster::error::Result;
use remaster::recipe;
use remaster::run_files::RunFiles;

use self::help::Length;

use self::commands::{
    apply, completions, customize, demo, devices, diff, edit, find, flash, format, inspect, manual,
    netboot, recipe as recipes, reset, ssh, stamp, try_image, verify,
};

const ABOUT: &str = "Put an ssh key into a stock NixOS installer ISO, and write it to sticks";

const USAGE: &str = "remaster BASE --key KEY -o FILE [OPTIONS]\n       remaster <COMMAND>";

/// Put an ssh key into a stock NixOS installer ISO, and write it to sticks
#[derive(Debug, Parser)]
#[command(version, about = ABOUT, override_usage = USAGE, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    make: customize::Args,
    #[command(flatten)]
    loudness: printer::Loudness,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Flash(Box<flash::Args>),
    Stamp(Box<stamp::Args>),
    Devices(devices::Args),
    Inspect(inspect::Args),
    Verify(verify::Args),
    Diff(diff::Args),
    Edit(Box<edit::Args>),
    Reset(reset::Args),
    Format(format::Args),
    Apply(apply::Args),
    Netboot(Box<netboot::Args>),
    Find(find::Args),
    Ssh(ssh::Args),
    Try(try_image::Args),
    Base(commands::base::Args),
    Recipe(recipes::Args),
    Demo(demo::Args),
    Completions(completions::Args),
    Man(manual::Pages),
}

/// Runs the program, and reports a panic as a bug.
pub(crate) fn main() -> ExitCode {
    panics::caught(parse_and_run)
}

fn parse_and_run() -> ExitCode {
    if let Err(fault) = interrupt::outlive_file_limits().and_then(|()| no_private_key()) {
        return printer::fault(&fault);
    }
    if std::env::args_os().len() < 2 {
        printer::write_error(help::CARD);
        return ExitCode::from(2);
    }
    let (cli, files) = match parse() {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return ExitCode::SUCCESS,
        Err(fault) => return printer::fault(&fault),
    };
    printer::set(cli.loudness);
    let done = run(&cli, files);
    let lost = printer::lost().map(|fault| printer::fault(&fault));
    match done {
        Ok(status) => lost.unwrap_or(status),
        Err(fault) => printer::fault(&fault),
    }
}

/// The program with its help texts.
fn program(length: Length) -> clap::Command {
    help::dressed(Cli::command(), length)
}

/// The arguments and the files that they name, or what is meant instead of them; none where a help text was asked for and
/// shown.
fn parse() -> Result<Option<(Cli, RunFiles)>> {
    let mut program = program(Length::from_words(std::env::args_os()))
        .color(printer::color_of(std::env::args_os()));
    program.build();
    let typed = slips::flags_behind(&program, std::env::args_os().collect());
    let shown = typed.iter().skip(1).map(|word| word.to_string_lossy().into_owned());
    let words: Vec<String> = shown.collect();
    recipe::call_settings(settings::names_of(slips::command(&program, &words)));
    let matches = match program.try_get_matches_from_mut(typed) {
        Ok(matches) => matches,
        Err(refused) => {
            return slips::explain(&program, &words, &refused)
                .map_or_else(|| show_help(&refused).map(|()| None), Err);
        }
    };
    slips::check(&program, &words, &matches)?;
    let files = slips::check_files(&program, &words, &matches)?;
    Ok(Some((Cli::from_arg_matches(&matches).unwrap_or_else(|fault| fault.exit()), files)))
}

/// Shows a help text, or ends with what the parser says.
fn show_help(refused: &clap::Error) -> Result<()> {
    if refused.use_stderr() {
        refused.exit();
    }
    printer::written(closed::output().and_then(|()| refused.print()).and_then(|()| {
        // Some of it may be held back still.
        io::stdout().flush()
    }))
}

/// A private key in an argument must not reach a parser, which would show what it does not know.
fn no_private_key() -> Result<()> {
    let arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let looks_private = |argument: &String| {
        argument.contains("PRIVATE KEY") || argument.contains("PuTTY-User-Key-File")
    };
    match arguments.skip(1).find(looks_private) {
        Some(found) => {
            remaster::keys::gather(&[found], io::empty()).map(|_| ()).map_err(Into::into)
        }
        None => Ok(()),
    }
}

/// Runs what was asked for; without an error it ends with 0, but for `diff` and `ssh`. `files` are those that the arguments
/// name.
fn run(cli: &Cli, mut files: RunFiles) -> Result<ExitCode> {
    match &cli.command {
        Some(Command::Diff(args)) => return diff::run(args),
        Some(Command::Ssh(args)) => return ssh::run(args),
        Some(Command::Stamp(args)) => stamp::run(args, files),
        Some(Command::Flash(args)) => flash::run(args, &mut files),
        Some(Command::Devices(args)) => devices::run(args),
        Some(Command::Verify(args)) => verify::run(args),
        Some(Command::Inspect(args)) => inspect::run(args),
        Some(Command::Apply(args)) => apply::run(args, &mut files),
        Some(Command::Edit(args)) => edit::run(args, &mut files),
        Some(Command::Reset(args)) => reset::run(args),
        Some(Command::Format(args)) => format::run(args),
        Some(Command::Recipe(args)) => recipes::run(args),
        Some(Command::Netboot(args)) => netboot::run(args, &mut files),
        Some(Command::Find(args)) => find::run(args),
        Some(Command::Try(args)) => try_image::run(args),
        Some(Command::Base(args)) => commands::base::run(args),
        Some(Command::Demo(args)) => {
            demo::run(args, |words| run(&Cli::parse_from(words), RunFiles::default()).map(drop))
        }
        Some(Command::Completions(args)) => completions::run(args, program(Length::Long)),
        Some(Command::Man(args)) => manual::pages(args, program(Length::Manual)),
        None => customize::run(&cli.make, &mut files),
    }?;
    Ok(ExitCode::SUCCESS)
}
