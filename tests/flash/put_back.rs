//! A stamped image on a stick becomes the base again, whenever power goes.

use std::sync::atomic::AtomicU64;

use remaster::error::{Advice, Result};
use remaster::flash::{self, Image, Medium, Options, Report, Restore};
use remaster::image::ReadAt;
use remaster::image::digest::Digest;
use remaster::image::patched::PatchedImage;
use remaster::iso::injected::OriginalImage;
use remaster::iso::survey::Survey;
use remaster::progress::{Progress, Silent};
use remaster::recipe::edits::{Edits, InjectMethod};
use remaster::stamp::base_image::BaseImage;
use remaster::stamp::planned_image::ManifestOptions;
use remaster::units::ByteRange;

use crate::stick::{SURVIVORS, Stick};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ a@b";

/// What the kernel reads of a stick that was written to.
struct Live<'a>(&'a Stick);

impl ReadAt for Live<'_> {
    fn size(&self) -> u64 {
        self.0.claimed
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> Result<()> {
        self.0.bytes.lock().unwrap().read_exact_at(buf, at)
    }

    fn check_unchanged(&self) -> Result<()> {
        Ok(())
    }
}

fn bases() -> [Vec<u8>; 2] {
    let unpacked = |bytes: &[u8]| zstd::decode_all(bytes).unwrap();
    [
        unpacked(include_bytes!("../tiny/tiny.iso.zst")),
        unpacked(include_bytes!("../tiny/tiny-aarch64.iso.zst")),
    ]
}

fn stamped(base: &[u8]) -> Vec<u8> {
    let edits = Edits::authorize(KEY, InjectMethod::ExtraInitrd);
    let base = BaseImage::open(base).unwrap();
    bytes(base.stamp(edits, &ManifestOptions::default()).unwrap().image())
}

fn bytes<B: ReadAt>(image: &PatchedImage<B>) -> Vec<u8> {
    let mut bytes = vec![0; image.size() as usize];
    image.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// A stick with the image on it, and old data behind.
fn written(image: &[u8], size: u64, block: u64, exact: bool) -> Stick {
    let mut stick = Stick::new(size);
    stick.block = block;
    let media: [(&dyn Medium, &dyn Progress); 1] = [(&stick, &Silent)];
    // Linux reads no ISO from larger blocks: they are written to only if that is asked for.
    let options = Options { exact, any: block > 512, ..Options::default() };
    let report = flash::write(Image::Whole(&image), &media, &options).unwrap().pop().unwrap();
    assert!(report.unwrap().is_whole);
    stick
}

fn again(stick: &Stick) -> Stick {
    Stick { block: stick.block, ..Stick::holding(stick.contents()) }
}

fn reset(stick: &Stick, exact: bool) -> Result<Report> {
    let below = OriginalImage::open(Live(stick))?.unwrap();
    let sha256 = Digest::compute(&below.image, &Silent)?;
    assert!(below.sha256.is_none_or(|told| told == sha256.0));
    let pieces = below.image.pieces().iter().filter(|piece| !piece.stays());
    let changed: Vec<ByteRange> = pieces.map(|piece| piece.at).collect();
    let (stamped_size, undo) = (below.stamped_size, below.undo);
    let what = Restore { base: &below.image, sha256, changed: &changed, stamped_size, undo };
    flash::put_back(stick, what, exact, &Silent)
}

/// Resets a copy and looks at it; what it holds afterwards.
fn whole(stick: &Stick, base: &[u8], stamped: usize, exact: bool) -> Vec<u8> {
    let copy = again(stick);
    let report = reset(&copy, exact).unwrap();
    assert!(report.is_whole, "{:?}", report.differences);
    let found = copy.contents();
    assert!(flash::verify(&copy, &base, &Silent).unwrap().is_whole);
    assert!(OriginalImage::open(Live(&copy)).unwrap().is_none());
    let kept = if exact { 0 } else { report.backup_at.map_or(0, |_| 63 * 512) };
    let end = stamped.min(found.len() - kept);
    assert!(found[base.len()..end].iter().all(|byte| *byte == 0), "something is left behind");
    if exact || report.backup_at.is_none() {
        assert!(found[..base.len()] == *base);
    }
    let behind = stamped..found.len() - 64 * 512;
    let untouched = behind.is_empty() || found[behind.clone()] == stick.contents()[behind];
    assert!(untouched, "what is not ours was written to");
    found
}

#[test]
fn whenever_power_goes_a_reset_can_be_gone_on_with() {
    for base in bases() {
        let image = stamped(&base);
        let size = image.len() as u64;
        for (more, block, exact, step) in [
            (2 << 20, 512, false, 1),
            (2 << 20, 512, true, 3),
            (0, 512, false, 3),
            (2 << 20, 4096, false, 3),
        ] {
            let stick = written(&image, size + more, block, exact);
            let expected = whole(&stick, &base, image.len(), exact);
            let survivors = if step == 1 { &SURVIVORS[..] } else { &SURVIVORS[..1] };
            for killed in (0..).step_by(step) {
                let mut copy = again(&stick).cached();
                copy.writes_left = AtomicU64::new(killed);
                if reset(&copy, exact).is_ok() {
                    assert!(killed > 7, "only {killed} writes");
                    assert_eq!(copy.unflushed(), 0, "told to be done too early");
                    assert!(copy.contents() == expected);
                    break;
                }
                for survives in survivors {
                    let found = copy.lose_power(survives);
                    // Nothing is left to be gone on with.
                    if found == expected {
                        continue;
                    }
                    check_cut(&stick.contents(), &found, &expected, base.len(), killed);
                    let again = Stick { block, ..Stick::holding(found) };
                    let report = reset(&again, exact);
                    let is_done = again.contents() == expected;
                    assert!(is_done, "after {killed} writes: {:?}", report.err());
                }
            }
        }
    }
}

/// What a reset of `old` to `new` may leave that is cut off: the one, the other, or a disk that says what it is and
/// that nothing boots.
fn check_cut(old: &[u8], found: &[u8], new: &[u8], base: usize, killed: u64) {
    if found == old {
        return;
    }
    let said = Survey::read(&found).map(|_| "an image").map_err(|fault| fault.to_string());
    assert!(said.as_ref().is_err_and(|fault| fault.contains("interrupted")), "{killed}: {said:?}");
    assert!(found[510..512] != [0x55, 0xaa] && !found[512..].starts_with(b"EFI PART"));
    // Nothing to follow to El Torito, nor from a backup GPT, but of an image that is all there behind its first block.
    let is_of = |image: &[u8], at: usize| found[at..base] == image[at..base];
    let is_all_of_one = |at: usize| is_of(old, at) || is_of(new, at);
    let boots_from_cd = found[0x8001..].starts_with(b"CD001");
    assert!(!boots_from_cd || is_all_of_one(4096), "{killed}: a volume of half an image");
    let has_backup = found[found.len() - 512..].starts_with(b"EFI PART");
    assert!(!has_backup || is_all_of_one(0x9000), "{killed}: a backup GPT of half an image");
}

#[test]
fn a_stick_that_forgets_is_reported_and_stays_one_that_is_being_reset() {
    let base = &bases()[0];
    let image = stamped(base);
    let mut stick = written(&image, image.len() as u64 + (8 << 20), 512, false);
    let at = base.len() as u64 + 4096;
    stick.deaf = at..at + 512;
    let report = reset(&stick, false).unwrap();
    assert!(!report.is_whole && report.differences.iter().any(|found| found.at.start() < at + 512));
    assert!(Survey::read(&stick.contents()).is_err());
}

#[test]
fn a_broken_mark_does_not_lead_back() {
    let base = &bases()[0];
    let stick = written(&stamped(base), 16 << 20, 512, false);
    stick.bytes.lock().unwrap()[..16].copy_from_slice(b"remaster reset 1");
    let fault = reset(&stick, false).unwrap_err();
    assert!(fault.to_string().contains("a broken mark"), "{fault}");
    assert!(matches!(fault.advice(), Some(Advice::FlashAnew)), "{fault:?}");
}
