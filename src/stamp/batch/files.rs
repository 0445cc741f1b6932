//! The files of one user: what is written, what already exists, and who may read it.

use std::fs;
use std::path::Path;

use super::{CancelOnly, ExistingPolicy, Form, Job, Run, Sidecar, Waiting};
use crate::bounded;
use crate::checked;
use crate::error::{Advice, Error, Result};
use crate::image::ImageFile;
use crate::image::digest::Digest;
use crate::live::HostKeys;
use crate::output::file::{self, FileAccess, Output, OverwritePolicy};
use crate::progress::Silent;
use crate::stamp::descriptor::{self, Descriptor};
use crate::stamp::manifest;
use crate::stamp::manifest::beside::Record;
use crate::stamp::oci::Ids;
use crate::stamp::planned_image::PlannedImage;
use crate::stamp::stamped_image::StampedImage;
use crate::units::u64_len;

impl Run<'_> {
    /// Whether an image stands under its name, byte for byte.
    pub(super) fn is_there(&self, job: &Job<'_>, name: &str, recipe: Digest) -> Result<bool> {
        let path = self.batch.folder.join(name);
        match (self.batch.form, &self.layout) {
            (Form::Patch, _) => Ok(holds(&path, &job.packed) && kept_as(&path, &job.image)?),
            (Form::Oci, Some(layout)) => {
                let content = manifest::content_id(self.batch.sha256, job.image.digest());
                let (entry, _) = layout.image(name, &job.packed, Ids { recipe, content })?;
                Ok(layout.of_name(name)? == Some(&entry))
            }
            _ => Ok(self.is_whole(&path, &job.image)? && kept_as(&path, &job.image)?),
        }
    }

    /// Whether the image stands there, all of it.
    fn is_whole(&self, path: &Path, image: &StampedImage<&ImageFile>) -> Result<bool> {
        let Ok(found) = ImageFile::open(path) else { return Ok(false) };
        image.is_same_as(&found, &CancelOnly(self.listener))
    }

    pub(super) fn image(&self, mut waiting: Waiting, job: &Job<'_>) -> Result<Waiting> {
        let (batch, image) = (self.batch, &job.image);
        if batch.digests {
            waiting.done.sha256 = Some(Digest::compute(image.image(), &Silent)?);
        }
        let mut written = None;
        if !waiting.done.kept {
            let path = &waiting.done.path;
            let output = Output::new(path, batch.file, batch.overwrite_policy())?;
            let output = batch.with_sync_option(output);
            written =
                Some(output.stage_image_unsynced(image.outgoing(), &CancelOnly(self.listener))?);
        }
        let known = waiting.done.sha256;
        let hashed = || Digest::compute(image.image(), &CancelOnly(self.listener));
        self.beside(&mut waiting, image, || known.map_or_else(hashed, Ok))?;
        waiting.files.extend(written);
        Ok(waiting)
    }

    /// Writes what is wanted beside a file, or leaves it there.
    fn beside(
        &self,
        waiting: &mut Waiting,
        made: &PlannedImage,
        digest: impl FnOnce() -> Result<Digest>,
    ) -> Result<()> {
        let name = file_name(waiting);
        for (record, bytes) in self.batch.beside.make(made, &name, digest)? {
            self.record(waiting, made, record.ending(), &bytes)?;
        }
        self.known_hosts(waiting)
    }

    /// Writes one file beside another, or leaves it there.
    fn record(
        &self,
        waiting: &mut Waiting,
        made: &PlannedImage,
        ending: &'static str,
        bytes: &[u8],
    ) -> Result<()> {
        let path = waiting.done.path.with_file_name(file_name(waiting) + ending);
        let kept = self.keeps() && holds(&path, bytes) && kept_as(&path, made)?;
        waiting.done.beside.push(Sidecar { ending, kept });
        if kept {
            return Ok(());
        }
        let is_ours = |there: &[u8]| match Record::of_ending(ending) {
            Some(record) => record.is_of(there),
            None => Descriptor::parse(there).is_ok(),
        };
        let output = Output::of_bytes(&path, self.policy_beside(waiting, &path, is_ours)?)?;
        let output = self.batch.with_sync_option(output);
        waiting.files.push(output.stage_bytes(bytes, made.readers())?);
        Ok(())
    }

    /// Writes what `remaster apply` makes the image of by itself, if that is wanted.
    fn descriptor(&self, waiting: &mut Waiting, made: &PlannedImage, digest: Digest) -> Result<()> {
        let Some(base) = self.batch.descriptor else { return Ok(()) };
        let Ids { recipe, content } = waiting.done.ids;
        let patch =
            descriptor::Patch { file: file_name(waiting), size: waiting.done.size, sha256: digest };
        let text = Descriptor {
            descriptor: descriptor::VERSION,
            name: waiting.done.name.clone(),
            base: base.clone(),
            patch,
            recipe_id: recipe,
            content_id: content,
        }
        .text()?;
        self.record(waiting, made, descriptor::ENDING, &text)
    }

    /// Writes the public halves of the host keys beside a file, or leaves them there.
    fn known_hosts(&self, waiting: &mut Waiting) -> Result<()> {
        let Some(keys) = waiting.done.host_keys.as_ref().filter(|_| self.batch.known_hosts) else {
            return Ok(());
        };
        let (path, text) = (HostKeys::file_beside(&waiting.done.path), keys.known_hosts());
        let kept = self.keeps() && holds(&path, text.as_bytes());
        waiting.done.beside.push(Sidecar { ending: HostKeys::ENDING, kept });
        if !kept {
            let is_ours = |there: &[u8]| keys.is_known_hosts(there);
            let output = Output::of_bytes(&path, self.policy_beside(waiting, &path, is_ours)?)?;
            let output = self.batch.with_sync_option(output);
            waiting.files.push(output.stage_bytes(text.as_bytes(), FileAccess::Everyone)?);
        }
        waiting.done.known_hosts = Some(path);
        Ok(())
    }

    /// What to do with a file beside a user's: of a run that was killed, one can stand there without what it is about. One
    /// that is not such a record stays.
    fn policy_beside(
        &self,
        waiting: &Waiting,
        path: &Path,
        is_ours: impl FnOnce(&[u8]) -> bool,
    ) -> Result<OverwritePolicy> {
        if self.batch.existing != ExistingPolicy::Resume || waiting.done.kept {
            return Ok(self.batch.overwrite_policy());
        }
        let is_there = fs::symlink_metadata(path).is_ok();
        let read = || bounded::read_beside(path, manifest::LARGEST, "read what was written before");
        if !is_there || (!path.is_symlink() && read().is_ok_and(|there| is_ours(&there))) {
            return Ok(OverwritePolicy::Replace);
        }
        Err(Error::Usage {
            what: format!(
                "{} already exists, and is not what a batch writes there",
                path.display()
            ),
            hint: Advice::SkipExistingOrOtherFolder,
        })
    }

    /// Whether what is there stays if it is what would be written.
    pub(super) fn keeps(&self) -> bool {
        matches!(self.batch.existing, ExistingPolicy::Resume | ExistingPolicy::Skip)
    }

    pub(super) fn patch(&self, mut waiting: Waiting, job: &Job<'_>) -> Result<Waiting> {
        let (made, bytes) = (&job.image, &job.packed);
        let mut written = None;
        if !waiting.done.kept {
            let path = &waiting.done.path;
            let output = Output::of_bytes(path, self.batch.overwrite_policy())?;
            let output = self.batch.with_sync_option(output);
            written = Some(output.stage_bytes(bytes, made.readers())?);
        }
        waiting.done.size = u64_len(bytes);
        let digest = Digest::of_bytes(bytes);
        waiting.done.sha256 = Some(digest);
        self.beside(&mut waiting, made, || Ok(digest))?;
        self.descriptor(&mut waiting, made, digest)?;
        waiting.files.extend(written);
        Ok(waiting)
    }

    pub(super) fn layer(&self, mut waiting: Waiting, job: &Job<'_>, name: &str) -> Result<Waiting> {
        let layout = checked::present(self.layout.as_ref(), "the layout of a batch")?;
        let bytes = &job.packed;
        let (entry, blobs) = layout.image(name, bytes, waiting.done.ids)?;
        let listed = layout.of_name(name)?;
        if listed == Some(&entry) {
            waiting.done.kept = self.batch.existing != ExistingPolicy::Refuse;
        }
        let other = listed.is_some() && !waiting.done.kept;
        if other && self.batch.overwrite_policy() == OverwritePolicy::Refuse {
            return Err(Error::Usage {
                what: format!("{} has an image {name:?} already", self.batch.folder.display()),
                hint: Advice::OtherFolder,
            });
        }
        if job.image.privacy().is_private() {
            layout.keep_from_others()?;
        }
        for (path, bytes) in blobs {
            if !(holds(&path, &bytes) && kept_as(&path, &job.image)?) {
                let output = Output::of_bytes(&path, OverwritePolicy::Replace)?;
                waiting.files.push(output.stage_bytes(&bytes, job.image.readers())?);
            }
        }
        self.batch.folder.clone_into(&mut waiting.done.path);
        (waiting.done.size, waiting.done.sha256) = (u64_len(bytes), Some(entry.digest));
        waiting.entry = Some(entry);
        Ok(waiting)
    }
}

/// What a user's file is called.
fn file_name(waiting: &Waiting) -> String {
    waiting.done.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether a file that stays is one that can stay: if others must not know it, they cannot read it any more.
fn kept_as(path: &Path, made: &PlannedImage) -> Result<bool> {
    match made.readers() {
        FileAccess::Owner => file::keep_from_others(path),
        _ => Ok(!path.is_symlink()),
    }
}

/// Whether a file has these bytes.
fn holds(path: &Path, bytes: &[u8]) -> bool {
    bounded::read_beside(path, u64_len(bytes), "read what was made before")
        .is_ok_and(|found| found == bytes)
}
