//! What to change of a raw image: files go straight into its root filesystem, and kernel arguments into the
//! menu there. Its size stays.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::boot::folder::MANIFEST;
use crate::boot::menu;
use crate::checked;
use crate::disk::checks;
use crate::disk::ext4::Filesystem;
use crate::disk::ext4_edit::{Changes, Ext4Editor};
use crate::disk::survey::{DiskSurvey, MENU};
use crate::error::{Error, Result};
use crate::formats::newc::Member;
use crate::formats::undo::{self, Undo};
use crate::image::ReadAt;
use crate::image::check;
use crate::image::patched::{Patch, Source};
use crate::iso::plan::{Plan, Step};
use crate::recipe::edits::{Edits, InjectMethod, folder};
use crate::recipe::{Setting, setting};
use crate::units::{ByteRange, u64_len, usize_of};

/// Our folder in the root filesystem.
pub const FOLDER: &str = "boot/remaster";

/// The record of the metadata that was overwritten.
const UNDO: &str = "undo.bin";

/// Times that the undo record's size is tried: it changes what is overwritten, and so itself.
const TRIES: usize = 8;

/// The path of the undo record.
pub(crate) fn undo_path() -> String {
    format!("{FOLDER}/{UNDO}")
}

/// The path of a record.
pub(crate) fn record_path(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

/// Decides how the edits get into a raw image.
///
/// # Errors
/// [`Error::Usage`] for what is only for ISOs, [`Error::NoRoom`], and what the filesystem cannot take.
pub fn plan<I: ReadAt>(image: &I, raw: &DiskSurvey, edits: &Edits) -> Result<Plan> {
    refuse(edits)?;
    check::require(&checks::check_survey(raw))?;
    let fs = raw.filesystem(image)?;
    fs.check_free()?;
    let boot = boot(edits);
    let menus = menu::texts(std::slice::from_ref(&raw.config), "", &boot, |_| Ok(Vec::new()))?;
    let text = checked::present(menus.texts.first(), "the text of the menu")?;
    let text = Some(text).filter(|text| **text != raw.config.text);
    let planner = Planner { image, raw, edits, fs: &fs, text };
    let mut plan = planner.plan()?;
    if let Some(credential) = menus.credential {
        plan.steps.push(Step {
            what: format!("put {} on the kernel's command lines", credential.does),
            bytes: u64_len(credential.argument.as_bytes()),
        });
        plan.credential = Some(credential.does.clone());
    }
    Ok(plan)
}

/// What is to be different in the menu. U-Boot has its own idea of where it talks.
pub fn boot(edits: &Edits) -> crate::recipe::edits::Boot {
    let mut boot = edits.boot.clone();
    for serial in &mut boot.serial {
        serial.unit = None;
    }
    boot
}

fn refuse(edits: &Edits) -> Result<()> {
    let usage = |setting: Setting, why: &str, hint: &'static str| {
        Err(Error::Usage { what: format!("{setting} is for ISOs: {why}"), hint: hint.into() })
    };
    if edits.way == InjectMethod::MergeInitrd {
        return usage(
            setting!(merge_initrd),
            "nothing goes into the initrds of a raw image",
            "leave it out: files are written into the image's root filesystem",
        );
    }
    if edits.boot.label.is_some() {
        return usage(
            setting!(label),
            "a raw image finds its root by the label it has",
            "leave it out",
        );
    }
    if !edits.attached.is_empty() {
        return usage(
            setting!(store),
            "the store of a raw image has a database that would not know the paths",
            "copy the paths to the running machine, as with `nix copy --to ssh://root@ADDRESS`",
        );
    }
    Ok(())
}

struct Planner<'a, I> {
    image: &'a I,
    raw: &'a DiskSurvey,
    edits: &'a Edits,
    fs: &'a Filesystem<&'a I>,
    /// The menu, if it changes.
    text: Option<&'a String>,
}

/// Everything written but the undo record's bytes.
struct Written {
    changes: Changes,
    /// Records with their places.
    records: BTreeMap<String, ByteRange>,
    /// Where the undo record goes.
    undo: Vec<ByteRange>,
}

impl<I: ReadAt> Planner<'_, I> {
    fn plan(&self) -> Result<Plan> {
        let mut size = 0;
        for _ in 0..TRIES {
            let written = self.written(size)?;
            let ranges: Vec<ByteRange> =
                written.changes.metadata.iter().map(|(at, _)| *at).collect();
            let needed = checked::present(undo::size(&ranges), "the size of the undo record")?;
            if needed == size {
                return self.finish(written, size);
            }
            size = needed;
        }
        Err(Error::unsupported(
            "the raw image",
            "an undo record of one size",
            "one that changes it",
        ))
    }

    /// Writes everything, with an undo record of so many bytes.
    fn written(&self, undo_size: u64) -> Result<Written> {
        let mut edited = Ext4Editor::new(self.image, self.fs);
        for member in self.edits.root.members() {
            edited.put(member)?;
        }
        if let Some(text) = self.text {
            edited.put(&self.menu(text)?)?;
        }
        edited.put(&folder(FOLDER))?;
        let mut apart = BTreeSet::new();
        let mut records = BTreeMap::new();
        for (name, bytes) in &self.edits.records {
            let member = Member::file(record_path(name), 0o444, bytes.clone());
            let runs = edited.put(&member)?;
            let [range] = self.ranges(&runs, u64_len(bytes), &mut apart)?[..] else {
                let free = runs.iter().map(|(_, blocks)| *blocks).max().unwrap_or(0);
                let block = self.fs.superblock().block();
                let free = checked::product(free, block, "the longest run of free blocks")?;
                let what = format!("one run of free blocks, for /{}", member.path);
                return Err(Error::NoRoom { what, needed: u64_len(bytes), free });
            };
            records.insert(name.clone(), range);
        }
        let placeholder = vec![0; usize_of(undo_size)];
        let runs = edited.put(&Member::file(undo_path(), 0o600, placeholder))?;
        let undo = self.ranges(&runs, undo_size, &mut apart)?;
        Ok(Written { changes: edited.patches(&apart)?, records, undo })
    }

    /// The menu as a file: with mode and owner of the one that is there.
    fn menu(&self, text: &str) -> Result<Member> {
        let there = checked::present(self.fs.lookup(MENU)?, "the menu that was read")?;
        let path = MENU.trim_start_matches('/');
        Ok(Member::file(path, there.mode(), text).owned_by(there.owner()))
    }

    /// Where the first `size` bytes of blocks are, in the image.
    fn ranges(
        &self,
        runs: &[(u64, u64)],
        size: u64,
        apart: &mut BTreeSet<u64>,
    ) -> Result<Vec<ByteRange>> {
        let mut left = size;
        let mut found = Vec::new();
        for (start, blocks) in runs {
            apart.extend(*start..checked::sum(*start, *blocks, "a run of blocks")?);
            let at = self.fs.place(*start)?.start();
            let block = self.fs.superblock().block();
            let length = left.min(checked::product(*blocks, block, "a run of blocks")?);
            found.push(checked::range(at, length, "a run of blocks")?);
            left = checked::difference(left, length, "the rest of a file")?;
        }
        if left > 0 {
            return Err(Error::bug(format!("{left} of {size} bytes have no block")));
        }
        Ok(found)
    }

    fn finish(&self, written: Written, undo_size: u64) -> Result<Plan> {
        let Written { changes, records, undo } = written;
        let record = self.undo(&changes)?;
        if u64_len(&record) != undo_size {
            let found = u64_len(&record);
            return Err(Error::bug(format!("the undo record has {found} bytes, not {undo_size}")));
        }
        let steps = self.steps(&changes, undo_size)?;
        let mut patches = changes.into_patches()?;
        for (name, at) in &records {
            let bytes = checked::present(self.edits.records.get(name), "a record")?;
            patches.push(Patch {
                at: *at,
                from: Source::Bytes(bytes.clone().into()),
                why: name.clone(),
            });
        }
        let mut rest = Bytes::from(record);
        for at in undo {
            let size = usize_of(at.size());
            checked::part(&rest, ..size, "a part of the undo record")?;
            let from = Source::Bytes(rest.split_to(size));
            patches.push(Patch { at, from, why: UNDO.into() });
        }
        let menus = usize::from(self.text.is_some());
        Ok(Plan { patches, size: self.raw.size, steps, records, menus, credential: None })
    }

    /// The metadata as it is in the base. Everything else was zero.
    fn undo(&self, changes: &Changes) -> Result<Vec<u8>> {
        let mut digest = Sha256::new();
        let mut ranges = Vec::new();
        for (at, new) in &changes.metadata {
            if undo::is_digested(*at) {
                digest.update(new);
            }
            ranges.push((*at, self.image.read_range("the base", *at, u64::MAX)?));
        }
        let undo = Undo {
            base_size: self.raw.size,
            stamped_size: self.raw.size,
            stamped_digest: digest.finalize().into(),
            ranges,
        };
        checked::present(undo.pack(), "the undo record")
    }

    fn steps(&self, changes: &Changes, undo_size: u64) -> Result<Vec<Step>> {
        let sum = |ranges: &[(ByteRange, Vec<u8>)]| {
            let add = |sum, at: &ByteRange| checked::sum(sum, at.size(), "the bytes of changes");
            ranges.iter().map(|(at, _)| at).try_fold(0, add)
        };
        let members = self.edits.root.members().count();
        let root = format!("partition {} ({})", self.raw.number, self.raw.label);
        let mut steps = vec![
            Step {
                what: format!("write {members} files, folders and links into {root}"),
                bytes: sum(&changes.new)?,
            },
            Step {
                what: format!("update the ext4 metadata of {root}"),
                bytes: sum(&changes.metadata)?,
            },
            Step { what: format!("add /{}", undo_path()), bytes: undo_size },
        ];
        if let Some(text) = self.text {
            steps.push(Step { what: format!("change {MENU}"), bytes: u64_len(text.as_bytes()) });
        }
        if let Some(bytes) = self.edits.records.get(MANIFEST) {
            steps.push(Step {
                what: format!("add /{}", record_path(MANIFEST)),
                bytes: u64_len(bytes),
            });
        }
        Ok(steps)
    }
}
