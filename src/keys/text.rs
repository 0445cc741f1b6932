//! Turns bytes of unknown origin into the lines that may hold keys.

use super::fault::{KeyError, LineError, SourceSpan};
use super::line::is_skipped;
use super::refuse;

/// Most bytes read of one source; a thousand keys fit.
pub(super) const LIMIT: usize = 1 << 20;

/// Longest line: `SSH_MAX_PUBKEY_BYTES` of OpenSSH, five times an RSA key of the greatest length.
const LINE_LIMIT: usize = 16384;

/// Gives the lines that are neither blank nor comments, without byte order mark and line end.
pub(super) fn lines<'a>(
    source: &str,
    bytes: &'a [u8],
) -> Result<Vec<(SourceSpan, &'a str)>, KeyError> {
    let place = |line| SourceSpan { source: source.to_owned(), line };
    // Private keys first, so that no later message can be about a part of one.
    if let Some(found) = refuse::private_key(bytes) {
        return Err(KeyError::PrivateKey {
            at: place(found.line),
            format: found.what,
            public: None,
        });
    }
    if bytes.len() > LIMIT {
        return Err(KeyError::TooLarge { source_name: source.to_owned(), limit: LIMIT });
    }
    if let Some(found) = refuse::foreign(bytes) {
        let (at, found) = (place(found.line), found.what);
        return Err(KeyError::ForeignFormat { at, found: found.name, hint: found.hint });
    }
    let checked = each_line(source, bytes).map(|(at, line)| match line {
        Ok(text) => Ok((at, text)),
        Err(flaw) => Err(flaw.at(&at)),
    });
    checked.collect()
}

/// The same of any text, each line judged by itself.
pub(super) fn each_line<'a>(
    source: &str,
    bytes: &'a [u8],
) -> impl Iterator<Item = (SourceSpan, Result<&'a str, LineError>)> {
    let numbered = (1..).zip(bytes.split(|b| *b == b'\n'));
    numbered.filter_map(move |(line, bytes)| {
        let text = clean(bytes);
        let is_read = !text.as_ref().is_ok_and(|text| is_skipped(text));
        is_read.then(|| (SourceSpan { source: source.to_owned(), line }, text))
    })
}

/// Strips what editors add to a line and refuses what sshd or a terminal would stumble over.
fn clean(line: &[u8]) -> Result<&str, LineError> {
    if line.len() > LINE_LIMIT {
        let problem =
            format!("found a line of {} bytes, expected at most {LINE_LIMIT}", line.len());
        return Err(LineError::malformed(problem, "give a file of public keys, one on a line"));
    }
    let Ok(text) = str::from_utf8(line) else {
        let hint = "save the file as UTF-8; in PowerShell > writes UTF-16";
        return Err(LineError::malformed("found bytes that are not UTF-8 text", hint));
    };
    // A mark can be in the middle too, where files were put behind each other.
    let text = text.trim_end_matches('\r').trim_start_matches('\u{feff}');
    let Some(control) = text.chars().find(|c| c.is_control() && *c != '\t') else {
        return Ok(text);
    };
    let problem = format!("found control character U+{:04X}, expected text", u32::from(control));
    Err(LineError::malformed(problem, "copy the key as text, with each key on a line of its own"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(usize, &str)>, String> {
        let lines = lines("keys", bytes).map_err(|fault| fault.to_string())?;
        Ok(lines.into_iter().map(|(at, text)| (at.line, text)).collect())
    }

    #[test]
    fn lines_are_counted_with_comments_and_blank_ones() {
        let text = "# mine\n\n  \t\na b\n#\r\nc\td\r\n";
        assert_eq!(read(text.as_bytes()).unwrap(), [(4, "a b"), (6, "c\td")]);
        assert_eq!(read(b"").unwrap(), []);
        assert_eq!(read(b"last, not ended").unwrap(), [(1, "last, not ended")]);
    }

    #[test]
    fn byte_order_marks_and_carriage_returns_are_stripped() {
        let text = "\u{feff}a\r\n\u{feff}# comment\r\n\u{feff}b\r\r\n\u{feff}\r\n";
        assert_eq!(read(text.as_bytes()).unwrap(), [(1, "a"), (3, "b")]);
    }

    #[test]
    fn what_is_not_text_is_refused_with_its_line() {
        let rows: [(&[u8], &str); 7] = [
            (b"a\nb\0c", "keys line 2: found control character U+0000, expected text"),
            (b"a\x1b[2J", "keys line 1: found control character U+001B"),
            (b"a\rb", "keys line 1: found control character U+000D"),
            (b"# a\x07", "keys line 1: found control character U+0007"),
            ("a\u{9b}b".as_bytes(), "keys line 1: found control character U+009B"),
            (b"\n\n\xff\xfea", "keys line 3: found bytes that are not UTF-8 text"),
            (&vec![b'a'; LINE_LIMIT + 1], "line of 16385 bytes, expected at most 16384"),
        ];
        for (bytes, expected) in rows {
            let found = read(bytes).unwrap_err();
            assert!(found.contains(expected), "{found}");
        }
        assert!(read(&vec![b'a'; LINE_LIMIT]).is_ok());
    }

    #[test]
    fn more_than_the_limit_is_refused() {
        let line = [b'#'; 1023];
        let fits = [line.as_slice(), b"\n"].concat().repeat(1024);
        assert_eq!((fits.len(), read(&fits)), (LIMIT, Ok(vec![])));
        let found = read(&[fits.as_slice(), b"\n"].concat()).unwrap_err();
        assert_eq!(found, "keys: found more than 1048576 bytes, expected a file of public keys");
    }

    #[test]
    fn a_private_key_is_named_before_anything_else_that_is_wrong() {
        let secret = "c2VjcmV0c2VjcmV0";
        let armour = format!("\0\n-----BEGIN RSA PRIVATE KEY-----\n{secret}\n");
        let found = read(armour.as_bytes()).unwrap_err();
        assert_eq!(found, "keys line 2: found a private key (PEM, RSA), expected a public one");
    }

    #[test]
    fn another_format_is_named_with_its_line() {
        let found = read(b"\n---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n").unwrap_err();
        assert_eq!(found, "keys line 2: found an SSH2 public key, expected an OpenSSH public key");
    }
}
