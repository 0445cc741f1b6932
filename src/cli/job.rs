//! From a recipe and a base to a checked image: what `remaster BASE` and `remaster flash BASE` share.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use remaster::error::{Advice, Error, Result};
use remaster::formats::patch_file::PatchFile;
use remaster::image::ImageFile;
use remaster::image::digest::Digest;
use remaster::image::file_type;
use remaster::iso::plan::Step;
use remaster::keys::Gathered;
use remaster::live::{Carried, Customization, Input, look_up, named_files};
use remaster::progress::Progress;
use remaster::recipe::edits::{Edits, InjectMethod};
use remaster::recipe::{self, OF_RECORDS, OF_VOLUMES, Recipe};
use remaster::run_files::RunFiles;
use remaster::stamp::base_image::BaseImage;
use remaster::stamp::injected_facts::{self, Fact, InjectedFacts};
use remaster::stamp::planned_image::PlannedImage;
use remaster::stamp::stamped_image::StampedImage;
use remaster::units::format_bytes;

use super::record::ManifestArgs;
use super::{closed, known_hosts, printer, remote_keys};

/// What to put in.
#[derive(Debug, clap::Args)]
pub(crate) struct Edit {
    /// Recipe file; a flag wins over what it says
    ///
    /// Its keys are the names of flags: `remaster recipe schema` lists them.
    #[arg(long, value_name = "FILE.toml")]
    recipe: Option<PathBuf>,

    #[command(flatten)]
    flags: Recipe,

    /// Allow an image to lose all its keys
    #[arg(long, conflicts_with = "key", help_heading = "ssh")]
    pub(crate) no_key: bool,

    /// File to write the public halves of host keys to, for `ssh -o UserKnownHostsFile=FILE`
    /// [default: beside the image, such as `IMAGE.known_hosts`]
    #[arg(long, value_name = "FILE", help_heading = "ssh")]
    known_hosts: Option<PathBuf>,
}

impl Edit {
    /// Whether anything is to be put in, or to be told of what is put in.
    pub(crate) fn is_given(&self) -> bool {
        !self.flag_names().is_empty()
    }

    /// What the flags alone ask for.
    pub(crate) fn flags(&self) -> &Recipe {
        &self.flags
    }

    /// The flags that are given.
    pub(crate) fn flag_names(&self) -> Vec<String> {
        let own = [
            ("recipe", self.recipe.is_some()),
            ("no-key", self.no_key),
            ("known-hosts", self.known_hosts.is_some()),
        ];
        let own = own.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| (*name).to_owned());
        own.chain(self.flags.set_names()).map(|name| format!("--{name}")).collect()
    }

    /// Where the public halves of host keys are to be written to.
    pub(crate) fn known_hosts(&self) -> Option<&Path> {
        self.known_hosts.as_deref()
    }

    /// The flags over the recipe, of one image.
    pub(crate) fn recipe(&self) -> Result<Recipe> {
        let recipe = self.shared()?;
        if self.no_key && recipe.edits().is_empty() {
            return Err(key_of_nothing());
        }
        if let Some(file) = self.recipe.as_deref().filter(|_| recipe.edits().is_empty()) {
            return Err(asks_for_nothing(file));
        }
        if recipe.edits().is_empty()
            && let Some(fault) = remote_keys::proposal()
        {
            return Err(fault);
        }
        Ok(recipe)
    }

    /// The same, of images that each have more.
    pub(crate) fn shared(&self) -> Result<Recipe> {
        let below = self.recipe.as_deref().map(recipe::read).transpose()?;
        let recipe = self.flags.clone().over(below.unwrap_or_default())?;
        if self.no_key && recipe.names_key() {
            let name = if recipe.key.is_empty() { "machine" } else { "key" };
            return Err(recipe.fault(name, 0, "a key, and --no-key", "leave one of them out"));
        }
        Ok(recipe)
    }

    /// Reads everything that is named, and tells what is worth telling of it.
    pub(crate) fn gather(&self, files: &mut RunFiles) -> Result<(Recipe, Customization)> {
        self.gathered(self.recipe()?, files)
    }

    /// The same for a kernel that starts without menus and a volume; none if all is for those.
    pub(crate) fn gather_without_volume(
        &self,
        files: &mut RunFiles,
    ) -> Result<Option<(Recipe, Customization)>> {
        let recipe = self.without(self.recipe()?, &OF_VOLUMES)?;
        recipe.map(|recipe| self.gathered(recipe, files)).transpose()
    }

    fn gathered(&self, recipe: Recipe, files: &mut RunFiles) -> Result<(Recipe, Customization)> {
        named_files::take_down(&recipe, files)?;
        if self.known_hosts.is_some() && !recipe.names_host_key() {
            return Err(known_hosts::none_put_in());
        }
        let customization = gather(&recipe)?;
        tell(&customization);
        Ok((recipe, customization))
    }

    /// The recipe without what is of an image of these names where none is made; none if nothing is left. Flags of that
    /// are refused; a recipe may be for images, too, and so it is noted.
    ///
    /// # Errors
    /// A flag of these, and others that mean nothing without what is left out.
    pub(crate) fn without(&self, recipe: Recipe, of_menus: &[&str]) -> Result<Option<Recipe>> {
        let is_of_menus = |name: &&String| of_menus.contains(&name.as_str());
        if let Some(name) = self.flags.set_names().iter().find(is_of_menus) {
            return Err(Error::Usage {
                what: format!("--{name} changes menus or a volume, and there is neither"),
                hint: "leave it out".into(),
            });
        }
        let mut asked = recipe.set_names();
        asked.retain(|name| is_of_menus(&name) || OF_RECORDS.contains(&name.as_str()));
        for name in &asked {
            printer::note(&if is_of_menus(&name) {
                format!("{name} changes menus or a volume, and there is neither")
            } else {
                format!("{name} is for the manifest of an image, and no image is made")
            });
        }
        let recipe = recipe.without(of_menus).without(&OF_RECORDS);
        if asked.is_empty() || !recipe.edits().is_empty() {
            return Ok(Some(recipe));
        }
        if self.no_key {
            return Err(key_of_nothing());
        }
        if self.known_hosts.is_some() { Err(known_hosts::none_put_in()) } else { Ok(None) }
    }
}

/// The error of `--no-key` where there would be no image without a key.
fn key_of_nothing() -> Error {
    Error::Usage {
        what: "--no-key without anything to put in".into(),
        hint: "give what to put in, or take everything out with `remaster reset`".into(),
    }
}

/// What is said of a recipe file that leaves nothing to do.
pub(crate) fn asks_for_nothing(file: &Path) -> Error {
    let what = format!("{} asks for nothing to put in", file.display());
    Error::Usage { what, hint: Advice::RecipeForm }
}

/// Surveys a base of any kind.
pub(crate) fn base(file: &ImageFile) -> Result<BaseImage<&ImageFile>> {
    BaseImage::open(file).map_err(|fault| file.at_fault(fault))
}

/// Surveys a base that must be an ISO for a command.
pub(crate) fn iso<'a>(
    file: &'a ImageFile,
    command: &str,
    hint: &'static str,
) -> Result<BaseImage<&'a ImageFile>> {
    let base = base(file)?;
    if base.iso().is_some() {
        return Ok(base);
    }
    let is = file_type::whole(file).map_err(|fault| file.at_fault(fault))?.name();
    let what = format!("{} is {is}: `remaster {command}` works with ISOs", file.name());
    Err(Error::Usage { what, hint: hint.into() })
}

/// Reads everything that a recipe names.
pub(crate) fn gather(recipe: &Recipe) -> Result<Customization> {
    Customization::gather(recipe, &mut input())
}

/// The same over what an image has already.
pub(crate) fn gather_over(recipe: &Recipe, carried: Carried) -> Result<Customization> {
    Customization::gather_over(recipe, &mut input(), carried)
}

fn input() -> Input<'static> {
    let prompt = |what: &str| rpassword::prompt_password(format!("{what}: "));
    let input = TypedInput { is_told: !io::stdin().is_terminal() };
    Input::new(input, prompt).with(remote_keys::Program)
}

/// Standard input for `-`. A terminal says nothing by itself, and the program would seem to hang.
struct TypedInput {
    is_told: bool,
}

impl Read for TypedInput {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        closed::input()?;
        if !std::mem::replace(&mut self.is_told, true) {
            printer::say(
                "`-` is this terminal: type or paste it, then press Enter and Control-D\n",
            );
        }
        io::stdin().read(bytes)
    }
}

/// Tells what is worth telling of what was read.
pub(crate) fn tell(customization: &Customization) {
    for note in customization.notes() {
        printer::note(&note);
    }
}

/// Tells of names that cannot be looked up in what starts by itself, whose store is in an initrd.
pub(crate) fn tell_unknown(edits: &Edits) -> Result<()> {
    let notes = look_up(edits, Err("whose store is in the initrd"))?;
    for note in notes {
        printer::note(&note);
    }
    Ok(())
}

/// A base with everything that is known of it and of what shall be put in.
pub(crate) struct StampJob<'a> {
    file: &'a ImageFile,
    recipe: Recipe,
    customization: Customization,
    base: BaseImage<&'a ImageFile>,
    made: PlannedImage,
    /// What was put in before and goes.
    gone: Vec<Fact>,
    /// Whether all else stays that was put in before.
    adds: bool,
}

/// An image that can be written.
pub(crate) struct FinishedJob<'a> {
    /// That of the base, where it is known.
    sha256: Option<Digest>,
    pub(crate) image: StampedImage<&'a ImageFile>,
    /// What was put in before and is gone.
    pub(crate) gone: Vec<Fact>,
    /// What was done, in words.
    pub(crate) summary: String,
}

impl<'a> StampJob<'a> {
    /// Decides what to change of a base: `recipe` and `customization` are what [`Edit::gather`] found, `inside` what the manifest is to have.
    pub(crate) fn plan(
        file: &'a ImageFile,
        (recipe, customization): (Recipe, Customization),
        inside: &ManifestArgs,
        no_key: bool,
        progress: &dyn Progress,
    ) -> Result<Self> {
        Self::plan_on((file, base(file)?), (recipe, customization), inside, no_key, progress)
    }

    /// The same where the base was surveyed.
    pub(crate) fn plan_on(
        (file, base): (&'a ImageFile, BaseImage<&'a ImageFile>),
        (recipe, customization): (Recipe, Customization),
        inside: &ManifestArgs,
        no_key: bool,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let options = inside.or_by(&recipe).options_for(&base, progress)?;
        let made = customization.edits(&base.facts()).and_then(|edits| base.plan(edits, &options));
        let made = made.map_err(|fault| file.at_fault(fault))?;
        base.look_up(made.edits())?.iter().for_each(|note| printer::note(note));
        let gone = injected_facts::removed(base.injected_facts().as_ref(), made.edits(), no_key)?;
        Ok(Self { file, recipe, customization, base, made, gone, adds: false })
    }

    /// The same where what was put in before stays, but for what goes by its name.
    pub(crate) fn adding(self, adds: bool) -> Self {
        Self { adds, ..self }
    }

    /// What was put in before and would be taken out.
    pub(crate) fn gone(&self) -> &[Fact] {
        &self.gone
    }

    /// The image that is decided on.
    pub(crate) fn planned(&self) -> &PlannedImage {
        &self.made
    }

    fn taken_out(&self) -> Vec<String> {
        let of_fact =
            |fact: &Fact| record_gone(fact).unwrap_or_else(|| format!("{fact} is taken out"));
        if self.adds { self.gone.iter().map(of_fact).collect() } else { taken_out(&self.gone) }
    }

    /// What there is and what would be done to it.
    pub(crate) fn dry_run(&self) -> String {
        let (path, label) = (self.file.path().display(), self.base.label());
        let mut text = format!("base: {path}, NixOS {}, {label}\n", self.base.release());
        if self.base.injected().is_some() {
            text.push_str(if self.adds {
                "was stamped before: what was put in then stays\n"
            } else {
                "was stamped before: what was put in then is taken out first\n"
            });
        }
        for line in self.taken_out() {
            text.extend([&line, "\n"]);
        }
        text.push_str(&self.told());
        text.push_str(&self.credential());
        text.push_str(&host_keys_shown(&self.customization));
        if self.made.is_private() {
            text.push_str("the image will hold secrets: mode 0600\n");
        }
        for Step { what, bytes } in self.made.steps() {
            let _ = writeln!(text, "would {what} ({})", format_bytes(*bytes));
        }
        let (old, new) = (self.base.size(), self.made.size());
        let _ = writeln!(
            text,
            "size: {} -> {} ({old} -> {new} bytes)",
            format_bytes(old),
            format_bytes(new)
        );
        text
    }

    /// The finished image, which was surveyed again. Tells what is gone from it.
    pub(crate) fn compose(self) -> Result<FinishedJob<'a>> {
        let summary = self.summary();
        for Step { what, bytes } in self.made.steps() {
            printer::detail(&format!("{what} ({})\n", format_bytes(*bytes)));
        }
        let told = self.taken_out();
        let Self { base, made, gone, .. } = self;
        let image = made.stamp(&base)?;
        for line in &told {
            printer::note(line);
        }
        Ok(FinishedJob { sha256: base.known_sha256(), image, gone, summary })
    }

    /// What is put in, in words: the same whether it is done or would be.
    fn told(&self) -> String {
        let mut text = keys_shown(&self.customization.keys);
        text.push_str(&settings_shown(&InjectedFacts::from_edits(self.made.edits()), &self.recipe));
        text
    }

    /// What keys on the kernel's command lines do, on a line.
    fn credential(&self) -> String {
        let line = |does| format!("on the kernel's command lines: {does}\n");
        self.made.credential().map(line).unwrap_or_default()
    }

    fn summary(&self) -> String {
        let mut text = self.told();
        let (menus, release) = (self.made.menus(), self.base.release());
        let initrds = match self.made.edits().way {
            InjectMethod::MergeInitrd => "initrds changed; ",
            InjectMethod::ExtraInitrd | InjectMethod::Credential | InjectMethod::Menus => "",
        };
        let who = match self.customization.keys.keys.len() {
            0 => "",
            _ if !self.customization.touch_stage_one() => "",
            1 => " accepts the key for root and nixos",
            _ => " accepts the keys for root and nixos",
        };
        let menus = match (menus, initrds) {
            (0, _) => String::new(),
            (1, _) => "1 menu changed; ".to_owned(),
            (menus, _) => format!("{menus} menus changed; "),
        };
        let _ = writeln!(
            text,
            "NixOS {release}{who}{}{initrds}{menus}checked",
            if who.is_empty() { ": " } else { "; " }
        );
        text.push_str(&self.credential());
        text
    }
}

impl FinishedJob<'_> {
    /// The patch that makes the image of the official base, also where the base was stamped before.
    pub(crate) fn patch(&self, progress: &dyn Progress) -> Result<PatchFile> {
        let known = self.sha256;
        let hashed = || Digest::compute(self.image.original(), progress);
        self.image.patch(known.map_or_else(hashed, Ok)?)
    }
}

/// Files that are reported one by one.
pub(crate) const MAX_SHOWN: usize = 10;

/// What the manifest loses.
fn record_gone(fact: &Fact) -> Option<String> {
    let line = match fact.name.as_str() {
        "sign" => "the manifest was signed: without --sign it is not any more",
        "manifest-digests" => {
            "the manifest had digests of the image: without --manifest-digests it has none"
        }
        _ => return None,
    };
    Some(line.to_owned())
}

/// What was put in before and is not given again, a line each.
pub(crate) fn taken_out(gone: &[Fact]) -> Vec<String> {
    let line = |fact: &Fact| {
        let told = || format!("{fact} is not given again: it is taken out");
        record_gone(fact).unwrap_or_else(told)
    };
    let files = gone.iter().filter(|fact| fact.name == "file");
    let others = gone.iter().filter(|fact| fact.name != "file");
    let mut lines: Vec<String> = others.chain(files.clone().take(MAX_SHOWN)).map(line).collect();
    match files.count().saturating_sub(MAX_SHOWN) {
        0 => {}
        more => lines.push(format!("{more} more files are not given again: they are taken out")),
    }
    lines
}

/// Tells it, whoever watches: nothing goes without a word.
pub(crate) fn tell_taken_out(gone: &[Fact]) {
    for line in taken_out(gone) {
        printer::note(&line);
    }
}

/// The same of what starts by itself, whose script does not say which of its kernel arguments were put in.
pub(crate) fn taken_out_of_tree(gone: &[Fact]) -> Vec<String> {
    let stay = "kernel arguments stay as they are, also those that were put in before".to_owned();
    let mut lines = taken_out(gone);
    lines.extend((!gone.is_empty()).then_some(stay));
    lines
}

/// Tells that.
pub(crate) fn tell_taken_out_of_tree(gone: &[Fact]) {
    for line in taken_out_of_tree(gone) {
        printer::note(&line);
    }
}

/// The keys that are let in, a line each.
pub(crate) fn keys_shown(gathered: &Gathered) -> String {
    let mut text = String::new();
    for key in gathered.keys.keys() {
        let line = format!("key: {} {} {}", key.algorithm, key.fingerprint, key.comment);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// The host keys of a dry run, a line each: those that chance makes are others each time.
pub(crate) fn host_keys_shown(customization: &Customization) -> String {
    let mut text = String::new();
    for key in customization.all_host_keys().flat_map(|found| &found.keys) {
        let _ = if key.is_random {
            writeln!(text, "host key: {}, a new one on each run", key.algorithm())
        } else {
            writeln!(text, "host key: {key}")
        };
    }
    text
}

/// What is reported as keys, files and arguments, or as a password whatever it was given by.
const TOLD_OTHERWISE: [&str; 19] = [
    "key",
    "host-key",
    "root-password-file",
    "root-password-prompt",
    "root-password-hash",
    "nixos-password-file",
    "nixos-password-prompt",
    "nixos-password-hash",
    "overlay",
    "file",
    "script",
    "bin",
    "unit",
    "run",
    "store",
    "karg",
    "karg-delete",
    "karg-replace",
    "machine",
];

/// Whether what was asked for under a name shows in nothing else that is reported.
fn is_told_here(given: &InjectedFacts, name: &str) -> bool {
    !TOLD_OTHERWISE.contains(&name) && !given.facts().any(|fact| fact.name == name)
}

/// What else is set, and whether nobody can log in over ssh, a line each; nothing that is secret.
pub(crate) fn settings_shown(given: &InjectedFacts, recipe: &Recipe) -> String {
    let others = given.facts().filter(|fact| fact.name != "key" && fact.name != "host-key");
    let (files, settings): (Vec<&Fact>, Vec<&Fact>) = others.partition(|fact| fact.name == "file");
    let mut text = String::new();
    if !given.lets_in() {
        let _ = writeln!(text, "ssh login: nobody, {}", given.why_nobody());
    }
    for fact in settings {
        let _ = writeln!(text, "set: {fact}");
    }
    for (name, value) in recipe.told().iter().filter(|(name, _)| is_told_here(given, name)) {
        let _ = writeln!(text, "{}", format!("set: {name} {value}").trim_end());
    }
    for file in files.iter().take(MAX_SHOWN) {
        let _ = writeln!(text, "file: {}", file.value);
    }
    if let Some(more) = files.len().checked_sub(MAX_SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "and {more} more files");
    }
    text
}
