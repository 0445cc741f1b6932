//! From a recipe and a base to a checked image: what `remaster BASE` and `remaster flash BASE` share.

use std::fmt::Write as _;

use remaster::error::{Error, Result};
use remaster::formats::patch_file::PatchFile;
use remaster::image::digest::Digest;
use remaster::image::file_type;
use remaster::image::{ImageFile, ReadAt as _};
use remaster::iso::plan::Step;
use remaster::live::{Customization, Facts, look_up};
use remaster::netboot::tree::Tree;
use remaster::progress::Progress;
use remaster::recipe::Recipe;
use remaster::recipe::edits::{Edits, InjectMethod};
use remaster::stamp::base_image::BaseImage;
use remaster::stamp::injected_facts::{self, Fact, InjectedFacts};
use remaster::stamp::manifest::below::{self, Kept};
use remaster::stamp::planned_image::PlannedImage;
use remaster::stamp::stamped_image::StampedImage;
use remaster::units::format_bytes;

use super::destination::mode_note;
use super::printer;
use super::record::ManifestArgs;
use super::summary::{host_keys_shown, put_in_shown, record_gone, records_shown, taken_out};

/// Surveys a base of any kind. One that was stamped must be what its manifest says, as far as it is kept: what is made
/// of it gets a manifest of its own, and that would tell of the damage as if it were meant.
pub(crate) fn base<'a>(
    file: &'a ImageFile,
    kept: Kept,
    progress: &dyn Progress,
) -> Result<BaseImage<&'a ImageFile>> {
    let base = BaseImage::open(file).map_err(|fault| file.at_fault(fault))?;
    below::check_opened(&base, kept, progress).map_err(|fault| file.at_fault(fault))?;
    Ok(base)
}

/// Surveys a base that must be an ISO for a command.
pub(crate) fn iso<'a>(
    file: &'a ImageFile,
    (command, hint): (&str, &'static str),
    kept: Kept,
    progress: &dyn Progress,
) -> Result<BaseImage<&'a ImageFile>> {
    let base = base(file, kept, progress)?;
    if base.iso().is_some() {
        return Ok(base);
    }
    let is = file_type::whole(file).map_err(|fault| file.at_fault(fault))?.name();
    let what = format!("{} is {is}: `remaster {command}` works with ISOs", file.name());
    Err(Error::Usage { what, hint: hint.into() })
}

/// The edits of a netboot folder or kexec tarball. Notes names that cannot be looked up, as the store is in the initrd.
pub(crate) fn tree_edits(customization: &Customization, tree: &Tree<&ImageFile>) -> Result<Edits> {
    let edits = customization.edits(&Facts::from_release(tree.release(), tree.architecture()))?;
    let edits = Edits { boot: edits.boot.without_menus(), way: edits.way.without_menus(), ..edits };
    for note in look_up(&edits, Err("whose store is in the initrd"))? {
        printer::note(&note);
    }
    Ok(edits)
}

/// What was put in `before` and goes as others are `given`. Notes logins that open.
pub(crate) fn taken_from(
    before: Option<&InjectedFacts>,
    (edits, given): (&Edits, &InjectedFacts),
    no_key: bool,
) -> Result<Vec<Fact>> {
    let gone = injected_facts::removed(before, (edits, given), no_key)?;
    for line in injected_facts::opened(before, given) {
        printer::note(&line);
    }
    Ok(gone)
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
    /// Logins that open, a line each.
    opened: Vec<String>,
    /// Whether all else stays that was put in before.
    adds: bool,
    /// Whether the file itself is changed.
    in_place: bool,
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
    /// Decides what to change of a base: `recipe` and `customization` are what the arguments name, `inside` what the manifest is to have.
    pub(crate) fn plan(
        file: &'a ImageFile,
        (recipe, customization): (Recipe, Customization),
        inside: &ManifestArgs,
        no_key: bool,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let base = base(file, Kept::Base, progress)?;
        Self::plan_on((file, base), (recipe, customization), inside, no_key, progress)
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
        let notes = [base.look_up(made.edits())?, base.menus_without(made.edits())];
        notes.iter().flatten().for_each(|note| printer::note(note));
        let before = base.injected_facts()?;
        let both = (made.edits(), made.given());
        let gone = injected_facts::removed(before.as_ref(), both, no_key)?;
        let opened = injected_facts::opened(before.as_ref(), made.given());
        let (adds, in_place) = (false, false);
        Ok(Self { file, recipe, customization, base, made, gone, opened, adds, in_place })
    }

    /// The same where the file itself is changed; `adds`: what was put in before stays, but for what goes by its name.
    pub(crate) fn in_place(self, adds: bool) -> Self {
        Self { adds, in_place: true, ..self }
    }

    /// What was put in before and would be taken out.
    pub(crate) fn gone(&self) -> &[Fact] {
        &self.gone
    }

    /// Whether an image that is stamped already has all that is decided on, and nothing else.
    pub(crate) fn changes_nothing(&self) -> Result<bool> {
        self.base.is_as_in(&self.made).map_err(|fault| self.file.at_fault(fault))
    }

    /// The image that is decided on.
    pub(crate) fn planned(&self) -> &PlannedImage {
        &self.made
    }

    /// What goes, and logins that open.
    fn taken_out(&self) -> Vec<String> {
        let told = |fact: &Fact| {
            if injected_facts::is_ssh_login(fact) {
                return format!(
                    "{fact} is taken out, as keys shut passwords out: --ssh-passwords keeps it"
                );
            }
            format!("{fact} is taken out")
        };
        let of_fact = |fact: &Fact| record_gone(fact).unwrap_or_else(|| told(fact));
        let mut lines =
            if self.adds { self.gone.iter().map(of_fact).collect() } else { taken_out(&self.gone) };
        lines.extend(self.opened.iter().cloned());
        lines
    }

    /// What there is and what would be done to it.
    pub(crate) fn dry_run(&self) -> String {
        let (path, label) = (self.file.path().display(), self.base.label());
        let what = if self.in_place { "would change in place" } else { "base" };
        let mut text = format!("{what}: {path}, NixOS {}, {label}\n", self.base.release());
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
        let privacy = self.made.privacy();
        if privacy.holds_secrets() {
            text.push_str("the image will hold secrets: mode 0600\n");
        } else if let Some(mode) = mode_note(privacy).filter(|_| !self.in_place) {
            let _ = writeln!(text, "the image will have {mode}");
        }
        for Step { what, bytes } in self.made.steps() {
            let _ = writeln!(text, "would {what} ({})", format_bytes(*bytes));
        }
        let old = if self.in_place { self.file.size() } else { self.base.size() };
        let new = self.made.size();
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
        let mut text = put_in_shown(&self.customization, self.made.given(), &self.recipe);
        let has_digests = self.made.manifest().blocks.is_some();
        text.push_str(&records_shown(self.made.signer(), has_digests));
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
        let keys = match self.customization.keys.keys.letting_in() {
            0 => None,
            _ if !self.customization.touch_stage_one() => None,
            1 => Some("key"),
            _ => Some("keys"),
        };
        let users = self.made.given().let_in_by_key();
        let accepts = |(keys, users)| format!(" accepts the {keys} for {users}");
        let who = keys.zip(users).map(accepts).unwrap_or_default();
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
