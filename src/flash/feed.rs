//! Reads an image once and gives every chunk to all media that still listen.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::buffer::{BUFFER, HEAD, Lease, Pool};
use super::expected::Digests;
use super::source::Image;
use crate::checked;
use crate::error::Result;
use crate::image::unpack::{DigestMatch, Feed, Stream};
use crate::units::{u64_len, usize_of};

/// Buffers on their way from the image to the media.
pub(super) const BUFFERS: usize = 3;

/// A piece of the image: the first [`HEAD`] bytes, and then a buffer at a time.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) at: u64,
    /// Bytes of the image; what follows in the buffer is zero.
    pub(super) used: usize,
    pub(super) buf: Lease,
}

impl Chunk {
    /// The bytes of the image.
    pub(super) fn bytes(&self) -> Result<&[u8]> {
        checked::part(self.buf.bytes()?, ..self.used, "the bytes of a chunk")
    }
}

/// What a medium hears.
#[derive(Debug, Clone)]
pub(super) enum Message {
    /// The next piece.
    Chunk(Arc<Chunk>),
    /// That was all. Of a stream, its digests, and which bytes have the SHA-256 that was demanded.
    End { size: u64, digests: Option<Arc<Digests>>, fits: Option<DigestMatch> },
}

/// Reads until the image ends or nobody listens. Listeners that hear no [`Message::End`] know that
/// the image could not be read.
pub(super) fn read(image: Image<'_>, mut listeners: Vec<SyncSender<Message>>) -> Result<()> {
    let pool = Pool::new(BUFFERS)?;
    match image {
        Image::Whole(image) => {
            let mut done = 0;
            let tell = &mut listeners;
            while done < image.size() && !tell.is_empty() {
                let mut buf = pool.take()?;
                let left = checked::difference(image.size(), done, "the rest of the image")?;
                let used = usize_of(left.min(size_at(done)));
                let place = checked::part_mut(buf.bytes_mut()?, ..used, "the place of a chunk")?;
                image.read_exact_at(place, done)?;
                done = pass_on(tell, buf, done, used)?;
            }
            send(tell, &Message::End { size: done, digests: None, fits: None });
        }
        Image::Stream(stream) => read_stream(stream, &pool, &mut listeners)?,
    }
    Ok(())
}

fn read_stream(mut stream: Stream, pool: &Pool, to: &mut Vec<SyncSender<Message>>) -> Result<()> {
    let mut digests = Digests::default();
    let mut done = 0;
    while !to.is_empty() {
        let mut buf = pool.take()?;
        let wanted = usize_of(size_at(done));
        let used =
            stream.fill(checked::part_mut(buf.bytes_mut()?, ..wanted, "the place of a chunk")?)?;
        let is_end = used < wanted;
        if used > 0 {
            digests.add(checked::part(buf.bytes()?, ..used, "the bytes of a chunk")?)?;
            done = pass_on(to, buf, done, used)?;
        }
        if is_end {
            break;
        }
    }
    if to.is_empty() {
        return Ok(());
    }
    // Before the end is reported, as the first block comes behind it.
    let fits = stream.fits()?;
    send(to, &Message::End { size: done, digests: Some(Arc::new(digests)), fits });
    Ok(())
}

/// How much of the image goes into the buffer that begins at byte `at` of it.
fn size_at(at: u64) -> u64 {
    if at == 0 { HEAD } else { BUFFER }
}

/// Sends a chunk and answers where the next one begins. What the buffer held before is cleared.
fn pass_on(to: &mut Vec<SyncSender<Message>>, mut buf: Lease, at: u64, used: usize) -> Result<u64> {
    checked::part_mut(buf.bytes_mut()?, used.., "the rest of a buffer")?.fill(0);
    let chunk = Chunk { at, used, buf };
    let end = checked::sum(at, u64_len(chunk.bytes()?), "the end of a chunk")?;
    send(to, &Message::Chunk(Arc::new(chunk)));
    Ok(end)
}

/// Sends to all, and forgets those that have gone.
fn send(to: &mut Vec<SyncSender<Message>>, message: &Message) {
    to.retain(|listener| listener.send(message.clone()).is_ok());
}
