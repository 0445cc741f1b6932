//! How every command opens a base: by name or path, packed or not, held to a SHA-256.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use remaster::bases::{self, Cache, Catalog, FetchOptions, Record, ResolveOptions, Url};
use remaster::bounded;
use remaster::environment;
use remaster::error::{Advice, Error, Result};
use remaster::image::ImageFile;
use remaster::image::digest::remembered::DigestCache;
use remaster::image::digest::{Digest, published};
use remaster::image::file_type::{self, FileType};
use remaster::image::unpack::{self, DigestMatch, Packing};
use remaster::place::packing_of_name;
use remaster::run_files::RunFiles;
use remaster::temporary;

use super::destination::of_flag;
use super::progress::Meter;
use super::shell::shell_quote;
use super::{closed, interrupt, printer};

#[derive(Debug, clap::Args)]
pub(crate) struct CacheArgs {
    #[arg(
        long,
        value_name = "DIR",
        help = "Folder of fetched bases [default: remaster/bases in $XDG_CACHE_HOME or ~/.cache]"
    )]
    cache: Option<PathBuf>,
}

impl CacheArgs {
    pub(crate) fn open(&self) -> Result<Cache> {
        Cache::at(self.cache.as_deref())
    }

    /// The digests that were computed before: `digests` in the folder of bases that is given, or `remaster/digests` of
    /// the user's cache.
    fn digests(&self) -> Result<DigestCache> {
        let bases = self.open()?;
        let folder = match &self.cache {
            Some(folder) => folder,
            None => bases.folder().parent().unwrap_or(bases.folder()),
        };
        Ok(DigestCache::within(folder.join("digests")))
    }
}

/// What a command was given that takes files for netboot or kexec, too.
pub(crate) enum NetbootInput {
    Folder(PathBuf),
    File(ImageFile),
}

impl NetbootInput {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Folder(path) => path,
            Self::File(file) => file.path(),
        }
    }
}

/// Where a command may take a base from that is given by its name.
#[derive(Debug, clap::Args)]
pub(crate) struct Source {
    /// Do not fetch a base that is not in the cache
    #[arg(long)]
    pub(crate) offline: bool,
    #[command(flatten)]
    pub(crate) place: CacheArgs,
    #[command(flatten)]
    pub(crate) demanded: ChecksumArgs,
}

impl Source {
    /// The path of a base, and its open file if a SHA-256 was demanded and is right. Where a base is given by its name it
    /// asks `before` first, which refuses what could not be written: fetching takes long.
    pub(crate) fn resolve(
        &self,
        given: &Path,
        before: impl FnOnce() -> Result<()>,
    ) -> Result<(PathBuf, Option<ImageFile>)> {
        let path = self.path_of(given, before)?;
        let checked = self.check(&path)?;
        Ok((path, checked))
    }

    /// The same for commands that also take a folder. A folder has no SHA-256.
    pub(crate) fn resolve_any(
        &self,
        given: &Path,
        before: impl FnOnce() -> Result<()>,
    ) -> Result<NetbootInput> {
        let (path, checked) = self.resolve(given, before)?;
        if path.is_dir() {
            return Ok(NetbootInput::Folder(path));
        }
        file(&path, checked).map(NetbootInput::File)
    }

    /// The file of a base without a SHA-256 that it must have.
    fn path_of(&self, given: &Path, before: impl FnOnce() -> Result<()>) -> Result<PathBuf> {
        if bases::name_of(given).is_some() {
            before()?;
        }
        let origin = FetchOptions { mirror: mirror(None)?, ..FetchOptions::default() };
        let demand = ResolveOptions {
            cache: self.place.cache.clone(),
            origin,
            offline: self.offline.then_some("--offline"),
        };
        let found = bases::resolve(given, &demand, &Meter::stages_without_signals(), |base| {
            let name = base.name();
            printer::say(&format!(
                "fetching {name}: it is not in the cache (--offline prevents this)\n"
            ));
            Ok(())
        })?;
        note_left(&found.left);
        Ok(found.path)
    }

    /// Opens an image that is written as it is, held to the SHA-256 that is demanded, or else that stands beside it;
    /// and which bytes have that, where it is known before. What comes once is held to it while it comes.
    pub(crate) fn open_image(
        &self,
        given: &Path,
        before: impl FnOnce() -> Result<()>,
        files: &mut RunFiles,
    ) -> Result<(PathBuf, unpack::Source, Option<DigestMatch>)> {
        let path = self.path_of(given, before)?;
        take_down(&path, files)?;
        let beside = list_beside(&path);
        files.read(&format!("the checksum {}", shell_quote(&beside)), &beside)?;
        let Some(wanted) = self.demanded.of_image(&path)? else {
            let source = opened(&path, None, None)?;
            return Ok((path, source, None));
        };
        let file = if unpack::is_pipe(&path) { None } else { Some(self.found(&path)?) };
        let packed = file.as_ref().and_then(ImageFile::sha256).map(Digest);
        let fits = packed == Some(wanted.sha256);
        let check = unpack::ExpectedDigest { sha256: wanted.sha256, packed };
        let source = opened(&path, file, Some(check).filter(|_| !fits))?;
        let fits = match (&source, packed) {
            (unpack::Source::Plain(_), Some(found)) if !fits => {
                return Err(Error::wrong_base(
                    path.display().to_string(),
                    format!("SHA-256 {found}"),
                    wanted.description(),
                ));
            }
            (unpack::Source::Plain(_), _) => Some(DigestMatch::Image),
            (unpack::Source::Stream(_), _) => fits.then_some(DigestMatch::Packed),
        };
        Ok((path, source, fits))
    }

    /// The open file, if a SHA-256 is demanded, which it has.
    pub(crate) fn check(&self, path: &Path) -> Result<Option<ImageFile>> {
        let Some(expected) = self.demanded.expected(path)? else { return Ok(None) };
        if path == Path::new("-") {
            return Err(Error::Usage {
                what: "what comes through a pipe cannot be checked before it is written".into(),
                hint: "save it to a file first".into(),
            });
        }
        let file = self.found(path)?;
        let found = Digest(file.digest()?);
        if found == expected {
            return Ok(Some(file));
        }
        Err(Error::wrong_base(
            path.display().to_string(),
            format!("SHA-256 {found}"),
            expected.to_string(),
        ))
    }

    /// The file with its SHA-256. The caller reads this open file: another file may have the path by then.
    fn found(&self, path: &Path) -> Result<ImageFile> {
        let file = ImageFile::open(path)?;
        let cache = self.demanded.cache_digest.then(|| self.place.digests()).transpose();
        let cache = cache.unwrap_or_else(|fault| {
            note_not_kept(&fault);
            None
        });
        if let Some(known) = cache.as_ref().and_then(|cache| cache.get(&file)) {
            return Ok(file.of_sha256(Some(known.0)));
        }
        let digest = Digest::compute(&file, &Meter::stages_without_signals())?;
        if let Some(cache) = cache {
            cache.put(&file, digest).unwrap_or_else(|fault| note_not_kept(&fault));
        }
        Ok(file.of_sha256(Some(digest.0)))
    }

    pub(crate) fn demands_digest(&self) -> bool {
        self.demanded.sha256.is_some() || self.demanded.sha256_file.is_some()
    }

    /// The SHA-256 that a file must have, if one is demanded.
    pub(crate) fn expected(&self, path: &Path) -> Result<Option<Digest>> {
        self.demanded.expected(path)
    }
}

/// Says of a SHA-256 that the next run cannot know it.
fn note_not_kept(fault: &Error) {
    printer::note(&format!("the SHA-256 is computed again next time: {fault}"));
}

/// What the file of a base must be, as its publisher says; nothing is written before that is checked.
#[derive(Debug, clap::Args)]
pub(crate) struct ChecksumArgs {
    /// SHA-256 that the base's file must have
    #[arg(long, value_name = "HEX", group = "digest")]
    sha256: Option<Digest>,
    /// File with the base's SHA-256, as it is published beside the ISO
    #[arg(long, value_name = "FILE", group = "digest")]
    sha256_file: Option<PathBuf>,
    /// Believe a SHA-256 computed before if path, size, time and inode are the same
    #[arg(long, requires = "digest")]
    cache_digest: bool,
}

impl ChecksumArgs {
    /// The SHA-256 that an image must have, packed or unpacked: that is demanded, or else that stands beside it.
    fn of_image(&self, path: &Path) -> Result<Option<RequiredDigest>> {
        if let Some(sha256) = self.sha256 {
            return Ok(Some(RequiredDigest { sha256, beside: None }));
        }
        if let Some(list) = &self.sha256_file {
            let sha256 = of_list(list, path)?.map_err(|why| no_digest(list, path, &why))?;
            return Ok(Some(RequiredDigest { sha256, beside: None }));
        }
        let beside = list_beside(path);
        if unpack::is_pipe(path) || !beside.is_file() {
            return Ok(None);
        }
        let shown = beside.display();
        match of_list(&beside, path)? {
            Ok(sha256) => {
                printer::note(&format!("the image is checked against the SHA-256 in {shown}"));
                Ok(Some(RequiredDigest { sha256, beside: Some(beside) }))
            }
            Err(why) => {
                printer::note(&format!("{shown}, beside the image, has no SHA-256 for it: {why}"));
                Ok(None)
            }
        }
    }

    fn expected(&self, path: &Path) -> Result<Option<Digest>> {
        if (self.sha256.is_some() || self.sha256_file.is_some()) && path.is_dir() {
            return Err(no_file(path, "leave them out: a folder has no SHA-256"));
        }
        let Some(list) = &self.sha256_file else { return Ok(self.sha256) };
        let name = name_of(path);
        let found = text_of(list)?.and_then(|text| published::find_digest(&text, &name));
        found.map(Some).map_err(|why| no_digest(list, path, &why))
    }
}

/// Opens an image, also the one in a packed tar archive. A file that is open already is not opened again.
fn opened(
    path: &Path,
    file: Option<ImageFile>,
    expected: Option<unpack::ExpectedDigest>,
) -> Result<unpack::Source> {
    if path == Path::new("-") {
        closed::input().map_err(Error::io("read standard input"))?;
    }
    let source = match file {
        Some(file) => unpack::Source::of_file(file, expected)?,
        None => unpack::Source::open_checked(path, expected, interrupt::is_asked)?,
    };
    Ok(match source {
        unpack::Source::Stream(stream) => unpack::Source::Stream(stream.without_archive()?),
        plain @ unpack::Source::Plain(_) => plain,
    })
}

/// A SHA-256 that an image must have.
struct RequiredDigest {
    sha256: Digest,
    /// The file beside the image that tells it.
    beside: Option<PathBuf>,
}

impl RequiredDigest {
    fn description(&self) -> String {
        let Self { sha256, beside } = self;
        beside.as_ref().map_or_else(
            || sha256.to_string(),
            |beside| format!("{sha256}, as {} says", beside.display()),
        )
    }
}

/// Where the SHA-256 of an image is published beside it.
fn list_beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".sha256");
    beside.into()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The text of a list of digests, or why it is not one.
fn text_of(list: &Path) -> Result<Result<String, String>> {
    let doing = format!("read {}", list.display());
    match bounded::read(list, published::LARGEST, &doing) {
        Ok(bytes) => bounded::text(bytes).map(Ok).map_err(|is| is.error(&doing)),
        Err(Error::Usage { .. }) => Ok(Err("it is too large for a list of digests".into())),
        Err(fault) => Err(fault),
    }
}

/// The digest that a list has for an image: by its name, for what is packed by that of what is in it, too; for what
/// comes by a pipe the only one.
fn of_list(list: &Path, path: &Path) -> Result<Result<Digest, String>> {
    let is_packed = packing_of_name(path).is_some();
    Ok(text_of(list)?.and_then(|text| {
        if unpack::is_pipe(path) {
            return published::only(&text);
        }
        published::find_digest(&text, &name_of(path)).or_else(|why| match path.file_stem() {
            Some(stem) if is_packed => {
                published::find_digest(&text, &stem.to_string_lossy()).map_err(|_| why)
            }
            _ => Err(why),
        })
    }))
}

fn no_digest(list: &Path, path: &Path, why: &str) -> Error {
    let name = if unpack::is_pipe(path) { "the image".to_owned() } else { name_of(path) };
    Error::Usage {
        what: format!("{} has no SHA-256 of {name}: {why}", list.display()),
        hint: "give the file that is published beside the image".into(),
    }
}

/// The error where a SHA-256 is demanded of what is not a file.
pub(crate) fn no_file(path: &Path, hint: &'static str) -> Error {
    Error::Usage {
        what: format!(
            "{} is not a file; --sha256 and --sha256-file are about files",
            path.display()
        ),
        hint: hint.into(),
    }
}

/// Opens a base by its name or path, and checks that it is a whole disk image. A packed base is unpacked first.
pub(crate) fn open(
    given: &Path,
    source: &Source,
    before: impl FnOnce() -> Result<()>,
) -> Result<ImageFile> {
    whole(open_any(given, source, before)?)
}

/// What is known of a base that was fetched, if it is given by its name.
pub(crate) fn record(given: &Path, source: &Source) -> Result<Option<Record>> {
    let Some(name) = bases::name_of(given) else { return Ok(None) };
    let found = source.place.open()?.find(&Catalog::built_in()?.get(name)?)?;
    Ok(found.map(|(record, _)| record))
}

/// Opens another image beside the base, without a SHA-256 that it must have.
pub(crate) fn open_second(given: &Path, source: &Source) -> Result<ImageFile> {
    let path = source.path_of(given, || Ok(()))?;
    whole(unpacked(file(&path, None)?, None)?)
}

/// Takes down where a base was found that may be given by its name.
pub(crate) fn take_down(path: &Path, files: &mut RunFiles) -> Result<()> {
    files.read(&format!("the base {}", shell_quote(path)), path)
}

/// The same of a file that must be an image, and all of one.
pub(crate) fn whole(file: ImageFile) -> Result<ImageFile> {
    file_type::whole(&file).map_err(|fault| file.at_fault(fault))?;
    Ok(file)
}

/// Refuses a packed file where a command reads or changes an image as it lies there. What cannot be read is reported
/// where it is opened.
pub(crate) fn check_plain(path: &Path, command: &str) -> Result<()> {
    let mut head = Vec::new();
    let file = if path.is_file() { File::open(path).ok() } else { None };
    let read = file.map(|file| file.take(file_type::HEAD).read_to_end(&mut head));
    let packing = Packing::recognize(&head);
    let (Some(Ok(_)), Some(program), Some(unpacker)) =
        (read, packing.program(), packing.unpacker())
    else {
        return Ok(());
    };
    if matches!(FileType::recognize(&head), FileType::Disk(_)) {
        return Ok(());
    }
    let (what, hint) = if is_packed_tar(path) {
        ("is a tar archive, packed", Advice::ImageOfArchive)
    } else {
        ("is packed", format!("unpack it with `{unpacker} {}`", shell_quote(path)).into())
    };
    Err(Error::NotAnImage {
        name: path.display().to_string(),
        is: format!("{what} ({program}), and `remaster {command}` needs a plain image"),
        hint,
    })
}

/// Whether a packed file is a tar archive. What cannot be unpacked is none.
fn is_packed_tar(path: &Path) -> bool {
    let Ok(unpack::Source::Stream(mut stream)) = unpack::Source::open(path) else { return false };
    stream.head().is_ok_and(file_type::is_tar)
}

/// Opens a base of any kind, without asking whether all of it is there.
pub(crate) fn open_any(
    given: &Path,
    source: &Source,
    before: impl FnOnce() -> Result<()>,
) -> Result<ImageFile> {
    let (path, checked) = source.resolve(given, before)?;
    unpacked(file(&path, checked)?, None)
}

/// The file of a base, which may be open already.
pub(crate) fn file(path: &Path, checked: Option<ImageFile>) -> Result<ImageFile> {
    checked.map_or_else(|| ImageFile::open(path), Ok)
}

/// Unpacks a packed base into a file without a name: in the folder of the output, which must have room for an
/// image anyway and where blocks can be shared; without an output among temporary files.
pub(crate) fn unpacked(base: ImageFile, output: Option<&Path>) -> Result<ImageFile> {
    unpack::unpacked(base, &scratch(output), &Meter::stages_without_signals())
}

fn scratch(output: Option<&Path>) -> PathBuf {
    let output = output.filter(|path| *path != Path::new("-"));
    match output.and_then(Path::parent) {
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_owned(),
        None => temporary::folder(),
    }
}

/// Tells of images in the cache that no record names any more.
pub(crate) fn note_left(left: &[PathBuf]) {
    for path in left {
        let path = shell_quote(path);
        printer::note(&format!(
            "the record was damaged: it may have named {path}, which stays; remove that if nothing needs it"
        ));
    }
}

/// The server that channels are looked up at.
pub(crate) fn mirror(given: Option<&String>) -> Result<Option<String>> {
    let (name, set) = match given {
        Some(given) => ("--mirror", Some(given.clone())),
        None => ("REMASTER_MIRROR", environment::text("REMASTER_MIRROR")?),
    };
    let set = set.filter(|set| given.is_some() || !set.is_empty());
    set.iter().try_for_each(|set| Url::parse(set).map(drop)).map_err(of_flag(name))?;
    Ok(set)
}
