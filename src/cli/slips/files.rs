//! What the files are that flags and arguments name: another thing than they ask for is called by its name before a
//! command runs.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use clap::ArgMatches;
use remaster::error::Error;
use remaster::formats::patch_file::PatchFile;
use remaster::image::file_type::{FileType, HEAD, is_tar};
use remaster::image::unpack::Packing;
use remaster::keys;

use super::role::is_public_key;
use super::usage;

/// What a file is, as far as an argument must know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Is {
    Folder,
    /// What can be read once.
    Pipe,
    Empty,
    Image,
    Squashfs,
    /// A tar archive, or packed data.
    Archive,
    Patch,
    PrivateKey,
    PublicKey,
    Program,
    Script,
    Text,
    /// Bytes that have a name, as a picture.
    Other,
    /// Bytes that have none.
    Unknown,
}

/// What an argument asks for (nothing where the command itself says what is wrong, as of images), what it takes, and what to do where it is something else. What is taken, and is wrong
/// all the same, is reported by what reads it.
struct Row {
    /// The commands, or none for all others.
    of: &'static [&'static str],
    ids: &'static [&'static str],
    wanted: &'static str,
    takes: &'static [Is],
    hint: &'static str,
}

/// The table of all arguments that name a file to read. A row for a command stands in front of one for all.
const ROWS: &[Row] = &[
    Row {
        of: &["try"],
        ids: &["key"],
        wanted: "a private key",
        takes: &[Is::PrivateKey, Is::Unknown],
        hint: "give the private key, as ~/.ssh/id_ed25519, whose public half is in the image",
    },
    Row {
        of: &[],
        ids: &["key"],
        wanted: "a public key",
        takes: &[Is::PublicKey, Is::PrivateKey, Is::Text, Is::Script, Is::Unknown],
        hint: "give the file of a public key, as ~/.ssh/id_ed25519.pub",
    },
    Row {
        of: &["check"],
        ids: &["file"],
        wanted: "a recipe",
        takes: &[Is::Text, Is::Unknown],
        hint: "give a recipe file in TOML: `remaster recipe schema` lists its keys",
    },
    Row {
        of: &[],
        ids: &["recipe"],
        wanted: "a recipe",
        takes: &[Is::Text, Is::Unknown],
        hint: "give a recipe file in TOML: `remaster recipe schema` lists its keys",
    },
    Row {
        of: &[],
        ids: &["users"],
        wanted: "a users file",
        takes: &[Is::Text, Is::Unknown],
        hint: "give a users file, as users.toml: `remaster stamp --help` shows its form",
    },
    Row {
        of: &[],
        ids: &["sign"],
        wanted: "a private key",
        takes: &[Is::PrivateKey, Is::PublicKey, Is::Unknown],
        hint: "give an ed25519 or ecdsa private key, or the .pub of a key that ssh-agent has",
    },
    Row {
        of: &[],
        ids: &["host_key"],
        wanted: "a private key",
        takes: &[Is::PrivateKey, Is::PublicKey, Is::Unknown],
        hint: "give `generate`, or make a key: ssh-keygen -t ed25519 -N '' -f FILE",
    },
    Row {
        of: &[],
        ids: &["host_key_seed"],
        wanted: "a secret",
        takes: &[Is::PrivateKey, Is::Script, Is::Text, Is::Other, Is::Unknown],
        hint: "make one: head -c 32 /dev/urandom > FILE",
    },
    Row {
        of: &[],
        ids: &["root_password_file", "nixos_password_file", "wifi_password_file"],
        wanted: "a file with a password",
        takes: &[Is::Script, Is::Text, Is::Unknown],
        hint: "give a text file with the password in its first line, or `-` for standard input",
    },
    Row {
        of: &[],
        ids: &["overlay"],
        wanted: "a folder or a tar archive",
        takes: &[Is::Folder, Is::Archive, Is::Unknown],
        hint: "give a folder, or a tar archive, plain or packed by gzip, xz or zstd",
    },
    Row {
        of: &[],
        ids: &["script"],
        wanted: "a script",
        takes: &[Is::Script, Is::Text, Is::Unknown],
        hint: "give a script that begins with `#!`; a program goes to --bin",
    },
    Row {
        of: &[],
        ids: &["run"],
        wanted: "a script or a program",
        takes: &[Is::Script, Is::Program, Is::Text, Is::Unknown],
        hint: "give a script that begins with `#!`, or a static program",
    },
    Row {
        of: &[],
        ids: &["bin"],
        wanted: "a program",
        takes: &[Is::Program, Is::Unknown],
        hint: "give a static program for 64 bits; a script goes to --script",
    },
    Row {
        of: &[],
        ids: &["unit"],
        wanted: "a systemd unit",
        takes: &[Is::Text, Is::Unknown],
        hint: "give a unit file, as backup.service",
    },
    Row {
        of: &[],
        ids: &["store"],
        wanted: "a squashfs",
        takes: &[Is::Squashfs, Is::Unknown],
        hint: "make one with `mksquashfs $(nix-store -qR PATH) FILE.squashfs`",
    },
    Row {
        of: &[],
        ids: &["sha256_file"],
        wanted: "a list of checksums",
        takes: &[Is::Text, Is::Unknown],
        hint: "give the file that is published beside the image, as nixos.iso.sha256",
    },
    Row {
        of: &["find", "ssh"],
        ids: &["known_hosts"],
        wanted: "a known_hosts file",
        takes: &[Is::Text, Is::Unknown],
        hint: "give the file that was written beside the image, as custom.iso.known_hosts",
    },
    Row {
        of: &["verify"],
        ids: &["manifest"],
        wanted: "a manifest",
        takes: &[Is::Text, Is::Unknown],
        hint: "give the file that `--manifest FILE` wrote when the image was made",
    },
    Row {
        of: &["verify"],
        ids: &["allowed_signers"],
        wanted: "a list of allowed signers",
        takes: &[Is::Text, Is::Unknown],
        hint: "give a file with lines as `alice@example.org ssh-ed25519 AAAA…`, as `ssh-keygen -Y verify -f` takes it",
    },
    Row {
        of: &[],
        ids: &["ca_file"],
        wanted: "a file with certificates",
        takes: &[Is::Text, Is::Unknown],
        hint: "give certificates in PEM, as /etc/ssl/certs/ca-certificates.crt has them",
    },
    Row {
        of: &[],
        ids: &["patch"],
        wanted: "a patch",
        takes: &[
            Is::Patch,
            Is::Empty,
            Is::Image,
            Is::Squashfs,
            Is::Archive,
            Is::PrivateKey,
            Is::PublicKey,
            Is::Program,
            Is::Script,
            Is::Text,
            Is::Other,
            Is::Unknown,
        ],
        hint: "give the file that `--as patch` wrote",
    },
    Row {
        of: &[],
        ids: &["base", "image", "medium", "against", "before", "after", "devices"],
        wanted: "",
        takes: &[],
        hint: "",
    },
];

/// Values in place of a path.
const NO_PATHS: [&str; 4] = ["-", "generate", "generate:rsa", "agent"];

/// Refuses what is surely not what its argument asks for, and what cannot be opened.
pub(super) fn check(command: &str, matches: &ArgMatches) -> Result<(), Error> {
    for id in matches.ids().map(clap::Id::as_str) {
        let Some(row) = row(command, id).filter(|row| !row.wanted.is_empty()) else {
            continue;
        };
        let given = matches.try_get_raw(id).ok().flatten();
        for word in given.into_iter().flatten() {
            judge(row, id, &word.to_string_lossy())?;
        }
    }
    Ok(())
}

fn row(command: &str, id: &str) -> Option<&'static Row> {
    let is_of =
        |row: &&Row| row.of.is_empty() && !is_output(command, id) || row.of.contains(&command);
    ROWS.iter().filter(is_of).find(|row| row.ids.contains(&id))
}

/// What is written in all commands but those that have a row of their own.
fn is_output(command: &str, id: &str) -> bool {
    ["manifest", "known_hosts"].contains(&id) && command != "verify"
}

fn judge(row: &Row, id: &str, word: &str) -> Result<(), Error> {
    let is_no_path =
        NO_PATHS.contains(&word) || word.starts_with("env:") || word.starts_with("fd:");
    let path = Path::new(word);
    if is_no_path {
        return Ok(());
    }
    match recognize(path) {
        // A word for --key may be the key itself.
        Err(_) if id == "key" && row.of.is_empty() => Ok(()),
        Err(refused) => {
            Err(Error::io(format!("open {word}, which should be {}", row.wanted))(refused))
        }
        // What is read once may come through a pipe; only of patches the beginning is looked at first.
        Ok(Some((Is::Pipe, _))) if row.wanted != "a patch" => Ok(()),
        Ok(Some((is, name))) if !row.takes.contains(&is) => {
            Err(usage(format!("{word} is {name}, not {}", row.wanted), row.hint.to_owned()))
        }
        Ok(_) => Ok(()),
    }
}

/// What there is at a path, and its name; none for a device.
fn recognize(path: &Path) -> io::Result<Option<(Is, String)>> {
    let about = fs::metadata(path)?;
    if about.is_dir() {
        return Ok(Some((Is::Folder, "a folder".into())));
    }
    if about.file_type().is_socket() {
        return Ok(Some((Is::Other, "a socket".into())));
    }
    if about.file_type().is_fifo() {
        return Ok(Some((Is::Pipe, "a FIFO".into())));
    }
    if !about.is_file() {
        return Ok(None);
    }
    let mut head = Vec::new();
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    Ok(Some(of_bytes(&head)))
}

fn of_bytes(head: &[u8]) -> (Is, String) {
    let named = |is: Is, name: &str| (is, name.to_owned());
    if head.is_empty() {
        return named(Is::Empty, "empty");
    }
    if let Some(format) = keys::private_format(head) {
        return (Is::PrivateKey, format!("a private key ({format})"));
    }
    if is_public_key(head) {
        return named(Is::PublicKey, "a public key");
    }
    if PatchFile::is_in(head) {
        return named(Is::Patch, "a patch");
    }
    if is_tar(head) || Packing::recognize(head) != Packing::Plain {
        return named(Is::Archive, "packed");
    }
    of_type(head, &FileType::recognize(head))
}

fn of_type(head: &[u8], file: &FileType) -> (Is, String) {
    let other = match file {
        FileType::Disk(disk) if head.starts_with(b"hsqs") => {
            return (Is::Squashfs, disk.name());
        }
        FileType::Disk(disk) => return (Is::Image, disk.name()),
        FileType::Other(other) => other.is(),
    };
    let name = other.strip_prefix("is ").unwrap_or(&other).to_owned();
    let is = match name.as_str() {
        _ if name.starts_with("not ") => Is::Unknown,
        "a program (ELF)" => Is::Program,
        "a script" => Is::Script,
        _ if std::str::from_utf8(head).is_ok() => Is::Text,
        _ => Is::Other,
    };
    (is, name)
}

#[cfg(test)]
mod tests {
    use clap::builder::ValueParser;

    use super::*;

    /// Arguments that name a file or folder to write to, or no file at all.
    const WRITTEN: [&str; 12] = [
        "file",
        "output",
        "to_file",
        "provenance",
        "sbom",
        "failures",
        "serial",
        "screenshot",
        "dir",
        "cache",
        "folder",
        "descriptor",
    ];

    /// What has more in it than a path, and is read by the library.
    const ELSEWHERE: [&str; 2] = ["recipe_file", "remove_key"];

    fn names_a_file(arg: &clap::Arg) -> bool {
        let is_path = arg.get_value_parser().type_id() == ValueParser::path_buf().type_id();
        let names = arg.get_value_names().unwrap_or_default();
        is_path
            || arg.get_action().takes_values()
                && names.iter().any(|name| {
                    ["FILE", "KEY", "SRC"].iter().any(|word| {
                        name.contains(word) && *name != "KEYMAP" && *name != "KEY=[OLD=]NEW"
                    })
                })
    }

    #[test]
    fn every_argument_that_names_a_file_has_a_row() {
        let mut program = crate::cli::program(crate::cli::help::Length::Long);
        program.build();
        let (mut missing, mut seen) = (Vec::new(), 0);
        let below = program.get_subcommands().flat_map(clap::Command::get_subcommands);
        for command in [&program].into_iter().chain(program.get_subcommands()).chain(below) {
            let name = command.get_name();
            for arg in command.get_arguments().filter(|arg| names_a_file(arg)) {
                let id = arg.get_id().as_str();
                let has_row = row(name, id).is_some() || is_output(name, id);
                seen += 1;
                if !has_row && !WRITTEN.contains(&id) && !ELSEWHERE.contains(&id) {
                    missing.push(format!("{name} {id}"));
                }
            }
        }
        assert!(seen > 50 && missing.is_empty(), "{seen}: {missing:?}");
    }
}
