//! gzip, bzip2 and lz4 data of several members, one after the other, and what may stand behind the last one.

use std::io::{self, BufRead, Read};

/// A decoder of one member.
pub(super) trait Member<R>: Read + Sized {
    /// What members start with.
    const MAGIC: &'static [u8];
    /// Starts to read a member.
    fn new(input: R) -> Self;
    /// What stands behind the member, where it was read to its end.
    fn into_inner(self) -> R;
}

impl<R: BufRead> Member<R> for flate2::bufread::GzDecoder<R> {
    /// RFC 1952 §2.3.1.
    const MAGIC: &'static [u8] = &[0x1F, 0x8B];

    fn new(input: R) -> Self {
        Self::new(input)
    }

    fn into_inner(self) -> R {
        self.into_inner()
    }
}

impl<R: BufRead> Member<R> for bzip2::bufread::BzDecoder<R> {
    const MAGIC: &'static [u8] = b"BZh";

    fn new(input: R) -> Self {
        Self::new(input)
    }

    fn into_inner(self) -> R {
        self.into_inner()
    }
}

impl<R: BufRead> Member<R> for lz4_flex::frame::FrameDecoder<R> {
    /// LZ4 Frame Format 1.6.4, general structure.
    const MAGIC: &'static [u8] = &[0x04, 0x22, 0x4D, 0x18];

    fn new(input: R) -> Self {
        Self::new(input)
    }

    fn into_inner(self) -> R {
        self.into_inner()
    }
}

/// All members. Zeros behind the last one are padding (tapes, download tools). Other bytes there, such as a signature, are left out,
/// too, as gzip(1) and bzip2(1) do.
pub(super) struct Members<R, M> {
    member: Option<M>,
    input: std::marker::PhantomData<R>,
}

impl<R: BufRead, M: Member<R>> Members<R, M> {
    pub(super) fn new(input: R) -> Self {
        Self { member: Some(M::new(input)), input: std::marker::PhantomData }
    }

    /// Goes to the next member; false at the end.
    fn next_member(&mut self) -> io::Result<bool> {
        let Some(done) = self.member.take() else { return Ok(false) };
        let mut input = done.into_inner();
        if !is_at_member(&mut input, M::MAGIC)? {
            return Ok(false);
        }
        self.member = Some(M::new(input));
        Ok(true)
    }
}

/// Whether a member starts here. A buffer that ends within its first bytes is taken for one: the decoder will tell.
fn is_at_member(input: &mut impl BufRead, magic: &[u8]) -> io::Result<bool> {
    let rest = input.fill_buf()?;
    let known = rest.len().min(magic.len());
    Ok(known > 0 && rest.get(..known) == magic.get(..known))
}

impl<R: BufRead, M: Member<R>> Read for Members<R, M> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buf)?;
            if count > 0 || buf.is_empty() || !self.next_member()? {
                return Ok(count);
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::bufread::GzDecoder;

    use super::*;

    fn member(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).and_then(|()| encoder.finish()).unwrap_or_default()
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        Members::<_, GzDecoder<_>>::new(bytes).read_to_end(&mut text).map(|_| text)
    }

    #[test]
    fn members_follow_each_other_and_what_follows_them_is_left_out() {
        let two = [member(b"one "), member(b"two")].concat();
        for behind in [&b""[..], &[0; 512], b"signature", b"\0\0\0\x1F"] {
            let found = read(&[&two, behind].concat()).ok();
            assert_eq!(found.as_deref(), Some(&b"one two"[..]), "{behind:?}");
        }
    }

    #[test]
    fn a_member_that_is_cut_is_an_error() {
        let two = [member(b"one "), member(b"two")].concat();
        for cut in [1, 5, 9, two.len() - member(b"two").len() + 3] {
            assert!(read(&two[..two.len() - cut.min(two.len() - 1)]).is_err(), "{cut}");
        }
    }
}
