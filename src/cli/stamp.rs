//! From keys and a base to a checked image: what `remaster BASE` and `remaster flash BASE --key` share.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use remaster::compose::Composed;
use remaster::edit::{Edits, Way};
use remaster::error::Result;
use remaster::image::ImageFile;
use remaster::keys::{self, Gathered};
use remaster::plan::{Plan, Step};
use remaster::stamped::Base;
use remaster::units::human;
use remaster::verify;

use super::report;

/// What to put in.
#[derive(Debug, clap::Args)]
pub(super) struct Edit {
    /// Public key to let in as root and as nixos: a `.pub` or `authorized_keys` file, `-` for standard
    /// input, or the key itself; may be given several times
    #[arg(short, long = "key", value_name = "KEY")]
    pub(super) keys: Vec<String>,

    /// Append to the initrds instead of naming a second one in the menus, for boot loaders with menus
    /// of their own
    #[arg(long)]
    pub(super) merge_initrd: bool,
}

/// A base with everything that is known of it and of what shall be put in.
pub(super) struct Stamping<'a> {
    file: &'a ImageFile,
    gathered: Gathered,
    edits: Edits,
    base: Base<&'a ImageFile>,
    plan: Plan,
}

impl<'a> Stamping<'a> {
    /// Reads the keys and tells what is worth telling of them.
    pub(super) fn keys(edit: &Edit, quiet: bool) -> Result<Gathered> {
        let gathered = keys::gather(&edit.keys, io::stdin())?;
        for note in gathered.notes.iter().filter(|_| !quiet) {
            report::say(&format!("note: {note}\n"));
        }
        Ok(gathered)
    }

    /// Surveys the base and decides what to change.
    pub(super) fn plan(file: &'a ImageFile, gathered: Gathered, edit: &Edit) -> Result<Self> {
        let way = if edit.merge_initrd { Way::MergeInitrd } else { Way::ExtraInitrd };
        let edits = Edits::authorize(&gathered.keys.to_text(), way);
        let planned = Self::survey_and_plan(file, &edits);
        let (base, plan) = planned.map_err(|fault| fault.of_image(file.path().display()))?;
        Ok(Self { file, gathered, edits, base, plan })
    }

    fn survey_and_plan(file: &'a ImageFile, edits: &Edits) -> Result<(Base<&'a ImageFile>, Plan)> {
        let base = Base::of(file)?;
        let initrds = base.survey.initrds(&base.image)?;
        let plan = Plan::of(&base.image, &base.survey, &initrds, edits)?;
        Ok((base, plan))
    }

    /// What there is and what would be done to it.
    pub(super) fn dry_run(&self) -> String {
        let survey = &self.base.survey;
        let (path, label) = (self.file.path().display(), survey.volume.identifier());
        let mut text = format!("base: {path}, NixOS {}, {label}\n", survey.release);
        if self.base.stamped.is_some() {
            text.push_str("was stamped before: what was put in then is taken out first\n");
        }
        text.push_str(&keys_shown(&self.gathered));
        for Step { what, bytes } in &self.plan.steps {
            let _ = writeln!(text, "would {what} ({})", human(*bytes));
        }
        let (old, new) = (survey.size, self.plan.size);
        let _ = writeln!(text, "size: {} -> {} ({old} -> {new} bytes)", human(old), human(new));
        text
    }

    /// The finished image, which was surveyed again, and what was done, in words.
    pub(super) fn compose(self) -> Result<(Composed<&'a ImageFile>, String)> {
        let summary = self.summary();
        let image = self.plan.compose(self.base.image)?;
        verify::image::check(&image, &self.base.survey, &self.edits)?;
        Ok((image, summary))
    }

    fn summary(&self) -> String {
        let mut text = keys_shown(&self.gathered);
        let menus = self.plan.steps.iter().filter(|step| step.what.starts_with("name ")).count();
        let release = &self.base.survey.release;
        let _ = match self.edits.way {
            Way::ExtraInitrd => writeln!(
                text,
                "NixOS {release} lets them in as root and nixos; {menus} menus changed; checked"
            ),
            Way::MergeInitrd => writeln!(
                text,
                "NixOS {release} lets them in as root and nixos; initrds changed; checked"
            ),
        };
        text
    }
}

fn keys_shown(gathered: &Gathered) -> String {
    let mut text = String::new();
    for key in gathered.keys.keys() {
        let line = format!("key: {} {} {}", key.algorithm, key.fingerprint, key.comment);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// How a path is typed in a shell.
pub(super) fn typed(path: &Path) -> String {
    let shown = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,".contains(c);
    if !shown.is_empty() && shown.chars().all(plain) {
        shown
    } else {
        format!("'{}'", shown.replace('\'', r"'\''"))
    }
}
