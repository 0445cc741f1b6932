//! Gets a large file, in several goes if need be, and trusts it only by its SHA-256.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cache::{read_json, write_json};
use super::http::{Answer, Client};
use super::release::{Release, check_status, follow};
use crate::checked;
use crate::error::{Error, Result};
use crate::hex;
use crate::progress::Progress;
use crate::units::{u64_len, usize_of};

/// What to do about a file that is not the one that was published.
pub(super) const FETCH_AGAIN: &str =
    "fetch it again; if that does not help, ask who runs the mirror";
/// Tries in a row that may break off, if each of them brings something.
const MOST_GOES: u32 = 5;
/// Bytes that are read at once.
const CHUNK: u64 = 1 << 18;
/// A server that does not end is broken off here; installers have up to 4 GiB.
pub(super) const LARGEST: u64 = 64 << 30;

/// A file that is not whole yet, and what lets it be continued.
pub(super) struct Part<'a> {
    pub(super) path: PathBuf,
    /// Where [`Note`] is kept.
    pub(super) note: PathBuf,
    pub(super) release: &'a Release,
    /// Bytes that it has at most.
    pub(super) most: u64,
}

/// By what the rest is known to belong to the beginning.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Note {
    url: String,
    sha256: String,
    /// A strong `ETag`, or `Last-Modified` (RFC 9110 §13.1.5).
    validator: String,
}

/// Why a go ended early.
enum Broken {
    /// The connection ended; the same can be asked for once more.
    Off(Error),
    /// What is there is of no use.
    Useless,
    /// It makes no sense to go on.
    Final(Error),
}

impl From<Error> for Broken {
    fn from(fault: Error) -> Self {
        Self::Final(fault)
    }
}

impl Part<'_> {
    /// Gets all of it, and checks it. What was got before is continued. On an error what there is stays,
    /// unless it is whole and wrong. Gives the size.
    pub(super) fn complete(&self, client: &Client, progress: &dyn Progress) -> Result<u64> {
        let doing = || format!("write {}", self.path.display());
        let mut options = File::options();
        let file = options.create(true).truncate(false).read(true).write(true).open(&self.path);
        let mut file = file.map_err(Error::io(doing()))?;
        self.all(client, &mut file, progress)?;
        file.sync_all().map_err(Error::io(doing()))?;
        let (found, size) = hash(&mut file, &self.path, progress)?;
        if found == self.release.sha256 {
            return Ok(size);
        }
        for path in [&self.path, &self.note] {
            fs::remove_file(path).map_err(Error::io(format!("remove {}", path.display())))?;
        }
        let expected = self.release.sha256.clone();
        Err(Error::Checksum {
            what: self.release.image.to_string(),
            found,
            expected,
            hint: FETCH_AGAIN.into(),
        })
    }

    fn all(&self, client: &Client, file: &mut File, progress: &dyn Progress) -> Result<()> {
        let mut goes: u32 = 0;
        loop {
            let before = size_of(file, &self.path)?;
            let (fault, useful) = match self.go(client, file, progress) {
                Ok(()) => return Ok(()),
                Err(Broken::Final(fault)) => return Err(fault),
                Err(Broken::Useless) => (None, before > 0),
                Err(Broken::Off(fault)) => (Some(fault), size_of(file, &self.path)? > before),
            };
            goes = goes.saturating_add(1);
            if !useful || goes >= MOST_GOES {
                return Err(
                    fault.unwrap_or_else(|| self.fault("the server sends a wrong part of it"))
                );
            }
            if fault.is_none() {
                self.clear(file)?;
            }
        }
    }

    /// Asks once and takes what comes.
    fn go(&self, client: &Client, file: &mut File, progress: &dyn Progress) -> Result<(), Broken> {
        let have = self.resumable(file)?;
        let mut headers = Vec::new();
        if let Some((size, validator)) = &have {
            headers.push(("Range", format!("bytes={size}-")));
            headers.push(("If-Range", validator.clone()));
        }
        let answer = follow(client, &self.release.image, &headers)?;
        let have = have.map_or(0, |(size, _)| size);
        match answer.status {
            206 if have > 0 => match Range::parse(&answer) {
                Some(range) if range.start == have => {
                    self.take(answer, file, (have, range.total), progress)
                }
                _ => Err(Broken::Useless),
            },
            // What we have is longer than all of it.
            416 if have > 0 => Err(Broken::Useless),
            _ => {
                check_status(&answer, &[200])?;
                self.clear(file)?;
                self.write_note(&answer)?;
                let total = answer.length;
                self.take(answer, file, (0, total), progress)
            }
        }
    }

    /// The bytes there are and what proves that more of the same follows; none if it must begin again.
    fn resumable(&self, file: &File) -> Result<Option<(u64, String)>> {
        let size = size_of(file, &self.path)?;
        // A note that cannot be read is as good as none.
        let note = read_json::<Note>(&self.note).ok().flatten();
        let fits = |note: &Note| {
            note.url == self.release.image.to_string() && note.sha256 == self.release.sha256
        };
        Ok(note.filter(|note| size > 0 && fits(note)).map(|note| (size, note.validator)))
    }

    fn clear(&self, file: &File) -> Result<()> {
        file.set_len(0).map_err(Error::io(format!("write {}", self.path.display())))
    }

    /// A weak `ETag` proves nothing about bytes (RFC 9110 §8.8.1).
    fn write_note(&self, answer: &Answer) -> Result<()> {
        let strong = answer.etag.clone().filter(|etag| !etag.starts_with("W/"));
        let Some(validator) = strong.or_else(|| answer.modified.clone()) else {
            return match fs::remove_file(&self.note) {
                Err(fault) if fault.kind() != io::ErrorKind::NotFound => {
                    Err(Error::io(format!("remove {}", self.note.display()))(fault))
                }
                _ => Ok(()),
            };
        };
        let (url, sha256) = (self.release.image.to_string(), self.release.sha256.clone());
        write_json(&self.note, &Note { url, sha256, validator })
    }

    /// Writes what comes behind the `have` bytes that are there.
    fn take(
        &self,
        mut answer: Answer,
        file: &mut File,
        (have, total): (u64, Option<u64>),
        progress: &dyn Progress,
    ) -> Result<(), Broken> {
        let doing = || format!("write {}", self.path.display());
        if let Some(total) = total.filter(|total| *total > self.most) {
            let most = self.most;
            return Err(self
                .fault(&format!("the file has {total} bytes, more than {most}"))
                .into());
        }
        file.seek(SeekFrom::Start(have)).map_err(Error::io(doing()))?;
        progress.begin("fetch", total.unwrap_or(0));
        progress.advance(have);
        let (mut done, mut buffer) = (have, vec![0; usize_of(CHUNK)]);
        loop {
            if progress.is_cancelled() {
                return Err(Error::Interrupted.into());
            }
            let chunk = match answer.body.read(&mut buffer) {
                Ok(count) => checked::part(&buffer, ..count, "what was read")?,
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => continue,
                Err(fault) => {
                    return Err(Broken::Off(self.broken_off(done, total, &fault.to_string())));
                }
            };
            if chunk.is_empty() {
                break;
            }
            file.write_all(chunk).map_err(Error::io(doing()))?;
            done = checked::sum(done, u64_len(chunk), "what was fetched")?;
            progress.advance(u64_len(chunk));
            if done > total.unwrap_or(self.most) {
                return Err(self
                    .fault("the server sends more than it said, and does not end")
                    .into());
            }
        }
        progress.end();
        if total.is_some_and(|total| done < total) {
            return Err(Broken::Off(self.broken_off(done, total, "the connection ended")));
        }
        Ok(())
    }

    fn broken_off(&self, done: u64, total: Option<u64>, why: &str) -> Error {
        let of = total.map(|total| format!(" of {total}")).unwrap_or_default();
        self.fault(&format!("broken off after {done}{of} bytes: {why}"))
    }

    fn fault(&self, reason: &str) -> Error {
        Error::Network {
            url: self.release.image.to_string(),
            reason: reason.to_owned(),
            hint: "run it again: it continues where it stopped, if the server can".into(),
        }
    }
}

/// `Content-Range: bytes START-END/TOTAL` (RFC 9110 §14.4).
struct Range {
    start: u64,
    total: Option<u64>,
}

impl Range {
    fn parse(answer: &Answer) -> Option<Self> {
        let (range, total) = answer.range.as_deref()?.strip_prefix("bytes ")?.split_once('/')?;
        let (start, _) = range.split_once('-')?;
        Some(Self { start: start.trim().parse().ok()?, total: total.trim().parse().ok() })
    }
}

fn size_of(file: &File, path: &Path) -> Result<u64> {
    let about = file.metadata().map_err(Error::io(format!("look at {}", path.display())))?;
    Ok(about.len())
}

/// The SHA-256 of a file in hexadecimal, and its size.
pub(super) fn hash(file: &mut File, path: &Path, progress: &dyn Progress) -> Result<(String, u64)> {
    let doing = || format!("read {}", path.display());
    progress.begin("check", size_of(file, path)?);
    file.seek(SeekFrom::Start(0)).map_err(Error::io(doing()))?;
    let (mut digest, mut size) = (Sha256::new(), 0_u64);
    let mut buffer = vec![0; usize_of(CHUNK)];
    loop {
        if progress.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let count = file.read(&mut buffer).map_err(Error::io(doing()))?;
        let chunk = checked::part(&buffer, ..count, "what was read")?;
        if chunk.is_empty() {
            break;
        }
        digest.update(chunk);
        size = checked::sum(size, u64_len(chunk), "the size of the file")?;
        progress.advance(u64_len(chunk));
    }
    progress.end();
    Ok((hex::digits(&digest.finalize()), size))
}

#[cfg(test)]
#[cfg(feature = "fetch")]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::super::fetch_options::FetchOptions;
    use super::super::url::Url;
    use super::*;
    use crate::progress::Silent;

    const FILE: &[u8] = &[7; 6000];

    /// Answers one request with so many bytes of the rest, and ends the connection.
    fn answer(mut stream: TcpStream, bytes: usize) -> io::Result<()> {
        let (mut asked, mut buffer) = (Vec::new(), [0; 1024]);
        while !asked.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut buffer)?;
            asked.extend(&buffer[..count]);
        }
        let asked = String::from_utf8(asked).unwrap().to_ascii_lowercase();
        let from = asked
            .split_once("range: bytes=")
            .map_or(0, |(_, rest)| rest.split_once('-').unwrap().0.parse::<usize>().unwrap());
        let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
        let (range, rest) = (format!("bytes {from}-5999/6000"), &FILE[from..]);
        write!(stream, "HTTP/1.1 {status}\r\nETag: \"a\"\r\nContent-Range: {range}\r\n")?;
        write!(stream, "Content-Length: {}\r\n\r\n", rest.len())?;
        stream.write_all(&rest[..rest.len().min(bytes)])
    }

    /// Fetches from a server that gives so many bytes a go.
    fn fetched(bytes: usize, most: u64) -> Result<u64> {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let image = format!("http://{}/x.iso", server.local_addr().unwrap());
        std::thread::spawn(move || {
            server.incoming().try_for_each(|stream| answer(stream?, bytes)).unwrap();
        });
        let folder = tempfile::tempdir().unwrap();
        let (path, note) = (folder.path().join("part"), folder.path().join("note"));
        let whole = folder.path().join("whole");
        fs::write(&whole, FILE).unwrap();
        let (sha256, _) = hash(&mut File::open(&whole).unwrap(), &whole, &Silent).unwrap();
        let release = Release { version: "1".into(), image: Url::parse(&image).unwrap(), sha256 };
        let part = Part { path, note, release: &release, most };
        part.complete(&Client::new(&FetchOptions::default())?, &Silent)
    }

    #[test]
    fn a_server_that_breaks_off_is_asked_up_to_five_times() {
        assert_eq!(fetched(1200, LARGEST).unwrap(), 6000);
        let fault = fetched(1199, LARGEST).unwrap_err().to_string();
        assert!(fault.contains("broken off after 5995 of 6000 bytes"), "{fault}");
    }

    #[test]
    fn a_file_has_so_many_bytes_at_most() {
        assert_eq!(fetched(6000, 6000).unwrap(), 6000);
        let fault = fetched(6000, 5999).unwrap_err().to_string();
        assert!(fault.contains("the file has 6000 bytes, more than 5999"), "{fault}");
    }
}
