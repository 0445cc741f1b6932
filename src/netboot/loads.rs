//! Refuses scripts that start anything but the initrd that is edited, or start it with a command line that cannot be changed.

use crate::error::{Error, Result};
use crate::formats::boot_config::Entry;
use crate::formats::boot_config::script::{STARTED_BY_INITRD, passes_over};
use crate::netboot::is_initrd;

/// Options of `kexec` that name an initrd, and the one that takes the initrd that runs (kexec-tools, `kexec(8)`).
const INITRDS: [&str; 3] = ["initrd", "ramdisk", "reuseinitrd"];

/// Options of `kexec` for the kernel's command line (the same).
const COMMAND_LINES: [&str; 2] = ["command-line", "append"];

/// The one that takes that of the kernel that runs (the same).
const REUSED_LINE: &str = "reuse-cmdline";

/// Commands of iPXE that load an initrd.
const IPXE_INITRDS: [&str; 3] = ["initrd", "module", "imgfetch"];

/// Refuses a script that loads anything but `initrd`, which stands beside it.
pub(super) fn check_initrds(name: &str, bytes: &[u8], initrd: &str) -> Result<()> {
    let text = String::from_utf8_lossy(bytes);
    let is_ipxe = text.starts_with("#!ipxe");
    let loaded = if is_ipxe {
        ipxe_initrds(&text)
    } else if text.starts_with("#!") && text.contains("kexec") {
        shell_initrds(&text)
    } else {
        Vec::new()
    };
    // What an iPXE script of a folder calls it: the only file that it loads.
    let is_only = |name: &str| loaded.iter().all(|other| other == name) && is_initrd(name);
    let other = loaded.iter().find(|loaded| !is_beside(loaded, initrd));
    match other.filter(|other| !(is_ipxe && is_only(other))) {
        None => Ok(()),
        Some(other) => {
            let looked_for = format!("{initrd}, beside it, as the only initrd that it loads");
            Err(Error::unsupported(name, looked_for, other)
                .with_hint("change the script: another initrd starts without what is put in"))
        }
    }
}

/// Refuses command lines that cannot be changed, beside those that can, and those that start another program.
pub(super) fn check_lines(name: &str, text: &str, entries: &[Entry]) -> Result<()> {
    let mut words = entries.iter().flat_map(Entry::words);
    if let Some(word) = words.find(|word| passes_over(word)) {
        return Err(Error::unsupported(name, STARTED_BY_INITRD, format!("`{word}`"))
            .with_hint("take it out of the script"));
    }
    if !options(text, &[REUSED_LINE]).is_empty() {
        let found = format!("--{REUSED_LINE}");
        return Err(Error::unsupported(name, "command lines as quoted text", found)
            .with_hint("write the command line into the script: that of the kernel that runs starts another system"));
    }
    let lines = options(text, &COMMAND_LINES);
    let lines = lines.into_iter().filter(|line| line.contains("init="));
    let unread: Vec<&str> = lines.filter(|line| !is_read(text, line, entries)).collect();
    match unread.as_slice() {
        [] => Ok(()),
        [line, ..] => Err(Error::unsupported(name, "command lines as quoted text", *line)),
    }
}

/// Whether a command line is that of an entry: its parameters stand there, or in `kernelParams`.
fn is_read(text: &str, line: &str, entries: &[Entry]) -> bool {
    let Some(start) = line.as_ptr().addr().checked_sub(text.as_ptr().addr()) else {
        return false;
    };
    let end = start.saturating_add(line.len());
    let words = || entries.iter().flat_map(|entry| &entry.arguments);
    let is_here = words().any(|word| word.at.start >= start && word.at.end <= end);
    is_here || ["$kernelParams", "${kernelParams}"].iter().any(|name| line.contains(name))
}

/// The rest of the line behind each of the options in a shell script.
fn options<'t>(text: &'t str, names: &[&str]) -> Vec<&'t str> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let rests = lines.flat_map(|line| {
        let places = line.match_indices("--").map(|(at, found)| at.saturating_add(found.len()));
        places.filter_map(|at| line.get(at..))
    });
    let behind = |rest: &'t str| {
        let ends = |c: char| !(c.is_alphanumeric() || c == '-');
        let (option, rest) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
        // `getopt_long` takes the beginning of a name for it.
        let is_meant = names.iter().any(|name| !option.is_empty() && name.starts_with(option));
        is_meant.then_some(rest)
    };
    rests.filter_map(behind).collect()
}

/// What a shell script gives to the options of `kexec` that name initrds, without quotes.
fn shell_initrds(text: &str) -> Vec<String> {
    let value = |rest: &str| {
        let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
        word_of(rest).trim_end_matches(';').replace(['"', '\''], "")
    };
    options(text, &INITRDS).into_iter().map(value).collect()
}

/// The word that a shell text begins with: up to a blank outside of `$(…)`.
fn word_of(text: &str) -> &str {
    let mut open: usize = 0;
    let end = text.find(|c: char| {
        match c {
            '(' => open = open.saturating_add(1),
            ')' => open = open.saturating_sub(1),
            _ => {}
        }
        c.is_whitespace() && open == 0
    });
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// The names of the files that an iPXE script loads as initrds.
fn ipxe_initrds(text: &str) -> Vec<String> {
    let place = |line: &str| {
        let mut words = line.split_whitespace();
        let is_load = words.next().is_some_and(|command| IPXE_INITRDS.contains(&command));
        let mut place = words.next().filter(|_| is_load)?;
        while place.starts_with('-') {
            if ["n", "name"].contains(&place.trim_start_matches('-')) {
                words.next();
            }
            place = words.next()?;
        }
        let name = place.rsplit('/').next().unwrap_or(place);
        Some(name.rsplit('}').next().unwrap_or(name).to_owned())
    };
    text.lines().filter_map(place).collect()
}

/// Whether a path is that of the initrd in the folder of the script, which a variable has.
fn is_beside(loaded: &str, initrd: &str) -> bool {
    let (folder, name) = loaded.rsplit_once('/').unwrap_or((".", loaded));
    let is_command = folder.starts_with("$(") && folder.ends_with(')');
    let is_variable = is_command || folder.starts_with('$') && !folder.contains('/');
    name == initrd && (folder == "." || is_variable)
}

#[cfg(test)]
mod tests {
    use crate::netboot::script::Script;

    /// The line that starts the kernel in `run` of nixos-images.
    const RUN: &str = "if ! sh -c \"'$SCRIPT_DIR/kexec' --load '$SCRIPT_DIR/bzImage' \\\n  $flags \\\n  --initrd='$SCRIPT_DIR/initrd' --no-checks \\\n  --command-line 'init=$init $kernelParams'\"\nthen\n";

    fn told(lines: &str, initrd: &str) -> String {
        let text = format!("#!/bin/sh\ninit=\"/nix/store/x/init\"\nkernelParams=\"a\"\n{lines}");
        let read = Script::read("run", text.as_bytes(), initrd);
        read.map_or_else(|fault| fault.to_string(), |script| format!("{}", script.is_some()))
    }

    #[test]
    fn scripts_that_load_the_initrd_beside_them_are_taken() {
        for (lines, initrd) in [
            (RUN, "initrd"),
            (
                "kexec --load ${SCRIPT_DIR}/bzImage \\\n  --initrd=${SCRIPT_DIR}/initrd.zst \\\n  --command-line \"init=/x/init a\"\nkexec -e\n",
                "initrd.zst",
            ),
            (
                "kexec --load ./bzImage --initrd ./initrd.gz --command-line=\"init=$init $kernelParams\"; x\n",
                "initrd.gz",
            ),
            ("# kexec --initrd=other\necho --initrd-size\n", "initrd"),
            ("kexec --initrd=initrd; tee --append x\n", "initrd"),
        ] {
            assert_eq!(told(lines, initrd), "true", "{lines}");
        }
        let ipxe = "#!ipxe\nkernel bzImage init=/x/init initrd=initrd\ninitrd http://a/initrd\n";
        assert!(Script::read("x", ipxe.as_bytes(), "initrd").unwrap().is_some());
    }

    #[test]
    fn scripts_that_start_anything_else_are_refused() {
        for (lines, words) in [
            (RUN.replace("/initrd'", "/stock'"), "found $SCRIPT_DIR/stock"),
            (RUN.replace("$SCRIPT_DIR/initrd", "/boot/initrd"), "found /boot/initrd"),
            (
                RUN.replace("$SCRIPT_DIR/initrd", "$SCRIPT_DIR/x/initrd"),
                "found $SCRIPT_DIR/x/initrd",
            ),
            (format!("{RUN}kexec -l x --ramdisk=stock\n"), "found stock"),
            (format!("{RUN}kexec -l x --reuseinitrd\n"), "as the only initrd"),
            (
                RUN.replace("--initrd=", "--initr=").replace("/initrd'", "/stock'"),
                "found $SCRIPT_DIR/stock",
            ),
            (format!("{RUN}kexec -l x --ram stock\n"), "found stock"),
            (format!("{RUN}kexec -l x --reuse-cmdline\n"), "found --reuse-cmdline"),
            (format!("{RUN}kexec -l x --comm='init=/x'\n"), "command lines as quoted text"),
            (
                format!("kernelParams=\"$kernelParams rdinit=/x\"\n{RUN}"),
                "set once, found `kernelParams=\"$kernelParams rdinit=/x\"`",
            ),
            (format!("{RUN}kexec --initrd \"$OTHER\"\n"), "found $OTHER"),
            (
                format!("{RUN}kexec --command-line \"init=/x $more\"\n"),
                "command lines as quoted text",
            ),
            (format!("{RUN}kexec --append='init=/x'\n"), "command lines as quoted text"),
            (format!("{RUN}kexec --command-line \"init=/x rdinit=/sh\"\n"), "found `rdinit=/sh`"),
        ] {
            assert!(told(&lines, "initrd").contains(words), "{lines}: {}", told(&lines, "initrd"));
        }
        for (text, words) in [
            ("#!ipxe\nkernel bzImage init=/x/init\ninitrd initrd\ninitrd other\n", "found other"),
            ("#!ipxe\nkernel bzImage init=/x/init rdinit=/sh\n", "found `rdinit=/sh`"),
            ("#!/bin/sh\nkexec --initrd=stock\n", "found stock"),
        ] {
            let fault = Script::read("x", text.as_bytes(), "initrd").unwrap_err().to_string();
            assert!(fault.contains(words), "{fault}");
        }
    }

    #[test]
    fn a_word_of_a_shell_ends_at_a_blank_outside_of_a_command() {
        for (text, word) in [
            ("/a/b c", "/a/b"),
            ("$(dirname \"$0\")/initrd --x", "$(dirname \"$0\")/initrd"),
            ("/a", "/a"),
            ("", ""),
        ] {
            assert_eq!(super::word_of(text), word);
        }
        assert!(super::is_beside("$(dirname $0)/initrd", "initrd"));
        assert!(!super::is_beside("$(dirname $0)/x/initrd", "initrd"));
        let names = super::ipxe_initrds("initrd --name initrd ${base}initrd\ninitrd other.img\n");
        assert_eq!(names, ["initrd", "other.img"]);
    }
}
