//! `remaster inspect IMAGE`: what an image is, for people and for programs.

pub(super) mod answer;
mod whole;

use std::path::{Path, PathBuf};

use remaster::error::{Error, Material, Result};
use remaster::image::ImageFile;
use remaster::inspect::{JSON_SCHEMA, Report};
use remaster::netboot::archive;
use remaster::netboot::tree::{Files, Tree};
use remaster::stamp::base_image::BaseImage;

use crate::cli::base::{self, NetbootInput};
use crate::cli::printer;
use crate::cli::progress::Meter;
use crate::cli::shell::shell_quote;
use answer::Answer;

/// Show what an image is, who may log in, and what was put into it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Image, stick, or name of a base; or files for netboot or kexec
    ///
    /// An ISO or SD card image, plain or packed, or a stick with one. Files for netboot or kexec are a folder or a tar
    /// archive.
    #[arg(required_unless_present = "json_schema")]
    image: Option<PathBuf>,

    #[command(flatten)]
    source: base::Source,

    /// Show everything: tables, menus, initrds, files, each check
    #[arg(long, conflicts_with_all = ["json", "kargs"])]
    all: bool,

    /// Print JSON, in the form that --json-schema describes
    #[arg(long)]
    json: bool,

    /// Print the kernel's command lines, each once, with the entries that have it
    #[arg(long, conflicts_with = "json")]
    kargs: bool,

    /// Print the JSON Schema of --json
    #[arg(long, conflicts_with_all = ["image", "all", "json", "kargs", "digest", "cache_digest", "offline", "cache"])]
    json_schema: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let Some(path) = args.image.as_ref().filter(|_| !args.json_schema) else {
        return printer::print_own(JSON_SCHEMA);
    };
    let file = match args.source.resolve_any(path, || Ok(()))? {
        NetbootInput::Folder(folder) => {
            let files = Files::within(&folder)?;
            let tree = Tree::of_files(&files)
                .map_err(|fault| fault.in_file(Material::Tree, path.display()))?;
            return of_tree(args, path, &tree);
        }
        NetbootInput::File(file) => base::unpacked(file, None)?,
    };
    if archive::is_tar(&file) {
        let tree =
            Tree::of_archive(&file).map_err(|fault| fault.in_file(Material::Tree, file.name()))?;
        return of_tree(args, path, &tree);
    }
    of_image(args, path, &base::whole(file)?)
}

fn of_image(args: &Args, path: &Path, file: &ImageFile) -> Result<()> {
    let found = Report::read_with(file, &Meter::stages_without_signals())
        .map_err(|fault| file.at_fault(fault))?;
    if args.kargs {
        return printer::print(&whole::kargs(&found));
    }
    let base = BaseImage::open(file).map_err(|fault| file.at_fault(fault))?;
    tell_end(file, &base)?;
    if args.json {
        printer::print_pretty_json(&found)?;
    } else if args.all {
        printer::print(&whole::text(&found))?;
    } else {
        let given = base.injected_facts()?;
        let more = format!("`remaster inspect --all {}` shows the rest\n", shell_quote(path));
        printer::print(&format!("{}{more}", Answer::of_report(&found, given).text()))?;
    }
    let broken = found.checks.iter().find(|check| !check.ok);
    broken.map_or(Ok(()), |check| {
        let (found, expected) = (check.detail.clone(), "structures that agree".into());
        Err(Error::Differs { what: check.name.into(), at: 0, found, expected })
    })
}

/// Tells of bytes behind an image in a file. A stick is longer than what was written to it.
fn tell_end(file: &ImageFile, base: &BaseImage<&ImageFile>) -> Result<()> {
    let about = file.file().metadata().map_err(Error::io("look at the image"))?;
    let (more, end) = (base.behind(), base.end());
    if about.is_file() && more > 0 {
        printer::note(&format!(
            "{more} bytes stand behind the image, which ends at byte {end}: they are not a part of it"
        ));
    }
    Ok(())
}

/// Files that start over the network, or by kexec: they have neither menus nor tables.
fn of_tree(args: &Args, path: &Path, tree: &Tree<&ImageFile>) -> Result<()> {
    let given = [("--all", args.all), ("--json", args.json), ("--kargs", args.kargs)];
    if let Some((flag, _)) = given.iter().find(|(_, is_given)| *is_given) {
        return Err(Error::Usage {
            what: format!("{} has no menus and no tables; only images take {flag}", path.display()),
            hint: "leave it out".into(),
        });
    }
    printer::print(&Answer::of_tree(tree).text())
}
