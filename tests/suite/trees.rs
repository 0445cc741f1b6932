//! Folders for netboot and tar archives for kexec that are changed again: what of before goes, what stays, and what
//! `inspect` tells of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::netboot::{RUN, entries, kexec};
use crate::support::{Ended, Folder, SD, TINY, key};

/// A folder with a stock tree of both kinds: `nb` and `kexec.tar`.
fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    for (number, name) in [(1, "a.pub"), (2, "b.pub")] {
        folder.write(name, format!("{} {name}\n", key(number)).as_bytes());
    }
    folder.write("sd.img", &SD);
    folder.run(&["netboot", "base.iso", "-o", "nb"]).quietly();
    folder.write("kexec.tar", &kexec(&folder.read("nb/initrd")));
    folder
}

/// What starts by itself, by the command that makes one of another, and the script with its command line.
const KINDS: [(&str, &[&str]); 2] = [("nb", &["netboot"]), ("kexec.tar", &[])];

/// A kind of tree and where it is.
struct Tree<'a> {
    folder: &'a Folder,
    command: &'static [&'static str],
}

impl Tree<'_> {
    /// Makes one of another.
    fn change(&self, from: &str, to: &str, flags: &[&str]) -> Ended {
        self.folder.run(&[self.command, &[from, "-f", "-o", to], flags].concat())
    }

    /// The text of its script.
    fn script(&self, name: &str) -> String {
        let bytes = match self.command {
            [] => entries(&self.folder.read(name)).into_iter().nth(2).unwrap().5,
            _ => self.folder.read(&format!("{name}/netboot.ipxe")),
        };
        String::from_utf8(bytes).unwrap()
    }

    fn inspect(&self, name: &str) -> String {
        self.folder.run(&["inspect", name]).done()
    }
}

const CREDENTIAL: [&str; 2] = ["--inject", "credential"];

/// How often a credential is set.
fn credentials(script: &str) -> usize {
    script.matches("systemd.set_credential").count()
}

#[test]
fn keys_on_a_command_line_give_way_to_whatever_is_put_in() {
    // What is put in, how many credentials there are then, and who may log in.
    let rows: [(&[&str], usize, &str); 4] = [
        (&["--key", "b.pub", "--inject", "credential"], 1, "b.pub"),
        (&["--key", "b.pub"], 0, "b.pub"),
        (&["--hostname", "foo", "--no-key"], 0, "nobody"),
        (&["--karg", "foo=1", "--no-key"], 0, ""),
    ];
    let folder = folder();
    for (stock, command) in KINDS {
        let tree = Tree { folder: &folder, command };
        tree.change(stock, "keyed", &[&["--key", "a.pub"], &CREDENTIAL[..]].concat()).done();
        let shown = tree.inspect("keyed");
        assert!(shown.contains("ssh login: root and nixos with ") && shown.contains("a.pub"));
        for (flags, count, login) in rows {
            let ended = tree.change("keyed", "out", flags);
            let told = "a.pub is not given again: it is taken out";
            assert!(ended.status == 0 && ended.err.contains(told), "{flags:?}: {}", ended.err);
            let script = tree.script("out");
            assert_eq!(credentials(&script), count, "{flags:?}: {script}");
            let shown = tree.inspect("out");
            let logins: Vec<&str> =
                shown.lines().filter(|line| line.starts_with("ssh login: ")).collect();
            assert_eq!(logins.len(), usize::from(!login.is_empty()), "{flags:?}: {shown}");
            assert!(logins.iter().all(|line| line.contains(login)), "{flags:?}: {shown}");
        }
        for flags in [["--hostname", "foo"], ["--karg", "foo=1"]] {
            tree.change("keyed", "out", &flags).refused(2, "nobody could log in by key");
        }
        // The same again is the same.
        let same = tree.change("keyed", "out", &[&["--key", "a.pub"], &CREDENTIAL[..]].concat());
        assert!(same.status == 0 && !same.err.contains("taken out"), "{}", same.err);
        assert_eq!(tree.script("out"), tree.script("keyed"));
        let _ = fs::remove_dir_all(folder.at("keyed"));
        let _ = fs::remove_dir_all(folder.at("out"));
        let _ = fs::remove_file(folder.at("keyed"));
        let _ = fs::remove_file(folder.at("out"));
    }
}

#[test]
fn a_folder_that_is_copied_keeps_the_keys_on_its_command_line() {
    let folder = folder();
    let keyed = [&["netboot", "nb", "-o", "keyed", "--key", "a.pub"], &CREDENTIAL[..]].concat();
    folder.run(&keyed).done();
    folder.run(&["netboot", "keyed", "-o", "copy"]).quietly();
    assert_eq!(folder.read("copy/netboot.ipxe"), folder.read("keyed/netboot.ipxe"));
}

#[test]
fn two_credentials_of_one_name_in_a_script_all_go_if_they_are_keys() {
    let folder = folder();
    let tree = Tree { folder: &folder, command: &["netboot"] };
    tree.change("nb", "keyed", &[&["--key", "a.pub"], &CREDENTIAL[..]].concat()).done();
    tree.change("nb", "other", &[&["--key", "b.pub"], &CREDENTIAL[..]].concat()).done();
    let (script, other) = (tree.script("keyed"), tree.script("other"));
    let second = other.split(' ').find(|word| word.starts_with("systemd.set_c")).unwrap();
    let both = script.replace(" ${cmdline}", &format!(" {second} ${{cmdline}}"));
    assert_eq!(credentials(&both), 2);
    folder.write("keyed/netboot.ipxe", both.as_bytes());
    let shown = tree.inspect("keyed");
    assert!(shown.contains("a.pub") && !shown.contains("b.pub"), "the first counts: {shown}");
    tree.change("keyed", "out", &["--key", "b.pub"]).done();
    assert_eq!(credentials(&tree.script("out")), 0);
}

/// What messages call keys that a command line carries.
const KEYS: &str = "the keys on the kernel's command line";

/// A credential of the user's.
const OWN: &str = "systemd.set_credential=tmpfiles.extra:x";

#[test]
fn a_second_credential_of_one_name_is_refused_for_every_kind_of_image() {
    let folder = folder();
    folder.write("users.toml", b"[[user]]\nname = 'u'\n");
    let ways: [&[&str]; 9] = [
        &["base.iso", "-o", "out"],
        &["base.iso", "--as", "patch", "-o", "out"],
        &["base.iso", "-n"],
        &["sd.img", "-o", "out"],
        &["kexec.tar", "-o", "out"],
        &["netboot", "base.iso", "-o", "out"],
        &["netboot", "nb", "-o", "out"],
        &["flash", "base.iso", "--to-file", "out"],
        &["edit", "--in-place", "copy.iso"],
    ];
    folder.write("copy.iso", &TINY);
    let cause =
        "both set the credential tmpfiles.extra, and systemd takes only the first of one name";
    let keys = [&["--key", "a.pub"], &CREDENTIAL[..]].concat();
    for way in ways {
        let by_key = [way, &keys, &["--karg", OWN]].concat();
        folder.run(&by_key).err_says(2, &format!("--karg and {KEYS}: {cause}"));
        for off in ["systemd.import_credentials=no", "rd.systemd.import-credentials=0"] {
            let told = [way, &keys, &["--karg", off]].concat();
            folder.run(&told).err_says(2, &format!("{off} in the entry "));
        }
        let dashed = "systemd.set-credential=tmpfiles.extra:y";
        let by_two = [way, &["--karg", OWN, "--karg", dashed]].concat();
        folder.run(&by_two).err_says(2, &format!("--karg and --karg: {cause}"));
        assert!(!folder.at("out").exists(), "{way:?}");
    }
    let batch =
        [&["stamp", "base.iso", "users.toml", "-o", "o", "--karg", OWN], &keys[..]].concat();
    folder.run(&batch).err_says(11, cause);
    // One of another name is not in the way.
    let other = ["base.iso", "-o", "out", "--karg", "systemd.set_credential=tmpfiles.more:x"];
    folder.run(&[&other, &keys[..]].concat()).done();
}

#[test]
fn an_edit_says_that_the_image_has_the_credential() {
    let folder = folder();
    let keyed = [&["base.iso", "-o", "a.iso", "--key", "a.pub"], &CREDENTIAL[..]].concat();
    folder.run(&keyed).done();
    let ended = folder.run(&["edit", "--in-place", "a.iso", "--karg", OWN]);
    ended.err_says(2, &format!("--karg and {KEYS}: both set the credential tmpfiles.extra"));
    let hint = "hint: leave --karg out, or give --inject archive: keys come in files then\n";
    assert!(ended.err.contains(hint), "{}", ended.err);
    let in_files = ["edit", "--in-place", "a.iso", "--karg", OWN, "--inject", "archive"];
    folder.run(&in_files).done();
    folder.run(&["base.iso", "-o", "b.iso", "--karg", OWN]).done();
    let keys = ["edit", "--in-place", "b.iso", "--key", "a.pub"];
    let ended = folder.run(&[&keys, &CREDENTIAL[..]].concat());
    ended.err_says(2, &format!("karg and {KEYS}: both set the credential tmpfiles.extra"));
    assert!(ended.err.contains("hint: give --inject archive: "), "{}", ended.err);
    folder.run(&[&keys[..], &["--inject", "archive"]].concat()).done();
}

#[test]
fn a_credential_that_a_script_has_by_itself_is_named_and_can_be_taken_out() {
    let folder = folder();
    let bytes = kexec(&folder.read("nb/initrd"));
    let own = RUN.replace("nohibernate", OWN).len() - RUN.len();
    assert!(own < 512 - RUN.len() % 512, "the archive keeps its size");
    folder.write("own.tar", &with_script(&bytes, &RUN.replace("nohibernate", OWN)));
    let keys = [&["--key", "a.pub"], &CREDENTIAL[..]].concat();
    let tree = Tree { folder: &folder, command: &[] };
    let ended = tree.change("own.tar", "out.tar", &keys);
    ended.err_says(2, &format!("the entry \"run\" and {KEYS}: both set the credential"));
    let hint = format!("hint: give --karg-delete {OWN} with it, or give --inject archive: ");
    assert!(ended.err.contains(&hint), "{}", ended.err);
    tree.change("own.tar", "out.tar", &[&keys[..], &["--karg-delete", OWN]].concat()).done();
    assert_eq!(credentials(&tree.script("out.tar")), 1);
    let script = tree.script("out.tar");
    assert!(!script.contains(OWN) && script.contains("set_credential_binary"), "{script}");
    // What it holds may be a secret.
    let shown = tree.inspect("own.tar");
    assert!(shown.contains(" systemd.set_credential=tmpfiles.extra:…") && !shown.contains(OWN));
    // Without another it stays.
    tree.change("own.tar", "out.tar", &["--key", "a.pub"]).done();
    assert!(tree.script("out.tar").contains(OWN));
}

/// An archive of [`kexec`] with another script.
fn with_script(archive: &[u8], script: &str) -> Vec<u8> {
    let mut new = tar::Builder::new(Vec::new());
    for (path, mode, uid, gid, mtime, bytes) in entries(archive) {
        let bytes = if path.ends_with(b"/run") { script.as_bytes().to_vec() } else { bytes };
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_uid(uid);
        header.set_gid(gid);
        header.set_mtime(mtime);
        header.set_size(bytes.len().try_into().unwrap());
        new.append_data(&mut header, std::str::from_utf8(&path).unwrap(), &*bytes).unwrap();
    }
    new.into_inner().unwrap()
}

#[test]
fn every_change_tells_that_other_kernel_arguments_stay() {
    let told =
        "kernel arguments that are not named here stay, also those that were put in before\n";
    let folder = folder();
    for (stock, command) in KINDS {
        let tree = Tree { folder: &folder, command };
        let before = format!("before-{stock}");
        tree.change(stock, &before, &["--karg", "foo=1"]).done();
        for flags in [["--karg", "bar=2"], ["--key", "a.pub"], ["--hostname", "foo"]] {
            let ended = tree.change(&before, &format!("out-{stock}"), &flags);
            assert!(ended.status == 0 && ended.err.contains(told), "{flags:?}: {}", ended.err);
            assert!(tree.script(&format!("out-{stock}")).contains(" foo=1"), "{flags:?}");
        }
    }
    let dry = folder.run(&["before-kexec.tar", "-n", "--karg", "bar=2"]).done();
    assert!(dry.contains(told) && dry.contains("would change kexec/run; "), "{dry}");
}

#[test]
fn a_large_overlay_of_before_is_named_where_it_goes() {
    let folder = folder();
    fs::create_dir_all(folder.at("large/srv")).unwrap();
    folder.write("large/srv/zeros", &vec![0; 17 << 20]);
    folder.write("large/srv/secret", b"x");
    let closed = fs::Permissions::from_mode(0o600);
    fs::set_permissions(folder.at("large/srv/secret"), closed).unwrap();
    for (stock, command) in KINDS {
        let tree = Tree { folder: &folder, command };
        let before = format!("before-{stock}");
        tree.change(stock, &before, &["--overlay", "large", "--key", "a.pub"]).done();
        let shown = tree.inspect(&before);
        assert!(shown.contains("set: overlay or store "), "{shown}");
        assert!(shown.contains("secret: /srv/secret"), "{shown}");
        let ended = tree.change(&before, &format!("out-{stock}"), &["--key", "a.pub"]);
        let gone = ended.err.lines().find(|line| line.contains("overlay or store "));
        assert!(gone.is_some_and(|line| line.ends_with("it is taken out")), "{}", ended.err);
    }
}

/// What is put in, and the lines that `inspect` shows of it and does not show.
type Told = (&'static [&'static str], &'static [&'static str], &'static [&'static str]);

const ALONE: &str = "nothing was put into the initrd\n";

const TOLD: [Told; 5] = [
    (&["--karg", "foo=1"], &[ALONE, " foo=1 ("], &["ssh login", "host key"]),
    (
        &["--key", "a.pub", "--inject", "credential"],
        &[ALONE, "ssh login: root and nixos with ssh-ed25519 SHA256:", "a.pub\n"],
        &["set_credential", "nobody"],
    ),
    (&["--key", "a.pub"], &["ssh login: root and nixos with ssh-ed25519 SHA256:"], &[ALONE]),
    (
        &["--key", "a.pub", "--host-key", "generate"],
        &["host key: ssh-ed25519 SHA256:", "secret: /etc/ssh/ssh_host_ed25519_key\n"],
        &[ALONE],
    ),
    (
        &["--karg", "systemd.set_credential=a:hidden"],
        &[ALONE, "systemd.set_credential=a:…"],
        &["hidden"],
    ),
];

#[test]
fn inspect_tells_what_trees_show_and_calls_none_of_them_stock() {
    let folder = folder();
    for (stock, command) in KINDS {
        let tree = Tree { folder: &folder, command };
        let shown = tree.inspect(stock);
        assert!(shown.contains(ALONE) && !shown.contains("stock"), "{shown}");
        assert!(shown.contains("all kernel arguments: "), "{shown}");
        assert!(!shown.contains("init="), "{shown}");
        for (flags, there, missing) in TOLD {
            let out = format!("out-{stock}");
            tree.change(stock, &out, flags).done();
            let shown = tree.inspect(&out);
            assert!(!shown.contains("stock image"), "{flags:?}: {shown}");
            for words in there {
                assert!(shown.contains(words), "{flags:?}: no {words:?} in {shown}");
            }
            for words in missing {
                assert!(!shown.contains(words), "{flags:?}: {words:?} in {shown}");
            }
        }
    }
}
