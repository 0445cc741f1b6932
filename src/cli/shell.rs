//! Words as they are typed in a shell.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// How a path is typed in a shell.
pub(crate) fn shell_quote(path: &Path) -> String {
    let Some(shown) = path.to_str().filter(|text| !text.contains(char::is_control)) else {
        return bytes_quoted(path.as_os_str().as_bytes());
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !shown.is_empty() && shown.chars().all(plain) {
        shown.to_owned()
    } else {
        format!("'{}'", shown.replace('\'', r"'\''"))
    }
}

/// A name that a terminal cannot show, as bash, zsh and ksh read it.
fn bytes_quoted(name: &[u8]) -> String {
    let shown = |byte: &u8| match byte {
        b'\'' | b'\\' => format!("\\{}", char::from(*byte)),
        b' '..=b'~' => char::from(*byte).to_string(),
        _ => format!("\\{byte:03o}"),
    };
    format!("$'{}'", name.iter().map(shown).collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_word_is_quoted_as_a_shell_reads_it() {
        for (name, shown) in [
            (&b"a/b.iso"[..], "a/b.iso"),
            (b"a b", "'a b'"),
            (b"", "''"),
            (b"it's", r"'it'\''s'"),
            ("\u{fc}".as_bytes(), "'\u{fc}'"),
            (b"a\xff'\\", r"$'a\377\'\\'"),
            (b"a\nb", r"$'a\012b'"),
        ] {
            assert_eq!(shell_quote(Path::new(OsStr::from_bytes(name))), shown);
        }
    }
}
