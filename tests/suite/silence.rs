//! A fault of this program says so: nothing empty and no number that was cut stands in for what is not there.

use std::fs;
use std::path::{Path, PathBuf};

/// What hides a fault, and what to write instead. A line counts together with the lines that a chain of calls has
/// before it.
const HIDING: [(&[&str], &str); 11] = [
    (&["env::var"], "environment::text, path or bytes"),
    (&["fs::read("], "bounded::read"),
    (&["fs::read_to_string("], "bounded::read_text"),
    (&[".get(", "unwrap_or_default()"], "checked::part"),
    (&[".get_mut(", "unwrap_or_default()"], "checked::part_mut"),
    (&["unwrap_or(&["], "checked::part"),
    (&["saturating_"], "checked::sum, difference or product; units::beyond where 0 is meant"),
    (&["serde_json::to_", "unwrap_or_default()"], "Error::bug"),
    (&["unwrap_or(u64::MAX)"], "checked::sum or an error"),
    (&[".extend(Patch::"], "push, of what `?` gives"),
    (&[".extend(ByteRange::"], "push, of what `?` gives"),
];

/// Where that hides nothing: a file or folder, what the line has, and why.
const ALLOWED: [(&str, &str, &str); 98] = [
    ("environment.rs", "env::var_os", "the one reader of variables"),
    ("formats/json.rs", "saturating_", "a sum with a limit: what is cut is beyond it"),
    ("iso/survey/tree.rs", "saturating_add", "a sum with a limit: what is cut is beyond it"),
    ("live/files/overlay_tree.rs", "saturating_", "a sum with a limit: what is cut is beyond it"),
    ("live/files/places.rs", "saturating_add", "a sum with a limit: what is cut is beyond it"),
    ("recipe/users.rs", "saturating_", "a sum with a limit: what is cut is beyond it"),
    ("stamp/oci_index.rs", "saturating_add", "a sum with a limit: what is cut is beyond it"),
    ("netboot/loads.rs", "saturating_", "how deep parentheses stand in a line"),
    ("bounded.rs", "most.saturating_add(1)", "a bound of 64 bits is none"),
    ("formats/elf.rs", "current_exe()", "a test"),
    ("units.rs", "saturating_", "numbers of 32 and 11 bits, text for people, and `beyond` itself"),
    (
        "bases/url.rs",
        "get(",
        "parts of a text that were found in it; an empty one reaches no server",
    ),
    ("few.rs", "more.saturating_add", "a count, for messages"),
    ("bases/download.rs", "goes.saturating_add", "a count of a few tries"),
    ("boot/scripted.rs", "line.len()", "a place in a text is not behind its end"),
    ("boot/stage_one.rs", "kept.saturating_add", "a sum with a limit: what is cut is beyond it"),
    ("boot/menu.rs", "saturating_mul(10)", "seconds of 16 bits"),
    ("disk/ext4.rs", "depth.saturating_add", "a depth is compared with a small number"),
    ("disk/survey.rs", "free_blocks()", "shown only"),
    (
        "flash/layout.rs",
        "self.at.saturating_add",
        "the trait's size has no error; the range was checked",
    ),
    ("flash/report.rs", "found.at.size()", "for messages"),
    ("flash/report.rs", "all.saturating_sub(other)", "for messages"),
    ("flash/report.rs", "d.at.size()", "for messages"),
    ("flash/restore.rs", "elapsed()", "a time, for messages"),
    ("formats/boot_config/", "saturating_", "places and lengths in a text are not behind its end"),
    ("formats/boot_config/mod.rs", "word.get(..=end)", "a word without a device"),
    ("formats/csv.rs", "saturating_", "counts of lines, for messages"),
    ("formats/elf.rs", "Malformed::short", "for messages"),
    ("formats/ext4/extent.rs", "saturating_sub", "each is guarded; no room is no room"),
    (
        "formats/ext4/superblock.rs",
        "saturating_",
        "factors of 32 bits, and numbers that `check` refuses",
    ),
    ("formats/fat.rs", "saturating_", "factors of 32 bits at the most"),
    ("formats/gpt.rs", "saturating_mul(128)", "a factor of 32 bits"),
    (
        "formats/iso9660/directory_record.rs",
        "saturating_",
        "places in a slice: one that is cut is not in it",
    ),
    (
        "formats/iso9660/directory_record.rs",
        "start",
        "a record may end before its System Use field",
    ),
    ("formats/iso9660/path_table.rs", "u64_len(rest)", "for messages"),
    ("formats/iso9660/rock_ridge.rs", "skipped", "a field that is shorter has no entries"),
    ("formats/isohybrid.rs", "saturating_mul", "factors of 32 bits at the most"),
    ("formats/mod.rs", "start.saturating_add", "for messages"),
    ("formats/patch_file.rs", "saturating_mul(RUN)", "a factor of 32 bits"),
    ("image/file_type/disk.rs", "VOLUME.saturating_add(1)", "constants"),
    ("image/unpack/unnamed.rs", "f_bavail", "more than 64 bits is room enough"),
    ("iso/plan/mod.rs", "renamed.get(", "an initrd in which nothing is renamed"),
    ("iso/survey/", "depth.saturating_add", "a depth is compared with a small number"),
    ("iso/survey/boot_catalog.rs", "sector_count()", "a factor of 16 bits"),
    ("iso/survey/volume.rs", "offset", "for messages"),
    ("live/facts.rs", "digits(word)", "a word without a number is release 0"),
    ("netboot/shell_lines.rs", "unwrap_or_default()", "a range that was found in the text"),
    ("netboot/ipxe_lines.rs", "saturating_add", "places in a text"),
    ("netboot/words.rs", "saturating_add", "places in a text"),
    ("recipe/document.rs", "saturating_", "lines and columns, for messages"),
    ("recipe/document.rs", "self.text.get", "a place for messages"),
    ("stamp/identity.rs", "descriptor.get(range)", "for messages"),
    ("stamp/sign/agent.rs", "body.get(4..)", "an empty answer is refused as a signature"),
    ("cli/help.rs", "line.len()", "columns of a help text"),
    ("cli/summary.rs", "files.count()", "shown only"),
    ("cli/printer.rs", "LOUDNESS.get()", "without a flag it is the usual loudness"),
    ("cli/progress.rs", "saturating_", "numbers that are shown while they change"),
    ("cli/slips/mod.rs", "end.saturating_add(own)", "a place in a text"),
    ("cli/slips/repeated.rs", "saturating_add", "places of words in a command line"),
    ("cli/commands/diff/mod.rs", "names.len()", "shown only"),
    ("cli/commands/find.rs", "begun.elapsed()", "of a time that is over nothing is left"),
    (
        "cli/commands/flash/mod.rs",
        "stamped_size",
        "behind an image that is smaller there is nothing",
    ),
    ("cli/commands/ssh.rs", "begun.elapsed()", "of a time that is over nothing is left"),
    ("cli/commands/ssh.rs", "signal.saturating_add(128)", "a number under 65"),
    ("cli/commands/stamp/reporter.rs", "saturating_", "counts of users"),
    ("cli/commands/try_image/screen.rs", "fs::read(&picture)", "a picture that our QEMU made"),
    ("find/announcement.rs", "message.get(..length)", "an empty message announces nothing"),
    ("find/scan.rs", "asked.len()", "a count, shown only"),
    ("inspect/iso.rs", "saturating_", "shown only"),
    ("inspect/diff/", "saturating_", "places in files that were found in an image, and counts"),
    ("keys/expiry.rs", "saturating_", "years, months and days, and places in a text"),
    ("keys/judge.rs", "number.get(zeros..)", "as many bytes were counted in it"),
    ("keys/judge.rs", "saturating_sub", "bits of the first byte, if there is one"),
    ("keys/refuse.rs", "min(256)", "no more than there are"),
    ("keys/source.rs", "LIMIT", "a constant"),
    ("netboot/loads.rs", "saturating_add", "places in a text"),
    ("image/unpack/archives.rs", "at.saturating_add(1)", "a number of a file, for messages"),
    ("live/remote_keys.rs", "index.saturating_add(1)", "an index of a list"),
    ("live/files/folder.rs", "depth.saturating_add(1)", "a depth is compared with a small number"),
    ("live/network/given.rs", "saturating_sub(prefix", "a prefix was judged; no bits are none"),
    ("live/network/mod.rs", "fixed.len()", "the index of the last one, which was just put there"),
    ("live/wifi.rs", "saturating_add(number)", "a number of a few bits"),
    ("netboot/shell_lines.rs", "saturating_add", "places and counts in a text"),
    ("netboot/tables.rs", "saturating_", "counts of lines"),
    ("stamp/batch/mod.rs", "saturating_", "counts of users"),
    ("stamp/sign/signers.rs", "at.saturating_add(1)", "a place in a text"),
    ("target/holder.rs", "fs::read", "who keeps a disk busy, shown only"),
    ("target/open.rs", "/proc/self/status", "without it new files are closed to all others"),
    ("cli/interrupt.rs", "/proc/self/status", "without it no signal is known to be ignored"),
    ("target/open.rs", "sysfs.join(", "a disk of which nothing is told is gone"),
    ("target/policy.rs", "(half)", "128 bits, and then 64 or none"),
    ("target/system.rs", "sectors.saturating_mul", "the kernel counts bytes in 64 bits"),
    ("target/system.rs", "fs::read(table)", "the kernel's own table of mounts"),
    ("target/system.rs", "fs::read(&areas)", "the kernel's own table of swap areas"),
    ("target/system.rs", "vpd_pg80", "a page of the kernel; without one there is no serial number"),
    ("target/system.rs", "run/udev/data", "what udev keeps of a disk"),
    ("target/system.rs", "&fs::read(path).ok()?", "a file of sysfs; without one nothing is told"),
    ("target/users.rs", "tail.get(3..)", "three digits were found in it"),
];

/// A line, with the lines before it that belong to the same chain of calls.
struct Chain {
    file: String,
    number: usize,
    text: String,
}

fn chains() -> Vec<Chain> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for path in files(&source) {
        let file = path.strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
        if file.ends_with("tests.rs") {
            continue;
        }
        found.extend(chains_of(&file, &fs::read_to_string(&path).unwrap()));
    }
    assert!(found.len() > 1000, "the sources were not found");
    found
}

/// The chains of a file that are not in its tests.
fn chains_of(file: &str, text: &str) -> Vec<Chain> {
    let code = text.split("#[cfg(test)]\nmod").next().unwrap();
    let mut found = Vec::new();
    let mut chain = String::new();
    for (number, line) in (1..).zip(code.lines().map(str::trim)) {
        if line.starts_with("//") {
            continue;
        }
        if !line.starts_with('.') {
            chain.clear();
        }
        chain.push_str(line);
        found.push(Chain { file: file.to_owned(), number, text: chain.clone() });
    }
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let below = folders.iter().flat_map(|folder| self::files(folder));
    files.into_iter().filter(|path| path.extension() == Some("rs".as_ref())).chain(below).collect()
}

/// What to write instead of what hides a fault in a chain, if something does.
fn hiding(text: &str) -> Option<&'static str> {
    let is_in = |pattern: &[&str]| pattern.iter().all(|part| text.contains(part));
    HIDING.into_iter().find(|(pattern, _)| is_in(pattern)).map(|(_, instead)| instead)
}

fn allows(allowed: &(&str, &str, &str), chain: &Chain) -> bool {
    let (place, text, _) = allowed;
    chain.file.starts_with(place) && chain.text.contains(text)
}

#[test]
fn nothing_empty_or_cut_stands_in_for_what_is_not_there() {
    let mut faults = Vec::new();
    for chain in chains() {
        let Some(instead) = hiding(&chain.text) else { continue };
        if !ALLOWED.iter().any(|allowed| allows(allowed, &chain)) {
            let Chain { file, number, text } = chain;
            faults.push(format!("src/{file}:{number}: use {instead}, or say why not: {text}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn everything_that_is_allowed_is_there() {
    let hiding: Vec<Chain> =
        chains().into_iter().filter(|chain| hiding(&chain.text).is_some()).collect();
    let stale = ALLOWED.iter().filter(|allowed| !hiding.iter().any(|chain| allows(allowed, chain)));
    let stale: Vec<_> = stale.collect();
    assert!(stale.is_empty(), "nothing is like this any more: {stale:?}");
}
