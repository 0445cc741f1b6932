//! Small files from outside, read whole: no more bytes than files of their kind have.
//!
//! The size that the system reports for a file is not a bound: devices and pipes have none, and others can write to a file
//! while it is read.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::error::{Error, Result};
use crate::units::format_bytes;
use crate::waiting::{self, WaitingFile};

/// What is to be done about a file that is not what was meant.
const HINT: &str = "give the file that was meant";

/// The bytes of a file, `most` at most.
///
/// # Errors
/// [`Error::Io`], and [`Error::Usage`] for a longer file. `doing` says what is done, as `read the recipe x`.
pub fn read(path: &Path, most: u64, doing: &str) -> Result<Vec<u8>> {
    read_from(open(path, doing)?, most, doing)
}

/// Opens a file that may have to be waited for.
///
/// # Errors
/// [`Error::Io`], and [`Error::Usage`] for what cannot be opened by a path.
pub fn open(path: &Path, doing: &str) -> Result<WaitingFile> {
    waiting::open(path).map_err(|fault| match fault.kind() {
        io::ErrorKind::InvalidInput => {
            Error::Usage { what: format!("cannot {doing}: {fault}"), hint: HINT.into() }
        }
        _ => Error::io(doing)(fault),
    })
}

/// The same of a file that stands beside another, or in a cache, and that nobody named: a FIFO there would wait for its
/// other end (fifo(7)).
///
/// # Errors
/// Those of [`read`], and [`Error::Usage`] for a FIFO.
pub fn read_beside(path: &Path, most: u64, doing: &str) -> Result<Vec<u8>> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path);
    let file = file.map_err(Error::io(doing))?;
    if file.metadata().is_ok_and(|about| about.file_type().is_fifo()) {
        return Err(fifo(path));
    }
    read_from(file, most, doing)
}

/// The error for a FIFO where a file belongs.
pub(crate) fn fifo(path: &Path) -> Error {
    let what = format!("{} is a FIFO, not a file", path.display());
    Error::Usage { what, hint: "remove it".into() }
}

/// The same of what comes once.
///
/// # Errors
/// Those of [`read`].
pub fn read_from(reader: impl Read, most: u64, doing: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more tells that there is more.
    let read =
        reader.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::io(doing))?;
    if u64::try_from(read).is_ok_and(|read| read <= most) {
        return Ok(bytes);
    }
    let what = format!("cannot {doing}: it has more than {}", format_bytes(most));
    Err(Error::Usage { what, hint: HINT.into() })
}

/// The same text of a file that nobody named.
///
/// # Errors
/// Those of [`read_text`] and [`read_beside`].
pub fn read_text_beside(path: &Path, most: u64, doing: &str) -> Result<String> {
    text(read_beside(path, most, doing)?).map_err(|is| is.error(doing))
}

/// The same of a text that people write.
///
/// # Errors
/// Those of [`read`], and [`Error::Usage`] for what is not text.
pub fn read_text(path: &Path, most: u64, doing: &str) -> Result<String> {
    text(read(path, most, doing)?).map_err(|is| is.error(doing))
}

/// What begins a text in UTF-8 for some editors (Unicode 16, section 23.8).
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// The bytes of a text without the mark that some editors put in front.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK).unwrap_or(bytes)
}

/// Whether bytes begin with the mark of UTF-16.
pub fn is_utf16(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF")
}

/// What bytes are that are not text in UTF-8, and from where on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotText(String);

impl NotText {
    /// What is to be done about it.
    pub const HINT: &str = "save the file as UTF-8; in PowerShell > writes UTF-16";

    /// The error of what was being done.
    pub fn error(&self, doing: &str) -> Error {
        Error::Usage { what: format!("cannot {doing}: {self}"), hint: Self::HINT.into() }
    }
}

impl std::fmt::Display for NotText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text that bytes are, without a mark in front.
///
/// # Errors
/// UTF-16, which a mark of its own or zero bytes tell, and what else is not UTF-8.
pub fn text(bytes: Vec<u8>) -> std::result::Result<String, NotText> {
    let is_utf16 = is_utf16(&bytes);
    if is_utf16 || bytes.contains(&0) {
        let why = if is_utf16 {
            "UTF-16, not UTF-8"
        } else {
            "not text: it has zero bytes, as UTF-16 has"
        };
        return Err(NotText(format!("it is {why}")));
    }
    let mut text = String::from_utf8(bytes).map_err(|refused| {
        let end = refused.utf8_error().valid_up_to();
        let (before, rest) = refused.as_bytes().split_at_checked(end).unwrap_or_default();
        let lines = before.split(|byte| *byte == b'\n');
        let (line, last) = (1..).zip(lines).last().unwrap_or((1_usize, &[]));
        let (byte, found) = (last.len(), rest.first().copied().unwrap_or(0));
        NotText(format!("line {line} is not UTF-8: found {found:#04x} behind byte {byte} of it"))
    })?;
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound_and_what_has_no_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, [b'x'; 1000]).unwrap();
        assert_eq!(read(&path, 1000, "read it").unwrap(), [b'x'; 1000]);
        let told = |path: &Path| read(path, 999, "read it").unwrap_err().to_string();
        assert_eq!(told(&path), "cannot read it: it has more than 999 B");
        assert_eq!(told(Path::new("/dev/zero")), "cannot read it: it has more than 999 B");
        std::fs::write(&path, b"\xff").unwrap();
        let fault = read_text(&path, 9, "read it").unwrap_err();
        let told = "cannot read it: line 1 is not UTF-8: found 0xff behind byte 0 of it";
        assert_eq!(fault.to_string(), told);
    }

    #[test]
    fn a_mark_is_dropped_and_what_is_not_utf8_is_named_with_its_place() {
        let text = |bytes: &[u8]| text(bytes.to_vec()).map_err(|is| is.to_string());
        assert_eq!(text(b"\xEF\xBB\xBFab\xC3\xA9\n").as_deref(), Ok("ab\u{e9}\n"));
        assert_eq!(without_mark(b"\xEF\xBB\xBF#!"), b"#!");
        for (bytes, told) in [
            (&b"\xFF\xFEa\0"[..], "it is UTF-16, not UTF-8"),
            (b"\xFE\xFF\0a", "it is UTF-16, not UTF-8"),
            (b"a\0\n\0", "it is not text: it has zero bytes, as UTF-16 has"),
            (b"a\nbc\xE9\n", "line 2 is not UTF-8: found 0xe9 behind byte 2 of it"),
        ] {
            assert_eq!(text(bytes), Err(told.to_owned()));
        }
    }
}
