//! A file that somebody writes to while it is read: every command says so, and leaves nothing that was made of it.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use remaster::Error;
use remaster::flash::{self, Medium};
use remaster::image::digest::Digest;
use remaster::image::unpack::{self, Feed};
use remaster::image::{ImageFile, ReadAt};
use remaster::inspect::Report;
use remaster::inspect::diff::Diff;
use remaster::output::file::{self, OverwritePolicy};
use remaster::output::in_place::InPlaceEdit;
use remaster::progress::{Progress, Silent};
use remaster::recipe::edits::InjectMethod;
use remaster::stamp::base_image::BaseImage;
use remaster::stamp::manifest::blocks::Blocks;
use remaster::stamp::planned_image::ManifestOptions;
use remaster::stamp::stamped_image::StampedImage;
use remaster::target::Target;

use crate::netboot::kexec;
use crate::support::{Ended, Folder, TINY, edits, key};
use crate::wrong::packed;

/// Commands, each with the file that somebody writes to while it runs.
const COMMANDS: [(&str, &str); 34] = [
    ("g.iso", "g.iso --key key.pub -o out"),
    ("g.iso", "g.iso --key key.pub -o out -n"),
    ("g.iso", "g.iso --key key.pub -o -"),
    ("g.iso", "g.iso --key key.pub --as patch -o out"),
    ("g.iso", "g.iso --key key.pub --manifest-digests --manifest m --sbom s -o out"),
    ("g.iso.xz", "g.iso.xz --key key.pub -o out"),
    ("g.iso.zst", "g.iso.zst --key key.pub -o out"),
    ("store.squashfs", "base.iso --key key.pub --store store.squashfs -o out"),
    ("files/f", "base.iso --key key.pub --overlay files -o out"),
    ("files/f", "base.iso --key key.pub --file files/f:/etc/f -o out"),
    ("g.tar", "g.tar --key key.pub -o out"),
    ("g.iso", "stamp g.iso users.toml -o out"),
    ("g.iso", "stamp g.iso users.toml --as patch -o out"),
    ("g.iso", "stamp g.iso users.toml --as oci -o out"),
    ("g.iso", "apply g.iso p -o out"),
    ("g.iso", "apply g.iso p -o -"),
    ("s.iso", "reset s.iso -o out"),
    ("s.iso", "reset s.iso --in-place"),
    ("s.iso", "edit s.iso --in-place --key other.pub"),
    ("g.iso", "netboot g.iso -o out"),
    ("g.tar", "netboot g.tar -o out"),
    ("stock/initrd", "netboot stock -o out"),
    ("g.iso", "flash g.iso --to-file out"),
    ("g.iso", "flash g.iso --no-verify --to-file out"),
    ("g.iso.xz", "flash g.iso.xz --to-file out"),
    ("g.iso", "flash g.iso --key key.pub --to-file out"),
    ("g.iso", "flash g.iso --patch p --to-file out"),
    ("g.iso", "diff g.iso base.iso"),
    ("g.iso", "diff base.iso g.iso"),
    ("s.iso", "diff s.iso"),
    ("g.iso", "inspect g.iso"),
    ("g.iso", "inspect g.iso --json"),
    ("g.iso", "verify stick --against g.iso"),
    ("digested.iso", "verify digested.iso"),
];

/// Runs in which the thread that writes may get no turn, as on a machine that does a lot else.
const TRIES: usize = 300;

fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    folder.write("other.pub", key(2).as_bytes());
    folder.write("users.toml", b"[[user]]\nname = 'u'\nkey = 'key.pub'\n");
    let made = ["base.iso", "--key", "key.pub", "-o"];
    folder.run(&[&made[..], &["s.iso"]].concat()).quietly();
    folder.run(&[&made[..], &["p", "--as", "patch"]].concat()).quietly();
    folder.run(&[&made[..], &["digested.iso", "--manifest-digests"]].concat()).quietly();
    folder.run(&["netboot", "base.iso", "-o", "stock"]).quietly();
    folder.write("g.tar", &kexec(&folder.read("stock/initrd")));
    folder.write("store.squashfs", include_bytes!("../golden/inputs/store.squashfs"));
    fs::create_dir(folder.at("files")).unwrap();
    folder.write("files/f", b"a file");
    folder.write("g.iso", &TINY);
    folder.write("g.iso.xz", &packed(&TINY, "xz"));
    folder.write("g.iso.zst", &packed(&TINY, "zst"));
    folder.write("stick", &[&*TINY, &*vec![0; 8 << 20]].concat());
    folder
}

/// Runs a command while a file is written to all the time. Its bytes stay what they are, so that nothing else is wrong,
/// and the time of each write is another one, which the clock of the filesystem is too coarse for.
fn run_while_written(folder: &Folder, file: &str, line: &str) -> Ended {
    let written = File::options().write(true).open(folder.at(file)).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut time = SystemTime::now();
            while !is_over.load(Ordering::Relaxed) {
                time += Duration::from_micros(1);
                written.set_modified(time).unwrap();
            }
        });
        let mut program = folder.program(&line.split(' ').collect::<Vec<_>>());
        let output = program.stdout(Stdio::piped()).stderr(Stdio::piped()).output();
        is_over.store(true, Ordering::Relaxed);
        Ended::from(output.unwrap())
    })
}

/// What a command ends with that had time to see another state of its file: one that ran while nothing was written shows
/// nothing.
fn ended(template: &Folder, file: &str, line: &str) -> (Folder, Ended) {
    for _ in 0..TRIES {
        let folder = Folder::new();
        let all = template.path().join(".");
        assert!(
            Command::new("cp").arg("-a").args([&all, folder.path()]).status().unwrap().success()
        );
        let ended = run_while_written(&folder, file, line);
        if ended.status != 0 && !(line.starts_with("diff") && ended.status == 1) {
            return (folder, ended);
        }
    }
    panic!("{line}: takes {file}, which changes");
}

#[test]
fn no_command_takes_a_file_that_changes_while_it_is_read() {
    let template = folder();
    for (file, line) in COMMANDS {
        let (folder, ended) = ended(&template, file, line);
        assert_eq!(ended.status, 3, "{line}: {}", ended.err);
        let told = format!("{file} changed while it was read");
        assert!(ended.err.contains(&told), "{line}: {}", ended.err);
        assert!(ended.err.contains("hint: wait until nothing writes"), "{line}: {}", ended.err);
        let left = folder.names();
        let is_left = |name: &String| name == "out" && folder.at("out").is_file();
        assert!(!left.iter().any(is_left), "{line}: {left:?}");
        assert!(!left.iter().any(|name| name.ends_with("journal")), "{line}: {left:?}");
        let made = fs::read_dir(folder.at("out")).into_iter().flatten();
        let images = made.filter(|one| one.as_ref().unwrap().path().extension().is_some());
        assert_eq!(images.count(), 0, "{line}");
    }
}

/// Something that is done with an image, or with what was made of it before, and with the file that it is in.
type Step =
    (&'static str, fn(&StampedImage<&ImageFile>, &ImageFile, &Folder) -> remaster::Result<()>);

const STEPS: [Step; 12] = [
    ("a digest", |_, file, _| Digest::compute(file, &Silent).map(drop)),
    ("the digest of a file that is put in", |_, file, _| file.digest().map(drop)),
    ("digests of blocks", |_, file, _| Blocks::compute(file, &Silent).map(drop)),
    ("a report", |_, file, _| Report::read(file).map(drop)),
    ("a difference", |_, file, _| Diff::compare(&TINY.as_slice(), file).map(drop)),
    ("another stamping", |_, file, _| {
        let base = BaseImage::open(file)?;
        base.stamp(edits(1, InjectMethod::ExtraInitrd), &ManifestOptions::default()).map(drop)
    }),
    ("a file", |made, _, folder| made.write_to_file(&folder.at("out"), OverwritePolicy::Refuse)),
    ("a copy", |made, _, folder| file::copy(made.outgoing(), &folder.at("out"))),
    ("a pipe", |made, _, _| made.write_to(Vec::new())),
    ("a patch", |made, _, _| made.patch(Digest([0; 32])).map(drop)),
    ("an edit in place", |made, _, folder| {
        InPlaceEdit::take(&folder.at("base.iso"))?.rewrite(made.outgoing(), &Silent).map(drop)
    }),
    ("a medium", |made, _, folder| {
        let target = Target::file(&folder.at("out"), &[])?;
        let image = flash::Image::Whole(made.image());
        let media: [(&dyn Medium, &dyn Progress); 1] = [(&target, &Silent)];
        let reports = flash::write(image, &media, &flash::Options::default())?;
        assert_eq!(flash::is_half_written(&target), Some(true));
        reports.into_iter().collect::<remaster::Result<Vec<_>>>().map(drop)
    }),
];

#[test]
fn every_step_looks_once_more_at_the_file_that_it_read() {
    for (what, step) in STEPS {
        let folder = Folder::with_base(&TINY);
        let file = ImageFile::open(&folder.at("base.iso")).unwrap();
        let base = BaseImage::open(&file).unwrap();
        let edits = edits(1, InjectMethod::ExtraInitrd);
        let made = base.stamp(edits, &ManifestOptions::default()).unwrap();
        let written = File::options().write(true).open(folder.at("base.iso")).unwrap();
        written.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let fault = step(&made, &file, &folder).unwrap_err();
        assert!(matches!(fault, Error::Changed { .. }), "{what}: {fault}");
        let names = folder.names();
        let expected = if what == "a medium" { &["base.iso", "out"][..] } else { &["base.iso"] };
        assert_eq!(names, expected, "{what}");
    }
}

#[test]
fn what_is_packed_is_looked_at_once_more_when_all_of_it_came() {
    let folder = Folder::new();
    for how in ["gz", "xz", "zst", "zip"] {
        folder.write("packed", &packed(&TINY, how));
        let open = || ImageFile::open(&folder.at("packed")).unwrap();
        let change = |by: u64| {
            let written = File::options().write(true).open(folder.at("packed")).unwrap();
            written.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(by)).unwrap();
        };
        let image = open();
        change(1);
        let fault = unpack::unpacked(image, folder.path(), &Silent).unwrap_err();
        assert!(matches!(fault, Error::Changed { .. }), "{how}: {fault}");
        let unpack::Source::Stream(mut stream) = unpack::Source::of_file(open(), None).unwrap()
        else {
            panic!("{how} is packed");
        };
        let mut all = vec![0; TINY.len() + 1];
        assert_eq!(stream.fill(&mut all).unwrap(), TINY.len(), "{how}");
        assert!(stream.fits().unwrap().is_none(), "{how}");
        change(2);
        let fault = stream.fits().unwrap_err();
        assert!(matches!(fault, Error::Changed { .. }), "{how}: {fault}");
        // What is unpacked already is nobody else's.
        let image = unpack::unpacked(open(), folder.path(), &Silent).unwrap();
        change(3);
        assert!(image.check_unchanged().is_ok(), "{how}");
    }
}
