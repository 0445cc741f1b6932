//! The arguments of `remaster stamp`, and what they mean together.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use remaster::bases::{Record, Url};
use remaster::error::{Advice, Error, Result};
use remaster::image::digest::Digest;
use remaster::image::{ImageFile, ReadAt as _};
use remaster::output::file::Output;
use remaster::place;
use remaster::recipe::Recipe;
use remaster::recipe::users::{self, Format, User};
use remaster::stamp::base_image::BaseImage;
use remaster::stamp::batch::names::Shard;
use remaster::stamp::batch::{ExistingPolicy, Form};
use remaster::stamp::descriptor;
use remaster::stamp::manifest::beside::WantedSidecars;

use super::overruled;
use crate::cli::base;
use crate::cli::destination::{NO_SYNC_FILES, OutputArgs, of_flag};
use crate::cli::edit_args::EditArgs;
use crate::cli::record::{ManifestArgs, SidecarEachArgs};
use crate::cli::{earlier, known_hosts, printer};

const FORM: &str = "\
The users file is TOML, CSV or JSON lines. A user has a `name` and any key of a
recipe, which wins over the recipe and the flags that all users share.
`menu-name` is what recipes call `name`; `key` may be a folder, too, of which
every *.pub file is taken. Relative paths are relative to the file. In a CSV
cell `;` separates the elements of a list, double quotes keep blanks where a
key takes them, and an empty cell sets nothing.

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
    pub(super) base: PathBuf,

    #[command(flatten)]
    pub(super) source: base::Source,

    /// Users: TOML, CSV or JSON lines
    pub(super) users: PathBuf,

    /// Folder to write to; it is made if it does not exist
    #[arg(short, long, value_name = "FOLDER")]
    pub(super) output: PathBuf,

    /// What to make for each user
    #[arg(long = "as", value_name = "FORM", value_enum, default_value = "image")]
    pub(super) form: Form,

    /// Form of the users file [default: by its name]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(super) format: Option<Format>,

    /// Separator of list items in a CSV cell [default: `;`]
    #[arg(long, value_name = "CHARACTER")]
    pub(super) list_separator: Option<char>,

    /// With --as patch, write FILE.descriptor.json beside each patch: `remaster apply` makes the image of it alone, and gets
    /// the base by itself
    #[arg(long)]
    pub(super) descriptor: bool,

    /// Address of the base by https, for --descriptor [default: where a base with a name was fetched from]
    #[arg(long, value_name = "URL", requires = "descriptor")]
    pub(super) base_url: Option<String>,

    /// Names of the files: {name}, {index} and {id} (the recipe id) are filled in
    /// [default: {name}.iso, {name}.remaster or, for OCI, {name}]
    #[arg(long, value_name = "TEMPLATE")]
    pub(super) name_template: Option<String>,

    /// Images to make in parallel [default: the number of processors]
    #[arg(short, long, value_name = "NUMBER")]
    pub(super) jobs: Option<NonZeroUsize>,

    /// Make the images of shard I of N only; the SHA-256 of a name decides its shard
    #[arg(long, value_name = "I/N")]
    pub(super) shard: Option<Shard>,

    /// Stop at the first user that fails
    #[arg(long)]
    pub(super) fail_fast: bool,

    /// Go on with an interrupted batch: keep files of the same recipe
    ///
    /// A file stays even if its host keys or salts are random; it is read whole, and one that is damaged does not stay. Any
    /// other file under its name is an error.
    #[arg(long, conflicts_with_all = ["skip_existing", "force"])]
    pub(super) resume: bool,

    /// Keep files of the same recipe, and replace others
    ///
    /// A file stays even if its host keys or salts are random; it is read whole, and one that is damaged does not stay.
    #[arg(long, conflicts_with = "force")]
    pub(super) skip_existing: bool,

    #[command(flatten)]
    pub(super) written: OutputArgs,

    /// Print a JSON object per file on standard output; images are read whole for their SHA-256
    #[arg(long)]
    pub(super) json: bool,

    /// Write the users that failed to this file, a JSON object per line: name, place, error, hint, status; without any
    /// it is empty
    #[arg(long, value_name = "FILE.jsonl")]
    pub(super) failures: Option<PathBuf>,

    /// With --json, leave the SHA-256 of images out, which takes the most time
    #[arg(long, requires = "json")]
    pub(super) no_image_sha256: bool,

    #[command(flatten)]
    pub(super) inside: ManifestArgs,

    #[command(flatten)]
    pub(super) beside: SidecarEachArgs,

    #[command(flatten)]
    pub(super) edit: EditArgs,
}

/// An OCI image layout has no place beside an image.
const ONLY_INSIDE: &str = "the public halves of the host keys are in the images only: give --known-hosts FILE to have them in a file, or --json";

/// A descriptor that cannot get its base from anywhere.
const NO_ADDRESS: &str = "the descriptors have no address of the base: `remaster apply` looks for the base beside them, or takes the one it is given; --base-url adds an address";

/// What descriptors tell of.
pub(super) struct BaseFacts<'a> {
    pub(super) record: Option<&'a Record>,
    pub(super) image: &'a BaseImage<&'a ImageFile>,
    pub(super) sha256: Digest,
}

impl Args {
    /// A layout has its own form for everything that is in it.
    pub(super) fn wanted(&self) -> Result<WantedSidecars> {
        let given = self.beside.flag_names();
        if self.form == Form::Oci && !given.is_empty() {
            return Err(Error::Usage {
                what: format!(
                    "nothing is written beside the images of an OCI image layout: {} would have no effect",
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
    pub(super) fn described(&self, base: &BaseFacts<'_>) -> Result<descriptor::Base> {
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
            sha256: base.sha256,
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

    /// Better to refuse before images are written than after. All users of the file count, also those of other shards:
    /// a shard without a host key has an empty file.
    fn check_known_hosts(&self, shared: &Recipe, users: &[Result<User>]) -> Result<()> {
        let has =
            |user: &Result<User>| user.as_ref().is_ok_and(|user| !user.recipe.host_key.is_empty());
        let any = !shared.host_key.is_empty() || users.iter().any(has);
        match self.edit.known_hosts() {
            Some(_) if !any => Err(known_hosts::none_put_in()),
            Some(path) => self.known_hosts_file(path).map(drop),
            None if any && self.form == Form::Oci && !self.json => {
                let of_users = users.iter().flatten().map(|user| &*user.recipe);
                of_users.chain([shared]).try_for_each(known_hosts::check_told)?;
                printer::note(ONLY_INSIDE);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The place of the `known_hosts` file of all images.
    pub(super) fn known_hosts_file(&self, path: &Path) -> Result<Output> {
        self.about_all(path, "--known-hosts", earlier::is_known_hosts)
    }

    /// The place of the file of users that failed.
    pub(super) fn failures_file(&self) -> Result<Option<Output>> {
        let path = self.failures.as_deref();
        path.map(|path| self.about_all(path, "--failures", earlier::is_failures)).transpose()
    }

    /// Whether a run goes on with the images of an earlier one.
    pub(super) fn goes_on(&self) -> bool {
        self.resume || self.skip_existing
    }

    /// The place of a file that is about all images. Better to refuse before images are written than after.
    fn about_all(&self, path: &Path, flag: &str, is_own: fn(&str) -> bool) -> Result<Output> {
        // A second run with the images of the first writes it again, but no other file.
        let of_earlier = || self.goes_on() && earlier::text(path, is_own).is_some();
        let force = self.written.force || of_earlier();
        OutputArgs { force, ..self.written }.beside(path).map_err(of_flag(flag))
    }

    pub(super) fn template(&self) -> &str {
        let default = match self.form {
            Form::Image => "{name}.iso",
            Form::Patch => "{name}.remaster",
            Form::Oci => "{name}",
        };
        self.name_template.as_deref().unwrap_or(default)
    }

    pub(super) fn existing_policy(&self) -> ExistingPolicy {
        match (self.resume, self.skip_existing, self.written.force) {
            (true, _, _) => ExistingPolicy::Resume,
            (_, true, _) => ExistingPolicy::Skip,
            (_, _, true) => ExistingPolicy::Replace,
            _ => ExistingPolicy::Refuse,
        }
    }

    /// Why the form of the users file is not known.
    fn no_format(&self) -> Result<Error> {
        let name = self.users.display();
        Ok(match users::foreign_form(&self.users)? {
            Some(form) => Error::Usage {
                what: format!("{name} is {form}, not TOML, CSV or JSON lines"),
                hint: Advice::UsersForm,
            },
            None => Error::Usage {
                what: format!("{name} has a name that does not say which form it is in"),
                hint: "give --format toml, csv or jsonl".into(),
            },
        })
    }

    /// The users of this shard, numbered as in the file. Who cannot be read is in the first shard.
    pub(super) fn users(&self, shared: &Recipe) -> Result<Vec<(usize, Result<User>)>> {
        let format = self.format.or_else(|| Format::from_path(&self.users));
        let format = format.map_or_else(|| self.no_format().and_then(Err), Ok)?;
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
        overruled::check(self.edit.flags(), self.edit.no_key, &users)?;
        self.check_known_hosts(shared, &users)?;
        let ours = |user: &Result<User>| match (self.shard, user) {
            (None, _) => true,
            (Some(shard), Ok(user)) => shard.has(&user.name),
            (Some(shard), Err(_)) => shard.is_first(),
        };
        Ok((1..).zip(users).filter(|(_, user)| ours(user)).collect())
    }
}
