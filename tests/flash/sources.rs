//! Compressed images, packed by other people's programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use remaster::error::{Advice, Error};
use remaster::flash::{self, Cause, Image, Medium, Options, Packing, Source, Verify};
use remaster::progress::{Progress, Silent};

use crate::stick::Stick;
use crate::writing::noise;

const MIB: u64 = 1 << 20;

fn pack(folder: &Path, how: &str) -> PathBuf {
    let status = Command::new("sh").arg("-ec").arg(how).current_dir(folder).status().unwrap();
    assert!(status.success(), "{how} failed; is the program there?");
    folder.join("packed")
}

fn packed_image(folder: &Path) -> Vec<u8> {
    // Half of it can be compressed.
    let mut image = noise(6 * MIB + 321, 21);
    image[2 * MIB as usize..5 * MIB as usize].fill(7);
    fs::write(folder.join("image.iso"), &image).unwrap();
    image
}

const WAYS: [(&str, Packing); 20] = [
    ("xz -0 -c image.iso > packed", Packing::Xz),
    ("xz -0 -T2 --block-size=1MiB -c image.iso > packed", Packing::Xz),
    ("split -b 3M image.iso part-; xz -0 part-*; cat part-*.xz > packed", Packing::Xz),
    ("zstd -q -c image.iso > packed", Packing::Zstd),
    ("zstd -q -c < image.iso > packed", Packing::Zstd),
    ("gzip -1 -c image.iso > packed", Packing::Gzip),
    ("bzip2 -1 -c image.iso > packed", Packing::Bzip2),
    ("zip -q -1 p.zip image.iso; mv p.zip packed", Packing::Zip),
    ("echo hi > README; zip -q -1 p.zip README image.iso; mv p.zip packed", Packing::Zip),
    (
        "split -b 3M image.iso part-; xz -0 part-*; cat part-aa.xz > packed; head -c 8 /dev/zero >> packed; cat part-a[bc].xz >> packed",
        Packing::Xz,
    ),
    ("split -b 3M image.iso part-; zstd -q part-*; cat part-*.zst > packed", Packing::Zstd),
    (
        "printf 'P*M\\030\\004\\000\\000\\000abcd' > packed; zstd -q -c image.iso >> packed",
        Packing::Zstd,
    ),
    ("split -b 3M image.iso part-; gzip -1 part-*; cat part-*.gz > packed", Packing::Gzip),
    ("gzip -1 -c image.iso > packed; head -c 4096 /dev/zero >> packed", Packing::Gzip),
    ("gzip -1 -c image.iso > packed; echo signature >> packed", Packing::Gzip),
    ("split -b 3M image.iso part-; bzip2 -1 part-*; cat part-*.bz2 > packed", Packing::Bzip2),
    ("bzip2 -1 -c image.iso > packed; head -c 4096 /dev/zero >> packed", Packing::Bzip2),
    ("lz4 -q -c image.iso > packed", Packing::Lz4),
    ("split -b 3M image.iso part-; for p in part-*; do lz4 -q -c $p; done > packed", Packing::Lz4),
    (
        "mkdir __MACOSX; echo x > __MACOSX/._image.iso; echo x > .DS_Store; zip -q -1 p.zip __MACOSX/._image.iso .DS_Store image.iso; mv p.zip packed",
        Packing::Zip,
    ),
];

/// Those of [`WAYS`] whose format tells how large the image is.
const SIZED: [Packing; 3] = [Packing::Xz, Packing::Zstd, Packing::Zip];

fn write(source: Source, stick: &Stick) -> remaster::error::Result<flash::Report> {
    let media: [(&dyn Medium, &dyn Progress); 1] = [(stick, &Silent)];
    let options = Options { any: true, ..Options::default() };
    let mut results = match &source {
        Source::Plain(image) => flash::write(Image::Whole(image), &media, &options)?,
        Source::Stream(_) => {
            let Source::Stream(stream) = source else { unreachable!() };
            flash::write(Image::Stream(stream), &media, &options)?
        }
    };
    results.pop().unwrap()
}

#[test]
fn every_packing_is_known_by_its_content_and_arrives_whole() {
    for (how, packing) in WAYS {
        let folder = tempfile::tempdir().unwrap();
        let image = packed_image(folder.path());
        let source = Source::open(&pack(folder.path(), how)).unwrap();
        let Source::Stream(stream) = &source else { panic!("{how} was taken for plain") };
        assert_eq!(stream.packing(), packing);
        let is_told = SIZED.contains(&packing) && !how.contains("-c < image.iso");
        let size = is_told.then(|| u64::try_from(image.len()).unwrap());
        assert_eq!(source.size(), size, "{how}");
        let stick = Stick::new(16 * MIB);
        let report = write(source, &stick).unwrap();
        assert!(report.is_whole, "{how}");
        assert!(stick.contents()[..image.len()] == image, "{how}");
    }
}

#[test]
fn a_cut_or_damaged_archive_is_an_error_and_nothing_boots() {
    for (how, _) in WAYS {
        let folder = tempfile::tempdir().unwrap();
        packed_image(folder.path());
        let packed = pack(folder.path(), how);
        let sound = fs::read(&packed).unwrap();
        let mut damaged = sound.clone();
        damaged[sound.len() / 3] ^= 0x55;
        let cut = sound[..sound.len() * 2 / 3].to_vec();
        for (what, bytes) in [("damaged", damaged), ("cut", cut)] {
            fs::write(&packed, bytes).unwrap();
            let stick = Stick::new(16 * MIB);
            let fault = match Source::open(&packed) {
                Ok(source) => write(source, &stick).err(),
                Err(fault) => Some(fault),
            };
            let fault = fault.unwrap_or_else(|| panic!("{what}: {how} was not seen"));
            // A zip archive without its end has nothing that says what is in it.
            let is_zip = how.split([' ', ';']).any(|word| word == "zip");
            let is_broken = matches!(fault, Error::Malformed { .. } | Error::Truncated { .. })
                || is_zip && matches!(fault, Error::Unsupported { .. });
            assert!(is_broken, "{what}: {how}: {fault:?}");
        }
    }
}

#[test]
fn a_flip_under_a_compressed_image_is_placed_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    packed_image(folder.path());
    let packed = pack(folder.path(), "zstd -q -c image.iso > packed");
    let mut stick = Stick::new(16 * MIB);
    stick.flips = vec![(3 * MIB + 1234, 5)];
    let report = write(Source::open(&packed).unwrap(), &stick).unwrap();
    assert_eq!(report.differences.len(), 1);
    assert_eq!(report.differences[0].at.start(), 3 * MIB + 1234);
    assert_eq!(report.differences[0].cause, Cause::Flipped { bits: 1 });
}

#[test]
fn a_zip_with_two_images_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    packed_image(folder.path());
    let how = "cp image.iso b.iso; zip -q -1 p.zip image.iso b.iso; mv p.zip packed";
    let fault = Source::open(&pack(folder.path(), how)).unwrap_err();
    assert!(fault.to_string().contains("2 files: image.iso, b.iso"), "{fault}");
}

#[test]
fn a_window_that_would_take_too_much_memory_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    packed_image(folder.path());
    for (bits, is_taken) in [(27, true), (28, false)] {
        // Only a stream of unknown size has a window larger than itself.
        let how = format!("zstd -q --long={bits} -c < image.iso > packed");
        let source = Source::open(&pack(folder.path(), &how)).unwrap();
        let result = write(source, &Stick::new(16 * MIB));
        assert_eq!(result.is_ok(), is_taken, "{bits}");
        let Err(fault) = result else { continue };
        assert!(fault.to_string().contains("window of more than 128 MiB"), "{fault}");
        assert!(fault.advice().and_then(Advice::words).unwrap().contains("--long=31"));
    }
}

/// Hears what a stage says is left behind it.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<(&'static str, u64)>>);

impl Progress for Heard {
    fn begin(&self, stage: &'static str, _: u64) {
        self.0.lock().unwrap().push((stage, 0));
    }
    fn follow(&self, bytes: u64) {
        self.0.lock().unwrap().last_mut().unwrap().1 = bytes;
    }
    fn advance(&self, _: u64) {}
    fn end(&self) {}
    fn is_cancelled(&self) -> bool {
        false
    }
}

#[test]
fn writing_tells_that_as_much_is_read_back_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let size = u64::try_from(packed_image(folder.path()).len()).unwrap();
    for (verify, behind) in [(Verify::Full, size), (Verify::Quick, 0), (Verify::Off, 0)] {
        let Source::Plain(image) = Source::open(&folder.path().join("image.iso")).unwrap() else {
            panic!("it is not packed")
        };
        let (stick, heard) = (Stick::new(16 * MIB), Heard::default());
        let options = Options { any: true, verify, size_hint: Some(size), ..Options::default() };
        let media: [(&dyn Medium, &dyn Progress); 1] = [(&stick, &heard)];
        flash::write(Image::Whole(&image), &media, &options).unwrap();
        let told = heard.0.into_inner().unwrap();
        assert!(told.contains(&("write", behind)), "{told:?}");
    }
}
