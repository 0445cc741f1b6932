//! A stamped image on a stick becomes the base again, whenever power goes.

use std::sync::atomic::{AtomicU64, Ordering};

use remaster::error::Result;
use remaster::flash::{self, Image, Medium, Options, PutBack, Report};
use remaster::image::ReadAt;
use remaster::image::digest::Digest;
use remaster::image::patched::Composed;
use remaster::iso::injected::{Base, Below};
use remaster::iso::survey::Survey;
use remaster::progress::{Progress, Silent};
use remaster::recipe::edits::{Edits, Way};
use remaster::stamp::manifest::{self, About};
use remaster::units::ByteRange;

use crate::stick::Stick;

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
}

fn bases() -> [Vec<u8>; 2] {
    let unpacked = |bytes: &[u8]| zstd::decode_all(bytes).unwrap();
    [
        unpacked(include_bytes!("../tiny/tiny.iso.zst")),
        unpacked(include_bytes!("../tiny/tiny-aarch64.iso.zst")),
    ]
}

fn stamped(base: &[u8]) -> Vec<u8> {
    let base = Base::of(base).unwrap();
    let initrds = base.survey.initrds(&base.image).unwrap();
    let edits = Edits::authorize(KEY, Way::ExtraInitrd);
    let made = manifest::plan(&base, &initrds, edits, &About::default()).unwrap();
    bytes(&made.plan.compose(base.image).unwrap())
}

fn bytes<B: ReadAt>(image: &Composed<B>) -> Vec<u8> {
    let mut bytes = vec![0; image.size() as usize];
    image.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// A stick with the image on it, and old data behind.
fn written(image: &[u8], size: u64, block: u64, exact: bool) -> Stick {
    let mut stick = Stick::new(size);
    stick.block = block;
    let media: [(&dyn Medium, &dyn Progress); 1] = [(&stick, &Silent)];
    let options = Options { exact, ..Options::default() };
    let report = flash::write(Image::Whole(&image), &media, &options).unwrap().pop().unwrap();
    assert!(report.unwrap().is_whole);
    stick
}

fn again(stick: &Stick) -> Stick {
    let mut copy = Stick::new(stick.claimed);
    (copy.bytes, copy.block) = (stick.contents().into(), stick.block);
    copy
}

fn reset(stick: &Stick, exact: bool) -> Result<Report> {
    let below = Below::of(Live(stick))?.unwrap();
    let sha256 = Digest::of(&below.image, &Silent)?;
    assert!(below.sha256.is_none_or(|told| told == sha256.0));
    let pieces = below.image.pieces().iter().filter(|piece| !piece.stays());
    let changed: Vec<ByteRange> = pieces.map(|piece| piece.at).collect();
    let (stamped_size, undo) = (below.stamped_size, below.undo);
    let what = PutBack { base: &below.image, sha256, changed: &changed, stamped_size, undo };
    flash::put_back(stick, what, exact, &Silent)
}

/// Resets a copy and looks at it; what it holds afterwards.
fn whole(stick: &Stick, base: &[u8], stamped: usize, exact: bool) -> Vec<u8> {
    let copy = again(stick);
    let report = reset(&copy, exact).unwrap();
    assert!(report.is_whole, "{:?}", report.differences);
    let found = copy.contents();
    assert!(flash::verify(&copy, &base, &Silent).unwrap().is_whole);
    assert!(Below::of(Live(&copy)).unwrap().is_none());
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
        for (more, block, exact) in
            [(8 << 20, 512, false), (8 << 20, 512, true), (0, 512, false), (8 << 20, 4096, false)]
        {
            let stick = written(&image, size + more, block, exact);
            let expected = whole(&stick, &base, image.len(), exact);
            let mut killed = 0;
            loop {
                let mut copy = again(&stick);
                copy.writes_left = AtomicU64::new(killed);
                let ended = reset(&copy, exact);
                copy.writes_left.store(u64::MAX, Ordering::SeqCst);
                let found = copy.contents();
                if found == expected {
                    assert!(killed > 7, "only {killed} writes");
                    break;
                }
                assert!(ended.is_err());
                let said = Survey::of(&found).map(|_| "an image");
                let fault = said.as_ref().map_err(ToString::to_string);
                let is_whole = found == stick.contents();
                assert!(
                    is_whole || fault.is_err_and(|fault| fault.contains("interrupted")),
                    "{killed}: {said:?}"
                );
                assert!(
                    is_whole
                        || (found[510..512] != [0x55, 0xaa]
                            && !found[512..].starts_with(b"EFI PART"))
                );
                // Nothing to follow to El Torito, but for an image that is all there behind its first block.
                let boots_from_cd = found[0x8001..].starts_with(b"CD001");
                let is_there = |at: usize| found[at..base.len()] == expected[at..base.len()];
                assert!(is_whole || !boots_from_cd || killed == 1 || is_there(4096), "{killed}");
                assert!(reset(&copy, exact).unwrap().is_whole, "after {killed} writes");
                assert!(copy.contents() == expected, "after {killed} writes");
                killed += 1;
            }
        }
    }
}

#[test]
fn a_stick_that_forgets_is_told_and_stays_one_that_is_being_reset() {
    let base = &bases()[0];
    let image = stamped(base);
    let mut stick = written(&image, image.len() as u64 + (8 << 20), 512, false);
    let at = base.len() as u64 + 4096;
    stick.deaf = at..at + 512;
    let report = reset(&stick, false).unwrap();
    assert!(!report.is_whole && report.differences.iter().any(|found| found.at.start() < at + 512));
    assert!(Survey::of(&stick.contents()).is_err());
}

#[test]
fn a_broken_mark_is_no_way_back() {
    let base = &bases()[0];
    let stick = written(&stamped(base), 16 << 20, 512, false);
    stick.bytes.lock().unwrap()[..16].copy_from_slice(b"remaster reset 1");
    let fault = reset(&stick, false).unwrap_err();
    assert!(fault.to_string().contains("a broken mark"), "{fault}");
    assert!(fault.hint().unwrap().contains("remaster flash"));
}
