//! The records `.` and `..` of our directory, which no reader here looks at (ECMA-119 §6.8.2.2).

use remaster::recipe::edits::InjectMethod;
use remaster::units::ByteRange;

use crate::support::{bases, edits, stamp, survey};

/// A directory record: identifier, extent in blocks, bytes, mode and links of PX.
type Record = (Vec<u8>, u32, u32, Option<[u32; 2]>);

/// The directory records at the start of an extent.
fn records(image: &[u8], at: ByteRange) -> Vec<Record> {
    let mut rest = &image[usize::try_from(at.start()).unwrap()..];
    let mut found = Vec::new();
    while let Some(length) = rest.first().map(|byte| usize::from(*byte)).filter(|n| *n > 0) {
        let (record, behind) = rest.split_at(length);
        let number = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap());
        let end = 33 + usize::from(record[32]);
        let px = record.windows(2).position(|bytes| bytes == b"PX");
        let px = px.map(|at| [number(at + 4), number(at + 12)]);
        found.push((record[33..end].to_vec(), number(2), number(10), px));
        rest = behind;
    }
    found
}

#[test]
fn our_directory_knows_itself_and_its_parent() {
    for (name, base) in bases() {
        let image = stamp(base, &edits(1, InjectMethod::ExtraInitrd));
        for tree in &survey(&image).trees {
            let extent = |path: &str| tree.get(path).unwrap().extents[0];
            let block = |at: ByteRange| u32::try_from(at.start() / 2048).unwrap();
            let size = |at: ByteRange| u32::try_from(at.size()).unwrap();
            let (own, root) = (extent("/remaster"), extent("/"));
            let found = records(&image, own);
            let told = format!("{name}, {:?}", tree.hierarchy);
            assert_eq!(
                (&found[0].0[..], found[0].1, found[0].2),
                (&[0][..], block(own), size(own)),
                "{told}"
            );
            assert_eq!(
                (&found[1].0[..], found[1].1, found[1].2),
                (&[1][..], block(root), size(root)),
                "{told}"
            );
            // A directory that all may enter, with a link of its own and one of its parent.
            let links = |found: Option<[u32; 2]>| {
                found.map(|[mode, links]| (mode, links >= 2 || links == 1))
            };
            assert_eq!(links(found[0].3), links(found[1].3), "{told}");
            assert!(found[0].3.is_none_or(|[mode, _]| mode == 0o40555), "{told}: {:?}", found[0].3);
            let above = records(&image, root);
            let (seen, before) =
                (above[0].3, records(base, survey_root(base, tree.hierarchy))[0].3);
            let counted = |found: Option<[u32; 2]>| found.map(|[_, links]| links);
            // Some writers count the links of directories, others tell 1 of all.
            let more = counted(before).map(|links| if links >= 2 { links + 1 } else { links });
            assert_eq!(counted(seen), more, "{told}: the links of the root");
        }
    }
}

fn survey_root(base: &[u8], hierarchy: remaster::formats::iso9660::Hierarchy) -> ByteRange {
    let survey = survey(base);
    let tree = survey.trees.iter().find(|tree| tree.hierarchy == hierarchy).unwrap();
    tree.get("/").unwrap().extents[0]
}
