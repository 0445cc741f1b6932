//! The table of what is not a disk image, by its first bytes, and what to do with each.

use super::is_at;
use crate::error::Advice;
use crate::formats::flash_mark;
use crate::formats::patch_file::PatchFile;
use crate::formats::reset_mark::ResetMark;
use crate::image::unpack::Packing;

/// Something that is not a disk image.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Other {
    what: What,
    /// What to do instead.
    pub hint: Advice,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    /// It has a name, as `a web page`.
    Named(&'static str),
    /// All that can be said, as `is empty`.
    Sentence(&'static str),
}

impl Other {
    /// Something that has a name, given with its article.
    pub(super) const fn named(what: &'static str, hint: &'static str) -> Self {
        Self::with(what, Advice::says(hint))
    }

    /// The same, with what the caller has words for.
    pub(super) const fn with(what: &'static str, hint: Advice) -> Self {
        Self { what: What::Named(what), hint }
    }

    /// What follows the name of the file in a sentence: `is a web page`.
    pub fn is(&self) -> String {
        match self.what {
            What::Named(what) => format!("is {what}"),
            What::Sentence(is) => is.to_owned(),
        }
    }

    /// The same where a disk image was wanted.
    pub(super) fn is_no_disk(&self) -> String {
        let more = if matches!(self.what, What::Named(_)) { ", not a disk image" } else { "" };
        format!("{}{more}", self.is())
    }
}

/// A row of the table: where the bytes stand, which, what that is, what to do.
struct Row(usize, &'static [u8], &'static str, Advice);

const UNPACK: Advice = Advice::says("unpack it, and give the image in it");
const CONVERT: Advice =
    Advice::says("convert it first: `qemu-img convert -O raw FILE disk.img`, and give disk.img");
const GIVE: Advice = Advice::says(ANY);
pub(super) const ANY: &str = "give an ISO or a disk image, plain or packed";
const INITRD: Advice = Advice::ImageOfInitrd;

/// Where `ustar` stands in a header (POSIX.1-2017 pax, "ustar Interchange Format").
pub(super) const TAR: (usize, &[u8]) = (257, b"ustar");

const TABLE: &[Row] = &[
    Row(
        0,
        b"7z\xBC\xAF\x27\x1C",
        "a 7z archive",
        Advice::says("unpack it with `7z x FILE`, and give the image in it"),
    ),
    Row(
        0,
        b"Rar!\x1A\x07",
        "a rar archive",
        Advice::says("unpack it with `unrar x FILE`, and give the image in it"),
    ),
    Row(TAR.0, TAR.1, "a tar archive", Advice::ImageOfArchive),
    Row(0, b"!<arch>\ndebian-binary", "a Debian package", GIVE),
    Row(0, b"!<arch>\n", "an ar archive", UNPACK),
    Row(0, b"\xED\xAB\xEE\xDB", "an RPM package", GIVE),
    Row(0, b"070701", "a cpio archive, as initrds are", INITRD),
    Row(0, b"070702", "a cpio archive, as initrds are", INITRD),
    Row(0, b"070707", "a cpio archive", UNPACK),
    Row(
        0,
        b"MSCF\0\0\0\0",
        "a cabinet archive",
        Advice::says("unpack it with `cabextract FILE`, and give the image in it"),
    ),
    Row(
        0,
        b"MSWIM\0\0\0",
        "a Windows image (wim)",
        Advice::says("give the Windows ISO that it comes from"),
    ),
    Row(
        0,
        b"\x0D\0\0\0\0\0\0\0nix-archive-1",
        "a Nix archive (nar)",
        Advice::says("unpack it with `nix-store --restore DIR <FILE`, and give the image in it"),
    ),
    Row(0, b"xar!", "a xar archive", UNPACK),
    Row(0, b"\x04\x22\x4D\x18", "lz4 data", UNPACK),
    Row(
        0,
        b"\x02\x21\x4C\x18",
        "lz4 data",
        Advice::says("unpack it with `lz4 -d FILE`, and give what comes out"),
    ),
    Row(
        0,
        b"\x5D\0\0",
        "lzma data",
        Advice::says("unpack it with `unlzma FILE`, and give what comes out"),
    ),
    Row(
        0,
        b"LZIP",
        "lzip data",
        Advice::says("unpack it with `lzip -d FILE`, and give what comes out"),
    ),
    Row(
        0,
        b"\x89LZO\0",
        "lzop data",
        Advice::says("unpack it with `lzop -d FILE`, and give what comes out"),
    ),
    Row(
        0,
        b"\x1F\x9D",
        "data of `compress`",
        Advice::says("unpack it with `uncompress FILE`, and give what comes out"),
    ),
    Row(0, b"\xFD7zXZ\0", "xz data", UNPACK),
    Row(0, b"\x28\xB5\x2F\xFD", "zstd data", UNPACK),
    Row(0, b"\x1F\x8B\x08", "gzip data", UNPACK),
    Row(0, b"BZh", "bzip2 data", UNPACK),
    Row(0, b"PK\x03\x04", "a zip archive", UNPACK),
    Row(0, b"PK\x05\x06", "an empty zip archive", GIVE),
    Row(0, b"QFI\xFB", "a qcow2 image", CONVERT),
    Row(0, b"KDMV", "a VMware disk (vmdk)", CONVERT),
    Row(0, b"COWD", "a VMware disk (vmdk)", CONVERT),
    Row(0, b"# Disk DescriptorFile", "the description of a VMware disk (vmdk)", CONVERT),
    Row(0, b"conectix", "a virtual disk (vhd)", CONVERT),
    Row(0, b"vhdxfile", "a virtual disk (vhdx)", CONVERT),
    Row(0x40, b"\x7F\x10\xDA\xBE", "a VirtualBox disk (vdi)", CONVERT),
    Row(0, b"QED\0", "a QEMU disk (qed)", CONVERT),
    Row(0, b"WithoutFreeSpace", "a Parallels disk", CONVERT),
    Row(0, b"WithouFreSpacExt", "a Parallels disk", CONVERT),
    Row(
        0,
        b"\x3A\xFF\x26\xED",
        "an Android sparse image",
        Advice::says("convert it first: `simg2img FILE disk.img`, and give disk.img"),
    ),
    Row(
        0,
        b"\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0",
        "a dump of a CD with its raw sectors (bin)",
        Advice::says("convert it first: `bchunk FILE.bin FILE.cue image`, and give image01.iso"),
    ),
    Row(0, b"%PDF-", "a PDF document", GIVE),
    Row(0, b"\x89PNG\r\n\x1A\n", "a picture (png)", GIVE),
    Row(0, b"\xFF\xD8\xFF", "a picture (jpeg)", GIVE),
    Row(0, b"GIF8", "a picture (gif)", GIVE),
    Row(4, b"ftyp", "a video (mp4)", GIVE),
    Row(0, b"SQLite format 3\0", "an SQLite database", GIVE),
    Row(0, b"\x7FELF", "a program (ELF)", GIVE),
    Row(0x38, b"ARM\x64", "a Linux kernel", INITRD),
    Row(0, b"\x27\x05\x19\x56", "a U-Boot image (uImage)", INITRD),
    Row(0, b"\xD0\x0D\xFE\xED", "a device tree or U-Boot image (fit)", INITRD),
    Row(0, b"MZ", "a program for Windows or UEFI", GIVE),
    Row(
        0,
        b"d8:announce",
        "a torrent",
        Advice::says("download the image with a program for torrents, and give that"),
    ),
    Row(
        0,
        b"d13:announce-list",
        "a torrent",
        Advice::says("download the image with a program for torrents, and give that"),
    ),
    Row(
        0,
        b"d7:comment",
        "a torrent",
        Advice::says("download the image with a program for torrents, and give that"),
    ),
];

/// A disk that this program did not come to the end with.
pub(super) fn unfinished(head: &[u8]) -> Option<Other> {
    if ResetMark::is_in(head) {
        return Some(Other {
            what: What::Sentence("holds an image whose reset was interrupted"),
            hint: Advice::FinishReset,
        });
    }
    flash_mark::is_in(head).then_some(Other {
        what: What::Sentence(
            "is half written: writing it was interrupted, or it did not read back right",
        ),
        hint: Advice::FlashAgain,
    })
}

/// What no structure of a disk speaks against: a disk that is being reset has most of them.
pub(super) fn not_whole(head: &[u8]) -> Option<Other> {
    if let Some(unfinished) = unfinished(head) {
        return Some(unfinished);
    }
    if PatchFile::is_in(head) {
        return Some(Other::with("a remaster patch", Advice::BaseOfPatch));
    }
    // A kernel for PCs has the signature of a boot record, but no disk behind it (Documentation/arch/x86/boot.rst).
    let is_kernel = is_at(head, 0x1FE, b"\x55\xAA") && is_at(head, 0x202, b"HdrS");
    is_kernel.then_some(Other::with("a Linux kernel", INITRD))
}

/// The row of the table that fits.
pub(super) fn find(head: &[u8]) -> Option<Other> {
    let row = TABLE.iter().find(|Row(at, bytes, ..)| is_at(head, *at, bytes))?;
    let unpacker = Packing::recognize(head).unpacker();
    Some(Other::with(row.2, unpacker.map_or_else(|| row.3.clone(), Advice::Unpack)))
}

/// What no row fits.
pub(super) fn unknown(head: &[u8]) -> Other {
    if head.is_empty() {
        return Other {
            what: What::Sentence("is empty"),
            hint: Advice::says("download or copy it again"),
        };
    }
    if head.iter().all(|byte| *byte == 0) {
        return Other {
            what: What::Sentence("is blank: it begins with zeros only"),
            hint: Advice::says(
                "give an ISO or a disk image; a stick that begins so was not written, or not to its end: flash it again",
            ),
        };
    }
    Other {
        what: What::Sentence("is not a disk image: no known kind begins like this"),
        hint: GIVE,
    }
}
