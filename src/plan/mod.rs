//! What to change: from facts and edits to patches. Reads the structures it edits, decides, writes
//! nothing, and knows no clock.

pub mod folder;
pub mod hierarchy;
pub mod hook;
pub mod partitions;
pub mod space;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::compose::{Composed, Patch, Source};
use crate::edit::{Edits, Way};
use crate::error::{Error, Result};
use crate::format::boot_config::{volume_path, with_initrds};
use crate::format::undo::{self, Undo};
use crate::image::ReadAt;
use crate::plan::folder::Folder;
use crate::plan::hierarchy::{Edited, NewFile};
use crate::plan::space::{Tail, too_large};
use crate::scratch::Scratch;
use crate::survey::Survey;
use crate::survey::configs::{Config, Place};
use crate::survey::esp::Esp;
use crate::survey::nixos::Initrd;
use crate::survey::tree::Node;
use crate::units::{ByteRange, DISK_BLOCK, align_up, len_of};

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
}

/// A file of the volume that gets new bytes.
struct Replaced<'a> {
    path: &'a str,
    old: &'a Node,
    at: ByteRange,
    /// Of the pieces of the new contents, one after the other.
    pieces: Vec<Patch>,
}

/// What is put behind one initrd.
struct Hook {
    file: NewFile,
    bytes: Vec<u8>,
}

impl Plan {
    /// Decides how the edits get into a base. `initrds` are those of the survey.
    pub fn of<I: ReadAt>(
        image: &I,
        survey: &Survey,
        initrds: &[Initrd],
        edits: &Edits,
    ) -> Result<Self> {
        let (hierarchies, parent) = hierarchies(image, survey)?;
        let folder = Folder::below(parent);
        Planner { image, survey, initrds, edits, folder, steps: Vec::new() }.plan(hierarchies)
    }

    /// The finished image.
    pub fn compose<B: ReadAt>(self, base: Composed<B>) -> Result<Composed<B>> {
        base.with(self.patches, self.size)
    }
}

struct Planner<'a, I> {
    image: &'a I,
    survey: &'a Survey,
    initrds: &'a [Initrd],
    edits: &'a Edits,
    folder: Folder,
    steps: Vec<Step>,
}

impl<'a, I: ReadAt> Planner<'a, I> {
    fn plan(mut self, mut hierarchies: Vec<Edited<'a, I>>) -> Result<Plan> {
        let (payload_path, undo_path) = (self.folder.payload(), self.folder.undo());
        let payload = hook::payload(self.edits)?;
        let (mut hooks, which) = self.hooks()?;
        let mut tail = Tail::behind(self.survey.size)?;

        let mut files: Vec<NewFile> = hooks.iter().map(|hook| hook.file.clone()).collect();
        files.push(new_file(&payload_path)?);
        files.push(new_file(&undo_path)?);
        hierarchies.iter_mut().try_for_each(|hierarchy| hierarchy.reserve(&files, &mut tail))?;

        let mut patches = self.esp_patches(&hooks, &which)?;
        let mut replaced = self.replaced_configs(&hooks, &which, &mut tail)?;
        for hook in &mut hooks {
            hook.file.at = tail.take(len_of(&hook.bytes))?;
            patches.extend(self.step(
                hook.file.at,
                hook.bytes.clone(),
                &format!("add {}", self.folder.file(&hook.file.name)),
            ));
        }
        let payload_at = tail.take(len_of(&payload))?;
        patches.extend(self.step(payload_at, payload.clone(), &format!("add {payload_path}")));
        if self.edits.way == Way::MergeInitrd {
            replaced.extend(self.merged_initrds(&hooks, &which, &payload, &mut tail)?);
        }
        for file in &replaced {
            patches.extend(file.pieces.iter().cloned());
            for hierarchy in &mut hierarchies {
                hierarchy.point(file.path, file.old, file.at)?;
            }
        }

        let mut files: Vec<NewFile> = hooks.into_iter().map(|hook| hook.file).collect();
        let private = self.edits.is_private();
        files.push(NewFile { at: payload_at, private, ..new_file(&payload_path)? });
        self.finish(patches, &hierarchies, files, tail)
    }

    /// The volume, the partitions and the undo record, which depend on the size of everything else.
    fn finish(
        mut self,
        mut patches: Vec<Patch>,
        hierarchies: &[Edited<'a, I>],
        mut files: Vec<NewFile>,
        mut tail: Tail,
    ) -> Result<Plan> {
        let undo_path = self.folder.undo();
        let old = self.survey.size;
        let partitions = &self.survey.partitions;
        let volume_patches = |files: &[NewFile], size: u64| -> Result<Vec<Patch>> {
            let mut found = partitions::patches(partitions, old, size)?;
            for hierarchy in hierarchies {
                found.extend(hierarchy.clone().patches(files, size)?);
            }
            Ok(found)
        };

        // Which bytes change does not depend on the size: it can be foretold with any that is larger.
        let foretold_size = partitions::image_size(
            partitions,
            align_up(tail.end(), 1 << 20).ok_or_else(too_large)?,
        )?;
        files.push(NewFile {
            at: ByteRange::new(tail.end(), 0).ok_or_else(too_large)?,
            ..new_file(&undo_path)?
        });
        let mut foretold = volume_patches(&files, foretold_size)?;
        foretold.extend(patches.iter().cloned());
        let ranges = overwritten(&foretold, old)?;
        let undo_at = tail.take(undo::size(&ranges).ok_or_else(too_large)?)?;

        let size = partitions::image_size(partitions, tail.end())?;
        files.pop();
        files.push(NewFile { at: undo_at, ..new_file(&undo_path)? });
        let volume = volume_patches(&files, size)?;
        self.steps.push(Step {
            what: "update directories, path tables, volume and partition sizes".into(),
            bytes: written(&volume),
        });
        patches.extend(volume);
        let record = self.undo(&patches, &ranges, size)?;
        patches.extend(self.step(undo_at, record, &format!("add {undo_path}")));
        Ok(Plan { patches, size, steps: self.steps })
    }

    /// The hooks, each once, and which initrd gets which.
    fn hooks(&self) -> Result<(Vec<Hook>, BTreeMap<&'a str, usize>)> {
        let mut hooks: Vec<Hook> = Vec::new();
        let mut which = BTreeMap::new();
        for initrd in self.initrds {
            let bytes = hook::hook(initrd)?;
            let known = hooks.iter().position(|hook| hook.bytes == bytes);
            let number = known.unwrap_or(hooks.len());
            if known.is_none() {
                let name = format!("hook{}.img", number.saturating_add(1));
                hooks.push(Hook { file: new_file(&name)?, bytes });
            }
            which.insert(initrd.path.as_str(), number);
        }
        Ok((hooks, which))
    }

    /// A menu with the archives behind the initrds of every entry.
    fn new_menu(&self, config: &Config, hooks: &[Hook], which: &BTreeMap<&str, usize>) -> String {
        with_initrds(&config.text, config.syntax, &config.entries, |entry| {
            let last = entry.initrds.last().map(|word| volume_path(&word.text)).unwrap_or_default();
            let hook = which.get(last.as_str()).and_then(|number| hooks.get(*number));
            let hook = hook.map(|hook| self.folder.file(&hook.file.name));
            hook.into_iter().chain([self.folder.payload()]).collect()
        })
    }

    fn esp_patches(&mut self, hooks: &[Hook], which: &BTreeMap<&str, usize>) -> Result<Vec<Patch>> {
        let mut menus: BTreeMap<ByteRange, Vec<(&Config, String)>> = BTreeMap::new();
        if self.edits.way == Way::ExtraInitrd {
            for config in &self.survey.configs {
                if let Place::Esp(at) = config.place {
                    menus
                        .entry(at)
                        .or_default()
                        .push((config, self.new_menu(config, hooks, which)));
                }
            }
        }
        let mut patches = Vec::new();
        for (at, menus) in menus {
            let mut scratch = Scratch::new(self.image, at);
            let esp = Esp::open(&mut scratch)?;
            for (config, text) in &menus {
                esp.replace(&config.path, text.as_bytes())?;
                self.steps.push(menu_step(config, "in the UEFI boot image", text));
            }
            esp.close()?;
            patches.extend(scratch.patches("the UEFI boot image")?);
        }
        Ok(patches)
    }

    fn replaced_configs(
        &mut self,
        hooks: &[Hook],
        which: &BTreeMap<&str, usize>,
        tail: &mut Tail,
    ) -> Result<Vec<Replaced<'a>>> {
        let mut replaced = Vec::new();
        if self.edits.way == Way::MergeInitrd {
            return Ok(replaced);
        }
        let survey = self.survey;
        for config in survey.configs.iter().filter(|config| config.place == Place::Volume) {
            let text = self.new_menu(config, hooks, which);
            self.steps.push(menu_step(config, "on the volume", &text));
            let old = survey.tree().file(&config.path).ok_or_else(too_large)?;
            let at = tail.take(len_of(text.as_bytes()))?;
            let pieces =
                Patch::bytes(at.start(), text.into_bytes(), format!("menu {}", config.path));
            replaced.push(Replaced {
                path: &config.path,
                old,
                at,
                pieces: pieces.into_iter().collect(),
            });
        }
        Ok(replaced)
    }

    /// Copies of the initrds with the archives appended, each from a multiple of 4 on as the kernel
    /// wants it (Linux `init/initramfs.c`).
    fn merged_initrds(
        &mut self,
        hooks: &[Hook],
        which: &BTreeMap<&str, usize>,
        payload: &[u8],
        tail: &mut Tail,
    ) -> Result<Vec<Replaced<'a>>> {
        let survey = self.survey;
        let mut merged = Vec::new();
        for initrd in self.initrds {
            let hook = which
                .get(initrd.path.as_str())
                .and_then(|number| hooks.get(*number))
                .ok_or_else(too_large)?;
            let old = survey.tree().file(&initrd.path).ok_or_else(too_large)?;
            let padded = align_up(initrd.at.size(), DISK_BLOCK).ok_or_else(too_large)?;
            let more = [hook.bytes.as_slice(), payload].concat();
            let at = tail.take(padded.checked_add(len_of(&more)).ok_or_else(too_large)?)?;
            let copy = ByteRange::new(at.start(), initrd.at.size()).ok_or_else(too_large)?;
            let why = format!("initrd {}", initrd.path);
            let copied =
                Patch { at: copy, from: Source::Base(initrd.at.start()), why: why.clone() };
            let appended =
                Patch::bytes(at.start().saturating_add(padded), more, why).ok_or_else(too_large)?;
            self.steps.push(Step {
                what: format!("append to a copy of {}", initrd.path),
                bytes: at.size(),
            });
            merged.push(Replaced { path: &initrd.path, old, at, pieces: vec![copied, appended] });
        }
        Ok(merged)
    }

    fn step(&mut self, at: ByteRange, bytes: Vec<u8>, what: &str) -> Option<Patch> {
        self.steps.push(Step { what: what.to_owned(), bytes: at.size() });
        Patch::bytes(at.start(), bytes, what)
    }

    /// The undo record for these ranges of the base.
    fn undo(&self, patches: &[Patch], ranges: &[ByteRange], stamped_size: u64) -> Result<Vec<u8>> {
        let stamped = Composed::whole(self.image).with(patches.to_vec(), stamped_size)?;
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
        undo.pack().ok_or_else(too_large)
    }
}

/// The hierarchies, opened at the first directory that has room for the folder in each of them.
fn hierarchies<'a, I: ReadAt>(
    image: &'a I,
    survey: &'a Survey,
) -> Result<(Vec<Edited<'a, I>>, &'a str)> {
    for parent in folder::candidates(survey.tree()) {
        if survey.tree().get(Folder::below(parent).path()).is_some() {
            return Err(Error::unsupported(
                "the volume",
                "no folder of the name `remaster`",
                format!("one below {parent}"),
            ));
        }
        let there = survey.trees.iter().all(|tree| tree.get(parent).is_some());
        let pairs = survey.trees.iter().zip(survey.volume.hierarchies());
        let opened: Vec<Edited<'a, I>> = pairs
            .filter(|_| there)
            .map(|(tree, (_, descriptor))| Edited::open(image, tree, descriptor, parent))
            .collect::<Result<_>>()?;
        let fits = opened.iter().map(Edited::fits).collect::<Result<Vec<bool>>>()?;
        if there && fits.iter().all(|fits| *fits) {
            return Ok((opened, parent));
        }
    }
    Err(Error::NoRoom {
        what: "every directory of the volume, for one more".into(),
        needed: 256,
        free: 0,
    })
}

fn new_file(path: &str) -> Result<NewFile> {
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    Ok(NewFile { name, at: ByteRange::new(0, 0).ok_or_else(too_large)?, private: false })
}

fn menu_step(config: &Config, place: &str, text: &str) -> Step {
    let what =
        format!("name the archives in {} entries of {} {place}", config.entries.len(), config.path);
    Step { what, bytes: len_of(text.as_bytes()) }
}

fn written(patches: &[Patch]) -> u64 {
    patches.iter().fold(0, |sum, patch| sum.saturating_add(patch.at.size()))
}

/// The bytes of the base that patches overwrite: in order, joined where they overlap.
fn overwritten(patches: &[Patch], base_size: u64) -> Result<Vec<ByteRange>> {
    let base = ByteRange::new(0, base_size).ok_or_else(too_large)?;
    let mut ranges: Vec<ByteRange> =
        patches.iter().filter_map(|patch| patch.at.common(base)).collect();
    ranges.sort();
    let mut joined: Vec<ByteRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end() > range.start() => {
                let end = last.end().max(range.end());
                *last = ByteRange::between(last.start(), end).ok_or_else(too_large)?;
            }
            _ => joined.push(range),
        }
    }
    Ok(joined)
}
