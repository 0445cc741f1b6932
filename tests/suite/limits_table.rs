//! One table of all limits: a page that this test writes, from the constants in the source and the tests that hold them.
//! `REMASTER_UPDATE=1` writes it anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// How constants that are limits are called.
const NAMES: [&str; 4] = ["MOST", "LARGEST", "LONGEST", "DEEPEST"];

/// Limits, and the test that meets the bound. What is not here has none.
const HELD: [(&str, &str); 26] = [
    ("boot/kernel_args.rs LONGEST_LABEL", "settings_are_taken_up_to_their_limits"),
    ("boot/kernel_args.rs LONGEST_NAME", "settings_are_taken_up_to_their_limits"),
    ("boot/kernel_args.rs LONGEST_TIMEOUT", "settings_are_taken_up_to_their_limits"),
    ("boot/menu.rs LONGEST_COMMAND_LINE", "a_line_of_2048_bytes_fits_and_one_more_does_not"),
    ("boot/stage_one.rs MOST_KEPT", "an_initrd_that_unpacks_to_much_is_refused_by_what_it_is"),
    ("boot/stage_one.rs MOST_UNPACKED", "an_initrd_that_unpacks_to_much_is_refused_by_what_it_is"),
    ("find/known.rs LARGEST", "a_file_that_never_ends_is_refused_by_every_command"),
    ("formats/gpt.rs LARGEST_ARRAY", "a_partition_table_is_read_up_to_a_size"),
    ("formats/newc.rs LONGEST_NAME", "an_initrd_that_unpacks_to_much_is_refused_by_what_it_is"),
    ("formats/patch_file.rs LARGEST", "a_file_that_never_ends_is_refused_by_every_command"),
    ("formats/patch_file.rs LARGEST_LITERALS", "numbers_that_would_fill_the_memory_are_refused"),
    ("formats/patch_file.rs MOST_RUNS", "numbers_that_would_fill_the_memory_are_refused"),
    ("image/digest/published.rs LARGEST", "a_file_that_never_ends_is_refused_by_every_command"),
    ("iso/survey/esp.rs DEEPEST", "folders_of_a_boot_image_are_looked_into_up_to_a_depth"),
    ("iso/survey/tree.rs DEEPEST", "what_is_sound_and_not_supported_is_called_that"),
    ("live/files/places.rs LONGEST", "names_and_paths_that_linux_does_not_take_are_refused"),
    ("live/files/units.rs LARGEST", "a_file_that_never_ends_is_refused_by_every_command"),
    ("live/input.rs LARGEST", "a_file_that_never_ends_is_refused_by_every_command"),
    ("live/password.rs LONGEST_HASH", "settings_are_taken_up_to_their_limits"),
    ("live/wifi.rs LONGEST_SSID", "settings_are_taken_up_to_their_limits"),
    ("recipe/document.rs LARGEST", "a_file_that_never_ends_is_refused_by_every_command"),
    ("recipe/users.rs LARGEST", "a_file_that_never_ends_is_refused_by_every_command"),
    ("stamp/batch/names.rs LONGEST", "names_that_lead_elsewhere_or_hide_are_refused"),
    ("stamp/descriptor.rs LARGEST", "a_descriptor_that_tells_something_else_makes_nothing"),
    ("stamp/manifest/mod.rs LARGEST", "a_file_that_never_ends_is_refused_by_every_command"),
    ("stamp/sign/mod.rs LARGEST_KEY", "a_file_that_never_ends_is_refused_by_every_command"),
];

/// A limit.
struct Limit {
    /// The file, and the constant.
    name: String,
    what: String,
    value: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.extension().and_then(|ending| ending.to_str()) {
            _ if path.is_dir() => sources(&path, found),
            Some("rs") => found.push(path),
            _ => {}
        }
    }
}

/// A constant of a line, as `const MOST: usize = 5;`: its name and its value.
fn constant(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.split_once("const ")?;
    let (name, rest) = rest.split_once(':')?;
    let is_limit = |limit: &str| name == limit || name.starts_with(&format!("{limit}_"));
    NAMES.into_iter().any(is_limit).then_some(())?;
    Some((name, rest.split_once(" = ")?.1.strip_suffix(';')?))
}

/// The limits of a file, each with its comment.
fn limits(path: &Path) -> Vec<Limit> {
    let text = fs::read_to_string(path).unwrap();
    let file = path.strip_prefix(root().join("src")).unwrap().display().to_string();
    let mut comment: Vec<&str> = Vec::new();
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(more) = line.trim_start().strip_prefix("/// ") {
            comment.push(more);
            continue;
        }
        if let Some((name, value)) = constant(line) {
            let what = comment.join(" ");
            assert!(!what.is_empty(), "{file}: {name} has no comment");
            found.push(Limit { name: format!("{file} {name}"), what, value: value.to_owned() });
        }
        comment.clear();
    }
    found
}

/// A value as people read it: sizes in bytes where they are powers of two.
fn shown(value: &str) -> String {
    let plain = value.replace('_', "");
    if let Some((number, shift)) = plain.split_once(" << ")
        && let (Ok(number), Ok(shift)) = (number.parse::<u64>(), shift.parse::<u32>())
    {
        return grouped(number << shift);
    }
    plain.parse().map_or_else(|_| value.to_owned(), grouped)
}

/// A number with commas.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let chunks: Vec<&str> =
        digits.as_bytes().rchunks(3).map(|chunk| std::str::from_utf8(chunk).unwrap()).collect();
    chunks.into_iter().rev().collect::<Vec<_>>().join(",")
}

#[test]
fn the_page_of_limits_is_what_the_source_says() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    sources(&root().join("tests"), &mut files);
    let all: String = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut sources_only: Vec<_> =
        files.into_iter().filter(|path| path.starts_with(root().join("src"))).collect();
    sources_only.sort();
    let limits: Vec<Limit> = sources_only.iter().flat_map(|path| limits(path)).collect();
    for (name, test) in HELD {
        assert!(limits.iter().any(|limit| limit.name == name), "no limit {name}");
        assert!(all.contains(&format!("fn {test}(")), "no test {test}");
    }
    let mut page = "# Limits\n\nWhat `remaster` takes at most of what comes from outside. What is more is refused with the limit, or left unread\n\
        where it only tells more. The table comes from the source (`REMASTER_UPDATE=1 cargo test limits_table`); sizes are in\n\
        bytes. The last column has the test that meets the bound.\n\n| where | at most | of what | test |\n|---|---|---|---|\n"
        .to_owned();
    for Limit { name, what, value } in &limits {
        let (file, constant) = name.split_once(' ').unwrap();
        let test = HELD
            .iter()
            .find(|(held, _)| held == name)
            .map_or(String::new(), |(_, test)| format!("`{test}`"));
        let value = shown(value);
        writeln!(page, "| `{file}` `{constant}` | {value} | {what} | {test} |").unwrap();
    }
    let path = root().join("docs/reference/limits.md");
    if std::env::var_os("REMASTER_UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert!(fs::read_to_string(path).unwrap() == page, "REMASTER_UPDATE=1 cargo test limits_table");
}
