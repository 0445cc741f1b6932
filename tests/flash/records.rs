//! A stick is known by the manifest on it, also after its backup GPT was moved.

use remaster::flash::{self, Image, Medium, Options};
use remaster::image::ReadAt;
use remaster::progress::{Progress, Silent};
use remaster::recipe::edits::{Edits, InjectMethod};
use remaster::stamp::base_image::BaseImage;
use remaster::stamp::manifest::blocks::Blocks;
use remaster::stamp::manifest::found;
use remaster::stamp::manifest::verify::verify;
use remaster::stamp::planned_image::ManifestOptions;

use crate::stick::Stick;

const TINY: &[u8] = include_bytes!("../tiny/tiny.iso.zst");

fn image() -> Vec<u8> {
    let base = zstd::decode_all(TINY).unwrap();
    let base = BaseImage::open(base.as_slice()).unwrap();
    let (blocks, sha256) = Blocks::compute(base.original(), &Silent).unwrap();
    let options = ManifestOptions {
        blocks: Some(blocks),
        sha256: Some(sha256),
        ..ManifestOptions::default()
    };
    let image = base.stamp(Edits::authorize("", InjectMethod::ExtraInitrd), &options).unwrap();
    let mut bytes = vec![0; image.size() as usize];
    image.image().read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn verified(medium: &[u8]) -> remaster::Result<()> {
    let found = found::of_image(&medium)?.unwrap();
    verify(&medium, &found, &Silent)
}

#[test]
fn a_stick_is_what_its_manifest_says() {
    let image = image();
    let end = image.len() as u64;
    for size in [16 << 20, end + (64 << 10), end + (16 << 10), end + 512] {
        let stick = Stick::new(size);
        let media: [(&dyn Medium, &dyn Progress); 1] = [(&stick, &Silent)];
        let options = Options { nonce: 7, ..Options::default() };
        let mut results = flash::write(Image::Whole(&image), &media, &options).unwrap();
        let report = results.pop().unwrap().unwrap();
        assert!(report.differences.is_empty(), "{size}: {:?}", report.differences);
        let written = stick.contents();
        assert_ne!(written[512..1024], image[512..1024], "the backup was not moved");
        verified(&written).unwrap();
        for at in [100, 600, 1100, 40_000, 300_000, 1_000_000, size as usize - 500] {
            let mut broken = written.clone();
            broken[at] ^= 1;
            assert!(verified(&broken).is_err(), "byte {at} of {size}");
        }
    }
}
