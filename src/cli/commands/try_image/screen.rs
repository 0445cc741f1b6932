//! What a machine's screen shows, by QEMU's machine protocol (QMP).

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use remaster::error::{Error, Result};
use remaster::output::file::{FileAccess, Output};
use serde_json::{Value, json};

/// How long QEMU may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Writes a picture of what the screen shows. QEMU writes it below `folder` first.
pub(super) fn shoot(socket: &Path, folder: &Path, to: &Output) -> Result<()> {
    let picture = folder.join("screen.png");
    let asked = ask(socket, &picture).map_err(Error::io("have QEMU make a picture"))?;
    if let Some(fault) = asked {
        return Err(Error::NotFound {
            what: format!("QEMU made no picture of the screen: {fault}"),
            hint: "--screenshot needs QEMU 7.1 or later, built with PNG".into(),
        });
    }
    let bytes = std::fs::read(&picture).map_err(Error::io("read the picture of the screen"))?;
    to.write_bytes(&bytes, FileAccess::OwnerIfPossible)
}

/// What QEMU has against it, if it has something.
fn ask(socket: &Path, picture: &Path) -> std::io::Result<Option<String>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    // It greets before it takes anything.
    lines.next().transpose()?;
    let shot = json!({ "filename": picture.to_string_lossy(), "format": "png" });
    for (command, arguments) in [("qmp_capabilities", json!({})), ("screendump", shot)] {
        writeln!(stream, "{}", json!({ "execute": command, "arguments": arguments }))?;
        // Events come between.
        loop {
            let line = lines.next().ok_or(std::io::ErrorKind::UnexpectedEof)??;
            let answer: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(fault) = answer.get("error") {
                return Ok(Some(fault["desc"].as_str().unwrap_or("no reason given").to_owned()));
            }
            if answer.get("return").is_some() {
                break;
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::cli::destination::place_of;

    /// Answers as QEMU does, the last command with this.
    fn qemu(socket: &Path, last: &'static str, picture: Option<&Path>) {
        let listener = UnixListener::bind(socket).unwrap();
        let picture = picture.map(Path::to_owned);
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            writeln!(stream, "{{\"QMP\": {{}}}}").unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            assert!(lines.next().unwrap().unwrap().contains("qmp_capabilities"));
            writeln!(stream, "{{\"return\": {{}}}}\n{{\"event\": \"X\"}}").unwrap();
            let asked = lines.next().unwrap().unwrap();
            assert!(asked.contains("\"screendump\"") && asked.contains("\"png\""), "{asked}");
            if let Some(picture) = picture {
                std::fs::write(picture, b"PNG").unwrap();
            }
            writeln!(stream, "{last}").unwrap();
        });
    }

    #[test]
    fn the_picture_is_written_and_what_qemu_says_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let to = place_of(&at("out.png"), "--screenshot").unwrap();
        qemu(&at("a"), "{\"return\": {}}", Some(&at("screen.png")));
        shoot(&at("a"), folder.path(), &to).unwrap();
        assert_eq!(std::fs::read(at("out.png")).unwrap(), b"PNG");
        qemu(&at("b"), "{\"error\": {\"desc\": \"no console\"}}", None);
        let fault = shoot(&at("b"), folder.path(), &to).unwrap_err().to_string();
        assert_eq!(fault, "QEMU made no picture of the screen: no console");
        assert!(place_of(&at("none/out.png"), "--screenshot").is_err());
        qemu(&at("c"), "", None);
        let fault = shoot(&at("c"), folder.path(), &to).unwrap_err().to_string();
        assert_eq!(fault, "cannot have QEMU make a picture");
    }
}
