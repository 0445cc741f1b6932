//! What to change: from facts and edits to patches. Reads the structures it edits, decides, writes
//! nothing, and knows no clock.

pub mod esp;
pub mod hierarchy;
pub mod partitions;
pub mod relabel;

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::boot::config::{Config, ConfigLocation};
use crate::boot::folder::{self, Folder};
use crate::boot::hook::{self, AttachmentLocation};
use crate::boot::menu;
use crate::boot::stage_one::Initrd;
use crate::checked;
use crate::error::{Error, Result};
use crate::formats::boot_config::volume_path;
use crate::formats::gpt::Gpt;
use crate::formats::undo::{self, Undo};
use crate::image::ReadAt;
use crate::image::check;
use crate::image::partitions::Partitions;
use crate::image::patched::{Patch, PatchedImage, Source};
use crate::image::space::Allocator;
use crate::iso::checks;
use crate::iso::injected::check_payload;
use crate::iso::plan::hierarchy::{DirectoryEditor, NewFile};
use crate::iso::survey::Survey;
use crate::iso::survey::tree::Node;
use crate::recipe::edits::{Edits, InjectMethod};
use crate::units::{ByteRange, DISK_BLOCK, u64_len};

/// A change for the user to read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// What is done to what.
    pub what: String,
    /// Bytes that are written for it.
    pub bytes: u64,
}

/// All changes of an image.
#[derive(Debug)]
pub struct Plan {
    /// The changes, in bytes.
    pub patches: Vec<Patch>,
    /// The size of the finished image.
    pub size: u64,
    /// The changes, in words.
    pub steps: Vec<Step>,
    /// Where the files of [`Edits::records`] stand, by name.
    pub records: BTreeMap<String, ByteRange>,
    /// How many menus change.
    pub menus: usize,
    /// What the keys on the kernel's command line do, if there are any.
    pub credential: Option<String>,
}

/// A file of the volume that gets new bytes.
struct Replaced<'a> {
    path: &'a str,
    old: &'a Node,
    at: ByteRange,
    private: bool,
    /// Of the pieces of the new contents, one after the other.
    pieces: Vec<Patch>,
}

/// What is put behind initrds.
struct Archive {
    file: NewFile,
    bytes: Vec<u8>,
}

impl Plan {
    /// Decides how the edits get into a base. `initrds` are those of the survey.
    pub fn new<I: ReadAt>(
        image: &I,
        survey: &Survey,
        initrds: &[Initrd],
        edits: &Edits,
    ) -> Result<Self> {
        check::require(&checks::check_survey(survey)?)?;
        partitions::check_behind(&survey.partitions, survey.volume.size())?;
        partitions::check_volumes(image, &survey.partitions)?;
        let (hierarchies, parent) = hierarchies(image, survey)?;
        let folder = Folder::below(parent);
        Planner {
            image,
            survey,
            initrds,
            edits,
            folder,
            partitions: survey.partitions.clone(),
            steps: Vec::new(),
            records: BTreeMap::new(),
            menus: 0,
            credential: None,
        }
        .plan(hierarchies)
    }
}

struct Planner<'a, I> {
    image: &'a I,
    survey: &'a Survey,
    initrds: &'a [Initrd],
    edits: &'a Edits,
    folder: Folder,
    /// As they become, but for their sizes.
    partitions: Partitions,
    steps: Vec<Step>,
    records: BTreeMap<String, ByteRange>,
    menus: usize,
    credential: Option<String>,
}

impl<'a, I: ReadAt> Planner<'a, I> {
    fn plan(mut self, mut hierarchies: Vec<DirectoryEditor<'a, I>>) -> Result<Plan> {
        let (mut archives, which) = self.archives()?;
        let mut tail = Allocator::behind(self.survey.size)?;

        let mut files: Vec<NewFile> = archives.iter().map(|one| one.file.clone()).collect();
        files.push(new_file(&self.folder.undo()));
        files.extend(self.edits.records.keys().map(|name| new_file(name)));
        files.extend(self.attached_files());
        hierarchies.iter_mut().try_for_each(|hierarchy| hierarchy.reserve(&files, &mut tail))?;

        let texts = self.menu_texts(&archives, &which)?;
        let (mut patches, mut replaced) = self.boot_images(&texts, &mut tail)?;
        replaced.extend(self.replaced_configs(&texts, &mut tail)?);
        for archive in &mut archives {
            archive.file.at = tail.take(u64_len(&archive.bytes))?;
            let what = format!("add {}", self.folder.file(&archive.file.name));
            patches.push(self.step(archive.file.at, archive.bytes.clone(), &what)?);
        }
        if self.edits.way == InjectMethod::MergeInitrd {
            replaced.extend(self.merged_initrds(&archives, &which, &mut tail)?);
        }
        if let Some(label) = &self.edits.boot.label {
            for hierarchy in &mut hierarchies {
                hierarchy.relabel(&label.value)?;
            }
            self.steps.push(Step { what: format!("call the volume {}", label.value), bytes: 0 });
        }
        for file in &replaced {
            patches.extend(file.pieces.iter().cloned());
            for hierarchy in &mut hierarchies {
                hierarchy.point(file.path, file.old, file.at, file.private)?;
            }
        }

        let mut files: Vec<NewFile> = archives.into_iter().map(|one| one.file).collect();
        for (name, bytes) in &self.edits.records {
            let at = tail.take(u64_len(bytes))?;
            let path = self.folder.file(name);
            patches.push(self.step(at, bytes.clone(), &format!("add {path}"))?);
            files.push(NewFile { at, ..new_file(name) });
            self.records.insert(name.clone(), at);
        }
        for (number, file) in self.attached_files().into_iter().enumerate() {
            let (patch, at) = self.attach(number, &file.name, &mut tail)?;
            patches.push(patch);
            files.push(NewFile { at, ..file });
        }
        self.finish(patches, &hierarchies, files, tail)
    }

    /// The volume, the partitions and the undo record, which depend on the size of everything else.
    fn finish(
        mut self,
        mut patches: Vec<Patch>,
        hierarchies: &[DirectoryEditor<'a, I>],
        mut files: Vec<NewFile>,
        mut tail: Allocator,
    ) -> Result<Plan> {
        let undo_path = self.folder.undo();
        let old = self.survey.size;
        let partitions = &self.partitions;
        let volume_patches = |files: &[NewFile], size: u64| -> Result<Vec<Patch>> {
            let mut found = partitions::patches(partitions, old, size)?;
            for hierarchy in hierarchies {
                found.extend(hierarchy.clone().patches(files, size)?);
            }
            Ok(found)
        };

        // Which bytes change does not depend on the size: it can be foretold with any that is larger.
        let foretold_end = checked::round_up(tail.end(), 1 << 20, "the end of the image")?;
        let foretold_size = partitions::image_size(partitions, foretold_end)?;
        let nothing = checked::range(tail.end(), 0, "the undo record")?;
        files.push(NewFile { at: nothing, ..new_file(&undo_path) });
        let mut foretold = volume_patches(&files, foretold_size)?;
        foretold.extend(patches.iter().cloned());
        let ranges = overwritten(&foretold, old);
        let undo_size = checked::present(undo::size(&ranges), "the size of the undo record")?;
        let undo_at = tail.take(undo_size)?;

        let size = partitions::image_size(partitions, tail.end())?;
        files.pop();
        files.push(NewFile { at: undo_at, ..new_file(&undo_path) });
        let volume = volume_patches(&files, size)?;
        self.steps.push(Step {
            what: "update directories, path tables, volume and partition sizes".into(),
            bytes: written(&volume)?,
        });
        patches.extend(volume);
        let record = self.undo(&patches, &ranges, size)?;
        patches.push(self.step(undo_at, record, &format!("add {undo_path}"))?);
        let (steps, records, menus) = (self.steps, self.records, self.menus);
        Ok(Plan { patches, size, steps, records, menus, credential: self.credential })
    }

    /// What is attached, as files of the folder without a place yet.
    fn attached_files(&self) -> Vec<NewFile> {
        let private = self.edits.is_private();
        let attached = (1..).zip(&self.edits.attached);
        let file = |path: &str| NewFile { private, ..new_file(path) };
        attached.map(|(number, one)| file(&self.folder.attached(number, &one.id))).collect()
    }

    /// A place for what is attached, and the bytes there. One extent holds up to 4 GiB (ECMA-119 §9.1.4).
    fn attach(
        &mut self,
        number: usize,
        name: &str,
        tail: &mut Allocator,
    ) -> Result<(Patch, ByteRange)> {
        let bytes = &checked::present(self.edits.attached.get(number), "what is attached")?.bytes;
        let (path, size) = (self.folder.file(name), bytes.size());
        hierarchy::extent_size(&bytes.path().display().to_string(), size)?;
        let at = tail.take(size)?;
        let what = format!("add {path}");
        self.steps.push(Step { what: what.clone(), bytes: size });
        Ok((Patch { at, from: Source::File(Arc::clone(bytes), 0), why: what }, at))
    }

    /// The hooks, each once, and the payload behind them; and which initrd gets which hook.
    fn archives(&self) -> Result<(Vec<Archive>, BTreeMap<&'a str, usize>)> {
        let mut archives: Vec<Archive> = Vec::new();
        let mut which = BTreeMap::new();
        let renamed = match &self.edits.boot.label {
            Some(label) => relabel::renamed(self.image, self.survey, &label.value)?,
            None => relabel::Renamed::new(),
        };
        if !self.edits.way.has_archives() {
            return Ok((archives, which));
        }
        for initrd in self.initrds {
            let files = renamed.get(&initrd.path).map(Vec::as_slice).unwrap_or_default();
            let bytes = hook::hook(initrd, files)?;
            let known = archives.iter().position(|hook| hook.bytes == bytes);
            let number = known.unwrap_or(archives.len());
            if known.is_none() {
                let name = format!("hook{}.img", checked::sum(number, 1, "the number of a hook")?);
                archives.push(Archive { file: new_file(&name), bytes });
            }
            which.insert(initrd.path.as_str(), number);
        }
        let private = self.edits.is_private();
        let file = NewFile { private, ..new_file(&self.folder.payload()) };
        let bytes = hook::payload(self.edits, AttachmentLocation::Volume(&self.folder))?;
        check_payload(&bytes, self.edits.root.members().count())?;
        archives.push(Archive { file, bytes });
        Ok((archives, which))
    }

    /// The text of each config as it becomes.
    fn menu_texts(
        &mut self,
        archives: &[Archive],
        which: &BTreeMap<&str, usize>,
    ) -> Result<Vec<String>> {
        let edits = self.edits;
        let label = self.survey.volume.identifier();
        let menus = menu::texts(&self.survey.configs, &label, &edits.boot, |entry| {
            if edits.way != InjectMethod::ExtraInitrd {
                return Ok(Vec::new());
            }
            let last = entry.initrds.last().map(|word| volume_path(&word.text));
            let last = checked::present(last, "the initrd of an entry")?;
            let named = [hook_of(&last, archives, which)?, payload(archives)?];
            Ok(named.map(|archive| self.folder.file(&archive.file.name)).into())
        })?;
        if let Some(credential) = menus.credential {
            let bytes = u64_len(credential.argument.as_bytes());
            let what = format!("put {} on the kernel's command lines", credential.does);
            self.steps.push(Step { what, bytes });
            self.credential = Some(credential.does.clone());
        }
        Ok(menus.texts)
    }

    /// The UEFI boot images with the menus in them; those that had to move are files that got new bytes.
    fn boot_images(
        &mut self,
        texts: &[String],
        tail: &mut Allocator,
    ) -> Result<(Vec<Patch>, Vec<Replaced<'a>>)> {
        let mut menus: BTreeMap<ByteRange, Vec<esp::Menu<'_>>> = BTreeMap::new();
        for (config, text) in changed_menus(self.survey, texts) {
            if let ConfigLocation::Esp(at) = config.place {
                menus.entry(at).or_default().push((&config.path, text));
                self.menu_step(config, "in the UEFI boot image", text)?;
            }
        }
        let block = self.partitions.gpt.as_ref().map_or(DISK_BLOCK, Gpt::block);
        let (mut patches, mut replaced) = (Vec::new(), Vec::new());
        for (at, menus) in menus {
            let changed = esp::changed(self.image, at, &menus, tail, block)?;
            patches.extend(changed.patches);
            if changed.at != at {
                let (entries, file) = self.moved(at, changed.at)?;
                patches.extend(entries);
                replaced.extend(file);
            }
        }
        Ok((patches, replaced))
    }

    /// Lets everything that points to a boot image point to its copy: the boot catalog, the partitions,
    /// and the file of the volume, if it is one.
    fn moved(
        &mut self,
        from: ByteRange,
        to: ByteRange,
    ) -> Result<(Vec<Patch>, Option<Replaced<'a>>)> {
        self.partitions = partitions::moved(&self.partitions, from, to)?;
        let what = "move the UEFI boot image to a copy with more room".into();
        self.steps.push(Step { what, bytes: to.size() });
        let (image, survey) = (self.image, self.survey);
        let named = survey.boot.iter().filter(|entry| entry.image == from);
        let entries = named.map(|entry| esp::entry(image, entry, to)).collect::<Result<_>>()?;
        let file = survey.tree().file_at(from.start());
        let file = file.map(|(path, old)| Replaced {
            path,
            old,
            at: to,
            pieces: Vec::new(),
            private: false,
        });
        Ok((entries, file))
    }

    fn replaced_configs(
        &mut self,
        texts: &[String],
        tail: &mut Allocator,
    ) -> Result<Vec<Replaced<'a>>> {
        let mut replaced: Vec<Replaced<'_>> = Vec::new();
        let survey = self.survey;
        let changed = changed_menus(survey, texts);
        for (config, text) in changed.filter(|(config, _)| config.place == ConfigLocation::Volume) {
            self.menu_step(config, "on the volume", text)?;
            let why = format!("menu {}", config.path);
            let old = checked::present(survey.tree().file(&config.path), &why)?;
            // Another path of a menu that was changed: the same bytes become the same text.
            if replaced.iter().any(|known: &Replaced<'_>| known.old.extents == old.extents) {
                continue;
            }
            let at = tail.take(u64_len(text.as_bytes()))?;
            let pieces = vec![Patch::bytes(at.start(), text.as_bytes(), why)?];
            replaced.push(Replaced { path: &config.path, old, at, private: false, pieces });
        }
        Ok(replaced)
    }

    fn menu_step(&mut self, config: &Config, place: &str, text: &str) -> Result<()> {
        let archives = if self.edits.way == InjectMethod::ExtraInitrd {
            "name the archives in"
        } else {
            "change"
        };
        let what =
            format!("{archives} {} entries of {} {place}", config.entries.len(), config.path);
        self.menus = checked::sum(self.menus, 1, "the menus that change")?;
        self.steps.push(Step { what, bytes: u64_len(text.as_bytes()) });
        Ok(())
    }

    /// Copies of the initrds with the archives appended, which bring their own seams, each from a multiple
    /// of 4 on as the kernel wants it (Linux `init/initramfs.c`).
    fn merged_initrds(
        &mut self,
        archives: &[Archive],
        which: &BTreeMap<&str, usize>,
        tail: &mut Allocator,
    ) -> Result<Vec<Replaced<'a>>> {
        let survey = self.survey;
        let payload = payload(archives)?.bytes.as_slice();
        let mut merged: Vec<Replaced<'_>> = Vec::new();
        for initrd in self.initrds {
            let why = format!("initrd {}", initrd.path);
            let hook = hook_of(&initrd.path, archives, which)?;
            let old = checked::present(survey.tree().file(&initrd.path), &why)?;
            if merged.iter().any(|known| known.old.extents == old.extents) {
                continue;
            }
            let padded = checked::round_up(initrd.at.size(), DISK_BLOCK, &why)?;
            let more = [hook.bytes.as_slice(), payload].concat();
            let at = tail.take(checked::sum(padded, u64_len(&more), &why)?)?;
            let copy = checked::range(at.start(), initrd.at.size(), &why)?;
            let copied =
                Patch { at: copy, from: Source::Base(initrd.at.start()), why: why.clone() };
            let more_at = checked::sum(at.start(), padded, &why)?;
            let appended = Patch::bytes(more_at, more, why)?;
            self.steps.push(Step {
                what: format!("append to a copy of {}", initrd.path),
                bytes: at.size(),
            });
            let (private, pieces) = (self.edits.is_private(), vec![copied, appended]);
            merged.push(Replaced { path: &initrd.path, old, at, private, pieces });
        }
        Ok(merged)
    }

    fn step(&mut self, at: ByteRange, bytes: Vec<u8>, what: &str) -> Result<Patch> {
        self.steps.push(Step { what: what.to_owned(), bytes: at.size() });
        Patch::bytes(at.start(), bytes, what)
    }

    /// The undo record for these ranges of the base.
    fn undo(&self, patches: &[Patch], ranges: &[ByteRange], stamped_size: u64) -> Result<Vec<u8>> {
        let stamped = PatchedImage::whole(self.image).with(patches.to_vec(), stamped_size)?;
        let mut digest = Sha256::new();
        let mut old = Vec::new();
        for at in ranges {
            if undo::is_digested(*at) {
                digest.update(stamped.read_range("the composed image", *at, at.size())?);
            }
            old.push((*at, self.image.read_range("the base", *at, at.size())?));
        }
        let stamped_digest = digest.finalize().into();
        let undo = Undo { base_size: self.survey.size, stamped_size, stamped_digest, ranges: old };
        checked::present(undo.pack(), "the undo record")
    }
}

/// The hierarchies, opened at the first directory that has room for the folder in each of them.
fn hierarchies<'a, I: ReadAt>(
    image: &'a I,
    survey: &'a Survey,
) -> Result<(Vec<DirectoryEditor<'a, I>>, &'a str)> {
    let mut full = None;
    for parent in folder::candidates(survey.tree().directories()) {
        if survey.tree().get(Folder::below(parent).path()).is_some() {
            return Err(Error::unsupported(
                "the volume",
                "no folder of the name `remaster`",
                format!("one below {parent}"),
            ));
        }
        let there = survey.trees.iter().all(|tree| tree.get(parent).is_some());
        let pairs = survey.trees.iter().zip(survey.volume.hierarchies());
        let second = survey.volume.second.iter().map(|found| Some(found.at));
        let pairs = pairs.zip(second.chain(std::iter::repeat(None)));
        let opened: Vec<DirectoryEditor<'a, I>> = pairs
            .filter(|_| there)
            .map(|((tree, (_, found)), second)| {
                DirectoryEditor::open(image, tree, found, second, parent)
            })
            .collect::<Result<_>>()?;
        let sizes = opened.iter().map(DirectoryEditor::size_and_room);
        let sizes = sizes.collect::<Result<Vec<_>>>()?;
        match sizes.into_iter().find(|(size, room)| size > room) {
            None if there => return Ok((opened, parent)),
            overflow => full = overflow.or(full),
        }
    }
    let (needed, free) = checked::present(full, "a directory that is full")?;
    Err(Error::NoRoom {
        what: "any directory of the volume for one more; the last one tried".into(),
        needed,
        free,
    })
}

/// A file of the folder that has no place yet.
fn new_file(path: &str) -> NewFile {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name).to_owned();
    NewFile { name, at: ByteRange::up_to(0), private: false }
}

/// The hook that goes behind an initrd.
fn hook_of<'a>(
    initrd: &str,
    archives: &'a [Archive],
    which: &BTreeMap<&str, usize>,
) -> Result<&'a Archive> {
    let hook = which.get(initrd).and_then(|number| archives.get(*number));
    checked::present(hook, &format!("the hook of {initrd}"))
}

/// What is put in, behind all hooks.
fn payload(archives: &[Archive]) -> Result<&Archive> {
    checked::present(archives.last(), "the archive with what is put in")
}

/// The configs of a base whose texts become other ones.
fn changed_menus<'s, 't>(
    survey: &'s Survey,
    texts: &'t [String],
) -> impl Iterator<Item = (&'s Config, &'t String)> {
    survey.configs.iter().zip(texts).filter(|(config, text)| config.text != **text)
}

fn written(patches: &[Patch]) -> Result<u64> {
    let add = |sum, patch: &Patch| checked::sum(sum, patch.at.size(), "the bytes of patches");
    patches.iter().try_fold(0, add)
}

/// The bytes of the base that patches overwrite: in order, joined where they overlap.
fn overwritten(patches: &[Patch], base_size: u64) -> Vec<ByteRange> {
    let base = ByteRange::up_to(base_size);
    let mut ranges: Vec<ByteRange> =
        patches.iter().filter_map(|patch| patch.at.common(base)).collect();
    ranges.sort();
    let mut joined: Vec<ByteRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end() > range.start() => *last = last.grown_to(range.end()),
            _ => joined.push(range),
        }
    }
    joined
}
