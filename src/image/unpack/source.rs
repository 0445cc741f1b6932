//! Images as they are kept: plain, compressed, or coming through a pipe; told apart by content.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, IsTerminal, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::archives::{tar_size, tar_stream, zip_file, zip_stream};
use super::digest_check::{DigestCheck, DigestMatch, ExpectedDigest};
use super::members::Members;
use super::reader::{INPUT, Reader};
use super::stoppable::{Stop, Stoppable};
use super::{xz_index, zstd_frames};
use crate::checked;
use crate::error::{Error, Material, Result, is_lack_of_memory, is_said_by};
use crate::file_state::FileState;
use crate::image::file_type::{self, FileType, HEAD};
use crate::image::{ImageFile, ReadAt, about};
use crate::threads;
use crate::units::{u64_len, u64_of, usize_of};

/// Bytes of the start that tell a format.
const MAGIC: u64 = 32;
/// Memory that xz decoders may take together. Where blocks are so large that two at once would take
/// more, one thread unpacks them, and needs only its dictionary.
const XZ_MEMORY: u64 = 30 << 20;
/// The largest window of Zstandard that is taken, as a power of two. It is all kept in memory:
/// `zstd --long=27` and `--ultra -22` need 128 MiB, levels up to 19 at most 8.
const ZSTD_WINDOW: u32 = 27;
/// What zstd says of a larger one.
const TOO_LARGE_A_WINDOW: &str = "Frame requires too much memory for decoding";
/// Memory that unpacking xz may take at all: `xz -9` makes files that want 65 MiB, and a dictionary of 128 MiB 129.
const XZ_LARGEST: u64 = 160 << 20;
/// What liblzma says of what wants more.
const TOO_LARGE_A_DICTIONARY: &str = "memory limit reached";

/// How an image is packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// xz.
    Xz,
    /// Zstandard.
    Zstd,
    /// gzip.
    Gzip,
    /// bzip2.
    Bzip2,
    /// lz4 frames.
    Lz4,
    /// zip with one image in it.
    Zip,
}

impl Packing {
    /// Tells by the first bytes.
    pub fn recognize(start: &[u8]) -> Self {
        match start {
            [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ if zstd_frames::starts(start) => Self::Zstd,
            [0x1F, 0x8B, ..] => Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, ..] => Self::Bzip2,
            [0x04, 0x22, 0x4D, 0x18, ..] => Self::Lz4,
            [b'P', b'K', 3, 4, ..] => Self::Zip,
            _ => Self::Plain,
        }
    }

    /// The program that packs so; none for what is not packed.
    pub fn program(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Xz => Some("xz"),
            Self::Zstd => Some("zstd"),
            Self::Gzip => Some("gzip"),
            Self::Bzip2 => Some("bzip2"),
            Self::Lz4 => Some("lz4"),
            Self::Zip => Some("zip"),
        }
    }

    /// The command that unpacks, without the file; none for what is not packed.
    pub fn unpacker(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Xz => Some("unxz -k"),
            Self::Zstd => Some("unzstd"),
            Self::Gzip => Some("gunzip -k"),
            Self::Bzip2 => Some("bunzip2 -k"),
            Self::Lz4 => Some("lz4 -dk"),
            Self::Zip => Some("unzip"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "image",
            Self::Xz => "xz data",
            Self::Zstd => "zstd data",
            Self::Gzip => "gzip data",
            Self::Bzip2 => "bzip2 data",
            Self::Lz4 => "lz4 data",
            Self::Zip => "zip archive",
        }
    }
}

/// Bytes that come once, from front to back.
pub trait Feed: Send {
    /// At least so many bytes will come; none if that is not known.
    fn size(&self) -> Option<u64>;
    /// Fills `buf`; fewer bytes mean the end.
    fn fill(&mut self, buf: &mut [u8]) -> Result<usize>;
    /// Which bytes have the SHA-256 that is demanded, if one is; asked at the end.
    fn fits(&mut self) -> Result<Option<DigestMatch>>;
}

/// An image that was found at a path.
pub enum Source {
    /// A plain file or device, which can be read anywhere.
    Plain(ImageFile),
    /// Something that comes once.
    Stream(Stream),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(image) => f.debug_tuple("Plain").field(image).finish(),
            Self::Stream(stream) => f.debug_tuple("Stream").field(stream).finish(),
        }
    }
}

impl Source {
    /// Opens an image; `-` is standard input.
    ///
    /// # Errors
    /// What cannot be opened, and archives that do not hold exactly one image.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_checked(path, None, || false)
    }

    /// Opens an image. What comes once is held to what is demanded of it while it comes; a plain one is not. Where a pipe says
    /// nothing for long, `stop` is asked whether to wait on.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_checked(path: &Path, expected: Option<ExpectedDigest>, stop: Stop) -> Result<Self> {
        if let Some(pipe) = Pipe::at(path)? {
            return Stream::of_pipe(&pipe, expected, stop).map(Self::Stream);
        }
        Self::of_file(ImageFile::open(path)?, expected)
    }

    /// The same of a file that is open already.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of_file(image: ImageFile, expected: Option<ExpectedDigest>) -> Result<Self> {
        let path = image.path().to_owned();
        let mut start = Vec::new();
        let doing = || format!("read {}", path.display());
        let file = image.file().try_clone().map_err(|fault| Error::io(doing())(fault))?;
        (&file).seek(SeekFrom::Start(0)).map_err(|fault| Error::io(doing())(fault))?;
        (&file).take(MAGIC).read_to_end(&mut start).map_err(|fault| Error::io(doing())(fault))?;
        (&file).seek(SeekFrom::Start(0)).map_err(|fault| Error::io(doing())(fault))?;
        match Packing::recognize(&start) {
            Packing::Plain => Ok(Self::Plain(image)),
            packing => {
                let check = expected.map(DigestCheck::new).map(Box::new);
                Stream::of_file(image, file, packing, check).map(Self::Stream)
            }
        }
    }

    /// Bytes of the image, if they are known before the end.
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Plain(image) => Some(image.size()),
            Self::Stream(stream) => stream.size(),
        }
    }
}

/// Something that can be read once only.
enum Pipe {
    Input,
    Fifo(PathBuf, File),
}

impl Pipe {
    /// The pipe at `path`, where `-` is standard input; none if something else is there.
    fn at(path: &Path) -> Result<Option<Self>> {
        if path == Path::new("-") {
            return if io::stdin().is_terminal() {
                Err(typed_image())
            } else {
                Ok(Some(Self::Input))
            };
        }
        if !about(path)?.file_type().is_fifo() {
            return Ok(None);
        }
        let file = File::open(path).map_err(Error::io(format!("open {}", path.display())))?;
        Ok(Some(Self::Fifo(path.to_owned(), file)))
    }

    fn name(&self) -> String {
        match self {
            Self::Input => "standard input".to_owned(),
            Self::Fifo(path, _) => path.display().to_string(),
        }
    }

    /// Reads on from where others that read it are.
    fn reader(&self, stop: Stop) -> Result<Reader> {
        let pipe = match self {
            // Not [`io::Stdin`], which keeps bytes that nobody can wait for.
            Self::Input => io::stdin().as_fd().try_clone_to_owned().map(File::from),
            Self::Fifo(_, file) => file.try_clone(),
        };
        let pipe = pipe.map_err(Error::io(format!("open {}", self.name())))?;
        Ok(Box::new(Stoppable { pipe, stop }))
    }
}

fn typed_image() -> Error {
    Error::Usage {
        what: "standard input is a terminal, not an image".into(),
        hint: "pipe the image in, or give the path of its file".into(),
    }
}

/// Whether what stands at `path` can be read once only, as a pipe. What is not there is reported where it is opened.
pub fn is_pipe(path: &Path) -> bool {
    path == Path::new("-") || path.metadata().is_ok_and(|about| about.file_type().is_fifo())
}

/// An image that is unpacked while it is read.
pub struct Stream {
    name: String,
    packing: Packing,
    reader: Box<dyn Read + Send>,
    size: Option<u64>,
    done: u64,
    /// The file that it comes from; none of a pipe.
    packed: Option<Box<ImageFile>>,
    /// Bytes that were unpacked to be looked at, and come first.
    ahead: Vec<u8>,
    /// What is demanded of it.
    check: Option<Box<DigestCheck>>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, packing, size, done, .. } = self;
        f.debug_struct("Stream")
            .field("name", name)
            .field("packing", packing)
            .field("size", size)
            .field("done", done)
            .finish_non_exhaustive()
    }
}

impl Stream {
    fn of_pipe(pipe: &Pipe, expected: Option<ExpectedDigest>, stop: Stop) -> Result<Self> {
        let name = pipe.name();
        let (mut input, check): (Reader, _) = match expected {
            None => (pipe.reader(stop)?, None),
            Some(expected) => {
                let (input, rest) = (pipe.reader(stop)?, pipe.reader(stop)?);
                let (input, check) = DigestCheck::of_pipe(expected, input, rest);
                (Box::new(input), Some(Box::new(check)))
            }
        };
        let mut start = Vec::new();
        let read = (&mut input).take(MAGIC).read_to_end(&mut start);
        read.map_err(Error::io(format!("read {name}")))?;
        let packing = Packing::recognize(&start);
        let input = BufReader::with_capacity(INPUT, Cursor::new(start).chain(input));
        let reader = match packing {
            Packing::Zip => zip_stream(input)?,
            _ => unpacked(packing, input)?,
        };
        Ok(Self {
            name,
            packing,
            reader,
            size: None,
            done: 0,
            packed: None,
            ahead: Vec::new(),
            check,
        })
    }

    /// `file` is that of the image, at its start.
    fn of_file(
        image: ImageFile,
        file: File,
        packing: Packing,
        check: Option<Box<DigestCheck>>,
    ) -> Result<Self> {
        let name = image.path().display().to_string();
        let size = match packing {
            Packing::Xz => xz_index::unpacked_size(&file),
            Packing::Zstd => zstd_frames::unpacked_size(&file),
            _ => None,
        };
        let (size, reader) = if packing == Packing::Zip {
            zip_file(&name, file)?
        } else {
            (size, unpacked(packing, BufReader::with_capacity(INPUT, file))?)
        };
        let (packed, ahead) = (Some(Box::new(image)), Vec::new());
        Ok(Self { name, packing, reader, size, done: 0, packed, ahead, check })
    }

    /// The file to read once more; none if it can come only once.
    pub(crate) fn restart(&self) -> Option<Restart> {
        self.packed.as_deref().map(Restart::of)
    }

    /// Whether it comes from the file that a restart is of.
    fn is_of(&self, restart: &Restart) -> bool {
        let Some(packed) = self.packed.as_ref() else { return false };
        match (packed.state(), &restart.state) {
            (Some(now), Some(before)) => now.has_same_contents(before),
            (now, before) => now.is_none() && before.is_none(),
        }
    }

    /// The file that it comes from, now that all of it was read.
    pub(super) fn into_packed(self) -> Option<ImageFile> {
        self.packed.map(|packed| *packed)
    }

    /// Refuses a file that changed since it was opened: asked at the end.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        self.packed.as_deref().map_or(Ok(()), ImageFile::check_unchanged)
    }

    /// How it is packed.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        let how = if self.packing == Packing::Plain { "" } else { " (unpacked)" };
        format!("{}{how}", self.name)
    }

    /// The error as one about what comes out of it.
    pub(crate) fn at_fault(&self, fault: Error) -> Error {
        let fault = fault.with_path(self.name());
        if self.packing == Packing::Plain { fault } else { fault.of_unpacked() }
    }

    /// The image in it, if it is a tar archive.
    ///
    /// # Errors
    /// What cannot be read or unpacked.
    pub fn without_archive(mut self) -> Result<Self> {
        if self.packing == Packing::Plain || !file_type::is_tar(self.head()?) {
            return Ok(self);
        }
        let ahead = std::mem::take(&mut self.ahead);
        let size = tar_size(&ahead);
        let reader = tar_stream(Box::new(Cursor::new(ahead).chain(self.reader)))?;
        Ok(Self { reader, size, ..self })
    }

    /// What it begins with, as much as it takes to tell what it is. It stays to be read.
    ///
    /// # Errors
    /// What cannot be read or unpacked.
    pub fn head(&mut self) -> Result<&[u8]> {
        if self.done == 0 && self.ahead.is_empty() {
            let mut head = vec![0; usize_of(HEAD)];
            let used = self.read_full(&mut head)?;
            head.truncate(used);
            self.ahead = head;
        }
        Ok(&self.ahead)
    }
}

/// A packed file that can be read once more.
pub(crate) struct Restart {
    path: PathBuf,
    state: Option<FileState>,
}

impl Restart {
    fn of(packed: &ImageFile) -> Self {
        Self { path: packed.path().to_owned(), state: packed.state().cloned() }
    }

    /// What is in it, from the start.
    ///
    /// # Errors
    /// [`Error::Changed`] if it is not the file that was read before.
    pub(crate) fn open(&self) -> Result<Stream> {
        let image = ImageFile::open(&self.path)?;
        match Source::of_file(image, None)? {
            Source::Stream(stream) if stream.is_of(self) => stream.without_archive(),
            _ => Err(Error::Changed { what: self.path.display().to_string() }),
        }
    }
}

impl Feed for Stream {
    fn size(&self) -> Option<u64> {
        self.size
    }

    fn fill(&mut self, buf: &mut [u8]) -> Result<usize> {
        let known = self.ahead.len().min(buf.len());
        let (first, rest) = buf.split_at_mut(known);
        for (to, from) in first.iter_mut().zip(self.ahead.drain(..known)) {
            *to = from;
        }
        self.done = checked::sum(self.done, u64_len(first), "the bytes of a stream")?;
        let more = self.read_full(rest)?;
        self.done = checked::sum(self.done, u64_of(more), "the bytes of a stream")?;
        let all = checked::sum(known, more, "the bytes of a stream")?;
        if let Some(check) = &mut self.check {
            check.add(checked::part(buf, ..all, "the bytes of a stream")?);
        }
        Ok(all)
    }

    fn fits(&mut self) -> Result<Option<DigestMatch>> {
        self.check_unchanged()?;
        self.check.take().map(|check| check.finish(&self.name)).transpose()
    }
}

impl Stream {
    /// Reads on until the buffer is full or nothing more comes.
    fn read_full(&mut self, buf: &mut [u8]) -> Result<usize> {
        let mut full = 0_usize;
        while full < buf.len() {
            let rest = checked::part_mut(buf, full.., "room to read")?;
            match self.reader.read(rest) {
                Ok(0) => break,
                Ok(count) => full = checked::sum(full, count, "what was read")?,
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(fault) => {
                    return Err(self.fault(checked::part(buf, ..full, "what was read")?, fault));
                }
            }
        }
        Ok(full)
    }

    /// Decoders say what is wrong with the data; other faults are the system's. `read` came before it.
    fn fault(&self, read: &[u8], fault: io::Error) -> Error {
        if let Err(changed) = self.check_unchanged() {
            return changed;
        }
        let fault = match fault.downcast::<Error>() {
            Ok(told) => return self.at_fault(told),
            Err(fault) => fault,
        };
        if is_lack_of_memory(&fault) {
            return Error::io(format!("get the memory to unpack {}", self.name))(fault);
        }
        if fault.raw_os_error().is_some() || self.packing == Packing::Plain {
            return Error::io(format!("read {}", self.name))(fault);
        }
        if self.packing == Packing::Zstd && is_said_by(&fault, TOO_LARGE_A_WINDOW) {
            return Error::Usage {
                what: format!("{} was packed with a window of more than 128 MiB", self.name),
                hint: "unpack it with `zstd -d --long=31`, and give what comes out".into(),
            };
        }
        if self.packing == Packing::Xz && is_said_by(&fault, TOO_LARGE_A_DICTIONARY) {
            return Error::Usage {
                what: format!("{} was packed with a dictionary of more than 128 MiB", self.name),
                hint: "unpack it with `unxz -k`, and give what comes out".into(),
            };
        }
        // Behind the first archive of an initrd stands what is packed otherwise, or not at all.
        if self.done == 0 && file_type::is_initrd(read) {
            return match FileType::recognize(read).disk(&self.name()) {
                Err(initrd) => initrd,
                Ok(_) => Error::bug("an initrd is not a disk"),
            };
        }
        let at = [self.done, u64_len(read)].into_iter().sum();
        let found = match fault.kind() {
            io::ErrorKind::UnexpectedEof => "the end of the file".to_owned(),
            _ => fault.to_string(),
        };
        let what = format!("{} of {}, unpacked", self.packing.name(), self.name);
        Error::malformed(what, at, found, "sound data").advised(Material::Image)
    }
}

fn unpacked(packing: Packing, input: impl BufRead + Send + 'static) -> Result<Reader> {
    Ok(match packing {
        Packing::Plain | Packing::Zip => Box::new(input),
        Packing::Xz => Box::new(Streams::new(input)?),
        Packing::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)
                .map_err(Error::io("start the zstd decoder"))?;
            let limited = decoder.window_log_max(ZSTD_WINDOW);
            limited.map_err(Error::io("limit the memory of the zstd decoder"))?;
            Box::new(decoder)
        }
        Packing::Gzip => Box::new(Members::<_, flate2::bufread::GzDecoder<_>>::new(input)),
        Packing::Bzip2 => Box::new(Members::<_, bzip2::bufread::BzDecoder<_>>::new(input)),
        Packing::Lz4 => Box::new(Members::<_, lz4_flex::frame::FrameDecoder<_>>::new(input)),
    })
}

/// Several xz streams one after the other, as `pixz` and `cat` make them. The decoder that takes
/// several blocks at once stops after the first.
struct Streams<R: BufRead> {
    decoder: Option<liblzma::bufread::XzDecoder<R>>,
}

impl<R: BufRead> Streams<R> {
    fn new(input: R) -> Result<Self> {
        let decoder = xz_decoder().map_err(Error::io("start the xz decoder"))?;
        let decoder = liblzma::bufread::XzDecoder::new_stream(input, decoder);
        Ok(Self { decoder: Some(decoder) })
    }

    /// Goes to the next stream behind the padding; false at the end (§2.2).
    fn next_stream(&mut self) -> io::Result<bool> {
        let Some(done) = self.decoder.take() else { return Ok(false) };
        let mut input = done.into_inner();
        loop {
            let rest = input.fill_buf()?;
            if rest.is_empty() {
                return Ok(false);
            }
            let zeros = rest.iter().take_while(|byte| **byte == 0).count();
            let is_all = zeros == rest.len();
            input.consume(zeros);
            if !is_all {
                break;
            }
        }
        self.decoder = Some(liblzma::bufread::XzDecoder::new_stream(input, xz_decoder()?));
        Ok(true)
    }
}

impl<R: BufRead> Read for Streams<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.decoder {
            let count = decoder.read(buf)?;
            if count > 0 || buf.is_empty() || !self.next_stream()? {
                return Ok(count);
            }
        }
        Ok(0)
    }
}

/// A decoder that takes several blocks at once where the file has several.
fn xz_decoder() -> io::Result<liblzma::stream::Stream> {
    // What unpacks says that memory lacks where the system gives no thread. Of one thread it starts none.
    let gives_threads = threads::start_alone(|| ()).is_ok();
    let threads = std::thread::available_parallelism().ok().filter(|_| gives_threads);
    let threads = threads.map_or(1, std::num::NonZero::get);
    let stream = liblzma::stream::MtStreamBuilder::new()
        .threads(u32::try_from(threads).unwrap_or(1))
        .memlimit_threading(XZ_MEMORY)
        .memlimit_stop(XZ_LARGEST)
        .timeout_ms(0)
        .decoder();
    Ok(stream?)
}
