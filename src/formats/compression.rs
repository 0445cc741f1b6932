//! Compressed streams as the kernel tells them apart (Linux `lib/decompress.c`): one initrd may be
//! several of them in a row.

use std::io::{self, BufRead, Read};

/// The most that decoding may keep in memory: windows up to 128 MiB are what `zstd --ultra` makes.
pub(crate) const LARGEST_WINDOW_LOG: u32 = 27;

/// How a piece of an initrd is compressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Compression {
    /// Not at all: a newc archive.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// The .xz file format 1.1.
    Xz,
    /// The .lzma file format.
    Lzma,
    /// bzip2.
    Bzip2,
    /// The legacy frame of LZ4, the only one the kernel knows.
    Lz4,
}

impl Compression {
    /// Tells by the first bytes; the bytes themselves if they are of nothing known.
    pub fn recognize(head: &[u8]) -> Result<Self, String> {
        const MAGICS: [(&[u8], Compression); 8] = [
            (b"070701", Compression::None),
            (b"070702", Compression::None),
            (&[0x1f, 0x8b], Compression::Gzip),
            (&[0x28, 0xb5, 0x2f, 0xfd], Compression::Zstd),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Compression::Xz),
            (&[0x5d, 0, 0], Compression::Lzma),
            (b"BZh", Compression::Bzip2),
            (&[0x02, 0x21, 0x4c, 0x18], Compression::Lz4),
        ];
        let found = MAGICS.iter().find(|(magic, _)| head.starts_with(magic));
        found.map(|(_, compression)| *compression).ok_or_else(|| {
            let shown: Vec<String> =
                head.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
            format!("bytes {}", shown.join(" "))
        })
    }

    /// The name people know it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "lz4",
        }
    }

    /// Whether decoding may keep more than 8 MiB, as told by the first bytes. xz and lzma say it block by block, or where
    /// nothing else can be told.
    pub(crate) fn has_large_window(self, head: &[u8]) -> bool {
        match (self, head) {
            (Self::None | Self::Gzip | Self::Bzip2 | Self::Lz4, _) => false,
            // Bit 5 of the Frame_Header_Descriptor: no Window_Descriptor, whose exponent is 10 less (RFC 8878, 3.1.1.1).
            (Self::Zstd, [_, _, _, _, frame, window, ..]) => frame & 0x20 != 0 || *window > 13 << 3,
            (Self::Zstd | Self::Xz | Self::Lzma, _) => true,
        }
    }

    /// A decoder that ends with the stream and takes no byte behind it.
    pub(crate) fn decoder<'a>(
        self,
        stream: &'a mut (dyn BufRead + 'a),
    ) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::None => Box::new(stream),
            Self::Gzip => Box::new(flate2::bufread::GzDecoder::new(stream)),
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(stream)?.single_frame();
                decoder.window_log_max(LARGEST_WINDOW_LOG)?;
                Box::new(decoder)
            }
            Self::Xz => Box::new(liblzma::bufread::XzDecoder::new_stream(stream, xz_decoder(0)?)),
            Self::Lzma => {
                let limit = 1 << LARGEST_WINDOW_LOG;
                let decoder = liblzma::stream::Stream::new_lzma_decoder(limit)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(stream, decoder))
            }
            Self::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(stream)),
            Self::Lz4 => Box::new(Lz4Legacy { stream, block: io::Cursor::new(Vec::new()) }),
        })
    }
}

/// A decoder of the xz format with `flags`, which takes no more memory than the others.
pub(crate) fn xz_decoder(flags: u32) -> io::Result<liblzma::stream::Stream> {
    Ok(liblzma::stream::Stream::new_stream_decoder(1 << LARGEST_WINDOW_LOG, flags)?)
}

/// Bytes that a block of the legacy LZ4 frame decodes to at the most (`lz4 -l`).
const LZ4_BLOCK: usize = 8 << 20;

/// The legacy frame: a magic number, then blocks with their sizes before them.
struct Lz4Legacy<'a> {
    stream: &'a mut dyn BufRead,
    block: io::Cursor<Vec<u8>>,
}

impl Lz4Legacy<'_> {
    /// The size of the next block; none at the end of the frame.
    fn next_size(&mut self) -> io::Result<Option<usize>> {
        loop {
            let head = self.stream.fill_buf()?;
            // A frame ends where no size can follow; the kernel takes a zero for that.
            if head.is_empty() || head.first_chunk::<4>().is_some_and(|size| size == &[0; 4]) {
                return Ok(None);
            }
            let mut size = [0; 4];
            self.stream.read_exact(&mut size)?;
            if size != [0x02, 0x21, 0x4c, 0x18] {
                return Ok(usize::try_from(u32::from_le_bytes(size)).ok());
            }
        }
    }

    fn next_block(&mut self) -> io::Result<bool> {
        let Some(size) = self
            .next_size()?
            .filter(|size| *size <= lz4_flex::block::get_maximum_output_size(LZ4_BLOCK))
        else {
            return Ok(false);
        };
        let mut packed = vec![0; size];
        self.stream.read_exact(&mut packed)?;
        let block = lz4_flex::block::decompress(&packed, LZ4_BLOCK);
        self.block = io::Cursor::new(
            block.map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?,
        );
        Ok(true)
    }
}

impl Read for Lz4Legacy<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.block.read(buf)?;
            if read > 0 || buf.is_empty() || !self.next_block()? {
                return Ok(read);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn packed(compression: Compression, data: &[u8]) -> Vec<u8> {
        match compression {
            Compression::None => data.to_vec(),
            Compression::Gzip => {
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
                encoder.include_checksum(true).unwrap();
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Xz | Compression::Lzma => {
                let options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
                let stream = match compression {
                    Compression::Xz => {
                        liblzma::stream::Stream::new_easy_encoder(1, liblzma::stream::Check::Crc32)
                    }
                    _ => liblzma::stream::Stream::new_lzma_encoder(&options),
                };
                let mut encoder =
                    liblzma::write::XzEncoder::new_stream(Vec::new(), stream.unwrap());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Bzip2 => {
                let mut encoder =
                    bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Lz4 => {
                let block = lz4_flex::block::compress(data);
                let size = u32::try_from(block.len()).unwrap().to_le_bytes();
                [&[0x02, 0x21, 0x4c, 0x18][..], &size, &block].concat()
            }
        }
    }

    fn data() -> Vec<u8> {
        b"070701"
            .iter()
            .copied()
            .chain((0..300_000_u32).map(|n| n.wrapping_mul(n).to_le_bytes()[1]))
            .collect()
    }

    #[test]
    fn every_compression_is_recognised_and_decoded() {
        for compression in [
            Compression::None,
            Compression::Gzip,
            Compression::Zstd,
            Compression::Xz,
            Compression::Lzma,
            Compression::Bzip2,
            Compression::Lz4,
        ] {
            let stream = packed(compression, &data());
            assert_eq!(Compression::recognize(&stream), Ok(compression));
            let mut found = Vec::new();
            let mut reader = stream.as_slice();
            compression.decoder(&mut reader).unwrap().read_to_end(&mut found).unwrap();
            assert!(found == data(), "{compression:?}");
        }
    }

    #[test]
    fn decoders_leave_what_follows_their_stream() {
        for compression in [
            Compression::Gzip,
            Compression::Zstd,
            Compression::Xz,
            Compression::Bzip2,
            Compression::Lz4,
        ] {
            let stream = [packed(compression, &data()), vec![0; 4], b"next".to_vec()].concat();
            let mut reader = stream.as_slice();
            let mut found = Vec::new();
            compression.decoder(&mut reader).unwrap().read_to_end(&mut found).unwrap();
            assert_eq!(reader, b"\0\0\0\0next", "{compression:?}");
        }
    }

    #[test]
    fn unknown_bytes_are_shown() {
        assert_eq!(Compression::recognize(b"\x89LZO"), Err("bytes 89 4c 5a 4f".into()));
    }
}
