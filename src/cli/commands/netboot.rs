//! `remaster netboot`: an installer becomes files that start over the network.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use remaster::boot::command_lines::CommandLines;
use remaster::error::{Material, Result};
use remaster::image::{ImageFile, ReadAt};
use remaster::live::Customization;
use remaster::netboot::tree::{Files, Tree};
use remaster::netboot::verify::Netboot;
use remaster::netboot::{INITRD, SCRIPT, archive, installer};
use remaster::output::directory::{TempDir, check};
use remaster::output::file::{FileAccess, OverwritePolicy, publish};
use remaster::recipe::edits::Edits;
use remaster::recipe::{OF_CHOICES, Recipe};
use remaster::run_files::RunFiles;
use remaster::stamp::base_image::BaseImage;
use remaster::stamp::injected_facts::InjectedFacts;
use remaster::stamp::manifest::below::Kept;
use remaster::units::format_bytes;

use crate::cli::base::{self, NetbootInput};
use crate::cli::destination::{NO_SYNC_FILES, OutputArgs, mode_note};
use crate::cli::edit_args::EditArgs;
use crate::cli::job;
use crate::cli::known_hosts::KnownHosts;
use crate::cli::printer;
use crate::cli::progress::Meter;
use crate::cli::shell::shell_quote;
use crate::cli::stale;
use crate::cli::summary;

/// Make files of an installer that start it over the network
///
/// The initrd holds all of the installer, so the machine needs twice its size in memory while it starts.
/// What an image was stamped with before stays, unless something is put in here.
#[derive(Debug, clap::Args)]
#[command(mut_arg("force", |argument| argument.help("Replace the files that were written there before")))]
#[command(mut_arg("no_sync", |argument| argument.help(NO_SYNC_FILES)))]
pub(crate) struct Args {
    /// NixOS installer ISO, or the name of a base; or a folder or tar archive
    ///
    /// The ISO may be stamped, and packed. A folder or tar archive has kernel and initrd, as nixpkgs and nixos-images make
    /// them for netboot and kexec.
    image: PathBuf,

    #[command(flatten)]
    source: base::Source,

    #[command(flatten)]
    edit: EditArgs,

    /// Folder for the kernel, `initrd` and `netboot.ipxe`, new or empty
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,

    #[command(flatten)]
    written: OutputArgs,
}

impl Args {
    /// The folder, without a slash behind it: what is written beside it has its name.
    fn folder(&self) -> PathBuf {
        self.output.components().collect()
    }

    /// What is left of what was asked for where there is no menu to choose from.
    fn for_tree(&self, asked: Option<Asked>) -> Result<Option<Asked>> {
        let Some((recipe, customization)) = asked else { return Ok(None) };
        let recipe = self.edit.without(recipe, &OF_CHOICES)?;
        Ok(recipe.map(|recipe| (recipe, customization)))
    }

    /// Writes the files that were made of another one, and tells of them.
    fn finish(
        &self,
        (made, given, put_in): Built<'_>,
        known: Option<&KnownHosts>,
        files: &mut RunFiles,
    ) -> Result<()> {
        for name in [&made.name, INITRD, SCRIPT] {
            let path = self.folder().join(name);
            files.write(&format!("the file {}", shell_quote(&path)), &path)?;
        }
        let beside = known.map(KnownHosts::stage).transpose()?.flatten();
        self.write(&made)?;
        let is_there = || format!("{} is written", self.folder().display());
        publish(beside.into_iter().collect()).map_err(|fault| fault.but(is_there()))?;
        printer::say(&self.summary(&made, &put_in));
        if let Some(known) = known {
            let known = match &given {
                Some(given) => known.clone().of_given(given),
                None => known.clone(),
            };
            printer::say(&known.summary());
        }
        let written = known.and_then(KnownHosts::path).map(Path::to_owned);
        stale::tell(&self.folder(), written.as_slice());
        Ok(())
    }
}

impl Args {
    /// Writes the files into a folder that gets its name with all of them in it.
    fn write(&self, made: &Netboot<&ImageFile>) -> Result<()> {
        let (folder, existing) = (self.folder(), self.written.existing());
        let progress = Meter::stages()?;
        let (names, synced) = ([&*made.name, INITRD, SCRIPT], !self.written.no_sync);
        let draft = TempDir::new(&folder, existing, &names, synced)?;
        let output = |name: &str| self.written.beside(&draft.path().join(name));
        output(&made.name)?.write(made.kernel_outgoing(), &progress)?;
        output(INITRD)?.write(made.initrd_outgoing(), &progress)?;
        output(SCRIPT)?.write_bytes(made.script.as_bytes(), FileAccess::Usual)?;
        draft.publish()
    }

    fn summary(&self, made: &Netboot<&ImageFile>, put_in: &str) -> String {
        let mut text = put_in.to_owned();
        if let Some(does) = &made.credential {
            let _ = writeln!(text, "on the kernel's command line: {does}");
        }
        let (name, folder) = (&made.name, shell_quote(&self.folder()));
        let mode = mode_note(made.initrd_outgoing().privacy())
            .map(|mode| format!(", {mode}"))
            .unwrap_or_default();
        let _ = writeln!(text, "entry: {}", made.entry);
        let _ = writeln!(
            text,
            "wrote {folder}: {name} ({}), {INITRD} ({}{mode}), {SCRIPT}{}",
            format_bytes(made.kernel.size()),
            format_bytes(made.initrd.size()),
            self.written.sync_note()
        );
        let _ = writeln!(
            text,
            "next: serve {folder} by HTTP or TFTP, and have iPXE start {SCRIPT} from there"
        );
        text
    }
}

/// What is to be put in, as it was asked for and with everything read.
type Asked = (Recipe, Customization);

/// The files, what is put in, and that in words, a line each.
type Built<'f> = (Netboot<&'f ImageFile>, Option<InjectedFacts>, String);

/// What is put in, where the kernel starts with the command line of what was made.
fn given(edits: &Edits, made: &Netboot<&ImageFile>) -> InjectedFacts {
    InjectedFacts::from_edits(edits, &CommandLines::of_lines([made.arguments.clone()]))
}

fn of_installer<'f>(file: &'f ImageFile, asked: Option<&Asked>, args: &Args) -> Result<Built<'f>> {
    const HINT: &str = "give an installer ISO, or a tarball or folder for kexec or netboot";
    let kept = if asked.is_some() { Kept::Base } else { Kept::All };
    let progress = Meter::stages_without_signals();
    let base = job::iso(file, ("netboot", HINT), kept, &progress)?;
    of_base(&base, asked, args).map_err(|fault| file.at_fault(fault))
}

fn of_base<'f>(
    base: &BaseImage<&'f ImageFile>,
    asked: Option<&Asked>,
    args: &Args,
) -> Result<Built<'f>> {
    let Some((recipe, customization)) = asked else {
        return Ok((installer::build(base, None)?, None, String::new()));
    };
    let edits = customization.edits(&base.facts())?;
    base.look_up(&edits)?.iter().for_each(|note| printer::note(note));
    let before = base.injected_facts()?.map(InjectedFacts::without_menus);
    let made = installer::build(base, Some(&edits))?;
    let given = given(&edits, &made);
    let gone = job::taken_from(before.as_ref(), (&edits, &given), args.edit.no_key)?;
    summary::tell_taken_out(&gone);
    let shown = summary::put_in_shown(customization, &given, recipe);
    Ok((made, Some(given), shown))
}

fn of_tree<'f>(tree: Tree<&'f ImageFile>, asked: Option<&Asked>, args: &Args) -> Result<Built<'f>> {
    let Some((recipe, customization)) = asked else {
        return Ok((tree.netboot(None)?, None, String::new()));
    };
    let (edits, before) = (job::tree_edits(customization, &tree)?, tree.injected_facts());
    let made = tree.netboot(Some(&edits))?;
    let given = given(&edits, &made);
    let gone = job::taken_from(Some(&before), (&edits, &given), args.edit.no_key)?;
    summary::tell_taken_out(&gone);
    let shown = summary::put_in_tree_shown(customization, &given, recipe);
    Ok((made, Some(given), shown))
}

pub(crate) fn run(args: &Args, files: &mut RunFiles) -> Result<()> {
    let asked = args.edit.is_given().then(|| args.edit.gather_without_volume(files)).transpose()?;
    let asked = asked.flatten();
    if !args.written.force {
        check(&args.folder(), OverwritePolicy::Refuse, &[])?;
    }
    let (wanted, folder) = (args.edit.known_hosts(), args.folder());
    let place = |path: &Path| args.written.beside(path);
    let free = || match &asked {
        Some((_, customization)) => {
            KnownHosts::check_free(customization, wanted, Some(&folder), place)
        }
        None => Ok(()),
    };
    let given = args.source.resolve_any(&args.image, free)?;
    let path = given.path().to_owned();
    base::take_down(&path, files)?;
    let known = match asked.as_ref().map(|(_, customization)| customization) {
        Some(customization) => KnownHosts::new(customization, wanted, Some(&folder), files, place)?,
        None => None,
    };
    let file = match given {
        NetbootInput::Folder(_) => {
            let found = Files::within(&path)?;
            let asked = args.for_tree(asked)?;
            let made = Tree::of_files(&found).and_then(|tree| of_tree(tree, asked.as_ref(), args));
            let made = made.map_err(|fault| fault.in_file(Material::Tree, path.display()))?;
            return args.finish(made, known.as_ref(), files);
        }
        NetbootInput::File(file) => base::unpacked(file, Some(&args.folder()))?,
    };
    if archive::is_tar(&file) {
        let asked = args.for_tree(asked)?;
        let made = Tree::of_archive(&file).and_then(|tree| of_tree(tree, asked.as_ref(), args));
        let made = made.map_err(|fault| fault.in_file(Material::Tree, file.name()))?;
        return args.finish(made, known.as_ref(), files);
    }
    let made = of_installer(&file, asked.as_ref(), args)?;
    args.finish(made, known.as_ref(), files)
}
