//! An installer image, to be started over the network.

use crate::boot::hook;
use crate::boot::menu;
use crate::boot::stage_one;
use crate::boot::stage_one::Initrd;
use crate::checked;
use crate::error::{Error, Result};
use crate::formats::boot_config::{Entry, volume_path};
use crate::formats::newc::{self, Kind, Member, Next};
use crate::image::ReadAt;
use crate::image::patched::PatchedImage;
use crate::iso::injected::{IsoBase, Stamped};
use crate::iso::survey::Survey;
use crate::iso::survey::nixos::initrd_place;
use crate::iso::survey::tree::{Node, Tree};
use crate::netboot::added::{Added, LARGEST_PAYLOAD};
use crate::netboot::ipxe;
use crate::netboot::layout::{Layout, Part};
use crate::netboot::tables::Tables;
use crate::netboot::verify::{ComposedNetboot, Expected, Netboot};
use crate::recipe::edits::{Boot, Edits};
use crate::stamp::base_image::BaseImage;
use crate::stamp::privacy;
use crate::units::ByteRange;

/// What is put in.
struct InjectedFiles {
    added: Option<Added>,
    /// Files of the live system's root among it.
    root: Vec<Member>,
    private: bool,
}

/// An installer with edits in place of what was stamped before; without any, with what was stamped before.
///
/// # Errors
/// A disk image, which does not start over the network; what is not understood.
pub fn build<B: ReadAt + Clone>(base: &BaseImage<B>, edits: Option<&Edits>) -> Result<Netboot<B>> {
    compose(base, edits)?.verify()
}

/// The same before it is verified.
///
/// # Errors
/// The same.
pub fn compose<B: ReadAt + Clone>(
    base: &BaseImage<B>,
    edits: Option<&Edits>,
) -> Result<ComposedNetboot<B>> {
    let base = base.iso().ok_or_else(|| {
        Error::unsupported("the base", "an installer ISO, to start it", "a disk image")
    })?;
    // All files of the base are where they were, also where it was stamped.
    let image = PatchedImage::whole(base.image.base().clone());
    if let Some(edits) = edits {
        let root = edits.root.members().cloned().collect();
        let put =
            InjectedFiles { added: Added::from_edits(edits)?, root, private: edits.is_private() };
        return made(image, base, &base.survey, &edits.boot, put);
    }
    let Some(stamped) = &base.stamped else {
        let put = InjectedFiles { added: None, root: Vec::new(), private: false };
        return made(image, base, &base.survey, &Boot::default(), put);
    };
    let survey = Survey::read(&image)?;
    let private = privacy::of_image(&image)?;
    let put = InjectedFiles {
        added: moved(&image, &survey, stamped)?,
        root: stamped.root.clone(),
        private,
    };
    made(image, base, &survey, &Boot::default(), put)
}

/// The entry that is started, and what it needs.
struct Chosen {
    entry: Entry,
    arguments: Vec<String>,
    /// What keys among the arguments do.
    does: Option<String>,
    /// All initrds of the base that it loads.
    files: Vec<(String, ByteRange)>,
    /// The last one, and what is in them.
    initrd: Initrd,
    tables: Tables,
}

impl Chosen {
    /// `now` has the menus.
    fn choose<B: ReadAt>(
        image: &PatchedImage<B>,
        base: &IsoBase<B>,
        now: &Survey,
        boot: &Boot,
    ) -> Result<Self> {
        let (entry, arguments, credential) = menu::started_alone(&now.configs, boot)?;
        let files = initrds(base, &entry)?;
        let places: Vec<(&str, ByteRange)> =
            files.iter().map(|(path, at)| (path.as_str(), *at)).collect();
        let contents = stage_one::inspect(image, &places)?;
        let tables = Tables::read(image, &places, &contents.stage_one)?;
        let (path, at) = checked::present(files.last().cloned(), "the initrd of an entry")?;
        let does = credential.map(|credential| credential.does.clone());
        Ok(Self { entry, arguments, does, initrd: Initrd { path, at, contents }, files, tables })
    }

    /// The initrds, the store, the tables, and what is put in.
    fn initrd<B: ReadAt>(
        self,
        image: PatchedImage<B>,
        tree: &Tree,
        put: InjectedFiles,
    ) -> Result<(PatchedImage<B>, Expected)> {
        let mut layout = Layout::default();
        self.files.iter().try_for_each(|(path, at)| layout.put(&Part::base(&[*at]), path))?;
        let store = file(tree, &self.tables.store)?;
        layout.file(&self.tables.member, &Part::base(&store.extents), &self.tables.store)?;
        let tables = newc::write(&self.tables.files).map_err(Error::io("make an archive"))?;
        layout.archive(tables, "tables of mounts")?;
        let base = self.files.iter().map(|(_, at)| *at).collect();
        let mut expected = Expected { base, members: self.tables.files, ..Expected::default() };
        if let Some(added) = put.added {
            expected.before = Some(added.put(&mut layout, &self.initrd)?);
            expected.root = put.root;
        }
        expected.archives = layout.archives().clone();
        Ok((layout.compose(image)?, expected))
    }
}

fn made<B: ReadAt + Clone>(
    image: PatchedImage<B>,
    base: &IsoBase<B>,
    now: &Survey,
    boot: &Boot,
    put: InjectedFiles,
) -> Result<ComposedNetboot<B>> {
    let tree = base.survey.tree();
    ipxe::check_asked(boot)?;
    let chosen = Chosen::choose(&image, base, now, boot)?;
    let path = volume_path(&chosen.entry.kernel.text);
    let name = path.rsplit_once('/').map_or(path.as_str(), |(_, name)| name).to_owned();
    let kernel = Part::base(&file(tree, &path)?.extents);
    let arguments = ipxe::without_medium(chosen.arguments.clone());
    let (entry, credential, private) = (chosen.entry.path(), chosen.does.clone(), put.private);
    let (initrd, expected) = chosen.initrd(image.clone(), tree, put)?;
    Ok(ComposedNetboot {
        script: ipxe::script(&name, &arguments)?,
        kernel: Layout::from_part(&kernel, &path)?.compose(image)?,
        kernel_from: kernel,
        entry,
        private,
        credential,
        initrd,
        expected,
        arguments,
        name,
    })
}

fn file<'t>(tree: &'t Tree, path: &str) -> Result<&'t Node> {
    tree.file(path).ok_or_else(|| {
        Error::unsupported("the volume", format!("{path}, to start it"), "no such file")
    })
}

/// The base's initrds of an entry and where they are; those of an earlier stamping are left out.
fn initrds<B: ReadAt>(base: &IsoBase<B>, entry: &Entry) -> Result<Vec<(String, ByteRange)>> {
    let ours = base.stamped.as_ref().map(|stamped| format!("{}/", stamped.folder.path()));
    let paths = entry.initrds.iter().map(|word| volume_path(&word.text));
    let paths = paths.filter(|path| ours.as_ref().is_none_or(|ours| !path.starts_with(ours)));
    paths.map(|path| Ok((path.clone(), initrd_place(base.survey.tree(), &path)?))).collect()
}

/// What an earlier stamping left on the volume, for the initrd: its hook finds the squashfs files there.
fn moved<B: ReadAt>(
    image: &PatchedImage<B>,
    survey: &Survey,
    stamped: &Stamped,
) -> Result<Option<Added>> {
    let path = stamped.folder.payload();
    if survey.tree().file(&path).is_none() {
        return Ok(None);
    }
    let at = initrd_place(survey.tree(), &path)?;
    let archive = image.read_range(&path, at, LARGEST_PAYLOAD.into())?;
    let mut members = Vec::new();
    let each = |member: Member| {
        members.push(member);
        Next::Continue
    };
    let read = newc::read(archive.as_slice(), u32::MAX, |_| true, each);
    read.map_err(|fault| Error::malformed(&path, at.start(), fault.to_string(), "a newc archive"))?;
    let script = members.iter_mut().find(|member| member.path == hook::SCRIPT);
    let text = script.and_then(|member| match &mut member.kind {
        Kind::File(text) => Some(text),
        _ => None,
    });
    let text = text.ok_or_else(|| Error::unsupported(&path, hook::SCRIPT, "no such file"))?;
    for (number, (attached, _)) in (1..).zip(&stamped.attached) {
        *text = repointed(text, &hook::on_volume(attached), number).ok_or_else(|| {
            Error::unsupported(&path, format!("a hook that uses {attached}"), "none")
        })?;
    }
    let attached = stamped.attached.iter().map(|(_, at)| Part::base(&[*at])).collect();
    let payload = newc::write(&members).map_err(Error::io("make an archive"))?;
    Ok(Some(Added { attached, payload }))
}

/// The hook with the squashfs of a number in the initrd; none if it does not use it.
fn repointed(text: &[u8], old: &str, number: usize) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let old = format!(" {old} ");
    text.contains(&old)
        .then(|| text.replace(&old, &format!(" {} ", hook::in_initrd(number))).into_bytes())
}
