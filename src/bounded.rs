//! Small files from outside, read whole: no more bytes than files of their kind have.
//!
//! The size that the system tells of a file bounds nothing: a device or a pipe has none, and others can write to a file
//! while it is read.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::error::{Error, Result};
use crate::units::format_bytes;

/// What is to be done about a file that is not what was meant.
const HINT: &str = "give the file that was meant";

/// The bytes of a file, `most` at most.
///
/// # Errors
/// [`Error::Io`], and [`Error::Usage`] for a longer file. `doing` says what is done, as `read the recipe x`.
pub fn read(path: &Path, most: u64, doing: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::io(doing))?;
    // One byte more tells that there is more.
    let read =
        file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::io(doing))?;
    if u64::try_from(read).is_ok_and(|read| read <= most) {
        return Ok(bytes);
    }
    let what = format!("cannot {doing}: it has more than {}", format_bytes(most));
    Err(Error::Usage { what, hint: HINT.into() })
}

/// The same of a text.
///
/// # Errors
/// Those of [`read`], and [`Error::Usage`] for what is not text.
pub fn read_text(path: &Path, most: u64, doing: &str) -> Result<String> {
    String::from_utf8(read(path, most, doing)?).map_err(|_| Error::Usage {
        what: format!("cannot {doing}: it is not text in UTF-8"),
        hint: HINT.into(),
    })
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
        assert_eq!(fault.to_string(), "cannot read it: it is not text in UTF-8");
    }
}
