//! `remaster stamp BASE USERS -o OUT`: one base, an image or patch file for each user.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use indicatif::ProgressBar;
use remaster::bases::{Record, Url};
use remaster::error::{Error, Result};
use remaster::image::digest::Digest;
use remaster::image::{ImageFile, ReadAt as _};
use remaster::live::HostKeys;
use remaster::output::file::{FileAccess, Output};
use remaster::place;
use remaster::progress::Progress;
use remaster::recipe::Recipe;
use remaster::recipe::users::{self, Format, User};
use remaster::stamp::base_image::BaseImage;
use remaster::stamp::batch::names::{Shard, Template};
use remaster::stamp::batch::{Batch, BatchObserver, Done, ExistingPolicy, Form, Summary};
use remaster::stamp::descriptor;
use remaster::stamp::manifest::beside::Wanted;
use remaster::stamp::manifest::blocks::Blocks;
use remaster::stamp::planned_image::ManifestOptions;
use serde_json::json;

use super::base;
use crate::cli::destination::{NO_SYNC_FILES, OutputArgs};
use crate::cli::job::{self, Edit};
use crate::cli::progress::Meter;
use crate::cli::record::{ManifestArgs, SidecarEachArgs};
use crate::cli::{diagnostics, interrupt, known_hosts, printer, progress, shell};

const FORM: &str = "\
The users file is TOML, CSV or JSON lines. A user has a `name` and any key of a
recipe, which wins over the recipe and the flags that all users share.
`menu-name` is what recipes call `name`; `key` may be a folder, too, of which
every *.pub file is taken. Relative paths are relative to the file. In a CSV
cell `;` parts the elements of a list, and an empty cell says nothing.

TOML:
  [[user]]
  name = \"alice\"
  key = [\"alice.pub\", \"team/\"]

CSV:
  name,key,hostname
  alice,alice.pub,alice-box
  bob,bob.pub;old/bob.pub,

JSON lines:
  {\"name\": \"alice\", \"key\": [\"alice.pub\", \"team/\"]}

Exit status: 0 done; 11 users failed, each of which is named (with --json, a
line with an `error`); others as of `remaster`, before anything is written.";

/// Make an image, patch file or OCI layer for each of many users
#[derive(Debug, clap::Args)]
#[command(after_long_help = FORM)]
#[command(mut_arg("force", |argument| argument.help("Replace all files that are there")))]
#[command(mut_arg("no_sync", |argument| argument.help(NO_SYNC_FILES)))]
pub(crate) struct Args {
    /// NixOS installer ISO, plain or packed, or the name of a base; it is never changed
    base: PathBuf,

    #[command(flatten)]
    source: base::Source,

    /// Users: TOML, CSV or JSON lines
    users: PathBuf,

    /// Folder to write to; it is made if it does not exist
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,

    /// What to make for each user
    #[arg(long = "as", value_name = "FORM", value_enum, default_value = "image")]
    form: Form,

    /// Form of the users file [default: by its name]
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<Format>,

    /// What parts the elements of a list in a CSV cell [default: `;`]
    #[arg(long, value_name = "CHARACTER")]
    list_separator: Option<char>,

    /// With --as patch, write FILE.descriptor.json beside each patch: `remaster apply` makes the image of it alone, and gets
    /// the base by itself
    #[arg(long)]
    descriptor: bool,

    /// Address of the base by https, for --descriptor [default: where a base of a name was fetched from]
    #[arg(long, value_name = "URL", requires = "descriptor")]
    base_url: Option<String>,

    /// Names of the files: {name}, {index} and {id} (the recipe id) are filled in
    /// [default: {name}.iso, {name}.remaster or, for OCI, {name}]
    #[arg(long, value_name = "TEMPLATE")]
    name_template: Option<String>,

    /// Users to work for at once [default: the number of processors]
    #[arg(short, long, value_name = "NUMBER")]
    jobs: Option<NonZeroUsize>,

    /// Only this part of the users: those whose names' SHA-256 falls into it
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,

    /// Stop at the first user that fails
    #[arg(long)]
    fail_fast: bool,

    /// Go on with an interrupted batch: keep files of the same recipe
    ///
    /// They stay also where chance made keys or salts of theirs; others under their names are faults.
    #[arg(long, conflicts_with_all = ["skip_existing", "force"])]
    resume: bool,

    /// Keep files of the same recipe, and replace others
    ///
    /// They stay also where chance made keys or salts of theirs.
    #[arg(long, conflicts_with = "force")]
    skip_existing: bool,

    #[command(flatten)]
    written: OutputArgs,

    /// Print a JSON object per file on standard output; images are read whole for their SHA-256
    #[arg(long)]
    json: bool,

    /// Write the users that failed to this file, a JSON object per line: name, place, error, hint, status; without any
    /// it is empty
    #[arg(long, value_name = "FILE.jsonl")]
    failures: Option<PathBuf>,

    /// With --json, leave the SHA-256 of images out, which takes the most time
    #[arg(long, requires = "json")]
    no_image_sha256: bool,

    #[command(flatten)]
    inside: ManifestArgs,

    #[command(flatten)]
    beside: SidecarEachArgs,

    #[command(flatten)]
    edit: Edit,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let template = Template::parse("--name-template", args.template())?;
    place::check(&args.output)?;
    let beside = args.wanted()?;
    let shared = args.edit.shared()?;
    let inside = args.inside.or_by(&shared);
    let mut options = inside.options()?;
    beside.check(options.signer.as_deref())?;
    let file = base::open(&args.base, &args.source)?;
    let users = args.users()?;
    args.check_known_hosts(&shared, &users)?;
    let progress = Meter::stages()?;
    let (base, sha256) = survey(&file, inside.manifest_digests, &mut options, &progress)?;
    let recipe = |user: &User| user.recipe.clone().over(shared.clone());
    let touches =
        |user: &Result<User>| user.as_ref().is_ok_and(|user| recipe(user).touches_stage_one());
    if users.iter().any(|(_, user)| touches(user)) {
        base.initrds().map_err(|fault| fault.with_path(file.name()))?;
    }
    let before = base.injected_facts();
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
    let about_base = json!({
        "name": record.as_ref().map_or_else(|| file.name(), |record| record.name.clone()),
        "url": record.map(|record| record.url),
        "release": base.release(), "sha256": sha256.to_string(),
    });
    let teller = BatchReporter::new(args, users.len(), about_base)?;
    let tally = batch.run(&users, &teller)?;
    teller.end(args, &tally)?;
    if interrupt::is_asked() {
        return Err(Error::Interrupted);
    }
    match tally.failed {
        0 => Ok(()),
        failed => Err(Error::Users { failed, users: users.len() }),
    }
}

/// An OCI image layout has no place beside an image.
const ONLY_INSIDE: &str = "note: the public halves of the host keys are in the images only: give --known-hosts FILE to have them in a file, or --json\n";

/// A descriptor that cannot get its base from anywhere.
const NO_ADDRESS: &str = "the descriptors have no address of the base: `remaster apply` looks for the base beside them, or takes the one it is given; --base-url adds an address";

fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

impl Args {
    /// A layout has its own form for everything that is in it.
    fn wanted(&self) -> Result<Wanted> {
        let given = self.beside.flag_names();
        if self.form == Form::Oci && !given.is_empty() {
            return Err(Error::Usage {
                what: format!(
                    "nothing is written beside the images of an OCI image layout: {} would not be done",
                    given.join(", ")
                ),
                hint: "leave them out, or stamp with `--as patch`".into(),
            });
        }
        if self.form == Form::Oci && self.written.no_sync {
            return Err(Error::Usage {
                what: "the index of an OCI image layout names only what is on the disk: --no-sync is for files that stand alone".into(),
                hint: "leave it out".into(),
            });
        }
        if self.form != Form::Patch && self.descriptor {
            return Err(Error::Usage {
                what: "--descriptor is about patch files".into(),
                hint: "give --as patch, or leave it out".into(),
            });
        }
        if self.form != Form::Image && self.no_image_sha256 {
            return Err(Error::Usage {
                what: "--no-image-sha256 is for images; the SHA-256 of a patch takes no time"
                    .into(),
                hint: "leave it out".into(),
            });
        }
        Ok(self.beside.wanted())
    }

    /// What descriptors tell of the base.
    fn described(&self, base: &BaseFacts<'_>) -> Result<descriptor::Base> {
        let file = base.record.map(|record| record.file.clone());
        let own = || self.base.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let url = self.base_url.clone().or_else(|| base.record.map(|record| record.url.clone()));
        let url = url.map(|url| Url::parse(&url)).transpose()?;
        if url
            .as_ref()
            .is_some_and(|url| place::packing_of_name(Path::new(url.file_name())).is_some())
        {
            return Err(Error::Usage {
                what: "--base-url names a packed file, and a patch is for what is in it".into(),
                hint: "give the address of the ISO itself, or leave it out".into(),
            });
        }
        let described = descriptor::Base {
            name: base.record.map(|record| record.name.clone()),
            file: file.unwrap_or_else(own),
            url: url.map(|url| url.to_string()),
            release: base.image.release().to_owned(),
            size: base.image.original().size(),
            sha256: base.sha256.to_string(),
        };
        described.check().map_err(|fault| Error::Recipe {
            what: format!("a descriptor cannot describe this base: {fault}"),
            hint: "give its address by https to --base-url, and a plain name to its file".into(),
        })?;
        if described.url.is_none() {
            printer::note(NO_ADDRESS);
        }
        Ok(described)
    }

    /// Better to refuse before images are written than after.
    fn check_known_hosts(&self, shared: &Recipe, users: &[(usize, Result<User>)]) -> Result<()> {
        let has =
            |user: &Result<User>| user.as_ref().is_ok_and(|user| !user.recipe.host_key.is_empty());
        let any = !shared.host_key.is_empty() || users.iter().any(|(_, user)| has(user));
        match self.edit.known_hosts() {
            Some(_) if !any => Err(known_hosts::none_put_in()),
            Some(path) => self.about_all(path).map(drop),
            None if any && self.form == Form::Oci && !self.json => {
                printer::say(ONLY_INSIDE);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The place of a file that is about all images. Better to refuse before images are written than after.
    fn about_all(&self, path: &Path) -> Result<Output> {
        // A second run with the images of the first writes it anew.
        let force = self.resume || self.skip_existing || self.written.force;
        OutputArgs { force, ..self.written }.beside(path)
    }

    fn template(&self) -> &str {
        let default = match self.form {
            Form::Image => "{name}.iso",
            Form::Patch => "{name}.remaster",
            Form::Oci => "{name}",
        };
        self.name_template.as_deref().unwrap_or(default)
    }

    fn existing_policy(&self) -> ExistingPolicy {
        match (self.resume, self.skip_existing, self.written.force) {
            (true, _, _) => ExistingPolicy::Resume,
            (_, true, _) => ExistingPolicy::Skip,
            (_, _, true) => ExistingPolicy::Replace,
            _ => ExistingPolicy::Refuse,
        }
    }

    /// The users of this shard, numbered as in the file. Who cannot be read is in the first shard.
    fn users(&self) -> Result<Vec<(usize, Result<User>)>> {
        let format =
            self.format.or_else(|| Format::from_path(&self.users)).ok_or_else(|| Error::Usage {
                what: format!(
                    "{} has a name that does not say which form it is in",
                    self.users.display()
                ),
                hint: "give --format toml, csv or jsonl".into(),
            })?;
        if self.list_separator.is_some() && format != Format::Csv {
            return Err(Error::Usage {
                what: format!(
                    "{} is not CSV; only CSV takes --list-separator",
                    self.users.display()
                ),
                hint: "leave it out: other forms have lists of their own".into(),
            });
        }
        let users = users::read(&self.users, format, self.list_separator.unwrap_or(';'))?;
        let ours = |user: &Result<User>| match (self.shard, user) {
            (None, _) => true,
            (Some(shard), Ok(user)) => shard.has(&user.name),
            (Some(shard), Err(_)) => shard.is_first(),
        };
        Ok((1..).zip(users).filter(|(_, user)| ours(user)).collect())
    }
}

/// What descriptors tell of.
struct BaseFacts<'a> {
    record: Option<&'a Record>,
    image: &'a BaseImage<&'a ImageFile>,
    sha256: Digest,
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
    let base = job::iso(file, "stamp", HINT)?;
    let image = base.original();
    let digest = thread::scope(|scope| {
        // Initrds are read while the digest is computed. An error is reported later, if a user needs them.
        let initrds = scope.spawn(|| base.initrds().is_ok());
        let digest = match base.known_sha256() {
            _ if manifest_digests => {
                Blocks::compute(image, progress).map(|(blocks, digest)| (Some(blocks), digest))
            }
            Some(known) => Ok((None, known)),
            None => Digest::compute(image, progress).map(|digest| (None, digest)),
        };
        initrds.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        digest
    });
    let (blocks, sha256) = digest?;
    (options.blocks, options.sha256) = (blocks, Some(sha256));
    Ok((base, sha256))
}

/// Tells of users as they are done.
struct BatchReporter {
    json: bool,
    /// The base, for programs.
    base: serde_json::Value,
    /// Where the users that failed are told to, and those.
    failures: Option<Output>,
    failed: Mutex<Vec<serde_json::Value>>,
    bar: ProgressBar,
    /// Lines are whole: workers take turns.
    turn: Mutex<()>,
    /// The lines of `known_hosts` files, by image.
    known: Mutex<BTreeMap<PathBuf, HostKeys>>,
    /// What was put into the base before, and of how many images it is gone.
    gone: Mutex<BTreeMap<String, usize>>,
    /// What is worth telling of what was asked for, and of whom.
    notes: Mutex<BTreeMap<String, Whose>>,
}

/// Whose a note is: the first of the users by name, and how many there are.
#[derive(Default)]
struct Whose {
    first: String,
    users: usize,
}

impl Whose {
    fn add(&mut self, name: &str) {
        if self.users == 0 || name < self.first.as_str() {
            name.clone_into(&mut self.first);
        }
        self.users = self.users.saturating_add(1);
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.users {
            0 | 1 => write!(f, "{}", self.first),
            users => write!(f, "{} and {} more", self.first, users.saturating_sub(1)),
        }
    }
}

impl BatchReporter {
    fn new(args: &Args, users: usize, base: serde_json::Value) -> Result<Self> {
        Ok(Self {
            json: args.json,
            base,
            failures: args.failures.as_ref().map(|path| args.about_all(path)).transpose()?,
            failed: Mutex::default(),
            bar: progress::counter("stamping", users),
            turn: Mutex::new(()),
            known: Mutex::default(),
            gone: Mutex::default(),
            notes: Mutex::default(),
        })
    }

    /// Writes the file with the users that failed, a line each; without any, it is empty.
    fn write_failures(&self) -> Result<()> {
        let Some(file) = &self.failures else { return Ok(()) };
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.sort_by_key(|line| line["place"].to_string());
        let lines: Vec<String> = failed.iter().map(ToString::to_string).collect();
        let text = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>();
        file.write_bytes(text.as_bytes(), FileAccess::Usual)
    }

    /// Tells of all, and writes the file that is about all.
    fn end(&self, args: &Args, tally: &Summary) -> Result<()> {
        self.bar.finish_and_clear();
        let Summary { made, kept, failed } = tally;
        let folder = shell::shell_quote(&args.output);
        let synced = args.written.sync_note();
        printer::say(&format!("{folder}: {made} made, {kept} kept, {failed} failed{synced}\n"));
        self.tell_gone();
        self.tell_notes();
        self.write_failures()?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = args.edit.known_hosts() else { return Ok(()) };
        for alias in shared_aliases(&known) {
            printer::say(&told_shared(alias, path));
        }
        let text: String = known.values().map(HostKeys::known_hosts).collect();
        known_hosts::write(&args.about_all(path)?, &text)?;
        printer::say(&format!("wrote {}\n", shell::shell_quote(path)));
        Ok(())
    }

    fn tell_gone(&self) {
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        for (line, images) in gone.iter() {
            printer::say(&format!("note: {line} (images: {images})\n"));
        }
    }

    fn tell_notes(&self) {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        for (note, whose) in notes.iter() {
            printer::note(&format!("{whose}: {note}"));
        }
    }

    fn line(&self, value: &serde_json::Value) {
        let _turn = self.turn.lock();
        // Whoever closed the pipe does not want to know more.
        let _ = printer::print_json(value);
    }
}

/// Names that machines with different keys share: for ssh, each of them may pass for the others.
fn shared_aliases(known: &BTreeMap<PathBuf, HostKeys>) -> BTreeSet<&str> {
    let mut texts: BTreeMap<&str, String> = BTreeMap::new();
    let mut shared = BTreeSet::new();
    for keys in known.values() {
        let text = keys.known_hosts();
        if texts.insert(&keys.alias, text.clone()).is_some_and(|other| other != text) {
            shared.insert(keys.alias.as_str());
        }
    }
    shared
}

fn told_shared(alias: &str, path: &Path) -> String {
    let path = path.display();
    format!(
        "note: {path} has several machines of the name {alias}: ssh takes each for the others; give users a `hostname` of their own\n"
    )
}

/// Who may read a file, as `0600`; none for a layout.
fn mode_of(path: &Path) -> Option<String> {
    let about = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some(format!("{:04o}", about.permissions().mode() & 0o7777))
}

impl BatchObserver for BatchReporter {
    fn done(&self, done: &Done) {
        self.bar.inc(1);
        if let Some(keys) = &done.host_keys {
            // Images of an OCI image layout have one path.
            let image = done.path.join(&done.name);
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(image, keys.clone());
        }
        for line in job::taken_out(&done.gone) {
            let mut all = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
            let count = all.entry(line).or_default();
            *count = count.saturating_add(1);
        }
        for note in &done.notes {
            let mut all = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(note.clone()).or_default().add(&done.name);
        }
        if self.json {
            let gone: Vec<String> = done.gone.iter().map(ToString::to_string).collect();
            self.line(&json!({
                "taken_out": gone, "notes": done.notes,
                "name": done.name, "path": done.path, "size": done.size,
                "sha256": done.sha256.map(|digest| digest.to_string()),
                "recipe_id": done.ids.recipe.to_string(),
                "content_id": done.ids.content.to_string(), "kept": done.kept,
                "host_keys": done.host_keys.as_ref().map(known_hosts::facts).unwrap_or_default(),
                "known_hosts": done.known_hosts, "base": self.base, "mode": mode_of(&done.path),
            }));
        }
    }

    fn failed(&self, place: &str, name: &str, fault: &Error) {
        self.bar.inc(1);
        let who = if name.is_empty() { String::new() } else { format!("{place}: {name}: ") };
        self.bar.suspend(|| printer::write_error(&printer::explained(fault, &who)));
        let line = json!({
            "name": name, "place": place, "error": fault.to_string(), "hint": diagnostics::hint(fault),
            "status": diagnostics::exit_code(fault),
        });
        if self.json {
            self.line(&line);
        }
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn is_cancelled(&self) -> bool {
        interrupt::is_asked()
    }
}
