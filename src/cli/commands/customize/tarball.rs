//! `remaster KEXEC.tar.gz --key KEY -o OUT`: a tar archive for kexec with edits in its initrd.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use remaster::error::{Advice, Error, Material, Result};
use remaster::image::unpack::Packing;
use remaster::image::{ImageFile, ReadAt};
use remaster::live::Customization;
use remaster::netboot::tree::Tree;
use remaster::output::{Outgoing, Privacy, stream};
use remaster::place;
use remaster::progress::Progress;
use remaster::recipe::{OF_CHOICES, OF_VOLUMES, Recipe};
use remaster::stamp::injected_facts::{Fact, InjectedFacts};
use remaster::units::format_bytes;

use super::args::{Args, Form};
use crate::cli::destination::{Destination, mode_note, wrote};
use crate::cli::job;
use crate::cli::known_hosts::KnownHosts;
use crate::cli::printer;
use crate::cli::summary::{host_keys_shown, put_in_tree_shown, taken_out, tell_taken_out};

/// Writes the archive, packed as the given one.
pub(crate) fn write(
    args: &Args,
    (recipe, customization): (&Recipe, &Customization),
    file: &ImageFile,
    output: Option<&Destination>,
    known: Option<KnownHosts>,
) -> Result<()> {
    let recipe = &check(args, recipe, &file.name())?;
    let packing = packing(file.path())?;
    if let Some(Destination::File(output)) = output {
        place::check_name(output.path(), packing.program())?;
    }
    let at_fault = |fault: Error| fault.in_file(Material::Tree, file.name());
    let tree = Tree::of_archive(file).map_err(at_fault)?;
    let (edits, before) = (job::tree_edits(customization, &tree)?, tree.injected_facts());
    let archive = tree.archive(&edits).map_err(at_fault)?;
    let given = InjectedFacts::from_edits(&edits, &archive.lines);
    let gone = job::taken_from(Some(&before), (&edits, &given), args.edit.no_key)?;
    let known = known.map(|known| known.of_given(&given));
    let known = known.as_ref();
    let image = archive.outgoing();
    let changed = archive.changed();
    let changed = if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") };
    let mut summary = put_in_tree_shown(customization, &given, recipe);
    if let Some(does) = &archive.credential {
        let _ = writeln!(summary, "on the kernel's command line: {does}");
    }
    if args.dry_run {
        summary.push_str(&would_change(customization, &gone, image.privacy()));
        let known = known.map(KnownHosts::dry_run).unwrap_or_default();
        let (old, new) = (format_bytes(file.size()), format_bytes(image.image().size()));
        return printer::print(&format!(
            "{summary}would change {changed}; unpacked: {old} -> {new}\n{known}"
        ));
    }
    let Some(output) = output else { return Ok(()) };
    tell_taken_out(&gone);
    let progress = Destination::meter(Some(output))?;
    let beside = known.map(KnownHosts::stage).transpose()?.flatten().into_iter().collect();
    output.write_with(image.readers(), beside, |to| pack(image, packing, to, &progress))?;
    let wrote = match output {
        Destination::File(file) => wrote(file, &[], image.privacy()),
        Destination::Pipe => "wrote the archive to standard output\n".to_owned(),
    };
    printer::say(&format!("{summary}changed {changed}\n{wrote}"));
    if let Some(known) = known {
        printer::say(&known.summary());
    }
    args.tell_stale(known, false);
    Ok(())
}

/// What only a dry run tells: host keys, what goes, and who may read the archive.
fn would_change(customization: &Customization, gone: &[Fact], privacy: Privacy) -> String {
    let mut text = host_keys_shown(customization);
    for line in taken_out(gone) {
        text.extend([&line, "\n"]);
    }
    if privacy.holds_secrets() {
        text.push_str("the archive will hold secrets: mode 0600\n");
    } else if let Some(mode) = mode_note(privacy) {
        let _ = writeln!(text, "the archive will have {mode}");
    }
    text
}

/// Refuses what is for images. The recipe without what there is of it for them.
fn check(args: &Args, recipe: &Recipe, name: &str) -> Result<Recipe> {
    let mut given = args.inside.flag_names();
    given.extend(args.beside.flag_names());
    given.extend(matches!(args.form, Form::Patch).then_some("--as patch"));
    if !given.is_empty() {
        return Err(Error::Usage {
            what: format!("{name} is a tar archive; only images take {}", given.join(", ")),
            hint: "leave out what is for images".into(),
        });
    }
    let left = args.edit.without(recipe.clone(), &[&OF_VOLUMES[..], &OF_CHOICES].concat())?;
    left.ok_or_else(|| Error::Usage {
        what: "nothing to put in but what is for images".into(),
        hint: Advice::GiveKey,
    })
}

/// How the file that was given is packed.
fn packing(path: &Path) -> Result<Packing> {
    let file = ImageFile::open(path)?;
    let mut start = [0; 32];
    file.read_exact_at(&mut start, 0)?;
    match Packing::recognize(&start) {
        Packing::Zip => Err(Error::Usage {
            what: format!("{} is a zip archive with a tar archive in it", path.display()),
            hint: "unpack it, and give the tar archive".into(),
        }),
        packing => Ok(packing),
    }
}

/// Packs with the levels that the programs have by default; no name and no time goes into it.
fn pack(
    image: Outgoing<'_, &ImageFile>,
    packing: Packing,
    to: impl Write,
    progress: &dyn Progress,
) -> Result<()> {
    const DOING: &str = "write the archive";
    let done = match packing {
        Packing::Plain | Packing::Zip => return stream::write(image, to, progress),
        Packing::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(to, flate2::Compression::default());
            stream::write(image, &mut encoder, progress)?;
            encoder.finish().map(drop)
        }
        Packing::Zstd => {
            let mut encoder = zstd::Encoder::new(to, 0).map_err(Error::io(DOING))?;
            encoder.include_checksum(true).map_err(Error::io(DOING))?;
            stream::write(image, &mut encoder, progress)?;
            encoder.finish().map(drop)
        }
        Packing::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(to, 6);
            stream::write(image, &mut encoder, progress)?;
            encoder.finish().map(drop)
        }
        Packing::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(to);
            stream::write(image, &mut encoder, progress)?;
            encoder.finish().map(drop).map_err(std::io::Error::other)
        }
        Packing::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(to, bzip2::Compression::best());
            stream::write(image, &mut encoder, progress)?;
            encoder.finish().map(drop)
        }
    };
    done.map_err(Error::io(DOING))
}
