//! A stick is known by the manifest on it, also after its backup GPT was moved.

use remaster::flash::{self, Image, Medium, Options};
use remaster::iso::injected::Base;
use remaster::iso::survey::Survey;
use remaster::progress::{Progress, Silent};
use remaster::recipe::edits::{Edits, Way};
use remaster::stamp::manifest::blocks::Blocks;
use remaster::stamp::manifest::{self, About};

use crate::stick::Stick;

const TINY: &[u8] = include_bytes!("../tiny/tiny.iso.zst");

fn image() -> Vec<u8> {
    let base = zstd::decode_all(TINY).unwrap();
    let base = Base::of(base.as_slice()).unwrap();
    let initrds = base.survey.initrds(&base.image).unwrap();
    let (blocks, sha256) = Blocks::of(&base.image, &Silent).unwrap();
    let about = About { blocks: Some(blocks), sha256: Some(sha256), ..About::default() };
    let edits = Edits::authorize("", Way::ExtraInitrd);
    let made = manifest::plan(&base, &initrds, edits, &about).unwrap();
    let image = made.plan.compose(base.image).unwrap();
    let mut bytes = vec![0; made.manifest.size as usize];
    remaster::image::ReadAt::read_exact_at(&image, &mut bytes, 0).unwrap();
    bytes
}

fn verified(medium: &[u8]) -> remaster::Result<()> {
    let survey = Survey::of(&medium)?;
    let found = manifest::read(&medium, survey.tree())?.unwrap();
    manifest::verify(&medium, &found, &Silent)
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
