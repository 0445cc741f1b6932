//! newc archives (Linux `Documentation/driver-api/early-userspace/buffer-format.rst`): the pieces
//! that an initrd is made of. Records are written and read by the `cpio` crate.

use std::cell::Cell;
use std::io::{self, Chain, Cursor, Read};

use cpio::newc::{Builder, Reader, trailer};

use crate::units::{ByteRange, u64_len};

/// Bytes that archives of ours are filled up to, so that what follows is aligned for every loader.
const ALIGNMENT: usize = 512;

/// Zeros that every archive of ours starts with: the seam to what a loader or we put in front of it.
///
/// A legacy LZ4 frame has no end of its own. The kernel takes the next four bytes for the size of one more
/// block unless they are zero (Linux `lib/decompress_unlz4.c`), and then nothing behind the frame is unpacked.
/// Loaders fill up to a multiple of 4 only, which may add nothing, so the zeros are part of the archive.
pub const SEAM: usize = 512;

/// What a header starts with.
const MAGIC: &[u8; 6] = b"070701";

/// What a header with a checksum of its file starts with, which is not compared here.
const CHECKSUMMED: &[u8; 6] = b"070702";

/// Bytes of a seam and the mark of the first header behind it.
pub const START: usize = SEAM + MAGIC.len();

/// The longest path the kernel unpacks (`PATH_MAX`).
const LONGEST_NAME: u32 = 4096;

/// Bytes of a header.
const HEADER: usize = 110;

/// Where a header has the length of the name, in hexadecimal digits.
const NAME_LENGTH: std::ops::Range<usize> = 94..102;

const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;
const S_IFMT: u32 = 0o170_000;

/// What a member of an archive is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file with these bytes.
    File(Vec<u8>),
    /// A symbolic link to this path.
    Symlink(String),
}

/// A member of an archive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// Path without a leading slash.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// What it is.
    pub kind: Kind,
}

impl Member {
    /// A directory of root's.
    pub fn directory(path: impl Into<String>, mode: u32) -> Self {
        Self { path: path.into(), mode, owner: (0, 0), kind: Kind::Directory }
    }

    /// A file of root's.
    pub fn file(path: impl Into<String>, mode: u32, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), mode, owner: (0, 0), kind: Kind::File(bytes.into()) }
    }

    /// A symbolic link of root's.
    pub fn symlink(path: impl Into<String>, to: impl Into<String>) -> Self {
        Self { path: path.into(), mode: 0o777, owner: (0, 0), kind: Kind::Symlink(to.into()) }
    }

    /// The same, of another owner and group.
    #[must_use]
    pub(crate) fn owned_by(self, owner: (u32, u32)) -> Self {
        Self { owner, ..self }
    }

    /// Bytes of its contents, or of the path it points to.
    pub fn size(&self) -> u64 {
        u64_len(self.data())
    }

    fn data(&self) -> &[u8] {
        match &self.kind {
            Kind::Directory => &[],
            Kind::File(bytes) => bytes,
            Kind::Symlink(to) => to.as_bytes(),
        }
    }

    fn type_bits(&self) -> u32 {
        match self.kind {
            Kind::Directory => S_IFDIR,
            Kind::File(_) => S_IFREG,
            Kind::Symlink(_) => S_IFLNK,
        }
    }
}

/// An archive of `members`, in their order, behind its [`SEAM`], without a clock: the same members give the
/// same bytes.
///
/// Each member has an inode number of its own, by which the kernel would join hard links.
///
/// # Errors
/// A member over 4 GiB.
pub fn write(members: &[Member]) -> io::Result<Vec<u8>> {
    let mut archive = vec![0; SEAM];
    for (ino, member) in (1..).zip(members) {
        let links = if member.kind == Kind::Directory { 2 } else { 1 };
        let data = member.data();
        let size = u32::try_from(data.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut record = Builder::new(&member.path)
            .ino(ino)
            .mode(member.type_bits() | member.mode)
            .uid(member.owner.0)
            .gid(member.owner.1)
            .nlink(links)
            .write(&mut archive, size);
        io::Write::write_all(&mut record, data)?;
        record.finish()?;
    }
    archive.append(&mut end()?);
    archive.resize(archive.len().next_multiple_of(ALIGNMENT), 0);
    Ok(archive)
}

/// What ends an archive that is written by somebody else. Behind it come zeros up to a multiple of 512.
pub fn end() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    trailer(&mut bytes)?;
    Ok(bytes)
}

/// Whether an archive starts here behind its [`SEAM`], with at least one member.
pub(crate) fn has_seam(bytes: &[u8]) -> bool {
    let parts = bytes.split_at_checked(SEAM);
    parts.is_some_and(|(seam, rest)| seam.iter().all(|byte| *byte == 0) && rest.starts_with(MAGIC))
}

/// What stands in front of the bytes of a regular file of root's that are written by somebody else: header
/// and name. Behind the bytes come zeros up to a multiple of 4.
///
/// # Errors
/// A file of 4 GiB or more.
pub fn head(path: &str, mode: u32, size: u64) -> io::Result<Vec<u8>> {
    let size = u32::try_from(size).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let name = path.len().checked_add(1).ok_or(io::ErrorKind::InvalidFilename)?;
    let mode = S_IFREG | mode;
    // magic, ino, mode, uid, gid, nlink, mtime, size, four device numbers, length of the name, checksum
    let mut record = format!(
        "070701{0:08x}{mode:08x}{0:08x}{0:08x}{1:08x}{0:08x}{size:08x}{0:08x}{0:08x}{0:08x}{0:08x}{name:08x}{0:08x}{path}",
        0, 1
    )
    .into_bytes();
    record.push(0);
    record.resize(record.len().next_multiple_of(4), 0);
    Ok(record)
}

/// What a reader of archives does next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// Read on.
    Continue,
    /// Everything needed is known.
    Stop,
}

/// Hands every member of the archives in `stream` to `each`, in order, until it has enough.
///
/// Files come whole, `limit` bytes at the most, where `wanted` says so of their path, and empty where
/// not. Symbolic links always come whole.
pub fn read<R: Read>(
    stream: R,
    limit: u32,
    wanted: impl Fn(&str) -> bool,
    mut each: impl FnMut(Member) -> Next,
) -> io::Result<()> {
    read_placed(stream, limit, wanted, |member, _| each(member))
}

/// As [`read`]; `each` also gets where the file's bytes are in the stream.
pub fn read_placed<R: Read>(
    stream: R,
    limit: u32,
    wanted: impl Fn(&str) -> bool,
    mut each: impl FnMut(Member, ByteRange) -> Next,
) -> io::Result<()> {
    let at = Cell::new(0);
    let mut stream = Peek::new(Counted { stream, at: &at });
    let mut fault = false;
    let mut each = |member, size| match place_of(at.get(), size) {
        Some(place) => each(member, place),
        None => {
            fault = true;
            Next::Stop
        }
    };
    let mut next = Next::Continue;
    while next == Next::Continue && stream.skip_zeros()? {
        check_start(at.get())?;
        (stream, next) = archive(stream, limit, &wanted, &mut each)?;
    }
    if fault { Err(io::ErrorKind::InvalidData.into()) } else { Ok(()) }
}

/// Refuses an archive that does not begin at a multiple of 4, of whose first byte this is the end: the kernel stops there
/// (Linux `init/initramfs.c`, `do_reset`: "broken padding").
fn check_start(end: u64) -> io::Result<()> {
    if end % 4 == 1 {
        return Ok(());
    }
    let what = "an archive behind another one that does not begin at a multiple of 4, where the kernel stops";
    Err(io::Error::new(io::ErrorKind::Unsupported, what))
}

/// Where the bytes of a file are that, filled up to a multiple of 4, end at a byte.
fn place_of(end: u64, size: u32) -> Option<ByteRange> {
    let filled = u64::from(size).checked_next_multiple_of(4)?;
    ByteRange::new(end.checked_sub(filled)?, size.into())
}

/// The same as [`read`] for one archive: ends with its trailer and takes no byte behind that.
pub fn read_one<R: Read>(
    stream: R,
    limit: u32,
    wanted: impl Fn(&str) -> bool,
    mut each: impl FnMut(Member) -> Next,
) -> io::Result<()> {
    archive(stream, limit, &wanted, &mut |member, _| each(member)).map(|_| ())
}

/// `each` also gets the full size of a file, whose bytes may be left out or cut at `limit`.
fn archive<R: Read>(
    mut stream: R,
    limit: u32,
    wanted: &impl Fn(&str) -> bool,
    each: &mut impl FnMut(Member, u32) -> Next,
) -> io::Result<(R, Next)> {
    loop {
        let mut reader = Reader::new(with_sound_name(stream)?)?;
        if reader.entry().is_trailer() {
            return Ok((reader.finish()?.into_inner().1, Next::Continue));
        }
        let member = member_of(&mut reader, limit, wanted)?;
        let size = reader.entry().file_size();
        stream = reader.finish()?.into_inner().1;
        if each(member, size) == Next::Stop {
            return Ok((stream, Next::Stop));
        }
    }
}

/// A stream that counts the bytes that are read of it.
struct Counted<'a, R> {
    stream: R,
    at: &'a Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buf)?;
        let end = u64::try_from(read).ok().and_then(|read| self.at.get().checked_add(read));
        self.at.set(end.ok_or(io::ErrorKind::InvalidData)?);
        Ok(read)
    }
}

/// Reads a header ahead, and refuses a name that no kernel takes: the reader would make room for up to 4 GiB.
fn with_sound_name<R: Read>(mut stream: R) -> io::Result<Chain<Cursor<[u8; HEADER]>, R>> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header)?;
    if header.starts_with(CHECKSUMMED) {
        let what = "an archive with checksums, 070702, at which kernels before 5.18 stop";
        return Err(io::Error::new(io::ErrorKind::Unsupported, what));
    }
    let digits = header.get(NAME_LENGTH).and_then(|digits| str::from_utf8(digits).ok());
    let length = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    match length {
        Some(length) if length > LONGEST_NAME => {
            let what = format!("a name of {length} bytes in an archive, over {LONGEST_NAME}");
            Err(io::Error::new(io::ErrorKind::InvalidData, what))
        }
        // The reader refuses what is not a number.
        _ => Ok(Cursor::new(header).chain(stream)),
    }
}

fn member_of<R: Read>(
    reader: &mut Reader<R>,
    limit: u32,
    wanted: &impl Fn(&str) -> bool,
) -> io::Result<Member> {
    let entry = reader.entry();
    let (mode, owner, size) = (entry.mode(), (entry.uid(), entry.gid()), entry.file_size());
    let path = plain_path(entry.name(), mode & S_IFMT == S_IFDIR)?;
    let kind = match mode & S_IFMT {
        S_IFDIR => Kind::Directory,
        S_IFLNK => Kind::Symlink(
            String::from_utf8_lossy(&bytes_of(reader, size.min(LONGEST_NAME))?).into_owned(),
        ),
        _ if wanted(&path) => Kind::File(bytes_of(reader, size.min(limit))?),
        _ => Kind::File(Vec::new()),
    };
    Ok(Member { path, mode: mode & !S_IFMT, owner, kind })
}

/// A name as the kernel follows it from the root, without doubled slashes and parts that stay where they are.
///
/// # Errors
/// A name that leads up, that ends before its end, or that no file can have.
fn plain_path(name: &str, is_directory: bool) -> io::Result<String> {
    let parts = || name.split('/').filter(|part| !part.is_empty() && *part != ".");
    let odd = name.contains('\0') || (name.ends_with('/') && !is_directory);
    if odd || parts().any(|part| part == "..") {
        let what = format!("the name {name:?} in an archive, which leads elsewhere");
        return Err(io::Error::new(io::ErrorKind::Unsupported, what));
    }
    let path = parts().collect::<Vec<_>>().join("/");
    Ok(if path.is_empty() { name.trim_matches('/').to_owned() } else { path })
}

fn bytes_of<R: Read>(reader: &mut Reader<R>, size: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(u64::from(size)).read_to_end(&mut bytes)?;
    if u32::try_from(bytes.len()).is_ok_and(|read| read == size) {
        return Ok(bytes);
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "an archive member is cut off"))
}

/// A stream of which one byte can be looked at first.
struct Peek<R> {
    first: Option<u8>,
    rest: R,
}

impl<R: Read> Peek<R> {
    fn new(rest: R) -> Self {
        Self { first: None, rest }
    }

    /// Moves to the next byte that is not zero; false at the end.
    fn skip_zeros(&mut self) -> io::Result<bool> {
        let mut byte = [0];
        while self.first.is_none_or(|first| first == 0) {
            if self.rest.read(&mut byte)? == 0 {
                return Ok(false);
            }
            self.first = Some(byte[0]);
        }
        Ok(true)
    }
}

impl<R: Read> Read for Peek<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match (self.first.take(), buf.first_mut()) {
            (Some(first), Some(place)) => {
                *place = first;
                Ok(1)
            }
            (first, _) => {
                self.first = first;
                self.rest.read(buf)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> Vec<Member> {
        vec![
            Member::directory("remaster", 0o755),
            Member::file("remaster/hook.sh", 0o644, "#!/bin/sh\n"),
            Member::symlink("init", "/nix/store/x/init"),
            Member::file("home/key", 0o600, "abc").owned_by((1000, 100)),
        ]
    }

    fn all(bytes: &[u8]) -> Vec<Member> {
        let mut found = Vec::new();
        read(
            bytes,
            100,
            |_| true,
            |member| {
                found.push(member);
                Next::Continue
            },
        )
        .unwrap();
        found
    }

    #[test]
    fn members_survive_the_archive_also_two_in_a_row() {
        let archive = write(&members()).unwrap();
        assert_eq!(archive.len() % 512, 0);
        assert!(has_seam(&archive) && !has_seam(&archive[1..]) && !has_seam(&[0; 600]));
        assert_eq!(all(&archive), members());
        assert_eq!(all(&[archive.clone(), archive].concat()).len(), 8);
    }

    #[test]
    fn the_place_of_a_file_is_where_its_bytes_are() {
        let first = write(&[Member::file("a", 0o644, "x"), Member::symlink("b", "to")]).unwrap();
        let second = write(&[Member::file("cc", 0o644, "yyyyy"), Member::file("d", 0o644, "")]);
        let bytes = [first, vec![0; 512], second.unwrap()].concat();
        let mut found = Vec::new();
        let each = |member: Member, at: ByteRange| {
            let range = usize::try_from(at.start()).unwrap()..usize::try_from(at.end()).unwrap();
            found.push((member.path, String::from_utf8(bytes[range].to_vec()).unwrap()));
            Next::Continue
        };
        // However much of each comes.
        read_placed(bytes.as_slice(), 0, |_| false, each).unwrap();
        let expected = [("a", "x"), ("b", "to"), ("cc", "yyyyy"), ("d", "")];
        assert!(found.iter().map(|(path, text)| (&**path, &**text)).eq(expected), "{found:?}");
    }

    #[test]
    fn the_same_members_give_the_same_bytes() {
        assert_eq!(write(&members()).unwrap(), write(&members()).unwrap());
    }

    #[test]
    fn a_file_written_in_pieces_is_read_as_one() {
        for (path, bytes) in
            [("a", &b"xyz"[..]), ("nix-store.squashfs", b""), ("r/files1.img", b"12345678")]
        {
            let mut archive = head(path, 0o444, u64_len(bytes)).unwrap();
            assert_eq!(archive.len() % 4, 0);
            archive.extend_from_slice(bytes);
            archive.resize(archive.len().next_multiple_of(4), 0);
            archive.extend(end().unwrap());
            assert_eq!(all(&archive), [Member::file(path, 0o444, bytes)]);
        }
        assert!(head("a", 0o444, 1 << 32).is_err());
    }

    #[test]
    fn a_name_that_no_kernel_takes_is_an_error_before_it_takes_memory() {
        let archive = |length: u32| {
            let mut bytes = head("a", 0o644, 0).unwrap();
            bytes[NAME_LENGTH].copy_from_slice(format!("{length:08x}").as_bytes());
            bytes.resize(8192, 0);
            let read = read(bytes.as_slice(), 100, |_| true, |_| Next::Stop);
            read.map_err(|fault| fault.to_string())
        };
        assert_eq!(archive(LONGEST_NAME), Ok(()));
        for length in [LONGEST_NAME + 1, u32::MAX] {
            assert!(archive(length).is_err_and(|fault| fault.contains("a name of")), "{length}");
        }
    }

    #[test]
    fn names_are_as_the_kernel_follows_them() {
        for (name, path) in [
            (".", "."),
            ("./init", "init"),
            ("/./etc//systemd/.", "etc/systemd"),
            ("a/", "a"),
            ("a.b/..c", "a.b/..c"),
        ] {
            assert_eq!(plain_path(name, true).unwrap(), path, "{name}");
        }
        for (name, is_directory) in
            [("etc/../init", true), ("..", true), ("a/", false), ("init\0x", false)]
        {
            let fault = plain_path(name, is_directory).unwrap_err();
            assert_eq!(fault.kind(), io::ErrorKind::Unsupported, "{name}");
        }
    }

    #[test]
    fn an_archive_out_of_place_or_with_checksums_is_refused() {
        let archive = &write(&[Member::file("a", 0o644, "x")]).unwrap()[SEAM..];
        let behind = |zeros: usize| [archive, &vec![0; zeros], archive].concat();
        let told = |bytes: &[u8]| {
            let read = read(bytes, 100, |_| true, |_| Next::Continue);
            read.map_err(|fault| fault.to_string())
        };
        assert_eq!(told(&behind(4)), Ok(()));
        assert!(told(&behind(5)).is_err_and(|fault| fault.contains("a multiple of 4")));
        let summed = [&b"070702"[..], &archive[6..]].concat();
        assert!(told(&summed).is_err_and(|fault| fault.contains("070702")));
    }

    #[test]
    fn a_cut_archive_is_an_error() {
        let archive = write(&members()).unwrap();
        let cut = read(&archive[..SEAM + 200], 100, |_| true, |_| Next::Continue);
        assert!(cut.is_err());
        assert!(read(&b"junk"[..], 100, |_| false, |_| Next::Continue).is_err());
    }

    #[test]
    fn so_much_of_a_file_is_kept() {
        let archive = write(&[Member::file("a", 0o644, *b"12345")]).unwrap();
        for (limit, kept) in [(4, &b"1234"[..]), (5, b"12345"), (6, b"12345")] {
            let mut found = Vec::new();
            let each = |member| {
                found.push(member);
                Next::Continue
            };
            read(&archive[SEAM..], limit, |_| true, each).unwrap();
            assert_eq!(found, [Member::file("a", 0o644, kept)]);
        }
    }
}
