//! Settings are called in messages as the user gave them: by the flag of the command, or by the key of the file. That each
//! flag has its name is a test beside `cli::settings`, by the parser's own list.

use crate::support::{Folder, TINY, key};

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", format!("{}\n", key(1)).as_bytes());
    folder.write("private", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END");
    folder.write("motd", b"hello\n");
    folder.write("r.toml", b"file = 'motd'\n");
    folder.write("entry.toml", b"entry = 'x'\nkey = 'key.pub'\n");
    folder
}

/// What is refused, with `FILE` for the flag of the setting `file`, and what is said.
const FILES: &[(&str, &str)] = &[
    ("FILE motd", "FILE: \"motd\" has no path in the live system that begins with `/`"),
    ("FILE= --key key.pub", "FILE: \"\" has no path in the live system that begins with `/`"),
    ("FILE private:/srv/a", "FILE: /srv/a is a private key"),
    ("FILE - --key key.pub", "does not read standard input for FILE"),
    ("FILE motd:/etc/a:9", "FILE: 9 is not a mode"),
    ("FILE motd:/srv/a/", "FILE: /srv/a/ is a folder"),
    ("--key key.pub --unit motd", "go below /etc/systemd/system.control by FILE"),
    ("--key key.pub --allow-secrets", "has no effect without --overlay or FILE"),
    ("--key key.pub --address wg0=10.0.0.2/24", "`FILE wg0.nmconnection:"),
    // What is wrong with a file is answered by keys of files, and not by flags.
    ("--recipe entry.toml", "hint: give `karg`, `karg-delete` or `karg-replace` with it"),
    (
        "--recipe r.toml",
        "error: r.toml:1:8: file: \"motd\" has no path in the live system that begins with `/`",
    ),
];

#[test]
fn a_setting_with_another_name_in_a_command_is_called_by_that_name() {
    let folder = folder();
    for (line, told) in FILES {
        for (start, end, flag) in [
            ("base.iso", "-o out", "--file"),
            ("flash base.iso", "--to-file out", "--root-file"),
            ("netboot base.iso", "-o out", "--file"),
        ] {
            let line = format!("{start} {line} {end}").replace("FILE", flag);
            folder.run(&words(&line)).refused(2, &told.replace("FILE", flag));
        }
    }
    for (line, told) in [
        ("base.iso --file motd:/srv/a -f -o motd", "--output motd and --file motd"),
        (
            "flash base.iso --root-file motd:/srv/a --force --to-file motd",
            "--to-file motd and --root-file motd",
        ),
    ] {
        folder.run(&words(line)).refused(2, &format!("{told} name the same file"));
    }
}

#[test]
fn flash_lists_what_has_no_effect_by_its_own_names() {
    let folder = folder();
    folder.run(&words("base.iso --key key.pub --as patch -o p.remaster")).done();
    let line = "flash base.iso --patch p.remaster --root-file motd:/etc/a --to-file out";
    folder
        .run(&words(line))
        .refused(2, "--patch puts in all that there is in the patch, and --root-file would");
}

#[test]
fn the_name_of_menu_entries_is_called_menu_name_in_a_users_file() {
    let folder = folder();
    let users = "name,key,menu-name\na,key.pub,A\nb,key.pub,>\n";
    folder.write("u.csv", users.as_bytes());
    let stamp = words("stamp base.iso u.csv -o out --failures failed");
    let ended = folder.run(&stamp);
    assert_eq!(ended.status, 11, "{}", ended.err);
    let told = "u.csv:3, column 3: menu-name: \">\" has '>' in it";
    let failed = String::from_utf8(folder.read("failed")).unwrap();
    let told_json = told.replace('"', "\\\"");
    assert!(ended.err.contains(told) && failed.contains(&told_json), "{} {failed}", ended.err);
    let ended = folder.run(&words("stamp base.iso u.csv --name N -o other"));
    let told = "--name has no effect: every user has menu-name of its own";
    assert!(ended.status == 2 && ended.err.contains(told), "{}", ended.err);
}
