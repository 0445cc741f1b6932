//! What the program makes of an error: the hint, with its own flags and commands, and the exit status.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use remaster::error::{Advice, Error, Material};
use remaster::few::Few;
use remaster::keys::KeyError;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::shell::shell_quote;
use super::slips;

/// The exit status of the program that ends with this error (listed in `remaster --help`).
pub(super) fn exit_code(fault: &Error) -> u8 {
    match fault.plain() {
        Error::Io { .. }
        | Error::HalfEdited { .. }
        | Error::NoThread { .. }
        | Error::NotFound { .. }
        | Error::Denied { .. }
        | Error::Medium { .. }
        | Error::Network { .. } => 1,
        Error::Usage { .. } | Error::Recipe { .. } | Error::Key(_) => 2,
        Error::Differs { .. }
        | Error::OtherImage { .. }
        | Error::Smaller { .. }
        | Error::WrongBase { .. }
        | Error::Changed { .. }
        | Error::OtherKeys { .. }
        | Error::Signature { .. }
        | Error::Checksum { .. } => 3,
        Error::Malformed { .. }
        | Error::NotAnImage { .. }
        | Error::Truncated { .. }
        | Error::Unsupported { .. }
        | Error::Unsound { .. }
        | Error::NoRoom { .. }
        | Error::FullEsp { .. } => 4,
        Error::Unsafe { .. } => 5,
        Error::Users { .. } => 11,
        // EX_SOFTWARE of sysexits.h.
        Error::Bug { .. } => 70,
        // Of the error in it.
        Error::But { fault, .. } => exit_code(fault),
        Error::Interrupted | Error::Declined { .. } => 130,
    }
}

/// What the user can do about it, as a full imperative sentence without stop.
pub(super) fn hint(fault: &Error) -> Option<String> {
    match fault.plain() {
        Error::Io { source, .. } | Error::Key(KeyError::Io { source, .. }) => {
            of_system(source).map(str::to_owned)
        }
        Error::Key(fault) => fault.hint(),
        Error::HalfEdited { image, source } => Some(finish_edit(image, source)),
        _ => match fault.advice() {
            Some(advice) => Some(words(advice).into_owned()),
            None => of_kind(fault.plain()).map(str::to_owned),
        },
    }
}

/// What finishes an edit in place, and what to do before where the operating system refused.
fn finish_edit(image: &Path, source: &io::Error) -> String {
    let before = match source.kind() {
        io::ErrorKind::StorageFull => "free some space, then ",
        _ if Errno::from_io_error(source) == Some(Errno::FBIG) => "raise `ulimit -f`, then ",
        _ => "",
    };
    format!("{before}finish it with `remaster edit --recover {}`", shell_quote(image))
}

/// The hint that fits every error of this kind.
fn of_kind(fault: &Error) -> Option<&'static str> {
    Some(match fault {
        Error::Unsound { .. } => {
            "give the image as it was published, or make it again with tables that fit, as `xorriso -boot_image any replay` does"
        }
        Error::NoRoom { .. } => "give fewer or smaller edits, or an image with more room",
        Error::FullEsp { .. } => {
            "give --merge-initrd and no changes of menus: that leaves the UEFI boot image alone"
        }
        Error::NoThread { .. } => {
            // A thread gets memory of its own (pthread_create(3)).
            if getrlimit(Resource::As).current.is_some() {
                "raise `ulimit -v`, which limits memory here, or `ulimit -u`; `remaster stamp` takes fewer threads by --jobs"
            } else {
                "raise `ulimit -u`, or end other programs; `remaster stamp` takes fewer threads by --jobs"
            }
        }
        Error::OtherImage { .. } => {
            "compare with the image that was written, or write this one with `remaster flash`"
        }
        Error::Smaller { .. } => {
            "give the image that was written; a file that is smaller was not copied to its end"
        }
        Error::OtherKeys { .. } => {
            "ask whose keys they are by another way; then give each fingerprint to --expect-fingerprint"
        }
        Error::WrongBase { .. } => {
            "give the base that the digest or patch was made for, or download it again"
        }
        Error::Changed { .. } => "wait until nothing writes to that file, then start again",
        Error::Users { .. } => {
            "fix the errors above, then run it again with --resume (keeps what is done) or --skip-existing (also replaces other files)"
        }
        Error::Bug { .. } => "add the command to the report, and which image it was given",
        _ => return None,
    })
}

/// What is meant by a word for a disk that is not there: a name without its folder, that of another system, a new file.
fn path_of_device(name: &str) -> String {
    let path = Path::new(name);
    let in_dev = Path::new("/dev").join(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let is_drive = name.get(1..).is_some_and(|rest| [":", ":\\", ":/"].contains(&rest));
    if is_drive || name.starts_with("\\\\") {
        return "disks are called so on Windows: this program runs on Linux, where `remaster devices` lists them".into();
    }
    let number = name.trim_start_matches('r').strip_prefix("disk").unwrap_or_default();
    if number.starts_with(|c: char| c.is_ascii_digit()) {
        return "disks are called so on macOS: this program runs on Linux, where `remaster devices` lists them".into();
    }
    if !name.contains('/') && (in_dev.exists() || slips::is_disk_name(path)) {
        return format!("give a path, as `/dev/{name}`; `remaster devices` lists disks");
    }
    let is_mounted = ["/media", "/mnt", "/run/media"].iter().any(|above| path.starts_with(above));
    if name.contains(['.', '/']) && folder.is_none_or(Path::is_dir) && !is_mounted {
        let name = shell_quote(path);
        return format!("`remaster devices` lists disks; `--to-file {name}` writes to a file");
    }
    "give the path of a disk, as `remaster devices` lists them".into()
}

/// What to do where a file is damaged.
fn get_again(material: Material) -> &'static str {
    match material {
        Material::Image => {
            "compare the SHA-256 of the image with the published one, and download it again"
        }
        Material::Patch => {
            "get the patch again from where it was made, by `--as patch`: it is damaged or not all there"
        }
        Material::Descriptor => {
            "get it again from where it was made, by `remaster stamp --as patch --descriptor`"
        }
        Material::Layout => {
            "get the layout again from where it was made, by `remaster stamp --as oci`"
        }
        Material::Tree => "make it again, or get it again from where it was made",
    }
}

/// What to do where a file is sound and is not understood.
fn other_one(material: Material) -> &'static str {
    match material {
        Material::Image => {
            "give an official NixOS installer ISO of 23.11 or later; if this is one, report it with this message"
        }
        Material::Patch => "give a patch that `--as patch` wrote",
        Material::Descriptor => {
            "give a descriptor that `remaster stamp --as patch --descriptor` wrote"
        }
        Material::Layout => "give a layout that `remaster stamp --as oci` wrote",
        Material::Tree => {
            "give an installer ISO, or what nixpkgs makes for netboot or kexec: a folder or tar archive with bzImage and initrd"
        }
    }
}

/// What to do where the operating system refused.
fn of_system(source: &io::Error) -> Option<&'static str> {
    if Errno::from_io_error(source) == Some(Errno::FBIG) {
        return Some(
            "write to a filesystem that takes files of this size (FAT: less than 4 GiB), or raise `ulimit -f`",
        );
    }
    match Errno::from_io_error(source) {
        Some(Errno::LOOP) => return Some("check the path: links in it lead in a circle"),
        Some(Errno::MFILE) => return Some("raise `ulimit -n`"),
        _ => {}
    }
    match source.kind() {
        io::ErrorKind::QuotaExceeded => {
            Some("your quota is used up: free some of it, or write to another filesystem")
        }
        io::ErrorKind::InvalidFilename => Some("give a shorter name"),
        io::ErrorKind::StorageFull => Some("free some space, or write to another filesystem"),
        io::ErrorKind::PermissionDenied => Some("check the permissions of the file and its folder"),
        io::ErrorKind::NotFound => Some("check the path"),
        io::ErrorKind::IsADirectory => Some("give the path of a file, not of a folder"),
        io::ErrorKind::NotADirectory => Some("check the path: a file stands where a folder should"),
        io::ErrorKind::ReadOnlyFilesystem => Some("write to another filesystem"),
        _ => None,
    }
}

/// An advice of the library in the words of this program. Every one of them is here, or this does not compile.
#[expect(clippy::too_many_lines, reason = "a table: one advice, one text")]
pub(super) fn words(advice: &Advice) -> Cow<'_, str> {
    let text = match advice {
        Advice::Words(words) => return words.as_ref().into(),
        Advice::OrWriteUnseen(first) => {
            return format!("{}; `remaster flash --any` writes it all the same", words(first))
                .into();
        }
        Advice::PathOfDevice(name) => return path_of_device(name).into(),
        Advice::GetAgain(material) => get_again(*material),
        Advice::OtherOne(material) => other_one(*material),
        Advice::NewerProgram => {
            "a newer version of remaster made it: use that version, or one that is newer still"
        }
        Advice::Unpack(command) => {
            return format!("unpack it with `{command} FILE`, and give what comes out").into();
        }
        Advice::ImageOfArchive => {
            "unpack it with `tar -xf FILE`, and give the image in it; a tarball for kexec is taken by `remaster FILE`, `remaster netboot FILE` and `remaster inspect FILE`"
        }
        Advice::ImageOfInitrd => {
            "give the ISO or disk image that it belongs to; `remaster netboot` and `remaster inspect` take the folder with it and its kernel, too"
        }
        Advice::NameUser(names) if names.is_empty() => {
            "give another layout: this one has no image with a name"
        }
        Advice::NameUser(names) => {
            let names: Few = names.iter().collect();
            return format!("give one of those to --name that it has: {names}").into();
        }
        Advice::FileNotFolder => {
            "give the path of an image file; `remaster netboot` and `remaster inspect` take folders, too"
        }
        Advice::NameCache => "give a folder to --cache",
        Advice::AllowFetching(name) => {
            return format!("fetch it with `remaster base fetch {name}`, or leave --offline out")
                .into();
        }
        Advice::OtherServer => "try again later, or set REMASTER_MIRROR to another server",
        Advice::SlowServer => {
            "try again later, or set REMASTER_MIRROR to another server; `remaster base fetch --timeout` waits longer"
        }
        Advice::GoneFromServer => {
            "see on https://nixos.org/download whether the channel is still offered, or set REMASTER_MIRROR to another server"
        }
        Advice::NameAuthority => {
            "check the clock; if the server's certificate is signed by an authority of your own, name its certificates in SSL_CERT_FILE"
        }
        Advice::FetchAgain => {
            "`remaster base fetch` fetches it again, `remaster base remove` removes it"
        }
        Advice::NameInCatalog => "take a name that `remaster base list` shows",
        Advice::FetchImage => {
            "fetch it first, as with `curl -fLO URL`; `curl -fL URL | remaster flash - DEVICE` writes it as it comes"
        }
        Advice::PlugIn => "plug the stick in, and look with `remaster devices`",
        Advice::PlugInAgain => "plug it in again and look with `remaster devices`",
        Advice::PlugInOrFileElsewhere => {
            "plug it in, and see `remaster devices`; no file is made below /dev"
        }
        Advice::FileElsewhere => {
            "give the path of a file elsewhere; see `remaster devices` for disks"
        }
        Advice::WhichDisk => "see `remaster devices` for the disk that you mean",
        Advice::LookAgain => "look with `remaster devices` and start again",
        Advice::FlashAgain => "flash it again: `remaster flash IMAGE DEVICE`",
        Advice::FlashAnew => "write the image again with `remaster flash`",
        Advice::FlashBase => {
            "write the base with `remaster flash`, which does not need the stick's own"
        }
        Advice::WriteToDisk => "leave out `--to-file` to write to a disk",
        Advice::LargerOrExact => {
            "take a larger stick, or leave the backup GPT where it is with `--exact`"
        }
        Advice::AllowUnmounting => "unmount it, or let this program do it with `--unmount`",
        Advice::AllowFixed => {
            "if it is meant, give `--allow-fixed` with `--expect-serial` or `--expect-size`"
        }
        Advice::BlocksOf(size) => {
            return format!(
                "take a stick with blocks of {size} bytes; `remaster flash --any` writes it all the same"
            )
            .into();
        }
        Advice::WholeOrUnpacked => {
            "save it unpacked to a file first and give its path, or leave out `--delta`"
        }
        Advice::SkipProbe => "give it back to the seller, or write it anyway with `--no-probe`",
        Advice::FinishReset => {
            "run `remaster reset --in-place` on it again, or write an image with `remaster flash`"
        }
        Advice::FinishEdit => "finish it with `remaster edit --recover IMAGE`",
        Advice::BaseOfPatch => {
            "give its base, and the patch with it: `remaster flash BASE --patch FILE DEVICE`, or `remaster apply BASE FILE -o IMAGE`"
        }
        Advice::KeyAsKey => {
            "give an image there; a command that puts a key in takes it with `--key`"
        }
        Advice::ImageOfList => "give the image that it lists, and the list with `--sha256-file`",
        Advice::OtherOutput => "give another path to -o",
        Advice::OtherOutputOrReplace => {
            "give another path to -o, or --force to replace what was written there before"
        }
        Advice::OtherPathOrReplace => {
            "give another path, remove the file, or replace it with --force"
        }
        Advice::FileOrPipe => {
            "give the path of a file to -o, `-o -` for a pipe, or use `remaster flash` for a device"
        }
        Advice::StandardOutput => "give the path of a file; nothing is made below /dev",
        Advice::ShorterName => "give a shorter name",
        Advice::SkipExistingOrOtherFolder => {
            "replace it by --skip-existing, or give another folder to -o"
        }
        Advice::OtherFolder => "give another folder to -o, or --skip-existing or --force",
        Advice::OtherUserName => "give the user another name, or another --name-template",
        Advice::TellUsersApart => {
            "give one of them another name, or use {name} or {index} in --name-template"
        }
        Advice::OneImageOrUsers => {
            "make that image with `remaster BASE --recipe FILE -o OUT`, or give each machine a user"
        }
        Advice::RecipeOfOneImage => {
            "put it into a file, and give that to --recipe of `remaster BASE`"
        }
        Advice::RecipeForm => "see `remaster recipe schema` for what can be written there",
        Advice::UnknownKey { key, close, of } => {
            return slips::key_meant(key, *of)
                .or(close.as_ref().map(|name| format!("did you mean `{name}`?")))
                .map_or_else(|| slips::keys_of(*of).into(), Cow::from);
        }
        Advice::IsUsers => {
            "give it to `remaster stamp BASE FILE -o FOLDER`, which makes an image for each user"
        }
        Advice::IsRecipe => {
            "give it to --recipe, for all users; or write `[[user]]` and a `name` in front of what is one user's"
        }
        Advice::UsersForm => "see `remaster stamp --help` for the form of users files",
        Advice::GiveKey => "give a public key to --key, or see --help for what else there is",
        Advice::KeyAgain => "give a key to --key, or --no-key to make an image without one",
        Advice::NoKeyThere => "leave --remove-key out",
        Advice::ReplaceAll => "give --replace, and everything that the image is to have",
        Advice::OneOrReplaceAll => {
            "leave out one of them, or give --replace and everything that the image is to have"
        }
        Advice::AgainOrReplaceAll => {
            "give it again, too, or --replace with everything that the image is to have"
        }
        Advice::SameEntriesOrReplaceAll => {
            "choose the same entries by --entry (all without it), or give --replace with all arguments and everything else that the image is to have"
        }
        Advice::MergeInitrd => "give --merge-initrd, which leaves the UEFI boot image where it is",
        Advice::ReportOrCredential => {
            "report this image with this message; meanwhile `--inject credential` puts short keys for root on the kernel's command line, and nothing else"
        }
        Advice::ShellOrCredential => {
            "give an installer whose stage 1 has one (`boot.initrd.systemd.shell.enable`); `--inject credential` puts short keys for root on the kernel's command line, and nothing else"
        }
        Advice::CompareOrDigests => {
            "give the image that it should equal to --against; an image stamped with --manifest-digests needs no other one. `remaster inspect` checks what holds an image together"
        }
    };
    text.into()
}
