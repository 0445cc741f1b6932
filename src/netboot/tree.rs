//! What starts by itself already: a kernel, an initrd with a store in it and scripts, in a folder (nixpkgs'
//! `netbootRamdisk`, `kexecTree`) or a tar archive (`kexecTarball`, nixos-images' kexec installer).

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::boot::command_lines::CommandLines;
use crate::boot::entry_args::{self, first_that_fits};
use crate::boot::release;
use crate::boot::stage_one::Initrd;
use crate::boot::stage_one::{self, Contents};
use crate::bounded;
use crate::checked;
use crate::error::{Error, Result};
use crate::few::Few;
use crate::formats::boot_config::{Entry, redacted};
use crate::formats::credential::{keys_of, keys_on};
use crate::formats::newc;
use crate::image::patched::PatchedImage;
use crate::image::{ImageFile, ReadAt};
use crate::netboot::added::{self, Added, EarlierAdditions};
use crate::netboot::archive::{self, Member};
use crate::netboot::layout::{Layout, Part};
use crate::netboot::script::Script;
use crate::netboot::verify::{Archive, ComposedArchive, ComposedNetboot, Expected, Netboot};
use crate::netboot::{INITRD, ipxe, is_initrd};
use crate::recipe::edits::Edits;
use crate::stamp::injected_facts::InjectedFacts;
use crate::stamp::privacy;
use crate::units::ByteRange;

/// Names of kernels, as nixpkgs has them.
const KERNELS: [&str; 2] = ["bzImage", "Image"];

/// Bytes of a script; real ones have under 5 KB.
const LARGEST_SCRIPT: u64 = 64 << 10;

/// Bytes of a kernel that tell its architecture.
const HEAD: u64 = 0x206;

/// What a kernel starts with: `HdrS` of the x86 boot protocol (Linux `Documentation/arch/x86/boot.rst`), the magic number of
/// an arm64 image (`Documentation/arch/arm64/booting.rst`).
const MAGICS: [(usize, &[u8; 4], &str); 2] =
    [(0x202, b"HdrS", "x86_64"), (56, b"ARM\x64", "aarch64")];

/// The files of a folder.
#[derive(Debug)]
pub struct Files {
    name: String,
    kernel: Arc<ImageFile>,
    initrd: ImageFile,
    scripts: Vec<Script>,
}

impl Files {
    /// Opens what starts from a folder.
    pub fn within(folder: &Path) -> Result<Self> {
        let doing = || Error::io(format!("look into {}", folder.display()));
        let names = fs::read_dir(folder).and_then(|found| {
            found.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        });
        let mut names: Vec<String> = names.map_err(doing())?;
        names.sort();
        let (kernel, initrd) = needed(&names, &format!("the folder {}", folder.display()))?;
        let mut scripts = Vec::new();
        for name in names.iter().filter(|name| **name != kernel && **name != initrd) {
            let path = folder.join(name);
            if fs::metadata(&path)
                .is_ok_and(|about| about.is_file() && about.len() <= LARGEST_SCRIPT)
            {
                let doing = format!("read {}", path.display());
                let bytes = bounded::read(&path, LARGEST_SCRIPT, &doing)?;
                scripts.extend(Script::read(name, &bytes, &initrd)?);
            }
        }
        Ok(Self {
            kernel: Arc::new(ImageFile::open(&folder.join(&kernel))?),
            initrd: ImageFile::open(&folder.join(&initrd))?,
            name: kernel,
            scripts,
        })
    }

    /// The path of the initrd.
    pub fn initrd(&self) -> &Path {
        self.initrd.path()
    }
}

/// Refuses an archive whose kernel or initrd is a link, which has no bytes of its own.
fn check_links(links: &[String]) -> Result<()> {
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let is_needed = |path: &&String| is_kernel(&last(path)) || is_initrd(&last(path));
    match links.iter().find(is_needed) {
        None => Ok(()),
        Some(path) => Err(Error::unsupported("the tar archive", "files, not links to them", path)
            .with_hint("pack the files themselves: a link has no bytes of its own")),
    }
}

/// Refuses a script that stands elsewhere than the initrd: it loads what is in its own folder.
fn check_beside(script: &Member, initrd: &Member) -> Result<()> {
    if script.folder() == initrd.folder() {
        return Ok(());
    }
    let looked_for = format!("a script in the folder of {}", initrd.path);
    Err(Error::unsupported("the tar archive", looked_for, &script.path))
}

fn is_kernel(name: &str) -> bool {
    KERNELS.contains(&name)
}

/// Kernel and initrd among names.
fn needed(names: &[String], place: &str) -> Result<(String, String)> {
    let one = |what: &str, is: &dyn Fn(&str) -> bool| {
        let mut found = names.iter().filter(|name| is(name));
        match (found.next(), found.next()) {
            (Some(name), None) => Ok(name.clone()),
            _ => Err(Error::unsupported(place, what, few(names))
                .with_hint("give an installer ISO, or what nixpkgs makes for netboot or kexec: a folder or tar archive with bzImage and initrd")),
        }
    };
    let kernel = one("one kernel, bzImage or Image", &is_kernel)?;
    let initrd = one("one initrd", &is_initrd)?;
    Ok((kernel, initrd))
}

/// The first of many names: a folder may have any number of them.
fn few(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    names.iter().collect::<Few>().to_string()
}

/// A kernel, an initrd and scripts.
#[derive(Debug)]
pub struct Tree<B> {
    image: PatchedImage<B>,
    name: String,
    kernel: Part,
    initrd: Initrd,
    scripts: Vec<Script>,
    architecture: Option<&'static str>,
    /// The files that change, of an archive.
    members: Vec<Member>,
    /// What was added to the initrd before.
    found: EarlierAdditions,
}

impl<'f> Tree<&'f ImageFile> {
    /// Those of a folder.
    pub fn of_files(files: &'f Files) -> Result<Self> {
        let at = ByteRange::up_to(files.initrd.size());
        let head = head(&*files.kernel, 0, files.kernel.size())?;
        let image = PatchedImage::whole(&files.initrd);
        let (initrd, found) = looked_into(&image, at, INITRD)?;
        Ok(Self {
            initrd,
            found,
            image,
            name: files.name.clone(),
            kernel: Part::file(&files.kernel),
            scripts: files.scripts.clone(),
            architecture: architecture(&head),
            members: Vec::new(),
        })
    }

    /// Those of a tar archive, unpacked.
    pub fn of_archive(file: &'f ImageFile) -> Result<Self> {
        let image = PatchedImage::whole(file);
        let (members, links) = archive::entries(file)?;
        let names: Vec<String> = members.iter().map(|member| member.name().to_owned()).collect();
        let found = needed(&names, "the tar archive");
        let (kernel, initrd) = found.or_else(|fault| check_links(&links).and(Err(fault)))?;
        let named = |name: &str| {
            checked::present(members.iter().find(|member| member.name() == name), name)
        };
        let (kernel, initrd) = (named(&kernel)?, named(&initrd)?);
        let mut scripts = Vec::new();
        let mut changing = vec![initrd.clone()];
        let small = |member: &&Member| {
            member.at.size() <= LARGEST_SCRIPT && *member != kernel && *member != initrd
        };
        for member in members.iter().filter(small) {
            let bytes = image.read_range(&member.path, member.at, LARGEST_SCRIPT)?;
            if let Some(script) = Script::read(member.name(), &bytes, initrd.name())? {
                check_beside(member, initrd)?;
                scripts.push(script);
                changing.push(member.clone());
            }
        }
        let (below, found) = looked_into(&image, initrd.at, &initrd.path)?;
        Ok(Self {
            initrd: below,
            found,
            name: kernel.name().to_owned(),
            architecture: architecture(&head(file, kernel.at.start(), kernel.at.size())?),
            kernel: Part::base(&[kernel.at]),
            image,
            scripts,
            members: changing,
        })
    }

    /// As `x86_64`, if the kernel tells.
    pub fn architecture(&self) -> Option<&'static str> {
        self.architecture
    }

    /// The initrd, without what was added to it before.
    pub fn initrd(&self) -> &Initrd {
        &self.initrd
    }

    /// The files of the live system's root that were added before.
    pub fn root(&self) -> &[newc::Member] {
        &self.found.root
    }

    /// Whether nothing was added to the initrd before.
    pub fn is_initrd_alone(&self) -> bool {
        self.found.root.is_empty() && self.found.attached.is_empty()
    }

    /// What was put in before: what is in the initrd, and keys on the command lines. Of other kernel arguments nothing
    /// tells who put them there.
    pub fn injected_facts(&self) -> InjectedFacts {
        let lines = CommandLines::of_entries(self.entries());
        let found = &self.found;
        InjectedFacts::from_tree(&self.image, &found.root, &found.attached, &lines)
            .with_path(found.on_path)
    }

    /// What the initrd stands in.
    pub fn image(&self) -> &PatchedImage<&'f ImageFile> {
        &self.image
    }

    /// The squashfs files that were added before, by their paths in the initrd, and where they stand in the image.
    pub fn attached(&self) -> impl Iterator<Item = (&str, ByteRange)> {
        self.found.attached.iter().map(|(path, at)| (path.as_str(), *at))
    }

    /// The `authorized_keys` that command lines carry: their paths in the live system, and their bytes.
    pub fn carried(&self) -> Vec<(String, Vec<u8>)> {
        let mut found: Vec<_> = self.entries().flat_map(|entry| keys_on(entry.words())).collect();
        found.sort();
        found.dedup();
        found
    }

    /// The kernel's arguments for the user to read, by the names of the scripts: those that are not about system, initrd
    /// and keys.
    pub fn arguments_shown(&self) -> Vec<(&str, Vec<String>)> {
        let is_shown = |text: &&str| {
            let is_own = ["init=", "initrd="].iter().any(|own| text.starts_with(own));
            !is_own && keys_of(text).is_empty()
        };
        let shown = |entry: &Entry| -> Vec<String> {
            entry.words().filter(is_shown).map(redacted).collect()
        };
        let lines = |script: &Script| script.entries().iter().map(shown).collect::<Vec<_>>();
        let each = self.scripts.iter().map(|script| (script.name.as_str(), lines(script)));
        each.flat_map(|(name, lines)| lines.into_iter().map(move |line| (name, line))).collect()
    }

    /// The paths of files that others must not read in the live system.
    pub fn secrets(&self) -> Vec<String> {
        privacy::secrets(&self.image, &self.found.root, &self.found.attached)
    }

    /// The release in the name of the system that is started, as `25.11.12484.b6018f87da91`; empty if there is none.
    pub fn release(&self) -> &str {
        let inits = self.entries().filter_map(Entry::init);
        inits.map(release::find_release).find(|found| !found.is_empty()).unwrap_or_default()
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.scripts.iter().flat_map(Script::entries)
    }

    /// The command lines without keys, one at least.
    fn command_lines(&self) -> Result<Vec<Entry>> {
        let entries: Vec<Entry> = self.scripts.iter().flat_map(Script::entries_below).collect();
        if entries.is_empty() {
            return Err(Error::unsupported(
                "what starts the kernel",
                "a script with `init=` on the kernel's command line: netboot.ipxe, run or kexec-boot",
                "none",
            ));
        }
        Ok(entries)
    }

    /// The initrd with edits in place of what was added before.
    fn edited(&self, edits: &Edits) -> Result<(Layout, Expected)> {
        let base = vec![self.initrd.at];
        let mut layout = Layout::from_part(&Part::base(&base), &self.initrd.path)?;
        let mut expected = Expected { base, ..Expected::default() };
        if let Some(added) = Added::from_edits(edits)? {
            expected.before = Some(added.put(&mut layout, &self.initrd)?);
            expected.root = edits.root.members().cloned().collect();
        }
        expected.archives = layout.archives().clone();
        Ok((layout, expected))
    }

    /// The initrd as it is, with what was added before.
    fn unchanged(&self) -> Result<(Layout, Expected)> {
        let base = vec![self.image_range()];
        let layout = Layout::from_part(&Part::base(&base), INITRD)?;
        Ok((layout, Expected { base, ..Expected::default() }))
    }

    /// What starts over the network; `edits` take the place of what was added before.
    pub fn netboot(self, edits: Option<&Edits>) -> Result<Netboot<&'f ImageFile>> {
        self.compose_netboot(edits)?.verify()
    }

    fn compose_netboot(self, edits: Option<&Edits>) -> Result<ComposedNetboot<&'f ImageFile>> {
        let boot = edits.map(|edits| edits.boot.clone()).unwrap_or_default();
        let all = self.command_lines()?;
        ipxe::check_asked(&boot)?;
        let script =
            self.scripts.iter().find(|script| script.is_ipxe()).or_else(|| self.scripts.first());
        let script = checked::present(script, "the script with the entry")?;
        let started = checked::present(script.entries_below().next(), "the entry of a script")?;
        script.check_known()?;
        if let [_, other, ..] = script.entries() {
            let looked_for =
                "one command line with `init=`, as nothing tells which of several starts";
            let found = format!("a second one with init={}", other.init().unwrap_or_default());
            return Err(Error::unsupported(&script.name, looked_for, found)
                .with_hint("take the others out of the script"));
        }
        let all: Vec<&Entry> = all.iter().collect();
        entry_args::check_started(&all, &started, &boot, "leave it out")?;
        let (text, credential) = match edits {
            None => (script.text.clone(), None),
            Some(_) => first_that_fits(&boot, |keys| Ok((script.changed(&boot, keys)?, keys)))?,
        };
        let changed = Script::parse(&script.name, text.as_bytes());
        let changed = checked::present(changed, "the script that was changed")?;
        let line = checked::present(changed.entries().first(), "the entry of a script")?;
        let line = line.arguments.iter().map(|word| word.text.clone()).collect();
        let arguments = ipxe::without_medium(line);
        let (initrd, expected) =
            edits.map_or_else(|| self.unchanged(), |edits| self.edited(edits))?;
        Ok(ComposedNetboot {
            script: ipxe::script(&self.name, &arguments)?,
            arguments,
            kernel: Layout::from_part(&self.kernel, &self.name)?.compose(self.image.clone())?,
            initrd: initrd.compose(self.image.clone())?,
            expected,
            entry: script.name.clone(),
            private: match edits {
                Some(edits) => edits.is_private(),
                None => !self.secrets().is_empty(),
            },
            credential: credential.map(|credential| credential.does.clone()),
            kernel_from: self.kernel,
            name: self.name,
        })
    }

    /// All of the initrd.
    fn image_range(&self) -> ByteRange {
        self.members.first().map_or(ByteRange::up_to(self.image.size()), |member| member.at)
    }

    /// The archive with edits in place of what was added before.
    pub fn archive(self, edits: &Edits) -> Result<Archive<&'f ImageFile>> {
        self.compose_archive(edits)?.verify()
    }

    /// The same before it is verified.
    pub fn compose_archive(self, edits: &Edits) -> Result<ComposedArchive<&'f ImageFile>> {
        let all = self.command_lines()?;
        entry_args::check_found(&all.iter().collect::<Vec<_>>(), &edits.boot)?;
        let (texts, carried) = first_that_fits(&edits.boot, |keys| {
            let texts = self.scripts.iter().map(|script| script.changed(&edits.boot, keys));
            Ok((texts.collect::<Result<Vec<_>>>()?, keys))
        })?;
        let named = self.scripts.iter().zip(&texts);
        let changed = named.filter_map(|(old, text)| Script::parse(&old.name, text.as_bytes()));
        let changed: Vec<Script> = changed.collect();
        let lines = CommandLines::of_entries(changed.iter().flat_map(Script::entries));
        let (mut replaced, mut scripts) = (Vec::new(), Vec::new());
        let mut members = self.members.iter();
        let initrd = checked::present(members.next(), "the initrd of the archive")?.clone();
        let (layout, mut expected) = self.edited(edits)?;
        let changes_initrd = expected.before.is_some() || self.initrd.at != initrd.at;
        replaced.push((initrd.clone(), layout));
        for (member, (script, text)) in members.zip(self.scripts.iter().zip(texts)) {
            if text != script.text {
                let mut layout = Layout::default();
                layout.raw(text.clone().into_bytes(), &script.name)?;
                replaced.push((member.clone(), layout));
                scripts.push((member.clone(), text));
            }
        }
        let private = edits.is_private();
        let before = archive::members(&self.image)?;
        let layout = archive::with(&self.image, replaced, private)?;
        expected.archives = layout.archives().clone();
        let credential = carried.map(|credential| credential.does.clone());
        let image = layout.compose(self.image)?;
        Ok(ComposedArchive {
            image,
            private,
            credential,
            before,
            initrd,
            changes_initrd,
            expected,
            scripts,
            lines,
        })
    }
}

fn head<I: ReadAt>(image: &I, start: u64, size: u64) -> Result<Vec<u8>> {
    let at = checked::range(start, size.min(HEAD), "the kernel")?;
    image.read_range("the kernel", at, HEAD)
}

fn architecture(head: &[u8]) -> Option<&'static str> {
    let has =
        |at: usize, magic: &[u8; 4]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    MAGICS.iter().find(|(at, magic, _)| has(*at, magic)).map(|(_, _, name)| *name)
}

/// An initrd that starts by itself, without what was added to it, and that.
fn looked_into<I: ReadAt>(
    image: &I,
    whole: ByteRange,
    path: &str,
) -> Result<(Initrd, EarlierAdditions)> {
    let at = added::without(image, whole)?;
    let contents: Contents = stage_one::inspect(image, &[(path, at)])?;
    let added = checked::between(at.end(), whole.end(), "what was added to the initrd")?;
    let found = if added.is_empty() {
        EarlierAdditions::default()
    } else {
        EarlierAdditions::read(image, added)?
    };
    Ok((Initrd { path: path.to_owned(), at, contents }, found))
}
