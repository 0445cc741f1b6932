//! A stick in memory that can be made to fail in the ways real ones do.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use remaster::flash::Medium;

/// Bytes that no image of the tests holds.
const OLD: u8 = 0xA5;

/// Some bytes and their place.
type Cell = (u64, Vec<u8>);

/// A medium in memory.
pub(crate) struct Stick {
    pub(crate) bytes: Mutex<Vec<u8>>,
    /// What a cache that needs power holds back, if there is one.
    pub(crate) cache: Option<Mutex<Cache>>,
    pub(crate) claimed: u64,
    /// The last bytes that are written are read as they were, whatever becomes of them: how many, and which.
    pub(crate) remembers: (usize, Mutex<VecDeque<Cell>>),
    /// Addresses are taken modulo this.
    pub(crate) wraps_at: u64,
    /// What is written here goes so many bytes before it.
    pub(crate) strays: (Range<u64>, u64),
    /// Writes end after so many bytes.
    pub(crate) shortest: Option<usize>,
    /// Writes that touch this are forgotten.
    pub(crate) deaf: Range<u64>,
    /// Writing this fails.
    pub(crate) unwritable: Range<u64>,
    /// Reading this fails.
    pub(crate) unreadable: Range<u64>,
    /// Bits that turn over when what holds them is written.
    pub(crate) flips: Vec<(u64, u8)>,
    /// After so many writes, power is gone.
    pub(crate) writes_left: AtomicU64,
    /// Every read of this gives something else.
    pub(crate) noisy: Range<u64>,
    pub(crate) reads: AtomicU64,
    pub(crate) written: AtomicU64,
    /// Places that are told to keep marks.
    pub(crate) marks: AtomicU64,
    pub(crate) block: u64,
}

/// Which of the writes that were not flushed are there after power went, by their numbers counted from the last one.
pub(crate) const SURVIVORS: [fn(usize) -> bool; 4] =
    [|_| false, |last| last == 0, |last| last != 0, |last| last % 2 == 1];

/// What is not on the medium for certain.
pub(crate) struct Cache {
    /// The medium as the last flush left it.
    kept: Vec<u8>,
    /// Writes since then, in order.
    held: Vec<(usize, Vec<u8>)>,
}

impl Stick {
    /// The same with a cache that loses and reorders what was not flushed when power goes.
    pub(crate) fn cached(mut self) -> Self {
        let kept = self.contents();
        self.cache = Some(Mutex::new(Cache { kept, held: Vec::new() }));
        self
    }

    /// How many writes would be lost.
    pub(crate) fn unflushed(&self) -> usize {
        self.cache.as_ref().map_or(0, |cache| cache.lock().unwrap().held.len())
    }

    /// Power goes: of what was not flushed only the writes are there that `survives` chooses.
    pub(crate) fn lose_power(&self, survives: impl Fn(usize) -> bool) -> Vec<u8> {
        let Some(cache) = &self.cache else { return self.contents() };
        let cache = cache.lock().unwrap();
        let mut bytes = cache.kept.clone();
        for (number, (at, new)) in cache.held.iter().enumerate() {
            if survives(cache.held.len() - 1 - number) {
                bytes[*at..at + new.len()].copy_from_slice(new);
            }
        }
        bytes
    }

    pub(crate) fn new(size: u64) -> Self {
        // Old contents that no two places share.
        Self::holding(
            (0..size / 8).flat_map(|n| (n ^ 0xA5A5_0000_0000_0000).to_le_bytes()).collect(),
        )
    }

    /// One with these contents.
    pub(crate) fn holding(bytes: Vec<u8>) -> Self {
        let size = bytes.len() as u64;
        Self {
            bytes: Mutex::new(bytes),
            cache: None,
            claimed: size,
            remembers: (0, Mutex::default()),
            wraps_at: u64::MAX,
            strays: (0..0, 0),
            shortest: None,
            deaf: 0..0,
            unwritable: 0..0,
            unreadable: 0..0,
            flips: Vec::new(),
            writes_left: AtomicU64::new(u64::MAX),
            noisy: 0..0,
            reads: AtomicU64::new(0),
            written: AtomicU64::new(0),
            marks: AtomicU64::new(0),
            block: 512,
        }
    }

    pub(crate) fn contents(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    fn remember(&self, bytes: &[u8], at: u64) {
        if self.remembers.0 == 0 {
            return;
        }
        let mut last = self.remembers.1.lock().unwrap();
        for (cell, place) in bytes.chunks(512).zip((at..).step_by(512)) {
            last.push_back((place, cell.to_vec()));
        }
        let excess = last.len().saturating_sub(self.remembers.0 / 512);
        last.drain(..excess);
    }

    fn check(&self, address: u64, memory: &[u8]) {
        // What O_DIRECT would answer with EINVAL is a bug of the writer here.
        assert_eq!(address % self.block, 0, "address {address:#x} is not aligned");
        assert_eq!(memory.len() as u64 % self.block, 0, "length {:#x}", memory.len());
        assert_eq!(memory.as_ptr() as usize % 512, 0, "memory is not aligned");
    }
}

fn overlaps(range: &Range<u64>, at: u64, len: usize) -> bool {
    range.start < at + len as u64 && at < range.end
}

impl Medium for Stick {
    fn name(&self) -> String {
        "/dev/stick".into()
    }

    fn size(&self) -> Option<u64> {
        Some(self.claimed)
    }

    fn block(&self) -> u64 {
        self.block
    }

    fn is_direct(&self) -> bool {
        true
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        self.check(at, bytes);
        let left = self.writes_left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.writes_left.store(left - 1, Ordering::SeqCst);
        if overlaps(&self.unwritable, at, bytes.len()) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let count = self.shortest.map_or(bytes.len(), |most| most.min(bytes.len()));
        let mut held = self.bytes.lock().unwrap();
        self.written.fetch_add(count as u64, Ordering::SeqCst);
        self.remember(&bytes[..count], at);
        // A cache takes everything; what the medium makes of it shows behind a flush.
        let is_hidden = self.cache.is_some() || self.deaf.is_empty();
        let is_plain = is_hidden && self.wraps_at == u64::MAX && self.strays.0.is_empty();
        if is_plain {
            let end = held.len().min(at as usize + count);
            held[at as usize..end].copy_from_slice(&bytes[..end - at as usize]);
            if let Some(cache) = &self.cache {
                let new = bytes[..end - at as usize].to_vec();
                cache.lock().unwrap().held.push((at as usize, new));
            }
        }
        for (n, byte) in bytes[..count].iter().enumerate().filter(|_| !is_plain) {
            let address = at + n as u64;
            if self.deaf.contains(&address) {
                continue;
            }
            let shift = if self.strays.0.contains(&address) { self.strays.1 } else { 0 };
            let place = ((address - shift) % self.wraps_at) as usize;
            if let Some(cell) = held.get_mut(place) {
                *cell = *byte;
            }
        }
        for (address, bit) in &self.flips {
            if (at..at + count as u64).contains(address) {
                held[*address as usize] ^= 1 << bit;
            }
        }
        Ok(count)
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.check(at, buf);
        let nth = self.reads.fetch_add(1, Ordering::SeqCst);
        if overlaps(&self.unreadable, at, buf.len()) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let held = self.bytes.lock().unwrap();
        let count = buf.len().min(self.claimed.saturating_sub(at) as usize);
        if self.noisy.is_empty() && self.wraps_at == u64::MAX && held.len() as u64 == self.claimed {
            buf[..count].copy_from_slice(&held[at as usize..][..count]);
            return Ok(count);
        }
        for (n, byte) in buf[..count].iter_mut().enumerate() {
            let address = at + n as u64;
            *byte = held.get((address % self.wraps_at) as usize).copied().unwrap_or(OLD);
            if self.noisy.contains(&address) {
                *byte ^= (nth as u8) | 1;
            }
        }
        for (place, cell) in self.remembers.1.lock().unwrap().iter() {
            let within = place.checked_sub(at).and_then(|from| buf.get_mut(from as usize..));
            if let Some(room) = within.and_then(|room| room.get_mut(..cell.len())) {
                room.copy_from_slice(cell);
            }
        }
        Ok(count)
    }

    fn flush(&self) -> io::Result<()> {
        if self.writes_left.load(Ordering::SeqCst) == 0 {
            return Err(io::Error::from_raw_os_error(5));
        }
        if let Some(cache) = &self.cache {
            let cache = &mut *cache.lock().unwrap();
            for (at, new) in cache.held.drain(..) {
                for (place, byte) in (at..).zip(new) {
                    if !self.deaf.contains(&(place as u64)) {
                        cache.kept[place] = byte;
                    }
                }
            }
            self.bytes.lock().unwrap().copy_from_slice(&cache.kept);
        }
        Ok(())
    }

    fn cut(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn keeps_marks(&self, places: usize) {
        self.marks.store(places as u64, Ordering::SeqCst);
    }

    fn is_gone(&self) -> bool {
        false
    }
}
