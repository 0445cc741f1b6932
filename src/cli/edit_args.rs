//! What to put in: the arguments for it that commands share, and what these name, read.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use remaster::error::{Advice, Error, Result};
use remaster::live::{Carried, Customization, Input, named_files};
use remaster::recipe::{self, OF_RECORDS, OF_VOLUMES, Recipe, called};
use remaster::run_files::RunFiles;

use super::{closed, interrupt, known_hosts, printer, prompt, remote_keys};

/// What to put in.
#[derive(Debug, clap::Args)]
pub(crate) struct EditArgs {
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

impl EditArgs {
    /// Whether anything is to be put in, or reported about what is put in.
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
        own.chain(self.flags.set_names()).map(|name| called(&name)).collect()
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

    /// Reads everything that is named, and prints notes on it.
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

    /// Drops the settings `of_menus` and those of manifests, which have no effect here. A flag for one of them is refused; a
    /// setting in a recipe gets a note, as a recipe may be for images as well. `None` if nothing is left.
    ///
    /// # Errors
    /// A flag of these, and others that mean nothing without what is left out.
    pub(crate) fn without(&self, recipe: Recipe, of_menus: &[&str]) -> Result<Option<Recipe>> {
        let is_of_menus = |name: &&String| of_menus.contains(&name.as_str());
        if let Some(name) = self.flags.set_names().iter().find(is_of_menus) {
            return Err(Error::Usage {
                what: format!("{} changes menus or a volume, and there is neither", called(name)),
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
/// Reads everything that a recipe names.
pub(crate) fn gather(recipe: &Recipe) -> Result<Customization> {
    Customization::gather(recipe, &mut input())
}

/// The same over what an image has already.
pub(crate) fn gather_over(recipe: &Recipe, carried: Carried) -> Result<Customization> {
    Customization::gather_over(recipe, &mut input(), carried)
}

fn input() -> Input<'static> {
    let is_typed = io::stdin().is_terminal();
    let input = TypedInput { is_told: !is_typed };
    Input::new(input, prompt::secret).typed(is_typed).with(remote_keys::Program)
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
        interrupt::while_waiting(|| io::stdin().read(bytes))
    }
}

/// Prints notes on what was read.
pub(crate) fn tell(customization: &Customization) {
    for note in customization.notes() {
        printer::note(&note);
    }
}
