//! The command line: what was typed becomes one call into the library, and its answer a status.

mod commands;
mod destination;
mod interrupt;
mod job;
mod known_hosts;
mod printer;
mod progress;
mod record;
mod shell;
mod slips;

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};

use remaster::error::Result;

use self::commands::{
    apply, base, customize, demo, devices, diff, edit, find, flash, inspect, manual, netboot,
    recipe, reset, stamp, verify,
};

const ABOUT: &str = "Put an ssh key into a stock NixOS installer ISO, and write it to sticks";

const USAGE: &str = "remaster BASE --key KEY -o FILE [OPTIONS]\n       remaster <COMMAND>";

const AFTER_HELP: &str = "\
Examples:
  remaster nixos-minimal.iso --key ~/.ssh/id_ed25519.pub -o custom.iso
  remaster flash custom.iso /dev/sdc
  remaster stamp nixos-minimal.iso users.toml -o out/
  remaster flash nixos-minimal.iso --key ~/.ssh/id_ed25519.pub /dev/sdc
  remaster netboot nixos-minimal.iso --key ~/.ssh/id_ed25519.pub -o tftp/
  remaster flash nixos-25.11-minimal --key ~/.ssh/id_ed25519.pub /dev/sdc

Exit status:
  0    done
  1    the operating system or the network refused (no space, no permission, a closed pipe, no answer),
       or `find` found no machine
  2    wrong usage, a refused key, or an output that is in the way
  3    bytes are not what they were meant to be, or published as
  4    the image is broken, or is none that can be changed safely
  5    the target is refused
  11   users of a batch failed; the others have what they should
  70   remaster has a bug, please report it
  130  interrupted by Control-C, or not confirmed; 143 by SIGTERM, 129 by SIGHUP";

/// Put an ssh key into a stock NixOS installer ISO, and write it to sticks
#[derive(Debug, Parser)]
#[command(version, about = ABOUT, override_usage = USAGE, after_help = AFTER_HELP, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
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
    Stamp(Box<stamp::Args>),
    Flash(Box<flash::Args>),
    Devices(devices::Args),
    Verify(verify::Args),
    Inspect(inspect::Args),
    Diff(diff::Args),
    Apply(apply::Args),
    Edit(Box<edit::Args>),
    Reset(reset::Args),
    Recipe(recipe::Args),
    Netboot(Box<netboot::Args>),
    Find(find::Args),
    Base(base::Args),
    Demo(demo::Args),
    Completions(manual::Completions),
    Man(manual::Pages),
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    if let Err(fault) = no_private_key() {
        return printer::fault(&fault);
    }
    let cli = match parse() {
        Ok(cli) => cli,
        Err(fault) => return printer::fault(&fault),
    };
    printer::set(cli.loudness);
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => printer::fault(&fault),
    }
}

/// The arguments, or what is meant instead of them; or the end with a help text or what the parser says.
fn parse() -> Result<Cli> {
    let mut program = Cli::command().color(printer::color_of(std::env::args_os()));
    program.build();
    let typed = slips::flags_behind(&program, std::env::args_os().collect());
    let shown = typed.iter().skip(1).map(|word| word.to_string_lossy().into_owned());
    let words: Vec<String> = shown.collect();
    let matches = program.try_get_matches_from_mut(typed).map_err(|refused| {
        slips::meant(&program, &words, &refused).unwrap_or_else(|| refused.exit())
    })?;
    slips::check(&program, &words, &matches)?;
    Ok(Cli::from_arg_matches(&matches).unwrap_or_else(|fault| fault.exit()))
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

fn run(cli: &Cli) -> Result<()> {
    match &cli.command {
        Some(Command::Stamp(args)) => stamp::run(args),
        Some(Command::Flash(args)) => flash::run(args),
        Some(Command::Devices(args)) => devices::run(args),
        Some(Command::Verify(args)) => verify::run(args),
        Some(Command::Inspect(args)) => inspect::run(args),
        Some(Command::Diff(args)) => diff::run(args),
        Some(Command::Apply(args)) => apply::run(args),
        Some(Command::Edit(args)) => edit::run(args),
        Some(Command::Reset(args)) => reset::run(args),
        Some(Command::Recipe(args)) => recipe::run(args),
        Some(Command::Netboot(args)) => netboot::run(args),
        Some(Command::Find(args)) => find::run(args),
        Some(Command::Base(args)) => base::run(args),
        Some(Command::Demo(args)) => demo::run(args, |words| run(&Cli::parse_from(words))),
        Some(Command::Completions(args)) => manual::completions(args, Cli::command()),
        Some(Command::Man(args)) => manual::pages(args, Cli::command()),
        None => customize::run(&cli.make),
    }
}
