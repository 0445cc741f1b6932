//! One table of all limits: a page that this test writes, from the constants in the source and the tests that hold them.
//! `REMASTER_UPDATE=1` writes it anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// How constants that are limits are called.
const NAMES: [&str; 4] = ["MOST", "LARGEST", "LONGEST", "DEEPEST"];

/// Limits, and the test that meets the bound. What is not here has none.
const HELD: [(&str, &str); 103] = [
    ("bases/cache.rs LARGEST", "a_record_is_read_up_to_its_limit"),
    ("bases/release.rs MOST_REDIRECTS", "so_many_redirects_are_followed"),
    ("cli/commands/find.rs MOST_TOLD", "so_many_impostors_are_told_of_and_each_once"),
    ("cli/commands/try_image/login.rs LONGEST", "an_answer_is_read_up_to_its_limit"),
    ("find/announcement.rs MOST_AT_ONCE", "so_many_announcements_are_read_at_a_time"),
    ("find/scan.rs LARGEST", "a_flood_is_cut_off_at_its_limits"),
    ("find/scan.rs MOST_ANNOUNCED", "a_flood_is_cut_off_at_its_limits"),
    ("find/scan.rs LONGEST", "an_address_has_its_time_and_no_more"),
    ("formats/apple_map.rs MOST", "so_many_entries_of_a_map_are_read"),
    ("formats/pe.rs MOST_SIGNATURES", "so_many_signatures_are_read"),
    ("image/unpack/xz_index.rs LARGEST", "what_is_looked_at_for_a_size_has_limits"),
    ("image/unpack/xz_index.rs MOST_PADDING", "what_is_looked_at_for_a_size_has_limits"),
    ("image/unpack/xz_index.rs MOST_STREAMS", "what_is_looked_at_for_a_size_has_limits"),
    ("image/unpack/zstd_frames.rs MOST_BLOCKS", "so_many_blocks_are_looked_at"),
    ("iso/survey/console.rs MOST", "a_store_has_so_many_files_at_most"),
    ("stamp/sign/agent.rs LARGEST", "an_answer_of_an_agent_is_read_up_to_its_limit"),
    (
        "target/holder.rs MOST_PROCESSES",
        "a_mount_of_another_process_is_found_by_the_number_of_its_device",
    ),
    ("bases/download.rs LARGEST", "a_file_has_so_many_bytes_at_most"),
    ("disk/ext4.rs LARGEST_DIRECTORY", "folders_and_extent_trees_are_looked_into_up_to_a_size"),
    ("disk/ext4.rs MOST_NODES", "folders_and_extent_trees_are_looked_into_up_to_a_size"),
    ("image/space.rs MOST", "a_volume_that_is_too_large_says_how_large_it_would_be"),
    ("image/unpack/unnamed.rs LARGEST", "so_much_may_come_behind_what_an_image_says_is_its_end"),
    ("iso/survey/esp.rs MOST_FILES", "so_many_files_and_folders_are_listed"),
    ("iso/survey/tree.rs MOST_EXTENTS", "a_file_has_so_many_extents_at_most"),
    ("iso/survey/volume.rs LONGEST_SET", "so_many_descriptors_of_a_set_are_looked_at"),
    ("live/files/archive.rs LARGEST", "an_archive_unpacks_to_so_much_at_most"),
    (
        "stamp/manifest/blocks.rs MOST_BLOCKS",
        "a_manifest_has_a_digest_for_each_block_and_so_many_at_most",
    ),
    ("bases/text.rs LONGEST", "a_text_has_so_many_bytes_and_so_much_time"),
    ("cli/remote_keys.rs MOST", "a_text_has_so_many_bytes_and_so_much_time"),
    ("stamp/oci_index.rs MOST_IMAGES", "a_layout_takes_so_many_users_and_no_more"),
    ("boot/entry_args.rs LONGEST_APPEND", "u_boot_takes_a_line_of_1023_bytes_and_no_variables"),
    ("iso/survey/tree.rs LARGEST", "no_input_takes_more_memory_than_is_set_aside"),
    ("live/files/overlay_tree.rs LARGEST", "no_input_takes_more_memory_than_is_set_aside"),
    ("live/files/mod.rs LARGEST_NAMES", "no_input_takes_more_memory_than_is_set_aside"),
    ("stamp/oci_index.rs LARGEST", "no_input_takes_more_memory_than_is_set_aside"),
    ("stamp/oci_index.rs LARGEST_HELD", "no_input_takes_more_memory_than_is_set_aside"),
    ("stamp/oci_index.rs LARGEST_ENTRY", "no_input_takes_more_memory_than_is_set_aside"),
    ("stamp/oci.rs LARGEST_MARKER", "no_input_takes_more_memory_than_is_set_aside"),
    ("stamp/oci.rs LARGEST_VALUES", "no_input_takes_more_memory_than_is_set_aside"),
    ("recipe/users.rs LARGEST_HELD", "no_input_takes_more_memory_than_is_set_aside"),
    ("recipe/users.rs LARGEST_USER", "no_input_takes_more_memory_than_is_set_aside"),
    ("recipe/users.rs LARGEST_TOML", "no_input_takes_more_memory_than_is_set_aside"),
    ("keys/mod.rs MOST_READ", "what_is_behind_the_limit_is_told_of"),
    ("netboot/added.rs MOST_ATTACHED", "an_initrd_takes_63_squashfs_files"),
    ("formats/boot_config/grub/mod.rs DEEPEST", "menus_within_menus_take_no_more_than_they_may"),
    (
        "formats/boot_config/script.rs LARGEST_ENTRIES",
        "menus_within_menus_take_no_more_than_they_may",
    ),
    ("formats/tar_limit.rs LARGEST", "a_long_name_is_taken_up_to_the_limit"),
    ("iso/survey/configs.rs LARGEST_SUM", "files_of_boot_loaders_have_a_sum_whose_names_all_count"),
    ("formats/boot_config/isolinux.rs LONGEST_LINE", "lines_are_as_long_as_isolinux_reads_them"),
    ("iso/survey/nixos.rs MOST_LISTS", "menus_have_a_number_of_lists_of_initrds"),
    ("boot/kernel_args.rs LONGEST_LABEL", "settings_are_taken_up_to_their_limits"),
    ("boot/kernel_args.rs LONGEST_NAME", "settings_are_taken_up_to_their_limits"),
    ("boot/kernel_args.rs LONGEST_TIMEOUT", "settings_are_taken_up_to_their_limits"),
    ("boot/entry_args.rs LONGEST_COMMAND_LINE", "a_line_of_2048_bytes_fits_and_one_more_does_not"),
    ("nearest.rs LONGEST", "the_nearest_name_is_found_and_none_for_what_is_far_or_long"),
    ("place.rs LONGEST_NAME", "a_wrong_output_is_reported_with_its_flag_and_nothing_is_written"),
    ("boot/stage_one.rs MOST_KEPT", "an_initrd_that_unpacks_to_much_is_refused_by_what_it_is"),
    ("boot/initrd.rs MOST_UNPACKED", "an_initrd_that_unpacks_to_much_is_refused_by_what_it_is"),
    (
        "find/announcement.rs LONGEST",
        "an_announcement_is_one_line_of_this_version_with_a_fingerprint_that_is_known",
    ),
    ("cli/earlier.rs LARGEST", "only_a_file_of_an_earlier_run_is_written_again"),
    ("find/known.rs LARGEST", "a_file_that_never_ends_is_refused_by_every_command"),
    ("formats/gpt.rs LARGEST_ARRAY", "a_partition_table_is_read_up_to_a_size"),
    ("formats/newc.rs LONGEST_NAME", "an_initrd_that_unpacks_to_much_is_refused_by_what_it_is"),
    ("formats/patch_file.rs LARGEST", "a_file_that_never_ends_is_refused_by_every_command"),
    ("formats/patch_file.rs LARGEST_LITERALS", "numbers_that_would_fill_the_memory_are_refused"),
    ("formats/patch_file.rs MOST_RUNS", "numbers_that_would_fill_the_memory_are_refused"),
    ("image/digest/published.rs LARGEST", "a_file_that_never_ends_is_refused_by_every_command"),
    ("iso/survey/esp.rs DEEPEST", "folders_of_a_boot_image_are_looked_into_up_to_a_depth"),
    ("iso/survey/esp_check.rs LARGEST_FAT", "a_fat_has_so_many_bytes_at_most_and_is_mirrored"),
    ("iso/survey/esp_check.rs LARGEST_FOLDER", "a_folder_has_so_many_bytes_at_most"),
    ("iso/survey/tree.rs DEEPEST", "what_is_sound_and_not_supported_is_called_that"),
    ("live/files/places.rs LONGEST", "names_and_paths_that_linux_does_not_take_are_refused"),
    ("live/files/units.rs LARGEST", "a_file_that_never_ends_is_refused_by_every_command"),
    ("live/input.rs LARGEST", "a_file_that_never_ends_is_refused_by_every_command"),
    (
        "live/network/mod.rs MOST_INTERFACES",
        "what_is_as_large_as_a_bound_is_taken_and_one_more_is_not",
    ),
    ("iso/injected.rs MOST_MEMBERS", "no_input_takes_more_memory_than_is_set_aside"),
    ("formats/undo.rs MOST_RANGES", "a_record_has_so_many_ranges_at_most"),
    ("live/password.rs LONGEST_HASH", "settings_are_taken_up_to_their_limits"),
    ("live/wifi.rs LONGEST_SSID", "settings_are_taken_up_to_their_limits"),
    ("recipe/document.rs LARGEST", "a_file_that_never_ends_is_refused_by_every_command"),
    ("recipe/users.rs LARGEST", "a_file_that_never_ends_is_refused_by_every_command"),
    ("stamp/batch/names.rs LONGEST", "names_that_lead_elsewhere_or_hide_are_refused"),
    ("stamp/descriptor.rs LARGEST", "a_descriptor_that_tells_something_else_makes_nothing"),
    ("stamp/manifest/mod.rs LARGEST", "a_file_that_never_ends_is_refused_by_every_command"),
    ("bases/http.rs LARGEST_PEM", "a_file_that_never_ends_is_refused_by_every_command"),
    (
        "formats/compression.rs LARGEST_WINDOW_LOG",
        "what_is_as_large_as_a_bound_is_taken_and_one_more_is_not",
    ),
    ("formats/ext4/extent.rs DEEPEST", "what_is_as_large_as_a_bound_is_taken_and_one_more_is_not"),
    ("formats/ext4/extent.rs LONGEST", "what_is_as_large_as_a_bound_is_taken_and_one_more_is_not"),
    (
        "formats/iso9660/path_table.rs MOST",
        "what_is_as_large_as_a_bound_is_taken_and_one_more_is_not",
    ),
    ("formats/unit_file.rs LONGEST", "a_unit_has_a_name_of_up_to_255_characters"),
    ("keys/remote.rs LONGEST_USER", "a_user_has_a_name_of_up_to_255_characters"),
    ("live/files/folder.rs DEEPEST", "what_is_as_large_as_a_bound_is_taken_and_one_more_is_not"),
    ("live/password.rs LONGEST", "a_password_has_up_to_511_bytes"),
    ("netboot/archive.rs MOST_MEMBERS", "what_is_as_large_as_a_bound_is_taken_and_one_more_is_not"),
    ("stamp/oci.rs LARGEST_MANIFEST", "what_is_as_large_as_a_bound_is_taken_and_one_more_is_not"),
    ("bases/download.rs MOST_GOES", "a_server_that_breaks_off_is_asked_up_to_five_times"),
    ("formats/ext4/inode.rs MOST_LINKS", "subdirectories_are_counted_up_to_64999_links"),
    (
        "formats/iso9660/rock_ridge.rs LONGEST_NAME",
        "a_name_of_250_bytes_fits_and_one_more_does_not",
    ),
    ("image/unpack/zstd_frames.rs LONGEST_HEADER", "headers_are_read_up_to_the_longest"),
    (
        "live/files/mod.rs LARGEST_IN_INITRD",
        "a_large_overlay_becomes_a_squashfs_the_same_each_time",
    ),
    ("live/files/overlay_tree.rs MOST_LINKS", "a_path_leads_through_up_to_40_links"),
    (
        "image/unpack/unnamed.rs MOST_BEHIND",
        "so_much_may_come_behind_what_an_image_says_is_its_end",
    ),
    ("stamp/sign/mod.rs LARGEST_KEY", "a_file_that_never_ends_is_refused_by_every_command"),
];

/// What reads up to a bound that its caller gives, the callers' limits, and the test that meets a bound there.
const SHARED: [(&str, &str, &[&str]); 5] = [
    ("newc::read", "so_much_of_a_file_is_kept", &["boot/initrd.rs LARGEST_SCRIPT"]),
    (
        "read_range",
        "what_is_as_large_as_a_bound_is_taken_and_one_more_is_not",
        &[
            "cli/commands/try_image/entry.rs LARGEST",
            "disk/injected.rs LARGEST",
            "iso/injected.rs LARGEST_PAYLOAD",
            "iso/injected.rs LARGEST_UNDO",
            "iso/plan/esp.rs LARGEST_HEAD",
            "iso/survey/directory.rs LARGEST",
            "iso/survey/configs.rs LARGEST",
            "iso/survey/loaders.rs LARGEST",
            "iso/survey/nixos.rs LONGEST_VERSION",
            "netboot/added.rs LARGEST_PAYLOAD",
        ],
    ),
    (
        "Esp::read",
        "what_is_as_large_as_a_bound_is_taken_and_one_more_is_not",
        &["iso/verify_boot_image.rs LARGEST_FILE"],
    ),
    (
        "Filesystem::file",
        "what_is_as_large_as_a_bound_is_taken_and_one_more_is_not",
        &["disk/survey.rs LARGEST"],
    ),
    (
        "bounded::read",
        "a_file_is_read_up_to_its_bound_and_what_has_no_end_is_refused",
        &[
            "bases/release.rs LARGEST_CHECKSUM",
            "image/digest/remembered.rs LARGEST",
            "cli/commands/try_image/given_key.rs LARGEST",
            "live/exposed.rs LARGEST_KEY",
            "netboot/tree.rs LARGEST_SCRIPT",
        ],
    ),
];

/// Why a limit has no test.
const WITHOUT: [(&str, &[&str]); 1] = [(
    "another limit is met before: Linux has the same",
    &["formats/ext4/directory.rs LONGEST_NAME", "live/files/folder.rs LARGEST_LIST"],
)];

/// The test that meets a limit, or why there is none.
fn test_of(name: &str) -> String {
    if let Some((_, test)) = HELD.iter().find(|(held, _)| *held == name) {
        return format!("`{test}`");
    }
    if let Some((reader, test, _)) = SHARED.iter().find(|(_, _, all)| all.contains(&name)) {
        return format!("as all of `{reader}`: `{test}`");
    }
    let reason = WITHOUT.iter().find(|(_, all)| all.contains(&name));
    reason.unwrap_or_else(|| panic!("{name}: no test, and no reason why not")).0.to_owned()
}

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

/// Values that others are made of.
const PARTS: [(&str, &str); 3] = [
    ("LARGEST_LITERALS", "268435456"),
    ("LOGICAL_BLOCK", "2048"),
    ("u64_of(text::LIMIT)", "1048576"),
];

/// A value as people read it.
fn shown(value: &str) -> String {
    if let Some(seconds) = value.strip_prefix("Duration::from_secs(") {
        return format!("{} s", seconds.trim_end_matches(')'));
    }
    let mut plain = value.to_owned();
    for (name, number) in PARTS {
        plain = plain.replace(name, number);
    }
    number(&plain).map_or_else(|| value.trim_matches('"').to_owned(), grouped)
}

/// What a sum comes to, as `5 + (32 << 20)`.
fn number(text: &str) -> Option<u64> {
    if let Some((first, second)) = text.split_once(" + ") {
        return number(first)?.checked_add(number(second)?);
    }
    let plain = text.trim_matches(['(', ')']).replace('_', "");
    match plain.split_once(" << ") {
        Some((number, shift)) => number.parse::<u64>().ok()?.checked_shl(shift.parse().ok()?),
        None => plain.parse().ok(),
    }
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
    let shared =
        SHARED.iter().flat_map(|(_, test, all)| all.iter().map(move |name| (*name, *test)));
    for (name, test) in HELD.into_iter().chain(shared) {
        assert!(limits.iter().any(|limit| limit.name == name), "no limit {name}");
        assert!(all.contains(&format!("fn {test}(")), "no test {test}");
    }
    for name in WITHOUT.iter().flat_map(|(_, all)| all.iter()) {
        assert!(limits.iter().any(|limit| limit.name == *name), "no limit {name}");
    }
    let mut page = "# Limits\n\nWhat `remaster` takes at most of what comes from outside. What is more is refused with the limit, or left unread\n\
        where it only tells more. The table comes from the source (`REMASTER_UPDATE=1 cargo test limits_table`); sizes are in\n\
        bytes. The last column has the test that meets the bound, or why there is none.\n\n| where | at most | of what | test |\n|---|---|---|---|\n"
        .to_owned();
    for Limit { name, what, value } in &limits {
        let (file, constant) = name.split_once(' ').unwrap();
        let test = test_of(name);
        let value = shown(value);
        writeln!(page, "| `{file}` `{constant}` | {value} | {what} | {test} |").unwrap();
    }
    let path = root().join("docs/reference/limits.md");
    if std::env::var_os("REMASTER_UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert!(fs::read_to_string(path).unwrap() == page, "REMASTER_UPDATE=1 cargo test limits_table");
}
