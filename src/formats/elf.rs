//! Headers of programs (ELF-64, System V ABI "Object Files"): for which machine, and whether a program
//! brings everything that it needs.

use crate::formats::Malformed;

const WHAT: &str = "ELF header";
const PT_INTERP: u32 = 3;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;

/// Bytes of the headers that are looked at; linkers put them first.
pub const HEAD: u64 = 64 << 10;

/// What the headers of a program say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Program {
    /// As `x86_64`; none for machines that no installer is for.
    pub architecture: Option<&'static str>,
    /// Whether it runs without a loader and libraries of the system.
    pub is_static: bool,
}

/// Whether bytes begin as ELF files do.
pub(crate) fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

impl Program {
    /// Reads the headers at the start of a program.
    ///
    /// # Errors
    /// Anything else than a program of 64 bits, least significant byte first.
    pub fn parse(head: &[u8]) -> Result<Self, Malformed> {
        if !is_elf(head) {
            return Err(Malformed::new(WHAT, 0, "other magic bytes", "`\\x7fELF`"));
        }
        if head.get(4..6) != Some(&[2, 1]) {
            let expected = "64 bits, least significant byte first";
            return Err(Malformed::new(WHAT, 4, "another class or byte order", expected));
        }
        let kind = u16_at(head, 16)?;
        if kind != ET_EXEC && kind != ET_DYN {
            let found = format!("type {kind}");
            return Err(Malformed::new(WHAT, 16, found, "a program (type 2 or 3)"));
        }
        let architecture = match u16_at(head, 18)? {
            62 => Some("x86_64"),
            183 => Some("aarch64"),
            _ => None,
        };
        Ok(Self { architecture, is_static: !has_interpreter(head)? })
    }
}

/// Whether one of the program headers names a loader.
fn has_interpreter(head: &[u8]) -> Result<bool, Malformed> {
    let table = u64::from_le_bytes(at(head, 32)?);
    let size = usize::from(u16_at(head, 54)?);
    for number in 0..usize::from(u16_at(head, 56)?) {
        let offset = usize::try_from(table).ok().zip(number.checked_mul(size));
        let offset = offset.and_then(|(table, offset)| table.checked_add(offset));
        let kind = u32::from_le_bytes(at(head, offset.unwrap_or(usize::MAX))?);
        if kind == PT_INTERP {
            return Ok(true);
        }
    }
    Ok(false)
}

fn u16_at(head: &[u8], offset: usize) -> Result<u16, Malformed> {
    at(head, offset).map(u16::from_le_bytes)
}

fn at<const N: usize>(head: &[u8], offset: usize) -> Result<[u8; N], Malformed> {
    let found = head.get(offset..).and_then(|rest| rest.first_chunk::<N>());
    found.copied().ok_or_else(|| Malformed::short(WHAT, head, offset.saturating_add(N)))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A program header table of these types behind a header for a machine.
    pub(crate) fn program(machine: u16, kinds: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[16] = 2;
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = kinds.len().try_into().unwrap();
        for kind in kinds {
            let mut header = kind.to_le_bytes().to_vec();
            header.resize(56, 0);
            bytes.extend(header);
        }
        bytes
    }

    #[test]
    fn machine_and_loader_are_recognised() {
        let parse = |bytes: &[u8]| Program::parse(bytes).unwrap();
        let fixed = Program { architecture: Some("x86_64"), is_static: true };
        assert_eq!(parse(&program(62, &[1, 1])), fixed);
        assert!(!parse(&program(62, &[1, 3, 1])).is_static);
        assert_eq!(parse(&program(183, &[])).architecture, Some("aarch64"));
        assert_eq!(parse(&program(8, &[])).architecture, None);
    }

    #[test]
    fn the_program_that_runs_this_is_read_without_a_fault() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(Program::parse(&own).unwrap().architecture, Some(std::env::consts::ARCH));
    }

    #[test]
    fn anything_else_and_cut_headers_are_faults() {
        let whole = program(62, &[1, 3]);
        for length in 0..121 {
            assert!(Program::parse(&whole[..length]).is_err(), "{length}");
        }
        let mut other = whole.clone();
        other[4] = 1;
        assert!(Program::parse(&other).is_err());
        let mut object = whole;
        object[16] = 1;
        assert!(Program::parse(&object).is_err());
        assert!(Program::parse(b"#!/bin/sh\n").is_err());
    }
}
