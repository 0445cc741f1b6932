//! `inspect` answers first who may log in, what is set and what is secret; what is put in says the same when it is done.

use crate::netboot::kexec;
use crate::support::{Folder, SD, TINY, key};

fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    folder.write("sd.img", &SD);
    folder.run(&["netboot", "base.iso", "-o", "stock"]).quietly();
    folder.write("kexec.tar", &kexec(&folder.read("stock/initrd")));
    folder
}

/// What an image has of settings: a flag for each, and how it is told.
const SET: &[(&[&str], &str)] = &[
    (&["--hostname", "box"], "set: hostname box"),
    (&["--timezone", "Europe/Berlin"], "set: timezone Europe/Berlin"),
    (&["--address", "192.0.2.1/24"], "set: address 192.0.2.1/24"),
];

#[test]
fn every_kind_of_image_fits_on_one_screen() {
    let folder = folder();
    let flags: Vec<&str> = SET.iter().flat_map(|(flags, _)| flags.iter().copied()).collect();
    let put = [&["--key", "key.pub"], &flags[..]].concat();
    let made: &[(&[&str], &str)] = &[
        (&["base.iso", "-o", "a.iso"], "a.iso"),
        (&["sd.img", "-o", "a.img"], "a.img"),
        (&["kexec.tar", "-o", "a.tar"], "a.tar"),
        (&["netboot", "base.iso", "-o", "nb"], "nb"),
    ];
    for (words, image) in made {
        let summary = folder.run(&[words, &put[..]].concat());
        assert_eq!(summary.status, 0, "{image}: {}", summary.err);
        let text = folder.run(&["inspect", image]).done();
        assert!(text.starts_with("NixOS ") && text.lines().count() <= 24, "{image}: {text}");
        assert!(text.contains("ssh login: ") && text.contains("SHA256:"), "{image}: {text}");
        for (_, words) in SET {
            assert!(text.contains(words), "{image}: {words}: {text}");
            assert!(summary.err.contains(words), "{image}: {words}: {}", summary.err);
        }
    }
    let all = folder.run(&["inspect", "--all", "a.iso"]).done();
    assert!(all.contains("\nmenu ") && all.contains("MBR partition"), "{all}");
    folder.run(&["inspect", "--json", "nb"]).refused(2, "only images take --json");
}

#[test]
fn an_image_that_nobody_can_enter_over_ssh_says_so() {
    let folder = folder();
    let nobody = "ssh login: nobody";
    folder.write("password", b"correct horse\n");
    let password = ["--root-password-file", "password"];
    for (flags, is_closed) in [(&["--hostname", "box"][..], true), (&password, false)] {
        let made = folder.run(&[&["base.iso", "-f", "-o", "a.iso"], flags].concat());
        assert_eq!(made.err.contains(nobody), is_closed, "{}", made.err);
        let text = folder.run(&["inspect", "a.iso"]).done();
        assert_eq!(text.contains(nobody), is_closed, "{text}");
    }
    let stock = folder.run(&["inspect", "base.iso"]).done();
    assert!(stock.contains("nothing was put in") && !stock.contains(nobody), "{stock}");
}
