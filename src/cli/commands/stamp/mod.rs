//! `remaster stamp BASE USERS -o OUT`: one base, an image or patch file for each user.

mod args;
mod overruled;
mod reporter;

use std::num::NonZeroUsize;
use std::thread;

use remaster::error::{Error, Result};
use remaster::image::ImageFile;
use remaster::image::digest::Digest;
use remaster::output::directory;
use remaster::place;
use remaster::progress::Progress;
use remaster::recipe::Recipe;
use remaster::recipe::users::User;
use remaster::run_files::RunFiles;
use remaster::stamp::base_image::BaseImage;
use remaster::stamp::batch::names::Template;
use remaster::stamp::batch::{Batch, Form};
use remaster::stamp::manifest::below::Kept;
use remaster::stamp::manifest::blocks::Blocks;
use remaster::stamp::planned_image::ManifestOptions;
use remaster::threads;
use serde_json::{Value, json};

use crate::cli::progress::Meter;
use crate::cli::summary::records_shown;
use crate::cli::{base, interrupt, job, printer};
pub(crate) use args::Args;
use args::BaseFacts;
use reporter::BatchReporter;

pub(crate) fn run(args: &Args, files: RunFiles) -> Result<()> {
    let template = Template::parse("--name-template", args.template())?;
    place::check_new_folders(&args.output)?;
    let beside = args.wanted()?;
    let shared = args.edit.shared()?;
    let inside = args.inside.or_by(&shared);
    let mut options = inside.options()?;
    beside.check(options.signer.as_deref())?;
    let users = args.users(&shared)?;
    let file = base::open(&args.base, &args.source, || directory::check_folder(&args.output))?;
    let progress = Meter::stages()?;
    let (base, sha256) = survey(&file, inside.manifest_digests, &mut options, &progress)?;
    if users.iter().flat_map(|(_, user)| user).any(|user| touches_stage_one(user, &shared)) {
        base.initrds().map_err(|fault| file.at_fault(fault))?;
    }
    let before = base.injected_facts()?;
    let record = base::record(&args.base, &args.source)?;
    let facts = BaseFacts { record: record.as_ref(), image: &base, sha256 };
    let descriptor = args.descriptor.then(|| args.described(&facts)).transpose()?;
    let batch = Batch {
        file: &file,
        base: &base,
        sha256,
        options: &options,
        shared: &shared,
        before: before.as_ref(),
        no_key: args.edit.no_key,
        folder: &args.output,
        template: &template,
        form: args.form,
        existing: args.existing_policy(),
        beside,
        descriptor: descriptor.as_ref(),
        known_hosts: args.form != Form::Oci && args.edit.known_hosts().is_none(),
        digests: args.json && !args.no_image_sha256,
        jobs: args.jobs.map_or_else(processors, NonZeroUsize::get),
        fail_fast: args.fail_fast,
        synced: !args.written.no_sync,
    };
    let about_base = about_base(&facts, file.name());
    let teller = BatchReporter::new(args, users.len(), about_base)?;
    let tally = batch.run(&users, files, &teller)?;
    if tally.made > 0 {
        printer::say(&records_shown(options.signer.as_deref(), inside.manifest_digests));
    }
    teller.end(args, &tally)?;
    match (tally.ended_by, tally.failed) {
        _ if interrupt::is_asked() => Err(Error::Interrupted),
        (Some(fault), _) => Err(fault),
        (None, 0) => Ok(()),
        (None, failed) => Err(Error::Users { failed, users: users.len(), undone: tally.undone }),
    }
}

/// The base, for those who read what is reported as JSON.
fn about_base(base: &BaseFacts<'_>, file: String) -> Value {
    json!({
        "name": base.record.map_or(file, |record| record.name.clone()),
        "url": base.record.map(|record| &record.url),
        "release": base.image.release(), "sha256": base.sha256.to_string(),
    })
}

/// Whether a user's image needs a stage 1 that is understood. A recipe that cannot lie over the shared one is an error of
/// its user, later.
fn touches_stage_one(user: &User, shared: &Recipe) -> bool {
    let recipe = user.recipe.clone().over(shared.clone());
    recipe.is_ok_and(|recipe| recipe.touches_stage_one())
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// What there is to know of the base: it is read whole for its digest while its structures are looked
/// at.
fn survey<'a>(
    file: &'a ImageFile,
    manifest_digests: bool,
    options: &mut ManifestOptions,
    progress: &dyn Progress,
) -> Result<(BaseImage<&'a ImageFile>, Digest)> {
    const HINT: &str = "make one image at a time of it: `remaster IMAGE --key KEY -o FILE`";
    let base = job::iso(file, ("stamp", HINT), Kept::Base, progress)?;
    let image = base.original();
    let digest = thread::scope(|scope| {
        // Initrds are read while the digest is computed. An error is reported later, if a user needs them.
        let initrds = threads::start(scope, || base.initrds().is_ok())?;
        let digest = match base.known_sha256() {
            _ if manifest_digests => {
                Blocks::compute(image, progress).map(|(blocks, digest)| (Some(blocks), digest))
            }
            Some(known) => Ok((None, known)),
            None => Digest::compute(image, progress).map(|digest| (None, digest)),
        };
        threads::end(initrds);
        digest
    });
    let (blocks, sha256) = digest?;
    (options.blocks, options.sha256) = (blocks, Some(sha256));
    Ok((base, sha256))
}
