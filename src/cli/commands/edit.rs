//! `remaster edit`: puts more into an image file, without writing all of it again.

use std::path::{Path, PathBuf};

use remaster::error::{Advice, Error, Result};
use remaster::image::{ImageFile, ReadAt as _, file_type};
use remaster::keys;
use remaster::live::{Customization, HostKeys, named_files};
use remaster::output::file::publish;
use remaster::output::in_place::{InPlaceEdit, RecoveredEdit};
use remaster::recipe::edits::InjectMethod;
use remaster::recipe::{OF_RECORDS, Recipe};
use remaster::run_files::RunFiles;
use remaster::stamp::base_image::BaseImage;
use remaster::stamp::injected_facts::{self, Fact};
use remaster::stamp::manifest::below::Kept;
use remaster::stamp::planned_image::PlannedImage;
use remaster::stamp::previous::PreviousStamp;

use crate::cli::base;
use crate::cli::destination::mode_note;
use crate::cli::edit_args::{self, EditArgs};
use crate::cli::job::{self, StampJob};
use crate::cli::known_hosts::{self, KnownHosts};
use crate::cli::printer;
use crate::cli::progress::Meter;
use crate::cli::record::{ManifestArgs, epoch};
use crate::cli::shell::shell_quote;
use crate::cli::stale;
use remaster::units::{beyond, format_bytes};

/// Put more into an image file, writing only what changes
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "remaster edit --in-place <IMAGE> [OPTIONS]\n       remaster edit --recover <IMAGE>"
)]
pub(crate) struct Args {
    /// Image file to change, stamped or not; what was put in before stays
    image: PathBuf,
    /// Change the file itself; a journal beside it makes that safe against being killed
    #[arg(long, required_unless_present = "recover")]
    in_place: bool,
    /// Finish an edit that was interrupted, and do nothing else
    #[arg(long, conflicts_with = "in_place")]
    recover: bool,
    /// Take out what was put in before
    #[arg(long)]
    replace: bool,
    /// Take out a key, given by fingerprint, comment or file; repeatable
    #[arg(long, value_name = "KEY", conflicts_with_all = ["replace", "no_key"])]
    remove_key: Vec<String>,
    #[command(flatten)]
    edit: EditArgs,
    #[command(flatten)]
    inside: ManifestArgs,
    /// Say what would be done, and write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, files: &mut RunFiles) -> Result<()> {
    args.check_recover()?;
    // What is wrong with the arguments is said before an edit that was interrupted is finished.
    let asked = if args.recover { None } else { Some(args.recipe()?) };
    base::check_plain(
        &args.image,
        if args.recover { "edit --recover" } else { "edit --in-place" },
    )?;
    if let Some(asked) = &asked {
        named_files::take_down(asked, files)?;
    }
    let edited = InPlaceEdit::take(&args.image)?;
    let recovered = if args.dry_run { None } else { recover(&edited)? };
    let Some(asked) = asked else {
        return if recovered.is_none() { tell_uninterrupted(&args.image) } else { Ok(()) };
    };
    args.change(&edited, asked, files)
}

/// Tells that there is nothing to recover, of what is an image.
fn tell_uninterrupted(image: &Path) -> Result<()> {
    file_type::whole(&ImageFile::open(image)?).map_err(|fault| fault.with_path(image.display()))?;
    printer::say(&format!("no edit of {} was interrupted\n", shell_quote(image)));
    Ok(())
}

/// What is asked for, with what is in the image already.
struct Gathered {
    recipe: Recipe,
    customization: Customization,
    stays: Stays,
}

/// What must stay of what was put in before: everything, but for what is asked for again or taken out by name.
#[derive(Default)]
struct Stays {
    everything: bool,
    /// What is asked for: host keys take the place of those of their kinds, and a setting is on or off.
    asked: Vec<String>,
    /// Fingerprints of keys, and files.
    removed: Vec<String>,
    /// `SOURCE_DATE_EPOCH`, where the environment has no other.
    epoch: Option<u64>,
}

impl Stays {
    /// Refuses to put in a key that is taken out.
    fn check_removed(&self, asked: &Recipe) -> Result<()> {
        for (index, argument) in asked.key.iter().enumerate() {
            let Ok((_, found)) = keys::of_argument(argument) else { continue };
            let mut found = found.keys.keys();
            if let Some(key) = found.find(|key| self.removed.contains(&key.fingerprint)) {
                let what = format!("{} {}, which is taken out", key.fingerprint, key.comment);
                return Err(asked.fault("key", index, what, "leave one of the two out"));
            }
        }
        Ok(())
    }

    /// The same of keys that are known only once they are read, as those of standard input.
    fn check_gathered(&self, customization: &Customization) -> Result<()> {
        let mut now = customization.keys.keys.keys();
        match now.find(|key| self.removed.contains(&key.fingerprint)) {
            None => Ok(()),
            Some(key) => Err(Error::Usage {
                what: format!(
                    "the key {} {} is taken out, and it is among those that are given",
                    key.fingerprint, key.comment
                ),
                hint: "leave one of the two out".into(),
            }),
        }
    }

    /// Refuses to take out anything else. On a command line, keys give way to others: which ones fit is said.
    fn check(&self, gone: &[Fact], way: InjectMethod) -> Result<()> {
        let may_go = |fact: &&Fact| {
            let is_once = injected_facts::has_host_key(std::slice::from_ref(fact))
                || injected_facts::is_switch(fact);
            let is_asked = |name: &str| self.asked.iter().any(|asked| asked == name);
            fact.is_of_records()
                || (fact.is_given_again() && way == InjectMethod::Credential)
                || (injected_facts::is_switch(fact) && is_asked("inject"))
                || (injected_facts::is_ssh_login(fact)
                    && (is_asked("key") || is_asked("ssh-passwords")))
                || (is_once && self.asked.contains(&fact.name))
                || self.removed.iter().any(|print| fact.value.starts_with(print))
        };
        match gone.iter().find(|fact| self.everything && !may_go(fact)) {
            None => Ok(()),
            Some(fact) => Err(Error::Usage {
                what: format!("{fact} was put in before, and cannot be kept beside what is given"),
                hint: Advice::AgainOrReplaceAll,
            }),
        }
    }
}

impl Args {
    /// Makes the image what is asked for, or says what that would be.
    fn change(&self, edited: &InPlaceEdit, asked: Recipe, files: &mut RunFiles) -> Result<()> {
        let file = ImageFile::open(&self.image)?;
        check_regular(&file)?;
        let kept = if self.replace { Kept::Base } else { Kept::All };
        let progress = Meter::stages()?;
        let base = job::base(&file, kept, &progress)?;
        check_end(&file, base.end())?;
        let is_of_records = !self.inside.flag_names().is_empty()
            || OF_RECORDS.iter().any(|name| asked.is_set(name));
        let Gathered { recipe, customization, stays } = self.gather(&base, asked)?;
        let known = self.known_hosts(&customization, files)?;
        let (base, asked) = ((&file, base), (recipe, customization));
        let no_key = self.edit.no_key;
        let is_of_records = is_of_records || epoch()?.is_some_and(|now| Some(now) != stays.epoch);
        let inside = self.inside.over_epoch(stays.epoch);
        let stamping = StampJob::plan_on(base, asked, &inside, no_key, &progress)
            .map_err(|fault| self.of_last_key(fault))?;
        stays.check(stamping.gone(), stamping.planned().edits().way)?;
        edited.check_place()?;
        let stamping = stamping.in_place(stays.everything);
        let known = known.map(|known| known.of_given(stamping.planned().given()));
        let is_same = stays.everything && !is_of_records && stamping.changes_nothing()?;
        if self.dry_run {
            let known = known.as_ref().map(KnownHosts::dry_run).unwrap_or_default();
            let told = if is_same { self.as_it_was("") } else { stamping.dry_run() };
            return printer::print(&format!("{told}{known}"));
        }
        if !is_same {
            return self.write(edited, stamping, known.as_ref(), &progress);
        }
        self.leave(edited, stamping.planned())?;
        let beside = known.as_ref().map(KnownHosts::stage).transpose()?.flatten();
        publish(beside.into_iter().collect())?;
        self.tell_beside(&[], known.as_ref());
        Ok(())
    }

    /// Leaves an image that has what is asked for.
    fn leave(&self, edited: &InPlaceEdit, made: &PlannedImage) -> Result<()> {
        if made.is_private() {
            edited.keep_from_others()?;
        }
        printer::say(&self.as_it_was(&mode_shown(made.is_private())));
        Ok(())
    }

    fn as_it_was(&self, mode: &str) -> String {
        let name = shell_quote(&self.image);
        format!("{name} is as it was: what is asked for is in it already{mode}\n")
    }

    /// Writes what differs.
    fn write(
        &self,
        edited: &InPlaceEdit,
        stamping: StampJob<'_>,
        known: Option<&KnownHosts>,
        progress: &Meter,
    ) -> Result<()> {
        let finished = stamping.compose()?;
        let beside = known.map(KnownHosts::stage).transpose()?.flatten();
        let image = finished.image.outgoing();
        let name = shell_quote(&self.image);
        let mode = mode_shown(finished.image.is_private());
        let changed = edited.rewrite(image, progress)?;
        printer::say(&match changed {
            Some(bytes) => {
                let bytes = format_bytes(bytes);
                format!("{}changed {name} ({bytes} written{mode})\n", finished.summary)
            }
            None => self.as_it_was(&mode),
        });
        publish(beside.into_iter().collect()).map_err(|fault| match changed {
            Some(_) => fault.but(format!("{name} is changed")),
            None => fault,
        })?;
        self.tell_beside(&finished.gone, known);
        Ok(())
    }

    /// Tells of the files beside the image.
    fn tell_beside(&self, gone: &[Fact], known: Option<&KnownHosts>) {
        if let Some(known) = known {
            printer::say(&known.summary());
        }
        self.tell_stale(gone, known);
    }

    /// The flags over the recipe file. To take out keys is enough, and so is a switch that is off: the image tells later
    /// whether it was on.
    fn recipe(&self) -> Result<Recipe> {
        let shared = self.edit.shared()?;
        let takes_out = self.edit.no_key || !shared.switched_off().is_empty();
        if !self.remove_key.is_empty() || (takes_out && !self.replace) {
            return Ok(shared);
        }
        // The file of the host keys can be made again.
        if self.edit.known_hosts().is_some() && !self.replace {
            return Ok(shared);
        }
        if shared.edits().is_empty() {
            self.check_alone()?;
        }
        let recipe = self.edit.recipe()?;
        if recipe.edits().is_empty() {
            return Err(Error::Usage {
                what: "nothing to put in".into(),
                hint: "give what to add, or a key to --remove-key; `remaster edit --help` lists what there is".into(),
            });
        }
        Ok(recipe)
    }

    /// Refuses flags that do nothing without something to put in.
    fn check_alone(&self) -> Result<()> {
        if self.edit.known_hosts().is_some() {
            return Err(known_hosts::none_put_in());
        }
        if self.replace {
            return Err(Error::Usage {
                what: "--replace takes everything out, and nothing is given to put in".into(),
                hint:
                    "give what the image is to have, or take everything out with `remaster reset`"
                        .into(),
            });
        }
        let inside = self.inside.flag_names().join(", ");
        if inside.is_empty() {
            return Ok(());
        }
        Err(Error::Usage {
            what: format!(
                "{inside} alone does nothing: only an edit gives an image another manifest"
            ),
            hint: "give what to add, too".into(),
        })
    }

    /// Reads what is asked for, over what is in the image already.
    fn gather(&self, base: &BaseImage<&ImageFile>, asked: Recipe) -> Result<Gathered> {
        let read = || PreviousStamp::read(base);
        let previous = if self.replace { Ok(None) } else { read() };
        let previous = previous.map_err(|fault| fault.with_path(self.image.display()))?;
        let Some(mut previous) = previous else {
            return self.gather_alone(asked);
        };
        previous.check_beside(&asked)?;
        let mut removed = if self.edit.no_key {
            previous.remove_all_keys()
        } else {
            previous.remove_keys(&self.remove_key)?
        };
        if self.edit.no_key && removed.is_empty() {
            return Err(no_key_there("no key was put into the image with --key"));
        }
        let carried = previous.carried(&base.facts(), &asked)?;
        let is_something_off = previous.is_switched_off(&asked) || !carried.left_out().is_empty();
        // The file of host keys alone changes nothing in the image.
        let is_for_file = self.edit.known_hosts().is_some() && asked.switched_off().is_empty();
        let changes = !asked.edits().is_empty() || !removed.is_empty() || is_something_off;
        if !changes && !is_for_file {
            return Err(asked.switches_nothing_off());
        }
        removed.extend(carried.left_out().iter().map(|path| format!("/{path}")));
        let (asked_names, epoch) = (asked.set_names(), previous.epoch());
        let stays = Stays { everything: true, asked: asked_names, removed, epoch };
        stays.check_removed(&asked)?;
        let adds = (asked.names_key(), asked.names_host_key());
        let recipe = previous.with(asked)?;
        if recipe.edits().is_empty() && carried.is_empty() {
            return Err(Error::Usage {
                what: "nothing would be left of what was put in".into(),
                hint: "take everything out with `remaster reset`".into(),
            });
        }
        let recipe = previous.settled(recipe, adds);
        let customization = edit_args::gather_over(&recipe, carried)?;
        stays.check_gathered(&customization)?;
        edit_args::tell(&customization);
        Ok(Gathered { recipe, customization, stays })
    }

    fn gather_alone(&self, recipe: Recipe) -> Result<Gathered> {
        if let Some(key) = self.remove_key.first() {
            return Err(Error::Usage {
                what: format!(
                    "nothing was put into the image before: it does not let in the key {key:?}"
                ),
                hint: "leave --remove-key out".into(),
            });
        }
        if self.edit.no_key && !self.replace {
            return Err(no_key_there("nothing was put into the image before"));
        }
        if recipe.edits().is_empty() && !recipe.switched_off().is_empty() && !self.replace {
            return Err(recipe.switches_nothing_off());
        }
        if self.edit.known_hosts().is_some() && !recipe.names_host_key() {
            return Err(known_hosts::none_put_in());
        }
        let customization = edit_args::gather(&recipe)?;
        edit_args::tell(&customization);
        Ok(Gathered { recipe, customization, stays: Stays::default() })
    }

    fn known_hosts(
        &self,
        customization: &Customization,
        files: &mut RunFiles,
    ) -> Result<Option<KnownHosts>> {
        let wanted = self.edit.known_hosts();
        KnownHosts::new(customization, wanted, Some(&self.image), files, |path| {
            known_hosts::place(path, wanted.is_some())
        })
    }

    /// Tells of files beside the image that are of what it was before. That of host keys is right while these stay.
    fn tell_stale(&self, gone: &[Fact], known: Option<&KnownHosts>) {
        let written = known.and_then(KnownHosts::path).map(Path::to_owned);
        let known_hosts = HostKeys::file_beside(&self.image);
        let stays = |path: &PathBuf| *path == known_hosts && !injected_facts::has_host_key(gone);
        let mut found = stale::found(&self.image, written.as_slice());
        found.retain(|path| !stays(path));
        for path in &found {
            stale::note(path);
        }
    }

    /// `--no-key` and `--remove-key` exclude each other.
    fn of_last_key(&self, fault: Error) -> Error {
        match fault {
            Error::Usage { what, hint: Advice::KeyAgain } if !self.remove_key.is_empty() => {
                let hint = "give another key to --key, too; or --no-key in place of --remove-key, to take out all keys";
                Error::Usage { what, hint: hint.into() }
            }
            other => other,
        }
    }

    /// What would not be done, beside an edit that is finished.
    fn check_recover(&self) -> Result<()> {
        let mut given = self.edit.flag_names();
        given.extend(self.inside.flag_names().into_iter().map(str::to_owned));
        given.extend(self.replace.then(|| "--replace".to_owned()));
        given.extend((!self.remove_key.is_empty()).then(|| "--remove-key".to_owned()));
        given.extend(self.dry_run.then(|| "--dry-run".to_owned()));
        if !self.recover || given.is_empty() {
            return Ok(());
        }
        Err(Error::Usage {
            what: format!(
                "--recover finishes an edit that was interrupted, and does nothing else: {} would have no effect",
                given.join(", ")
            ),
            hint: "run `remaster edit --recover IMAGE` first, then edit it".into(),
        })
    }
}

/// What is said of an image that others may not read.
fn mode_shown(is_private: bool) -> String {
    mode_note(is_private.into()).map(|mode| format!(", {mode}")).unwrap_or_default()
}

/// Refuses an image with bytes behind its end: they are of nobody knows what, and would be cut off.
pub(crate) fn check_end(file: &ImageFile, end: u64) -> Result<()> {
    let more = beyond(file.size(), end);
    if more == 0 {
        return Ok(());
    }
    let path = shell_quote(file.path());
    Err(Error::Usage {
        what: format!(
            "{path} has {more} bytes behind the image that it holds, which ends at byte {end}: a change in place would cut them off"
        ),
        hint: format!("save them if they are of use, and cut them off: `truncate -s {end} {path}`")
            .into(),
    })
}

/// The error of `--no-key` where it takes out nothing.
fn no_key_there(why: &str) -> Error {
    Error::Usage {
        what: format!("--no-key would take out nothing: {why}"),
        hint: "leave --no-key out".into(),
    }
}

/// Finishes an edit that was interrupted, and tells what it was.
pub(crate) fn recover(edited: &InPlaceEdit) -> Result<Option<RecoveredEdit>> {
    let finished = edited.recover()?;
    if let Some(RecoveredEdit { old_size, new_size, bytes }) = finished {
        let (name, bytes) = (shell_quote(edited.path()), format_bytes(bytes));
        printer::say(&format!(
            "finished an edit of {name} that was interrupted: {bytes} changed, size {old_size} -> {new_size} bytes\n"
        ));
    }
    Ok(finished)
}

/// A journal lies beside a file; a disk has no beside.
pub(crate) fn check_regular(file: &ImageFile) -> Result<()> {
    let about = file.file().metadata().map_err(Error::io("look at the image"))?;
    if about.is_file() {
        return Ok(());
    }
    Err(Error::Usage {
        what: format!("{} is not a regular file", file.path().display()),
        hint: "use `remaster flash BASE --key KEY DEVICE`, which writes only what differs".into(),
    })
}
