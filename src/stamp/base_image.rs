//! What an image is made from: an installer ISO, or a disk image with a root filesystem of its own. Below one that was
//! stamped lies the original. Which of the two an image is gets asked here.

use std::sync::OnceLock;

use crate::boot::command_lines::CommandLines;
use crate::boot::config::Config;
use crate::boot::menu;
use crate::boot::stage_one::Initrd;
use crate::disk;
use crate::disk::injected as in_disk;
use crate::disk::plan as disk_plan;
use crate::disk::survey::DiskSurvey;
use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::image::file_type::{self, BaseKind};
use crate::image::partitions::Partitions;
use crate::image::patched::PatchedImage;
use crate::image::{ImageFile, ReadAt};
use crate::iso;
use crate::iso::injected::{IsoBase, OriginalImage, Stamped};
use crate::iso::plan::Plan;
use crate::iso::survey::Survey;
use crate::iso::survey::console::Console;
use crate::live::{self, Facts};
use crate::output::{Outgoing, Privacy};
use crate::recipe::edits::Edits;
use crate::units::beyond;

/// The store of an installer.
const STORE: &str = "/nix-store.squashfs";

/// The facts of an image as it is now.
#[derive(Debug)]
pub enum Surveyed {
    /// Those of an ISO.
    Iso(Box<Survey>),
    /// Those of a disk image.
    Disk(Box<DiskSurvey>),
}

impl Surveyed {
    /// Looks at an image.
    pub fn read<I: ReadAt>(image: &I) -> Result<Self> {
        Ok(match file_type::base_kind(image)? {
            BaseKind::Iso => Self::Iso(Survey::read(image)?.into()),
            BaseKind::Disk => Self::Disk(DiskSurvey::read(image)?.into()),
        })
    }

    /// Its partition tables.
    pub fn partitions(&self) -> &Partitions {
        match self {
            Self::Iso(survey) => &survey.partitions,
            Self::Disk(raw) => &raw.partitions,
        }
    }

    /// Its boot configs.
    pub fn configs(&self) -> &[Config] {
        match self {
            Self::Iso(survey) => &survey.configs,
            Self::Disk(raw) => std::slice::from_ref(&raw.config),
        }
    }
}

/// An image as a base: it reads as it was before any stamping.
#[derive(Debug)]
pub struct BaseImage<B> {
    kind: Kind<B>,
    /// The initrds of an ISO, once they were read.
    initrds: OnceLock<Vec<Initrd>>,
    /// What its store has for consoles, or why that is not known, once it was looked through.
    console: OnceLock<Result<Console, String>>,
}

#[derive(Debug)]
enum Kind<B> {
    Iso(Box<IsoBase<B>>),
    Disk(Box<in_disk::DiskBase<B>>),
}

impl<B: ReadAt> BaseImage<B> {
    /// Surveys an image and, if it was stamped, the original below.
    ///
    /// # Errors
    /// What the surveys say of an image that is not a NixOS installer or SD card image.
    pub fn open(image: B) -> Result<Self> {
        let kind = match file_type::base_kind(&image)? {
            BaseKind::Iso => Kind::Iso(IsoBase::open(image)?.into()),
            BaseKind::Disk => Kind::Disk(in_disk::DiskBase::open(image)?.into()),
        };
        Ok(Self { kind, initrds: OnceLock::new(), console: OnceLock::new() })
    }

    /// The same as an ISO, if it is one.
    pub fn iso(&self) -> Option<&IsoBase<B>> {
        match &self.kind {
            Kind::Iso(base) => Some(base),
            Kind::Disk(_) => None,
        }
    }

    /// The original image.
    pub fn original(&self) -> &PatchedImage<B> {
        match &self.kind {
            Kind::Iso(base) => &base.image,
            Kind::Disk(base) => &base.image,
        }
    }

    /// The same for a way out.
    pub fn outgoing(&self) -> Outgoing<'_, B> {
        Outgoing::new(self.original(), false)
    }

    /// Bytes of the original.
    pub fn size(&self) -> u64 {
        self.original().size()
    }

    /// Where the image ends in its file or on its medium.
    pub fn end(&self) -> u64 {
        self.injected().map_or_else(|| self.size(), |stamped| stamped.undo.stamped_size)
    }

    /// Bytes that stand behind it there.
    pub fn behind(&self) -> u64 {
        beyond(self.original().base().size(), self.end())
    }

    /// What was put in before; `None` if nothing was.
    pub fn injected(&self) -> Option<&Stamped> {
        match &self.kind {
            Kind::Iso(base) => base.stamped.as_ref(),
            Kind::Disk(base) => base.stamped.as_ref(),
        }
    }

    /// The same of a disk image, as [`Self::iso`].
    pub(super) fn disk(&self) -> Option<&in_disk::DiskBase<B>> {
        match &self.kind {
            Kind::Disk(base) => Some(base),
            Kind::Iso(_) => None,
        }
    }

    /// Its release, as `25.11.1234.abcdef`.
    pub fn release(&self) -> &str {
        match &self.kind {
            Kind::Iso(base) => &base.survey.release,
            Kind::Disk(base) => &base.raw.release,
        }
    }

    /// The label of its volume, or of its root filesystem.
    pub fn label(&self) -> String {
        match &self.kind {
            Kind::Iso(base) => base.survey.volume.identifier(),
            Kind::Disk(base) => base.raw.label.clone(),
        }
    }

    /// The partition tables of the original.
    pub fn partitions(&self) -> &Partitions {
        match &self.kind {
            Kind::Iso(base) => &base.survey.partitions,
            Kind::Disk(base) => &base.raw.partitions,
        }
    }

    /// What edits depend on.
    pub fn facts(&self) -> Facts {
        match &self.kind {
            Kind::Iso(base) => Facts::from_survey(&base.survey),
            Kind::Disk(base) => Facts::from_disk(&base.raw),
        }
    }

    /// The menus of the original and those of the image; `None` if nothing was put in.
    pub(super) fn menus(&self) -> Option<(&[Config], &[Config])> {
        match &self.kind {
            Kind::Iso(base) => Some((&base.survey.configs, &base.now.as_ref()?.configs)),
            Kind::Disk(base) => {
                let one = std::slice::from_ref;
                Some((one(&base.raw.config), one(&base.now.as_ref()?.config)))
            }
        }
    }

    /// The label that the volume was given; `None` if it has that of the original.
    pub(super) fn new_label(&self) -> Option<String> {
        let now = self.iso()?.now.as_ref()?.volume.identifier();
        (now != self.label()).then_some(now)
    }

    /// The initrds of an ISO, which are read once; none of a disk image.
    ///
    /// # Errors
    /// An initrd that is damaged, or whose stage 1 is not known.
    pub fn initrds(&self) -> Result<&[Initrd]> {
        let Kind::Iso(base) = &self.kind else { return Ok(&[]) };
        if let Some(known) = self.initrds.get() {
            return Ok(known);
        }
        let read = base.survey.initrds(&base.image)?;
        Ok(self.initrds.get_or_init(|| read))
    }

    /// Refuses keymaps, fonts and locales that its store does not have. Notes those that could not be looked up, and menus
    /// that start different entries.
    ///
    /// # Errors
    /// What the store lacks.
    pub fn look_up(&self, edits: &Edits) -> Result<Vec<String>> {
        let mut notes: Vec<String> =
            menu::differing_defaults(self.configs(), &edits.boot).into_iter().collect();
        notes.extend(Some(self.behind()).filter(|more| *more > 0).map(|more| {
            let end = self.end();
            format!(
                "{more} bytes stand behind the image, which ends at byte {end}: they are left out"
            )
        }));
        if !edits.required_names.is_empty() {
            let known = self.console.get_or_init(|| self.console());
            notes.extend(live::look_up(edits, known.as_ref().map_err(String::as_str))?);
        }
        Ok(notes)
    }

    /// Notes on menus of it without the entries that are asked for. Where one entry is started, there are other rules.
    pub fn menus_without(&self, edits: &Edits) -> Vec<String> {
        menu::half_named(self.configs(), &edits.boot)
    }

    /// The command lines as edits make them.
    pub(super) fn command_lines(&self, edits: &Edits) -> Result<CommandLines> {
        let boot = match &self.kind {
            Kind::Iso(_) => edits.boot.clone(),
            Kind::Disk(_) => disk_plan::boot(edits),
        };
        CommandLines::of_changed(self.configs(), &self.label(), &boot)
    }

    /// The menus of the original.
    fn configs(&self) -> &[Config] {
        match &self.kind {
            Kind::Iso(base) => &base.survey.configs,
            Kind::Disk(base) => std::slice::from_ref(&base.raw.config),
        }
    }

    fn console(&self) -> Result<Console, String> {
        let Kind::Iso(base) = &self.kind else {
            return Err("a disk image".into());
        };
        let store = base.survey.tree().file(STORE).map(|node| node.extents.as_slice());
        let Some([store]) = store else { return Err("whose store is in several parts".into()) };
        Console::read(&base.image, *store).map_err(|fault| {
            let cause = std::error::Error::source(&fault).map(|why| format!(": {why}"));
            match fault {
                Error::Malformed { .. } => "whose store cannot be read".into(),
                fault => {
                    format!(
                        "whose store is not looked through ({fault}{})",
                        cause.unwrap_or_default()
                    )
                }
            }
        })
    }

    /// The initrds, where something goes behind them.
    fn needed_initrds(&self, edits: &Edits) -> Result<&[Initrd]> {
        if edits.way.has_archives() { self.initrds() } else { Ok(&[]) }
    }

    /// The changes that bring edits into the original.
    pub(super) fn plan_of(&self, edits: &Edits) -> Result<Plan> {
        match &self.kind {
            Kind::Iso(base) => {
                Plan::new(&base.image, &base.survey, self.needed_initrds(edits)?, edits)
            }
            Kind::Disk(base) => disk_plan::plan(&base.image, &base.raw, edits),
        }
    }

    /// Surveys an image that was made of this one: every edit shows, nothing else differs, and the way back leads here.
    pub(super) fn check(&self, image: &PatchedImage<B>, edits: &Edits) -> Result<()> {
        match &self.kind {
            Kind::Iso(base) => {
                iso::verify::check(image, &base.survey, self.needed_initrds(edits)?, edits)
            }
            Kind::Disk(base) => disk::verify::check(image, (&base.image, &base.raw), edits),
        }
    }
}

impl BaseImage<&ImageFile> {
    /// SHA-256 of the original, if that of the file is known and it is the original.
    pub fn known_sha256(&self) -> Option<Digest> {
        let is_original = self.injected().is_none() && self.original().is_base();
        self.original().base().sha256().filter(|_| is_original).map(Digest)
    }
}

/// The original below a stamped image.
#[derive(Debug)]
pub enum Original<B> {
    /// That of an ISO, also on a disk whose reset was interrupted.
    Iso(OriginalImage<B>),
    /// That of a disk image, and bytes of the stamped one.
    Disk(PatchedImage<B>, u64),
}

impl<B: ReadAt> Original<B> {
    /// Finds the original below; `None` if nothing was put into the image.
    ///
    /// # Errors
    /// What the surveys say; a reset that cannot be continued.
    pub fn below(image: B) -> Result<Option<Self>> {
        // A disk whose reset was interrupted is not an image of any kind, but there is one below.
        if !matches!(file_type::base_kind(&image), Ok(BaseKind::Disk)) {
            return Ok(OriginalImage::open(image)?.map(Self::Iso));
        }
        let base = in_disk::DiskBase::open(image)?;
        Ok(base.stamped.map(|stamped| Self::Disk(base.image, stamped.undo.stamped_size)))
    }

    /// Bytes of the stamped image: behind them there is nothing of it.
    pub fn stamped_size(&self) -> u64 {
        match self {
            Self::Iso(below) => below.stamped_size,
            Self::Disk(_, stamped_size) => *stamped_size,
        }
    }

    /// The original.
    pub fn image(&self) -> &PatchedImage<B> {
        match self {
            Self::Iso(below) => &below.image,
            Self::Disk(image, _) => image,
        }
    }

    /// The same for a way out, where this is known of the stamped image: what closed that for its secrets does not close
    /// the original, which is published.
    pub fn outgoing(&self, stamped: Privacy) -> Outgoing<'_, B> {
        if stamped.holds_secrets() {
            return Outgoing::published(self.image());
        }
        Outgoing::new(self.image(), false)
    }

    /// The same, without what is known of it.
    pub(crate) fn into_image(self) -> PatchedImage<B> {
        match self {
            Self::Iso(below) => below.image,
            Self::Disk(image, _) => image,
        }
    }

    /// Its SHA-256, as a reset that was interrupted found it.
    pub fn sha256(&self) -> Option<Digest> {
        match self {
            Self::Iso(below) => below.sha256.map(Digest),
            Self::Disk(..) => None,
        }
    }
}
