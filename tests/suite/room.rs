//! Filesystems without room, and systems without /proc: what is written comes whole, with all that belongs to it, or not at
//! all.

use std::collections::BTreeMap;

use crate::journals;
use crate::netboot::kexec;
use crate::support::{Folder, TINY, in_namespace, key, pair};

fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    folder.write("signer", pair(1).to_openssh(ssh_key::LineEnding::LF).unwrap().as_bytes());
    folder.write("users.toml", b"[[user]]\nname = 'u'\nkey = 'key.pub'\n");
    folder.run(&["base.iso", "--key", "key.pub", "-o", "s.iso"]).quietly();
    folder.run(&["base.iso", "--key", "key.pub", "-o", "p", "--as", "patch"]).quietly();
    folder.run(&["netboot", "base.iso", "-o", "stock"]).quietly();
    folder.write("kexec.tar", &kexec(&folder.read("stock/initrd")));
    folder.write("base.iso.zst", &zstd::encode_all(TINY.as_slice(), 1).unwrap());
    std::fs::create_dir(folder.at("fs")).unwrap();
    folder
}

/// What a command left in `fs`: its status, what it said, and the files with their sums.
struct Left {
    status: i32,
    said: String,
    files: BTreeMap<String, String>,
}

/// Runs commands below shell, each after `before`, in namespaces of their own. None where there are no such.
fn left(folder: &Folder, before: &str, line: &str, after: &str) -> Option<Left> {
    let script = format!(
        "R=$0; {before}; status=0; $R {line} >said 2>&1 || status=$?; cat said; {after}; \
         echo; echo == $status; cd fs; find . -type f -exec sha256sum {{}} +"
    );
    let output = in_namespace(folder, &script)?;
    let text = String::from_utf8(output.stdout).unwrap();
    let (said, rest) = text.rsplit_once("\n== ").unwrap_or_else(|| {
        panic!("{line}: {text}{}", String::from_utf8_lossy(&output.stderr));
    });
    let (status, files) = rest.split_once('\n').unwrap();
    let files = files.lines().map(|line| line.split_once("  ./").unwrap());
    let files = files.map(|(sum, name)| (name.to_owned(), sum.to_owned())).collect();
    Some(Left { status: status.parse().unwrap(), said: said.to_owned(), files })
}

/// A filesystem of so many pages of 4 KiB.
fn small(pages: u32) -> String {
    format!("mount -t tmpfs -o size={}k tmpfs fs", pages * 4)
}

/// Commands, and how many files are there in the end. The last pages that they need are taken away one by one.
const WHOLE: [(&str, usize); 6] = [
    (
        "base.iso --key key.pub --host-key generate -o fs/a.iso --sign signer --manifest fs/m.json --provenance fs/p.json --sbom fs/s.json",
        6,
    ),
    ("base.iso --key key.pub --host-key generate --as patch -o fs/a.patch", 2),
    ("kexec.tar --key key.pub --host-key generate -o fs/a.tar", 2),
    ("netboot base.iso --key key.pub --host-key generate -o fs/boot", 4),
    (
        "stamp base.iso users.toml --host-key generate --manifest --provenance --sbom --sign signer -o fs/users",
        6,
    ),
    ("apply base.iso p -o fs/a.iso", 1),
];

#[test]
fn on_a_full_disk_an_image_and_what_belongs_to_it_are_written_or_nothing_is() {
    let folder = folder();
    for (line, count) in WHOLE {
        let Some(whole) = left(&folder, &small(2000), line, "du -k fs >used") else { return };
        assert_eq!((whole.status, whole.files.len()), (0, count), "{line}: {}", whole.said);
        let used = String::from_utf8(folder.read("used")).unwrap();
        let used = used.lines().last().unwrap().split('\t').next().unwrap().parse::<u32>().unwrap();
        let mut ends = [0, 0];
        for pages in (used / 4).saturating_sub(14).max(1)..=(used / 4 + 2) {
            let found = left(&folder, &small(pages), line, ":").unwrap();
            let is_done = found.status == 0;
            ends[usize::from(is_done)] += 1;
            let expected = if is_done { count } else { 0 };
            assert_eq!(found.files.len(), expected, "{line}: {:?}: {}", found.files, found.said);
            let is_told = is_done || found.said.contains("No space left on device");
            assert!(is_told, "{line}: {}", found.said);
        }
        assert!(ends.iter().all(|count| *count > 0), "{line}: {ends:?}");
    }
}

#[test]
fn on_a_full_disk_or_below_a_limit_an_image_is_edited_in_place_whole_or_not_at_all() {
    let folder = folder();
    let line = "edit --in-place fs/e.iso --key key.pub --host-key generate";
    let mut before: Vec<String> = (270..900)
        .step_by(21)
        .map(|pages| format!("{}; cp base.iso fs/e.iso", small(pages)))
        .collect();
    // In blocks of 512 bytes.
    before.extend(
        (200..7000)
            .step_by(400)
            .map(|blocks| format!("{}; cp base.iso fs/e.iso; ulimit -f {blocks}", small(2000))),
    );
    let old = format!("{}  ", remaster::image::digest::Digest::of_bytes(&TINY));
    let mut ends = [0, 0];
    for before in before {
        let Some(found) = left(&folder, &before, line, ":") else { return };
        let image = &found.files["e.iso"];
        let is_done = found.status == 0;
        ends[usize::from(is_done)] += 1;
        assert_eq!(old.trim_end() != image, is_done, "{before}: {}", found.said);
        let names: Vec<&str> = found.files.keys().map(String::as_str).collect();
        let expected = if is_done { &["e.iso", "e.iso.known_hosts"][..] } else { &["e.iso"] };
        assert_eq!(names, expected, "{before}: {}", found.said);
        let words = ["No space left on device", "File too large"];
        let is_told = words.iter().any(|words| found.said.contains(words));
        assert!(is_done || is_told && found.status == 1, "{before}: {}", found.said);
    }
    assert!(ends.iter().all(|count| *count > 0), "{ends:?}");
}

#[test]
fn an_edit_that_cannot_be_finished_says_so_and_the_command_that_finishes_it() {
    let folder = folder();
    let (old, new) = (TINY.len(), TINY.len() + (256 << 10));
    let more = vec![7; new - old];
    let [old, new] = [old, new].map(|size| u64::try_from(size).unwrap());
    folder.write("journal", &journals::journal(old, new, &[(old, &[], &more)]));
    let before = "mount -t tmpfs -o size=1600k tmpfs fs; cp base.iso fs/a.iso; cp journal fs/.a.iso.remaster-journal; \
        chmod 600 fs/.a.iso.remaster-journal; dd if=/dev/zero of=fs/full bs=64k 2>/dev/null || :";
    let after = "rm fs/full; sh -c \"$(sed -n 's/^hint: .*finish it with `\\(.*\\)`$/\\1/p' said | sed \"s:^remaster:$R:\")\"; cat fs/a.iso >new";
    let Some(found) = left(&folder, before, "edit --recover fs/a.iso", after) else { return };
    assert_eq!(found.status, 1, "{}", found.said);
    for words in
        ["a.iso is half edited\ncause: No space left", "hint: free some space, then finish"]
    {
        assert!(found.said.contains(words), "{}", found.said);
    }
    assert_eq!(found.files.len(), 1, "{}", found.said);
    assert!(folder.read("new") == [TINY.as_slice(), &more].concat(), "{}", found.said);
}

/// Commands that write below `fs`, in which there is `e.iso`, a stamped image.
const WITHOUT_PROC: [&str; 12] = [
    "base.iso --key key.pub -o fs/a.iso",
    "base.iso --key key.pub -f -o fs/e.iso --manifest fs/m.json",
    "base.iso.zst --key key.pub -o fs/a.iso",
    "base.iso --key key.pub --as patch -o fs/a.patch",
    "kexec.tar --key key.pub -o fs/a.tar",
    "apply base.iso p -o fs/a.iso",
    "reset s.iso -o fs/a.iso",
    "reset --in-place fs/e.iso",
    "edit --in-place fs/e.iso --hostname box",
    "netboot base.iso --key key.pub -o fs/boot",
    "stamp base.iso users.toml -o fs/users",
    "flash base.iso.zst --to-file fs/a.img",
];

#[test]
fn without_proc_everything_is_written_as_with_it() {
    let folder = folder();
    let modes = "find fs -type f -printf '%m %P\\n' | sort >modes";
    for line in WITHOUT_PROC {
        let with = left(&folder, "cp s.iso fs/e.iso", line, modes);
        let Some(with) = with else { return };
        let known = folder.read("modes");
        let _ = std::fs::remove_dir_all(folder.at("fs"));
        std::fs::create_dir(folder.at("fs")).unwrap();
        let hidden = "cp s.iso fs/e.iso; mount -t tmpfs tmpfs /proc";
        let without = left(&folder, hidden, line, modes).unwrap();
        assert_eq!((with.status, without.status), (0, 0), "{line}: {}", without.said);
        assert_eq!(with.files, without.files, "{line}");
        assert_eq!(known, folder.read("modes"), "{line}");
        let _ = std::fs::remove_dir_all(folder.at("fs"));
        std::fs::create_dir(folder.at("fs")).unwrap();
    }
}
