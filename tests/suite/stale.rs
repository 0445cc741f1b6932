//! What an earlier run wrote beside an output, and a later one does not write again, is named by every command.

use std::fs;

use ssh_key::LineEnding;

use crate::support::{Folder, TINY, key, pair};

/// How the names of files end that stand beside an image.
const BESIDE: [&str; 6] = [
    ".known_hosts",
    ".manifest.json",
    ".manifest.json.sig",
    ".provenance.json",
    ".sbom.json",
    ".descriptor.json",
];

/// What is told of a file that is about something else, and of one that may be.
const NOTES: [&str; 2] =
    ["was there before and does not belong to", "was there before and may be of an earlier image"];

fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    folder.write("other.pub", key(2).as_bytes());
    folder.write("signer", pair(3).to_openssh(LineEnding::LF).unwrap().as_bytes());
    folder.write("users.toml", b"[[user]]\nname = 'a'\nkey = 'key.pub'\n");
    folder.run(&["base.iso", "--key", "key.pub", "-o", "keyed.iso"]).done();
    folder.run(&["base.iso", "--key", "key.pub", "--as", "patch", "-o", "patch"]).done();
    folder
}

/// A command, the file that it makes, and the endings that it writes itself.
type Row = (&'static [&'static str], &'static str, &'static [&'static str]);

const ROWS: &[Row] = &[
    (&["base.iso", "--key", "key.pub", "-f", "-o", "out"], "out", &[]),
    (&["base.iso", "--key", "key.pub", "--as", "patch", "-f", "-o", "out"], "out", &[]),
    (
        &["base.iso", "--key", "key.pub", "--host-key", "generate", "-f", "-o", "out"],
        "out",
        &[".known_hosts"],
    ),
    (
        &["base.iso", "--key", "key.pub", "--manifest", "out.manifest.json", "-f", "-o", "out"],
        "out",
        &[".manifest.json"],
    ),
    (
        &[
            "base.iso",
            "--key",
            "key.pub",
            "--sign",
            "signer",
            "--manifest",
            "out.manifest.json",
            "--provenance",
            "out.provenance.json",
            "--sbom",
            "out.sbom.json",
            "-f",
            "-o",
            "out",
        ],
        "out",
        &[".manifest.json", ".manifest.json.sig", ".provenance.json", ".sbom.json"],
    ),
    (&["reset", "keyed.iso", "-f", "-o", "out"], "out", &[]),
    (&["apply", "base.iso", "patch", "-f", "-o", "out"], "out", &[]),
    (&["flash", "keyed.iso", "--to-file", "out"], "out", &[]),
    (&["flash", "base.iso", "--patch", "patch", "--to-file", "out"], "out", &[]),
    (
        &["flash", "base.iso", "--host-key", "generate", "--to-file", "out"],
        "out",
        &[".known_hosts"],
    ),
    // The file of host keys stays right where these are not touched.
    (&["edit", "--in-place", "keyed.iso", "--key", "other.pub"], "keyed.iso", &[".known_hosts"]),
    (&["reset", "--in-place", "keyed.iso"], "keyed.iso", &[]),
    (&["netboot", "base.iso", "--key", "key.pub", "-f", "-o", "nb"], "nb", &[]),
    (&["stamp", "base.iso", "users.toml", "-f", "-o", "out"], "out/a.iso", &[]),
    (
        &[
            "stamp",
            "base.iso",
            "users.toml",
            "--manifest",
            "--host-key",
            "generate",
            "-f",
            "-o",
            "out",
        ],
        "out/a.iso",
        &[".manifest.json", ".known_hosts"],
    ),
    (
        &["stamp", "base.iso", "users.toml", "--as", "patch", "--descriptor", "-f", "-o", "out"],
        "out/a.remaster",
        &[".descriptor.json"],
    ),
];

#[test]
fn every_file_that_is_not_written_anew_is_named_and_stays() {
    for (command, output, written) in ROWS {
        let folder = folder();
        if output.contains('/') {
            fs::create_dir(folder.at("out")).unwrap();
        }
        // What holds no host keys is kept by every command.
        let key = key(9).split(' ').take(2).collect::<Vec<_>>().join(" ");
        let keys = format!("nixos {key}\n");
        let old = |ending| if ending == ".known_hosts" { keys.as_bytes() } else { b"old" };
        for ending in BESIDE {
            folder.write(&format!("{output}{ending}"), old(ending));
        }
        let ended = folder.run(command);
        assert_eq!(ended.status, 0, "{command:?}: {}", ended.err);
        for ending in BESIDE {
            let is_told = ended.err.lines().any(|line| {
                NOTES.iter().any(|note| line.contains(note))
                    && (line.contains(&format!("{output}{ending} "))
                        || line.contains(&format!("with {ending} ")))
            });
            assert_eq!(is_told, !written.contains(&ending), "{command:?} {ending}: {}", ended.err);
            let is_old = folder.read(&format!("{output}{ending}")) == old(ending);
            let is_kept = is_told || ending == ".known_hosts" && command[0] == "edit";
            assert_eq!(is_old, is_kept, "{command:?} {ending}");
        }
    }
}

#[test]
fn a_signature_of_another_manifest_is_named() {
    let folder = folder();
    let make = ["base.iso", "--key", "key.pub", "--manifest", "m.json", "-f", "-o", "out"];
    folder.run(&[&make[..], &["--sign", "signer"]].concat()).done();
    let ended = folder.run(&make);
    assert!(ended.err.contains(&format!("m.json.sig {}", NOTES[0])), "{}", ended.err);
}

#[test]
fn a_first_run_names_nothing() {
    let ended = folder().run(&["base.iso", "--key", "key.pub", "-o", "out"]);
    assert!(!ended.err.contains("was there before"), "{}", ended.err);
}
