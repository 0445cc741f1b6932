//! One base, many users: what is the same for all is done once.

mod existing;
mod files;
pub mod names;
mod refuse;
mod run_files;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::error::{Advice, Error, Result};
use crate::image::digest::Digest;
use crate::image::{ImageFile, ReadAt};
use crate::live::{Customization, CustomizationTemplate, Facts, HostKeys, Input};
use crate::output::Privacy;
use crate::output::directory;
use crate::output::file::{Output, OverwritePolicy, StagedFile};
use crate::output::naming::publish_all;
use crate::place;
use crate::recipe::Recipe;
use crate::recipe::users::User;
use crate::run_files::RunFiles;
use crate::stamp::base_image::BaseImage;
use crate::stamp::descriptor;
use crate::stamp::injected_facts::{self, Fact, InjectedFacts};
use crate::stamp::manifest::beside::WantedSidecars;
use crate::stamp::manifest::{self, BaseFacts};
use crate::stamp::oci::{self, Ids};
use crate::stamp::patch;
use crate::stamp::planned_image::ManifestOptions;
use crate::stamp::stamped_image::StampedImage;
use crate::threads;

use existing::{ExistingImage, ExpectedImage};
use names::{TakenNames, Template};
use refuse::{
    NOT_ASKED, refuse_beyond_layout, refuse_fetched, refuse_machines, refuse_one_name,
    refuse_own_records, refuse_prompts,
};

/// Files that get their names together: one sync for all of them.
const GROUP: usize = 32;

/// What is made for a user.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Form {
    /// An image
    Image,
    /// A patch file, which `remaster apply` lays over the base
    Patch,
    /// A layer of an OCI image layout, with the base below it
    Oci,
}

/// What to do with a user's file that already exists.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ExistingPolicy {
    /// It is a fault.
    Refuse,
    /// It stays if it is of the same recipe and whole; else it is a fault.
    Resume,
    /// It stays if it is of the same recipe and whole; else it is replaced.
    Skip,
    /// It is replaced.
    Replace,
}

/// What all users share.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The base's file.
    pub file: &'a ImageFile,
    /// The base.
    pub base: &'a BaseImage<&'a ImageFile>,
    /// Its digest.
    pub sha256: Digest,
    /// What goes into each manifest.
    pub options: &'a ManifestOptions,
    /// The recipe below each user's.
    pub shared: &'a Recipe,
    /// What was put into the base before.
    pub before: Option<&'a InjectedFacts>,
    /// Whether images without a key are meant, also of a base that had one.
    pub no_key: bool,
    /// The folder to write to.
    pub folder: &'a Path,
    /// What files are called.
    pub template: &'a Template,
    /// What is made.
    pub form: Form,
    /// What to do with a file that already exists.
    pub existing: ExistingPolicy,
    /// What is written beside each file; of an OCI image, nothing.
    pub beside: WantedSidecars,
    /// What the descriptor beside each patch says about the base, if there is to be one.
    pub descriptor: Option<&'a descriptor::Base>,
    /// Whether a `known_hosts` file is written beside each file whose user has host keys.
    pub known_hosts: bool,
    /// Whether to tell the SHA-256 of images, which are read whole for it.
    pub digests: bool,
    /// Users that are worked for at once.
    pub jobs: usize,
    /// Whether the first fault ends it.
    pub fail_fast: bool,
    /// Whether files have their names only after they are on the disk.
    pub synced: bool,
}

/// What was made for a user.
#[derive(Clone, Debug)]
pub struct MadeImage {
    /// The user.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Its bytes.
    pub size: u64,
    /// Its SHA-256, if that was asked for; of an OCI image, that of its manifest.
    pub sha256: Option<Digest>,
    /// Its recipe id and its content id.
    pub ids: Ids,
    /// Whether it was there already.
    pub kept: bool,
    /// What was put into the base before and is not in it.
    pub gone: Vec<Fact>,
    /// Notes on what was asked for.
    pub notes: Vec<String>,
    /// The host keys that are in it.
    pub host_keys: Option<HostKeys>,
    /// The file with their public halves, if one stands beside it.
    pub known_hosts: Option<PathBuf>,
    /// What stands beside it.
    pub beside: Vec<Sidecar>,
    /// Who may read it, and why.
    pub privacy: Privacy,
}

/// A file beside that of a user.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sidecar {
    /// How its name ends, behind that of the user's file.
    pub ending: &'static str,
    /// Whether it was there already.
    pub kept: bool,
}

/// Hears of each user.
pub trait BatchObserver: Sync {
    /// A user's file stands under its name.
    fn done(&self, done: &MadeImage);
    /// It does not: the number of the user, the place in the file of users and the name, both empty if the user could not be
    /// read, and why.
    fn failed(&self, number: usize, place: &str, name: &str, fault: &Error);
    /// Whether to stop.
    fn is_cancelled(&self) -> bool;
}

/// How many users have what they should.
#[derive(Debug, Default)]
pub struct Summary {
    /// Files written.
    pub made: usize,
    /// Files that were there.
    pub kept: usize,
    /// Users without.
    pub failed: usize,
    /// Users without, as it ended before they were tried or done.
    pub undone: usize,
    /// The fault that concerns all users, as [`Error::Changed`] if somebody wrote to the base, or a full disk: no more images
    /// are begun. Images that have their names are whole.
    pub ended_by: Option<Error>,
}

/// A user's file before it has its name.
struct Waiting {
    done: MadeImage,
    number: usize,
    place: String,
    /// The image or patch comes last.
    files: Vec<StagedFile>,
    entry: Option<oci::Entry>,
}

/// A user's image before it is written.
struct Job<'a> {
    image: StampedImage<&'a ImageFile>,
    /// The image as its difference from the official base, if that is what is written.
    packed: Vec<u8>,
    host_keys: Option<HostKeys>,
    gone: Vec<Fact>,
}

/// What one worker did.
#[derive(Default)]
struct WorkerResult {
    tally: Summary,
    waiting: Vec<Waiting>,
    entries: Vec<oci::Entry>,
}

struct Run<'a> {
    batch: &'a Batch<'a>,
    facts: Facts,
    /// What manifests tell of the base at least.
    about_base: BaseFacts,
    taken: TakenNames,
    /// The names that a seed was used for.
    seeded: TakenNames,
    /// All that is read and written.
    files: Mutex<RunFiles>,
    next: AtomicUsize,
    stopped: AtomicBool,
    listener: &'a dyn BatchObserver,
    layout: Option<oci::Layout>,
}

impl Batch<'_> {
    /// Works for all users, numbered from 1; those that could not be read have failed. `files` are those that the caller
    /// reads and writes.
    ///
    /// # Errors
    /// What concerns all users: the folder, the layout, a file that is both read and written, or written twice.
    pub fn run(
        &self,
        users: &[(usize, Result<User>)],
        mut files: RunFiles,
        listener: &dyn BatchObserver,
    ) -> Result<Summary> {
        refuse_one_name(self.shared)?;
        refuse_machines(self.shared)?;
        refuse_prompts(self.shared)?;
        if self.form == Form::Oci {
            refuse_beyond_layout(users.len(), self.folder)?;
        }
        place::check_new_folders(self.folder)?;
        self.take_down(users, &mut files)?;
        directory::check_folder(self.folder)?;
        fs::create_dir_all(self.folder)
            .map_err(Error::io(format!("make the folder {}", self.folder.display())))?;
        let layout = match self.form {
            Form::Oci => Some(oci::Layout::at(self.folder)?.with_base(self.base, self.sha256)?),
            _ => None,
        };
        let facts = self.base.facts();
        let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (taken, seeded) = (TakenNames::files(), TakenNames::keys());
        let about_base = BaseFacts::gather(self.base)?;
        let files = Mutex::new(files);
        let run = Run {
            batch: self,
            facts,
            about_base,
            taken,
            seeded,
            files,
            next,
            stopped,
            listener,
            layout,
        };
        run.all(users)
    }

    /// The same place, synced or not as the caller asked.
    fn with_sync_option(&self, output: Output) -> Output {
        if self.synced { output } else { output.without_sync() }
    }

    fn overwrite_policy(&self) -> OverwritePolicy {
        match self.existing {
            ExistingPolicy::Refuse | ExistingPolicy::Resume => OverwritePolicy::Refuse,
            ExistingPolicy::Skip | ExistingPolicy::Replace => OverwritePolicy::Replace,
        }
    }
}

impl Run<'_> {
    fn all(&self, users: &[(usize, Result<User>)]) -> Result<Summary> {
        let jobs = self.batch.jobs.min(users.len()).max(1);
        let works = thread::scope(|scope| -> Result<Vec<WorkerResult>> {
            let workers = (0..jobs).map(|_| threads::start(scope, || self.worker(users)));
            let workers = workers.collect::<Result<Vec<_>>>();
            // What is begun is ended, and no more is begun.
            let workers = workers.inspect_err(|_| self.stopped.store(true, Ordering::Relaxed))?;
            Ok(workers.into_iter().map(threads::end).collect())
        })?;
        let mut tally = Summary::default();
        let mut entries = Vec::new();
        for work in works {
            tally.made = tally.made.saturating_add(work.tally.made);
            tally.kept = tally.kept.saturating_add(work.tally.kept);
            tally.failed = tally.failed.saturating_add(work.tally.failed);
            tally.ended_by = tally.ended_by.or(work.tally.ended_by);
            entries.extend(work.entries);
        }
        let tried = tally.made.saturating_add(tally.kept).saturating_add(tally.failed);
        tally.undone = users.len().saturating_sub(tried);
        if let Some(layout) = &self.layout {
            layout.add(&entries)?;
        }
        Ok(tally)
    }

    fn worker(&self, users: &[(usize, Result<User>)]) -> WorkerResult {
        let mut work = WorkerResult::default();
        while !self.listener.is_cancelled() && !self.stopped.load(Ordering::Relaxed) {
            let Some((number, user)) = users.get(self.next.fetch_add(1, Ordering::Relaxed)) else {
                break;
            };
            match user {
                Err(fault) => self.failed(&mut work, *number, ("", ""), fault),
                Ok(user) => match self.one(user, *number) {
                    Ok(waiting) => work.waiting.push(waiting),
                    Err(fault) => {
                        self.not_made(&mut work, *number, (&user.place, &user.name), fault);
                    }
                },
            }
            if work.waiting.len() >= GROUP {
                self.publish(&mut work);
            }
        }
        self.publish(&mut work);
        work
    }

    /// Ends all if a fault concerns all users, else it is that of one.
    fn not_made(&self, work: &mut WorkerResult, number: usize, user: (&str, &str), fault: Error) {
        if self.is_of_all(&fault) {
            self.stopped.store(true, Ordering::Relaxed);
            work.tally.ended_by = Some(fault);
        } else {
            self.failed(work, number, user, &fault);
        }
    }

    /// Whether a fault is that of the base, the folder or its disk, which no other user fares better with.
    fn is_of_all(&self, fault: &Error) -> bool {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match fault {
            Error::Changed { .. } => self.batch.file.check_unchanged().is_err(),
            Error::Io { source, .. } => match source.kind() {
                QuotaExceeded | ReadOnlyFilesystem | StorageFull => true,
                PermissionDenied => !place::may_write_into(self.batch.folder),
                _ => false,
            },
            _ => false,
        }
    }

    /// Counts and reports a user without a file, by place and name.
    fn failed(&self, work: &mut WorkerResult, number: usize, user: (&str, &str), fault: &Error) {
        if matches!(fault.plain(), Error::Interrupted) {
            return;
        }
        work.tally.failed = work.tally.failed.saturating_add(1);
        if self.batch.fail_fast {
            self.stopped.store(true, Ordering::Relaxed);
        }
        self.listener.failed(number, user.0, user.1, fault);
    }

    /// Gives the files that wait their names.
    fn publish(&self, work: &mut WorkerResult) {
        let mut waiting = std::mem::take(&mut work.waiting);
        let files = waiting.iter_mut().map(|one| std::mem::take(&mut one.files)).collect();
        for (one, published) in waiting.into_iter().zip(publish_all(files)) {
            if let Err(fault) = published {
                self.not_made(work, one.number, (&one.place, &one.done.name), fault);
                continue;
            }
            let tally = if one.done.kept { &mut work.tally.kept } else { &mut work.tally.made };
            *tally = tally.saturating_add(1);
            work.entries.extend(one.entry);
            self.listener.done(&one.done);
        }
    }

    /// What a user is to have, from what all have and what is the user's own.
    fn recipe(&self, user: &User) -> Result<Recipe> {
        refuse_one_name(&user.recipe)?;
        refuse_own_records(&user.recipe)?;
        let mut recipe = user.recipe.clone().over(self.batch.shared.clone())?;
        if let Some(at) = recipe.key.iter().position(|key| key == "-") {
            return Err(recipe.fault("key", at, NOT_ASKED, "give files"));
        }
        refuse_fetched(&recipe)?;
        refuse_prompts(&recipe)?;
        if recipe.host_key_seed.is_some() {
            self.seeded.take(&user.name, &user.place)?;
            recipe.host_key_name = Some(user.name.clone());
        }
        Ok(recipe)
    }

    /// Makes one user's file.
    fn one(&self, user: &User, number: usize) -> Result<Waiting> {
        let batch = self.batch;
        let recipe = self.recipe(user)?;
        let asked = |_: &str| Err(io::Error::other(NOT_ASKED));
        let template = CustomizationTemplate::gather(&recipe, &mut Input::new(io::empty(), asked))?;
        let inputs = Digest(template.inputs(&self.facts)?);
        let recipe_id = manifest::recipe_id(batch.sha256, inputs);
        let name = batch.template.file_name(&user.name, number, recipe_id)?;
        self.taken.take(&name, &user.place)?;
        if batch.template.has_id() && batch.form != Form::Oci {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            batch.take_down_one(user, &name, &mut files)?;
        }
        let mut notes = template.notes();
        let digests = batch.options.blocks.is_some();
        let (base, epoch) = (&self.about_base, batch.options.epoch);
        let expected = ExpectedImage { recipe_id, inputs, base, digests, epoch };
        let (job, kept) = self.job(template, &name, &expected)?;
        notes.extend(batch.base.look_up(job.image.edits())?);
        notes.extend(injected_facts::opened(batch.before, job.image.given()));
        notes.extend(batch.base.menus_without(job.image.edits()));
        let given = job.image.given();
        notes.extend(given.not_understood().map(|note| format!("not understood: {note}")));
        notes.extend(given.login_notes());
        let content = manifest::content_id(batch.sha256, job.image.digest());
        let done = MadeImage {
            name: user.name.clone(),
            path: batch.folder.join(&name),
            size: job.image.size(),
            sha256: None,
            ids: Ids { recipe: recipe_id, content },
            kept,
            gone: job.gone.clone(),
            notes,
            host_keys: job.host_keys.clone(),
            known_hosts: None,
            beside: Vec::new(),
            privacy: job.image.privacy(),
        };
        let place = user.place.clone();
        let waiting = Waiting { done, number, place, files: Vec::new(), entry: None };
        batch.file.if_unchanged(match batch.form {
            Form::Image => self.image(waiting, &job),
            Form::Patch => self.patch(waiting, &job),
            Form::Oci => self.layer(waiting, &job, &name),
        })
    }

    /// A user's image, and whether it exists already. An existing image of the same recipe is made again with its own
    /// random keys and salts: if the result is the same, the existing one is whole. An image that is written gets new
    /// ones.
    fn job(
        &self,
        mut template: CustomizationTemplate,
        name: &str,
        expected: &ExpectedImage<'_>,
    ) -> Result<(Job<'_>, bool)> {
        let before = if self.keeps() { self.existing_image(name)? } else { None };
        let is_same =
            |before: &&ExistingImage| before.matches(expected) && before.is_of_time(expected);
        if let Some(same) = before.as_ref().filter(is_same) {
            let made_before = Some(same.made_before());
            let options = ManifestOptions { made_before, ..self.batch.options.clone() };
            let customization = template.complete(&same.root)?;
            let job = self.made(&customization, &options)?;
            if self.is_there(&job, name, expected.recipe_id)? {
                return Ok((job, true));
            }
            template = customization.template();
        }
        let job = self.made(&template.complete(&[])?, self.batch.options)?;
        if self.keeps() && self.is_there(&job, name, expected.recipe_id)? {
            return Ok((job, true));
        }
        self.check_free(name, before.as_ref(), expected)?;
        Ok((job, false))
    }

    /// What stands under a name, if it was stamped.
    fn existing_image(&self, name: &str) -> Result<Option<ExistingImage>> {
        let (path, base) = (self.batch.folder.join(name), self.batch.base);
        match self.batch.form {
            Form::Image => ExistingImage::open(&path),
            Form::Patch => ExistingImage::open_patch(&path, base, self.batch.sha256),
            Form::Oci => {
                let parts = self.layout.as_ref().and_then(|layout| layout.parts(name).ok());
                let Some(parts) = parts else { return Ok(None) };
                ExistingImage::open_patch(&parts.patch, base, self.batch.sha256)
            }
        }
    }

    /// Says why what stands under a name does not stay, where nothing is replaced.
    fn check_free(
        &self,
        name: &str,
        before: Option<&ExistingImage>,
        expected: &ExpectedImage<'_>,
    ) -> Result<()> {
        let path = self.batch.folder.join(name);
        let is_there = match &self.layout {
            Some(layout) => layout.of_name(name)?.is_some(),
            None => path.exists(),
        };
        if self.batch.existing != ExistingPolicy::Resume || !is_there {
            return Ok(());
        }
        let signer = self.batch.options.signer.as_ref().map(|signer| signer.fingerprint());
        let why = match before {
            _ if path.is_symlink() => "it is a symbolic link".to_owned(),
            Some(before) => before.difference(expected, signer.as_deref()),
            None => "remaster did not make it from this base".to_owned(),
        };
        Err(Error::Usage {
            what: format!("{} already exists and cannot be kept: {why}", path.display()),
            hint: Advice::SkipExistingOrOtherFolder,
        })
    }

    /// The image that is asked for.
    fn made(&self, customization: &Customization, options: &ManifestOptions) -> Result<Job<'_>> {
        let batch = self.batch;
        let image = batch.base.customize(customization, options)?;
        let gone =
            injected_facts::removed(batch.before, (image.edits(), image.given()), batch.no_key)?;
        let packed = match batch.form {
            Form::Image => Vec::new(),
            Form::Patch | Form::Oci => patch::pack(&image.patch(batch.sha256)?)?,
        };
        Ok(Job { image, packed, host_keys: customization.host_keys.clone(), gone })
    }
}

/// Passes on that the user wants to stop.
struct CancelOnly<'a>(&'a dyn BatchObserver);

impl crate::progress::Progress for CancelOnly<'_> {
    fn begin(&self, _: &'static str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn end(&self) {}
    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}
