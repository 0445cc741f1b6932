//! Fetches a small text by https, in bounded time: keys, which are not bases.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::fetch_options::FetchOptions;
use super::http::Client;
use super::release::follow;
use super::url::Url;
use crate::error::{Error, Result};

/// How long a server may say nothing.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long all of it may take, but for the last silence.
const LONGEST: Duration = Duration::from_secs(30);

/// What to do where nothing better is known.
const HINT_SERVER: &str = "check the address and the network, and https_proxy and no_proxy; for an authority of your own, SSL_CERT_FILE";

/// The text at an https address, of at most `most` bytes. Redirects lead to https only.
///
/// # Errors
/// [`Error::Network`] for whatever is not a whole text in time.
pub fn fetch_text(url: &str, most: u64) -> Result<Vec<u8>> {
    let url = Url::parse(url)?;
    let fault =
        |reason: String| Error::Network { url: url.to_string(), reason, hint: HINT_SERVER.into() };
    if url.scheme() != "https" {
        return Err(fault("http is not protected against changes on the way".to_owned()));
    }
    let client = Client::new(&FetchOptions { timeout: TIMEOUT, ..FetchOptions::default() })?;
    let started = Instant::now();
    let answer = follow(&client, &url, &[]).map_err(with_server_hint)?;
    match answer.status {
        200 => {}
        404 | 410 => return Err(fault("the server knows no such user or file".to_owned())),
        status => return Err(fault(format!("the server answers with status {status}"))),
    }
    whole(answer.body, most, || started.elapsed()).map_err(fault)
}

/// All of a text that comes; a message if it has more than `most` bytes, or takes too long. `elapsed` is the time that it takes.
fn whole(
    body: impl Read,
    most: u64,
    elapsed: impl Fn() -> Duration,
) -> std::result::Result<Vec<u8>, String> {
    let (mut text, mut part) = (Vec::new(), [0; 4096]);
    let broken = |why: io::Error| format!("broken off: {why}");
    let mut body = body.take(most);
    loop {
        let read = body.read(&mut part).map_err(broken)?;
        let Some(part) = part.get(..read).filter(|part| !part.is_empty()) else { break };
        text.extend_from_slice(part);
        if elapsed() > LONGEST {
            return Err(format!("not complete after {} s", LONGEST.as_secs()));
        }
    }
    match body.into_inner().read(&mut part).map_err(broken)? {
        0 => Ok(text),
        _ => Err(format!("more than {most} bytes")),
    }
}

/// The same fault, with what helps where no image is fetched.
fn with_server_hint(fault: Error) -> Error {
    match fault {
        Error::Network { url, reason, .. } => {
            Error::Network { url, reason, hint: HINT_SERVER.into() }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_so_many_bytes_and_so_much_time() {
        let got = |most, seconds| whole(&b"1234"[..], most, || Duration::from_secs(seconds));
        assert_eq!(got(4, 30), Ok(b"1234".to_vec()));
        assert_eq!(got(3, 30), Err("more than 3 bytes".to_owned()));
        assert_eq!(got(4, 31), Err("not complete after 30 s".to_owned()));
    }
}
