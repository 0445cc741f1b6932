//! Streams that other programs unpack and the kernel does not (Linux `lib/decompress_inflate.c`, `lib/xz/xz_dec_stream.c`,
//! `lib/decompress.c`): it stops there, and nothing behind is unpacked.

use super::compression::Compression;

/// Flags of a gzip header (RFC 1952 §2.3.1) behind which the kernel does not find the data: it passes over a file name alone.
const GZIP_FLAGS: [(u8, &str); 3] =
    [(2, "a checksum of its header"), (4, "an extra field"), (16, "a comment")];

/// Checks of the .xz format 1.1 (§2.1.1.2) that have names.
const XZ_CHECKS: [(u8, &str); 2] = [(4, "CRC64"), (10, "SHA-256")];

/// Filters of the .xz format 1.1 (§5.3) that the kernel has before LZMA2: those for machine code.
const XZ_CODE: std::ops::RangeInclusive<u64> = 4..=11;
const XZ_LZMA2: u64 = 0x21;

/// Streams that begin so and that no kernel unpacks, or not each, and what to do.
const OTHERS: [(&[u8], &str, &str); 5] = [
    (
        &[0x89, b'L', b'Z', b'O'],
        "lzop, which is not read here",
        "pack the initrd otherwise, as with `boot.initrd.compressor = \"zstd\"`",
    ),
    (
        &[0x04, 0x22, 0x4d, 0x18],
        "the frame of lz4 that the kernel does not read",
        "pack it by `lz4 -l`",
    ),
    (
        b"070702",
        "an archive with checksums, 070702, at which kernels before 5.18 stop",
        "make it by `cpio -H newc`",
    ),
    (b"070707", "an archive of the old format 070707", "make it by `cpio -H newc`"),
    (&[0xc7, 0x71], "an archive of the old binary format", "make it by `cpio -H newc`"),
];

/// What a kernel does not unpack.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Refused {
    /// What it is.
    pub(crate) found: String,
    /// What to do.
    pub(crate) hint: &'static str,
}

/// How a stream is packed that begins so.
///
/// # Errors
/// One that the kernel does not unpack; without a hint, bytes of nothing known.
pub(crate) fn recognize(head: &[u8]) -> Result<Compression, Refused> {
    if let Some((_, name, hint)) = OTHERS.iter().find(|(magic, ..)| head.starts_with(magic)) {
        return Err(Refused { found: (*name).to_owned(), hint });
    }
    let found = Compression::recognize(head).map_err(|found| Refused { found, hint: "" })?;
    let refused = match found {
        Compression::Gzip => gzip(head),
        Compression::Xz => xz(head),
        Compression::None
        | Compression::Zstd
        | Compression::Lzma
        | Compression::Bzip2
        | Compression::Lz4 => None,
    };
    refused.map_or(Ok(found), Err)
}

fn gzip(head: &[u8]) -> Option<Refused> {
    let flags = head.get(3)?;
    let (_, name) = GZIP_FLAGS.iter().find(|(flag, _)| flags & flag != 0)?;
    let found = format!("a gzip header with {name}, which the kernel takes for data");
    Some(Refused { found, hint: "pack it by `gzip -n`" })
}

fn xz(head: &[u8]) -> Option<Refused> {
    let check = head.get(7)? & 0xf;
    if check > 1 {
        let named = XZ_CHECKS.iter().find(|(id, _)| *id == check);
        let name = named.map_or_else(|| format!("number {check}"), |(_, name)| (*name).to_owned());
        let found = format!("xz with the check {name}, and the kernel knows CRC32 alone");
        return Some(Refused { found, hint: "pack it by `xz --check=crc32`" });
    }
    let filters = xz_filters(head)?;
    let is_known = match filters.as_slice() {
        [XZ_LZMA2] => true,
        [code, XZ_LZMA2] => XZ_CODE.contains(code),
        _ => false,
    };
    let found = || "xz with filters that the kernel does not have".to_owned();
    (!is_known).then(|| Refused { found: found(), hint: "pack it by `xz --check=crc32`" })
}

/// The filters of the first block (.xz format 1.1 §3.1). `None` if no block follows, or if it is damaged.
fn xz_filters(head: &[u8]) -> Option<Vec<u64>> {
    const HEADER: usize = 12;
    const FLAGS: usize = 13;
    const SIZES: [u8; 2] = [0x40, 0x80];
    head.get(HEADER).filter(|size| **size != 0)?;
    let flags = *head.get(FLAGS)?;
    let mut rest = head.get(FLAGS..)?.get(1..)?;
    for _ in SIZES.iter().filter(|size| flags & **size != 0) {
        number(&mut rest)?;
    }
    let mut found = Vec::new();
    for _ in 0..=flags & 3 {
        found.push(number(&mut rest)?);
        let properties = usize::try_from(number(&mut rest)?).ok()?;
        rest = rest.get(properties..)?;
    }
    Some(found)
}

/// A number of up to nine groups of seven bits (.xz format 1.1 §1.2).
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut found = 0;
    for shift in (0..63).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        found |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(found);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
    use std::io::Write as _;

    fn gzip_with(flags: u8) -> Vec<u8> {
        vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3]
    }

    /// The head of a stream with two filters, of which the second one is LZMA2.
    fn xz_with(filter: u8) -> Vec<u8> {
        let stream = *b"\xfd7zXZ\0\0\x01crc.";
        [&stream[..], &[2, 1, filter, 1, 0, 0x21, 1, 22]].concat()
    }

    fn xz_of(check: Check, code: bool) -> Vec<u8> {
        let mut filters = Filters::new();
        if code {
            filters.x86();
        }
        filters.lzma2(&LzmaOptions::new_preset(1).unwrap());
        let stream = Stream::new_stream_encoder(&filters, check).unwrap();
        let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(b"070701").unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_the_kernel_does_not_unpack_is_named() {
        for (stream, words) in [
            (gzip_with(0), ""),
            (gzip_with(8), ""),
            (gzip_with(1), ""),
            (gzip_with(2), "a checksum of its header"),
            (gzip_with(4), "an extra field"),
            (gzip_with(16 | 8), "a comment"),
            (xz_of(Check::Crc32, false), ""),
            (xz_of(Check::None, true), ""),
            (xz_of(Check::Crc64, false), "the check CRC64"),
            (xz_of(Check::Sha256, true), "the check SHA-256"),
            (xz_with(3), "filters"),
            (xz_with(4), ""),
            (b"\x89LZO\0\r".to_vec(), "lzop"),
            (b"\x04\x22\x4d\x18".to_vec(), "the frame of lz4"),
            (b"070702".to_vec(), "070702"),
            (b"070701".to_vec(), ""),
            (b"\xfd7zXZ\0".to_vec(), ""),
            (b"none".to_vec(), "bytes 6e 6f 6e 65"),
        ] {
            let found = recognize(&stream);
            let told = found.map_or_else(|refused| refused.found, |_| String::new());
            assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{words}: {told}");
        }
    }
}
