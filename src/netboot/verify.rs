//! Reads the result again and compares it with what was asked for. [`Netboot`] and [`Archive`] are made here alone, so
//! nothing unverified is written.

use std::ops::Deref;

use crate::boot::command_lines::CommandLines;
use crate::checked;
use crate::error::{Error, Result};
use crate::formats::newc::{self, Member, Next};
use crate::image::ReadAt;
use crate::image::patched::PatchedImage;
use crate::iso::differs::differs;
use crate::netboot::layout::{Archives, Part};
use crate::netboot::script::Script;
use crate::netboot::{INITRD, SCRIPT, added, archive, ipxe};
use crate::output::Outgoing;
use crate::units::{ByteRange, u64_len};

/// What an initrd is to be.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// The initrds of the base, which come first.
    pub base: Vec<ByteRange>,
    /// Where archives stand behind them.
    pub archives: Archives,
    /// What is in those that are read whole, among others.
    pub members: Vec<Member>,
    /// Their files of the live system's root, and no others.
    pub root: Vec<Member>,
    /// Bytes in front of what was added, if something was.
    pub before: Option<u64>,
}

impl Expected {
    /// An initrd is that.
    fn check<B: ReadAt>(&self, image: &PatchedImage<B>, at: ByteRange) -> Result<()> {
        let end = comes_from(image, at.start(), &Part::base(&self.base), "the base's initrd")?;
        let end = self.archives.whole.last().map_or(end, |last| last.end());
        if end != at.end() {
            return Err(differs("the initrd", at.end(), "an end", format!("it at byte {end:#x}")));
        }
        self.seams(image)?;
        for file in &self.archives.files {
            let head = newc::head(&file.path, file.mode, file.from.size()?);
            let head = head.map_err(Error::io("make an archive"))?;
            let start = checked::difference(file.at, u64_len(&head), "the head of a file")?;
            let found = checked::range(start, u64_len(&head), "the head of a file")?;
            if image.read_range(&file.path, found, u64_len(&head))? != head {
                return Err(differs(&file.path, start, "another head", "its name and size"));
            }
            comes_from(image, file.at, &file.from, &file.path)?;
        }
        self.contents(image)?;
        let before = self.before.unwrap_or(at.size());
        let found = added::without(image, at)?.size();
        if self.before.is_some() && found != before {
            return Err(differs("the mark of the initrd", at.end(), found, before));
        }
        Ok(())
    }

    /// Each archive starts behind a seam.
    fn seams<B: ReadAt>(&self, image: &PatchedImage<B>) -> Result<()> {
        for at in &self.archives.seams {
            if !newc::has_seam(&image.read_range("a seam", *at, at.size())?) {
                return Err(differs("a seam", at.start(), "other bytes", "zeros and an archive"));
            }
        }
        Ok(())
    }

    /// Everything that was put into archives is there, and in the live system's root nothing else.
    fn contents<B: ReadAt>(&self, image: &PatchedImage<B>) -> Result<()> {
        let mut missing: Vec<&Member> = self.members.iter().collect();
        let mut root = Vec::new();
        for at in &self.archives.whole {
            let bytes = image.read_range("an archive", *at, at.size())?;
            let each = |member: Member| {
                missing.retain(|one| **one != member);
                root.extend(added::in_root(member));
                Next::Continue
            };
            newc::read(bytes.as_slice(), u32::MAX, |_| true, each)
                .map_err(|fault| differs("an archive", at.start(), fault, "a newc archive"))?;
        }
        if let Some(member) = missing.first() {
            return Err(differs(&member.path, 0, "none in the archives", "it as it was put there"));
        }
        if root == self.root {
            return Ok(());
        }
        let other = root.iter().find(|member| !self.root.contains(member));
        let other = other.or_else(|| self.root.iter().find(|member| !root.contains(member)));
        let path = other.map_or("the order", |member| &member.path);
        Err(differs("the live system's root", 0, path, "the edits"))
    }
}

/// Where a part ends that starts at a byte and is there with nothing in between.
fn comes_from<B: ReadAt>(
    image: &PatchedImage<B>,
    start: u64,
    part: &Part,
    what: &str,
) -> Result<u64> {
    let mut end = start;
    for (from, size) in part.pieces() {
        let at = checked::range(end, *size, what)?;
        if !image.comes_from(at, from)? {
            return Err(differs(what, at.start(), "other bytes", "those of the base"));
        }
        end = at.end();
    }
    Ok(end)
}

/// What was put together to start over the network, and what it is to be.
#[derive(Debug)]
pub struct ComposedNetboot<B> {
    /// Name of the kernel's file, as `bzImage`.
    pub name: String,
    /// The kernel.
    pub kernel: PatchedImage<B>,
    /// The initrd with the store in it.
    pub initrd: PatchedImage<B>,
    /// The iPXE script.
    pub script: String,
    /// The title of what it was made of: a menu entry, or the script with its command line.
    pub entry: String,
    /// Whether the initrd holds secrets.
    pub private: bool,
    /// What the keys on the kernel's command line do, if there are any.
    pub credential: Option<String>,
    /// Where the kernel is to come from.
    pub kernel_from: Part,
    /// What the initrd is to be.
    pub expected: Expected,
    /// What the kernel's command line is to be.
    pub arguments: Vec<String>,
}

impl<B: ReadAt> ComposedNetboot<B> {
    /// Reads it again.
    ///
    /// # Errors
    /// [`Error::Bug`] if it is not what it is to be: nothing must be written then.
    pub fn verify(self) -> Result<Netboot<B>> {
        self.kernel.if_unchanged(self.initrd.if_unchanged(self.check()))?;
        Ok(Netboot(self))
    }

    fn check(&self) -> Result<()> {
        let end = comes_from(&self.kernel, 0, &self.kernel_from, "the kernel")?;
        if end != self.kernel.size() {
            return Err(differs("the kernel", end, "more bytes", "those of the base"));
        }
        self.expected.check(&self.initrd, ByteRange::up_to(self.initrd.size()))?;
        self.line()
    }

    /// The script starts the kernel with its arguments, and the initrd.
    fn line(&self) -> Result<()> {
        let script = Script::parse(SCRIPT, self.script.as_bytes());
        let found = script.as_ref().and_then(|script| script.entries().first());
        let found = found.map_or(&[][..], |entry| &entry.arguments);
        let found = found.iter().map(|word| word.text.as_str());
        let initrd = format!("initrd={INITRD}");
        let found: Vec<&str> = found.filter(|word| *word != initrd).collect();
        let words = self.arguments.iter().map(|argument| ipxe::word(argument));
        let words = words.collect::<Result<Vec<_>>>()?.join(" ");
        let kernel = format!("\nkernel {} ", ipxe::word(&self.name)?);
        let starts = [&kernel, &format!(" {initrd} "), &format!("\ninitrd {INITRD}\nboot\n")];
        if found == words.split(' ').collect::<Vec<_>>()
            && starts.iter().all(|line| self.script.contains(line.as_str()))
        {
            return Ok(());
        }
        Err(differs(SCRIPT, 0, found.join(" "), words))
    }
}

/// What starts over the network.
#[derive(Debug)]
pub struct Netboot<B>(ComposedNetboot<B>);

impl<B: ReadAt> Netboot<B> {
    /// The kernel for a way out: it is as published.
    pub fn kernel_outgoing(&self) -> Outgoing<'_, B> {
        Outgoing::published(&self.kernel)
    }

    /// The initrd for a way out.
    pub fn initrd_outgoing(&self) -> Outgoing<'_, B> {
        Outgoing::new(&self.initrd, self.private)
    }
}

/// Gives access to the plan that it was made from.
impl<B> Deref for Netboot<B> {
    type Target = ComposedNetboot<B>;

    fn deref(&self) -> &ComposedNetboot<B> {
        &self.0
    }
}

/// A tar archive for kexec that was put together with edits in it, and what it is to be.
#[derive(Debug)]
pub struct ComposedArchive<B> {
    /// Its bytes, unpacked.
    pub image: PatchedImage<B>,
    /// Whether it holds secrets.
    pub private: bool,
    /// What the keys on the kernel's command lines do, if there are any.
    pub credential: Option<String>,
    /// The files that were there before.
    pub before: Vec<archive::Member>,
    /// The initrd among them.
    pub initrd: archive::Member,
    /// Whether something is added to it, or taken out.
    pub changes_initrd: bool,
    /// What the initrd is to be, with its archives where they stand in the tar archive.
    pub expected: Expected,
    /// Those that are to have another text.
    pub scripts: Vec<(archive::Member, String)>,
    /// The command lines of all scripts as they become.
    pub lines: CommandLines,
}

impl<B: ReadAt> ComposedArchive<B> {
    /// Reads it again. Foreign readers judge by the headers, so these are read, too.
    ///
    /// # Errors
    /// [`Error::Bug`] if it is not what it is to be: nothing must be written then.
    pub fn verify(self) -> Result<Archive<B>> {
        self.image.if_unchanged(self.check())?;
        Ok(Archive(self))
    }

    fn check(&self) -> Result<()> {
        let found = archive::members(&self.image)
            .map_err(|fault| differs("the archive", 0, fault, "a tar archive"))?;
        let paths = |members: &[archive::Member]| -> Vec<String> {
            members.iter().map(|member| member.path.clone()).collect()
        };
        let (old, new) = (paths(&self.before), paths(&found));
        if old != new {
            return Err(differs("the archive", 0, new.join(", "), old.join(", ")));
        }
        self.before.iter().zip(&found).try_for_each(|(old, new)| self.member(old, new.at))
    }

    fn member(&self, old: &archive::Member, at: ByteRange) -> Result<()> {
        if *old == self.initrd {
            return self.expected.check(&self.image, at);
        }
        let text = self.scripts.iter().find(|(member, _)| member == old);
        let same = match text {
            Some((_, text)) => {
                let size = u64_len(text.as_bytes());
                at.size() == size && self.image.read_range(&old.path, at, size)? == text.as_bytes()
            }
            None => {
                let end = comes_from(&self.image, at.start(), &Part::base(&[old.at]), &old.path)?;
                end == at.end()
            }
        };
        if same {
            Ok(())
        } else {
            Err(differs(&old.path, at.start(), "other bytes", "those of the base"))
        }
    }
}

/// A tar archive for kexec with edits in it.
#[derive(Debug)]
pub struct Archive<B>(ComposedArchive<B>);

impl<B: ReadAt> Archive<B> {
    /// The paths of the files that are not as they were.
    pub fn changed(&self) -> Vec<&str> {
        let initrd = self.changes_initrd.then_some(&self.initrd);
        let scripts = self.scripts.iter().map(|(script, _)| script);
        initrd.into_iter().chain(scripts).map(|member| member.path.as_str()).collect()
    }

    /// Its bytes, unpacked, for a way out.
    pub fn outgoing(&self) -> Outgoing<'_, B> {
        Outgoing::new(&self.image, self.private)
    }
}

/// Gives access to the plan that it was made from.
impl<B> Deref for Archive<B> {
    type Target = ComposedArchive<B>;

    fn deref(&self) -> &ComposedArchive<B> {
        &self.0
    }
}
