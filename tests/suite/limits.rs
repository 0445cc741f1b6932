//! What small inputs that unpack to much are allowed to take: each bound is met, and said.

use remaster::Error;
use remaster::boot::stage_one;
use remaster::units::ByteRange;

/// A Zstandard frame (RFC 8878) of raw bytes and runs of one byte.
struct Frame(Vec<u8>);

impl Frame {
    fn new() -> Self {
        // Magic number; no content size, a window of 128 KiB.
        Self(vec![0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x38])
    }

    fn block(&mut self, kind: u32, size: u64, bytes: &[u8]) {
        let header = u32::try_from(size).unwrap() << 3 | kind << 1;
        self.0.extend(&header.to_le_bytes()[..3]);
        self.0.extend(bytes);
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.block(0, u64::try_from(bytes.len()).unwrap(), bytes);
    }

    fn run(&mut self, byte: u8, mut size: u64) {
        while size > 0 {
            let some = size.min(128 << 10);
            self.block(1, some, &[byte]);
            size -= some;
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend([1, 0, 0]);
        self.0
    }
}

/// A newc header with its name.
fn head(name: &str, size: u32, name_length: u32) -> Vec<u8> {
    let mut record = format!(
        "070701{0:08x}{1:08x}{0:08x}{0:08x}{0:08x}{0:08x}{size:08x}{0:08x}{0:08x}{0:08x}{0:08x}{name_length:08x}{0:08x}{name}\0",
        0, 0o100_644
    )
    .into_bytes();
    record.resize(record.len().next_multiple_of(4), 0);
    record
}

fn named(name: &str, size: u32) -> Vec<u8> {
    head(name, size, u32::try_from(name.len() + 1).unwrap())
}

fn scripts() -> Vec<u8> {
    let mut frame = Frame::new();
    for number in 0..4000 {
        frame.raw(&named(&format!("a/{number:05}-stage-1-init.sh"), 1 << 20));
        frame.run(b'#', 1 << 20);
    }
    frame.end()
}

fn name() -> Vec<u8> {
    let mut frame = Frame::new();
    frame.raw(&head("x", 0, 3 << 30)[..110]);
    frame.run(b'x', 3 << 30);
    frame.end()
}

fn zeros() -> Vec<u8> {
    let mut frame = Frame::new();
    for number in 0..10 {
        frame.raw(&named(&format!("f{number}"), 0xFFFF_FFFC));
        frame.run(0, 0xFFFF_FFFC);
    }
    frame.end()
}

#[test]
fn an_initrd_that_unpacks_to_much_is_refused_by_what_it_is() {
    for (initrd, is_sound, words) in [
        (scripts(), true, "scripts of more than 33554432 bytes in all"),
        (name(), false, "a name of 3221225472 bytes"),
        (zeros(), true, "more than 8.0 GiB unpacked"),
    ] {
        assert!(initrd.len() < 2 << 20);
        let all = ByteRange::new(0, u64::try_from(initrd.len()).unwrap()).unwrap();
        let fault = stage_one::of(&initrd.as_slice(), &[("initrd", all)]).unwrap_err();
        assert_eq!(matches!(fault, Error::Unsupported { .. }), is_sound, "{fault}");
        assert_eq!(matches!(fault, Error::Malformed { .. }), !is_sound, "{fault}");
        assert!(fault.to_string().contains(words), "{words}: {fault}");
    }
}
