//! Reads an image once and gives every chunk to all media that still listen.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::Image;
use super::buffer::{BUFFER, HEAD, Lease, Pool};
use super::meant::Digests;
use crate::error::Result;
use crate::image::unpack::{Feed, Stream};
use crate::units::{in_memory, len_of};

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

/// What a medium hears.
#[derive(Debug, Clone)]
pub(super) enum Message {
    /// The next piece.
    Chunk(Arc<Chunk>),
    /// That was all. Of a stream, its digests.
    End { size: u64, digests: Option<Arc<Digests>> },
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
                let used = in_memory(image.size().saturating_sub(done).min(size_at(done)));
                image.read_exact_at(buf.get_mut(..used).unwrap_or_default(), done)?;
                done = pass_on(tell, buf, done, used);
            }
            send(tell, &Message::End { size: done, digests: None });
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
        let wanted = in_memory(size_at(done));
        let used = stream.fill(buf.get_mut(..wanted).unwrap_or_default())?;
        let is_end = used < wanted;
        if used > 0 {
            digests.add(buf.get(..used).unwrap_or_default());
            done = pass_on(to, buf, done, used);
        }
        if is_end {
            break;
        }
    }
    send(to, &Message::End { size: done, digests: Some(Arc::new(digests)) });
    Ok(())
}

/// How much of the image goes into the buffer that begins at byte `at` of it.
fn size_at(at: u64) -> u64 {
    if at == 0 { HEAD } else { BUFFER }
}

/// Sends a chunk and answers where the next one begins. What the buffer held before is cleared.
fn pass_on(to: &mut Vec<SyncSender<Message>>, mut buf: Lease, at: u64, used: usize) -> u64 {
    buf.get_mut(used..).unwrap_or_default().fill(0);
    let end = at.saturating_add(len_of(buf.get(..used).unwrap_or_default()));
    send(to, &Message::Chunk(Arc::new(Chunk { at, used, buf })));
    end
}

/// Sends to all, and forgets those that have gone.
fn send(to: &mut Vec<SyncSender<Message>>, message: &Message) {
    to.retain(|listener| listener.send(message.clone()).is_ok());
}
