//! `remaster BASE --key KEY -o OUT`: a base with keys in it, to a file or a pipe.

mod args;
mod tarball;

use std::path::Path;

use remaster::error::Result;
use remaster::live::Customization;
use remaster::netboot::archive;
use remaster::progress::Progress;
use remaster::run_files::RunFiles;
use remaster::stamp::patch;

use crate::cli::base;
use crate::cli::destination::Destination;
use crate::cli::job::{FinishedJob, StampJob};
use crate::cli::known_hosts::KnownHosts;
use crate::cli::printer;
use crate::cli::record::SidecarContext;
use crate::cli::shell::shell_quote;
use crate::cli::stale;
pub(crate) use args::{Args, Form};

pub(crate) fn run(args: &Args, files: &mut RunFiles) -> Result<()> {
    let (recipe, customization) = args.edit.gather(files)?;
    let given = args.base.as_deref().unwrap_or(Path::new(""));
    let is_signed = args.inside.signs(&recipe);
    let free = || args.check_free(&customization, is_signed);
    let (path, checked) = args.source.resolve(given, free)?;
    base::take_down(&path, files)?;
    let packed = base::file(&path, checked)?;
    let output = args.output.as_deref().filter(|path| !(args.dry_run && *path == Path::new("-")));
    let output = output.map(|path| args.written.destination(path, &packed)).transpose()?;
    args.beside.check(args.written, is_signed, files)?;
    if args.dry_run && args.output.as_deref() == Some(Path::new("-")) {
        args.written.check_pipe()?;
    }
    let beside = args.output_file();
    let known = KnownHosts::new(&customization, args.edit.known_hosts(), beside, files, |path| {
        args.written.beside(path)
    })?;
    if !args.dry_run {
        known.as_ref().map_or(Ok(()), |known| known.check_told(&recipe))?;
    }
    let file = base::unpacked(packed, args.output.as_deref())?;
    if archive::is_tar(&file) {
        return tarball::write(args, (&recipe, &customization), &file, output.as_ref(), known);
    }
    let progress = Destination::meter(output.as_ref())?;
    let asked = (recipe, customization);
    let stamping = StampJob::plan(&file, asked, &args.inside, args.edit.no_key, &progress)?;
    let known = known.map(|known| known.of_given(stamping.planned().given()));
    if args.dry_run {
        let beside = args.beside.dry_run(stamping.planned())?;
        let known = known.as_ref().map(KnownHosts::dry_run).unwrap_or_default();
        let form = args.patch_shown();
        return printer::print(&format!("{}{form}{beside}{known}", stamping.dry_run()));
    }
    let finished = stamping.compose()?;
    let Some(output) = output else { return Ok(()) };
    args.write(&output, &finished, known.as_ref(), &progress)?;
    if let Some(known) = &known {
        printer::say(&known.summary());
    }
    args.tell_stale(known.as_ref(), finished.image.signer().is_some());
    Ok(())
}

impl Args {
    /// Writes the image or its patch, and what was asked for beside it.
    fn write(
        &self,
        output: &Destination,
        finished: &FinishedJob<'_>,
        known: Option<&KnownHosts>,
        progress: &dyn Progress,
    ) -> Result<()> {
        let known = known.map(KnownHosts::stage).transpose()?.flatten();
        let image = finished.image.outgoing();
        if let Form::Patch = self.form {
            let bytes = patch::pack(&finished.patch(progress)?)?;
            output.write_bytes(&bytes, image.readers(), known.into_iter().collect())?;
            let wrote = output.wrote(bytes.len(), image.privacy());
            printer::say(&format!("{}{wrote}", finished.summary));
            return Ok(());
        }
        self.beside.check_signer(&finished.image)?;
        let told =
            SidecarContext { made: &finished.image, name: &output.name(), written: self.written };
        let (mut beside, wrote) = self.beside.stage(&told, image.image(), progress)?;
        beside.extend(known);
        let how = output.write(image, beside, progress)?;
        let next = output.next(image, how);
        printer::say(&format!("{}{wrote}{next}", finished.summary));
        Ok(())
    }

    /// Tells of files of an image that stood there before.
    pub(super) fn tell_stale(&self, known: Option<&KnownHosts>, is_signed: bool) {
        let Some(output) = self.output_file() else { return };
        let mut written = self.beside.written(is_signed);
        written.extend(known.and_then(KnownHosts::path).map(Path::to_owned));
        stale::tell(output, &written);
    }

    /// What a dry run tells of a patch that would be written.
    fn patch_shown(&self) -> String {
        match (self.form, self.output_file()) {
            (Form::Image, _) => String::new(),
            (Form::Patch, Some(path)) => {
                format!("would write the patch {}, not the image\n", shell_quote(path))
            }
            (Form::Patch, None) => "would write a patch, not the image\n".to_owned(),
        }
    }

    /// The output, if it is a file.
    fn output_file(&self) -> Option<&Path> {
        self.output.as_deref().filter(|path| *path != Path::new("-"))
    }

    /// Better to refuse before a base is fetched than after.
    fn check_free(&self, customization: &Customization, is_signed: bool) -> Result<()> {
        self.output.as_deref().map_or(Ok(()), |path| self.written.check_free(path))?;
        self.beside.check_free(self.written, is_signed)?;
        let (wanted, beside) = (self.edit.known_hosts(), self.output_file());
        let place = |path: &Path| self.written.beside(path);
        KnownHosts::check_free(customization, wanted, beside, place)
    }
}
