//! Files of the user's for the live system: overlays, single files, scripts, programs, units, things to
//! run at boot, and store paths.

mod archive;
mod arg_ref;
mod authorized;
mod findings;
mod folder;
mod lint;
mod overlay_tree;
mod places;
mod programs;
mod squashfs;
mod units;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::facts::Facts;
use crate::error::{Error, Result};
use crate::formats::newc::{Kind, Member};
use crate::recipe::edits::{self, Attached, Edits, Purpose, Root};
use crate::recipe::{Phrase, Recipe, setting};

pub(super) use programs::{ON_PATH, RUN, WAITER, service_name};

use arg_ref::ArgRef;
use findings::{Findings, FoundProgram};
use overlay_tree::{OverlayTree, What};

/// Bytes of files that an initrd takes; what is more goes onto the volume, where it costs no memory
/// before it is wanted.
const LARGEST_IN_INITRD: u64 = 16 << 20;

/// Bytes of memory that the names of files take in an initrd, which has a header for each, too.
const LARGEST_NAMES: usize = 8 << 20;

/// All files of a recipe.
#[derive(Debug)]
pub(super) struct Files {
    recipe: Recipe,
    overlay: OverlayTree,
    /// Everything, without what the squashfs has.
    members: Vec<Member>,
    /// Everything, if it is too large for an initrd.
    packed: Option<Attached>,
    /// What is in the squashfs, without the bytes of files.
    listed: Vec<Member>,
    units: Root,
    stores: Vec<Attached>,
    findings: Findings,
}

impl Files {
    /// Reads everything that a recipe names; none if it names no files.
    pub(super) fn gather(asked: &Recipe) -> Result<Option<Self>> {
        let recipe = &asked.with_all_runs();
        refuse_what_says_nothing(recipe)?;
        let mut overlay = OverlayTree::default();
        let mut findings = Findings::default();
        overlays(recipe, &mut overlay)?;
        programs::gather(recipe, &mut overlay, &mut findings)?;
        authorized::set_right(recipe, &mut overlay, &mut findings.notes)?;
        overlay.finish()?;
        findings.notes.extend(overlay.items().filter_map(|(path, _)| places::note(path)));
        lint::check(recipe, &overlay, &mut findings)?;
        let mut units = Root::default();
        units::gather(recipe, &overlay, &mut units, &mut findings.notes)?;
        let stores = stores(recipe, &mut units, &mut findings.notes)?;
        if stores.iter().any(|store| store.purpose == Purpose::Store { on_path: true }) {
            programs::on_path(&mut overlay)?;
            overlay.finish()?;
        }
        programs::services(recipe, asked, &mut units);
        check_apart(&overlay, &units)?;
        let is_empty = overlay.is_empty() && stores.is_empty() && units.members().next().is_none();
        if is_empty && findings.notes.is_empty() {
            return Ok(None);
        }
        let large = overlay.size() > LARGEST_IN_INITRD || overlay.held() > LARGEST_NAMES;
        let packed = if large { Some(packed(&overlay)?) } else { None };
        let members = if large { Vec::new() } else { overlay.members()? };
        let listed = if large { overlay.listed() } else { Vec::new() };
        findings.private |= !edits::secrets(&listed).is_empty();
        for store in &stores {
            findings.private |= squashfs::holds_secrets(&store.bytes)?;
        }
        let recipe = recipe.clone();
        Ok(Some(Self { recipe, overlay, members, packed, listed, units, stores, findings }))
    }

    /// Notes for the user, a line each.
    pub(super) fn notes(&self) -> &[String] {
        &self.findings.notes
    }

    /// Whether something of these is at a path.
    pub(super) fn have(&self, path: &str) -> bool {
        let mut all = self.members.iter().chain(&self.listed).chain(self.units.members());
        all.any(|member| member.path == path)
    }

    /// Puts the files into the edits. To be called when all other edits are made, so that what is asked
    /// for twice is noticed; `others` are paths that are made at boot.
    pub(super) fn apply(
        &self,
        facts: &Facts,
        others: &BTreeSet<String>,
        edits: &mut Edits,
    ) -> Result<()> {
        self.check_architecture(facts)?;
        let (large, room) = (self.packed.is_some(), facts.room);
        let whole = match room.filter(|_| large) {
            Some(free) => self.whole(free)?,
            None => Vec::new(),
        };
        for member in self.members.iter().chain(&self.listed).chain(self.units.members()) {
            let there = edits.root.get(&member.path);
            if there.is_some_and(|there| !are_folders(there, member))
                || others.contains(&member.path)
            {
                return Err(twice(&member.path));
            }
        }
        for member in self.members.iter().chain(&whole).chain(self.units.members()) {
            put(member, edits);
        }
        edits.private |= self.findings.private;
        edits.attached.extend(self.stores.iter().cloned());
        if room.is_some() {
            return Ok(());
        }
        // The archive is copied after the squashfs: the folders in both get the modes of the latter.
        for member in &self.listed {
            if edits.root.get(&member.path).is_some() {
                put(member, edits);
            }
        }
        edits.attached.splice(0..0, self.packed.iter().cloned());
        Ok(())
    }

    /// Everything with its bytes, for a root filesystem in which so many are free.
    fn whole(&self, free: u64) -> Result<Vec<Member>> {
        let needed = self.overlay.size();
        if needed > free {
            let what = "the root filesystem of the image, for overlays and programs".into();
            return Err(Error::NoRoom { what, needed, free });
        }
        self.overlay.members()
    }

    fn check_architecture(&self, facts: &Facts) -> Result<()> {
        let Some(image) = facts.architecture else { return Ok(()) };
        for FoundProgram { name, index, path, program } in &self.findings.programs {
            if program.architecture != Some(image) {
                let own = program.architecture.unwrap_or("another machine");
                let what = format!("{path} is for {own}, the image is for {image}");
                return Err(self.recipe.fault(name, *index, what, "give a program for the image"));
            }
        }
        Ok(())
    }
}

fn are_folders(one: &Member, other: &Member) -> bool {
    one.kind == Kind::Directory && other.kind == Kind::Directory
}

/// Refuses what units make where a file is given that is not the same.
fn check_apart(overlay: &OverlayTree, units: &Root) -> Result<()> {
    let is_taken = |member: &&Member| match overlay.get(&member.path).map(|item| &item.what) {
        None => false,
        Some(What::Folder) => member.kind != Kind::Directory,
        Some(What::Link(to)) => member.kind != Kind::Symlink(to.clone()),
        Some(What::File(_)) => true,
    };
    let is_file =
        |path: &str| matches!(overlay.get(path).map(|item| &item.what), Some(What::File(_)));
    match units.members().find(is_taken) {
        None => Ok(()),
        Some(member) if member.kind == Kind::Directory && is_file(&member.path) => {
            let path = &member.path;
            Err(Error::Recipe {
                what: format!("/{path} is a folder, not the path of a file"),
                hint: format!("end it with the name that the file is to have, as `/{path}/NAME`")
                    .into(),
            })
        }
        Some(member) => Err(twice(&member.path)),
    }
}

fn twice(path: &str) -> Error {
    Error::Recipe {
        what: format!("/{path} is among the files given, and another setting makes it, too"),
        hint: "leave the file or the setting out".into(),
    }
}

/// A folder that exists is opened no wider than it is.
fn put(member: &Member, edits: &mut Edits) {
    let mut member = member.clone();
    if let Some(there) = edits.root.get(&member.path) {
        member.mode &= there.mode;
    }
    edits.root.put(member);
}

const OF_OVERLAYS: Phrase = Phrase("{}", &[setting!(overlay)]);
const OF_UNITS: Phrase = Phrase("{}", &[setting!(unit)]);
const OF_STORES: Phrase = Phrase("{}", &[setting!(store)]);
const OF_FILES: Phrase = Phrase("{} or {}", &[setting!(overlay), setting!(file)]);

/// Settings that mean nothing without another one.
fn refuse_what_says_nothing(recipe: &Recipe) -> Result<()> {
    let alone = [
        ("xattrs", recipe.xattrs.is_some() && recipe.overlay.is_empty(), OF_OVERLAYS),
        ("enable", recipe.enable == Some(true) && recipe.unit.is_empty(), OF_UNITS),
        ("path", recipe.path == Some(true) && recipe.store.is_empty(), OF_STORES),
        ("allow-secrets", recipe.allow_secrets == Some(true) && !has_files(recipe), OF_FILES),
    ];
    match alone.iter().find(|(_, alone, _)| *alone) {
        Some((name, _, other)) => {
            let what = format!("has no effect without {other}");
            Err(recipe.fault(name, 0, what, format!("give {other}, too")))
        }
        None => Ok(()),
    }
}

/// Whether there are files that may hold secrets.
fn has_files(recipe: &Recipe) -> bool {
    let Recipe { overlay, file, script, bin, run, .. } = recipe;
    let programs = [overlay, script, bin, run];
    !file.is_empty() || programs.iter().any(|paths| !paths.is_empty())
}

/// Lays all overlays. One with nothing in it is refused: it is not what was meant.
fn overlays(recipe: &Recipe, overlay: &mut OverlayTree) -> Result<()> {
    for (index, path) in recipe.overlay.iter().enumerate() {
        let asked = ArgRef { recipe, name: "overlay", index };
        let about = path.metadata().map_err(Error::io(format!("read {}", path.display())))?;
        let before = overlay.laid();
        if about.is_dir() {
            folder::add(asked, path, overlay)?;
        } else if about.is_file() {
            archive::add(asked, path, overlay)?;
        } else {
            let what = format!("{} is neither a folder nor a file", path.display());
            return Err(asked.fault(what, "give a folder or a tar archive"));
        }
        if overlay.laid() == before {
            let hint = "put files into it, as they are to be in the live system, or leave it out";
            return Err(
                asked.fault(format!("{} has nothing in it to put in", path.display()), hint)
            );
        }
    }
    Ok(())
}

fn packed(overlay: &OverlayTree) -> Result<Attached> {
    Attached::new(Purpose::Overlay, Arc::new(squashfs::pack(overlay)?))
}

fn stores(recipe: &Recipe, units: &mut Root, notes: &mut Vec<String>) -> Result<Vec<Attached>> {
    let on_path = recipe.path == Some(true);
    let mut stores = Vec::new();
    for (index, path) in recipe.store.iter().enumerate() {
        let asked = ArgRef { recipe, name: "store", index };
        let (bytes, is_registered) = squashfs::store(asked, path, on_path, notes)?;
        stores.push(Attached::new(Purpose::Store { on_path }, Arc::new(bytes))?);
        if is_registered {
            units.file("etc/remaster/store.sh", 0o644, include_str!("../scripts/store.sh"));
            units.unit("remaster-store.service", include_str!("../scripts/store.service"));
            units.want("remaster-store.service", "sysinit.target");
        }
    }
    Ok(stores)
}

#[cfg(test)]
mod tests;
