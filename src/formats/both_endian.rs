//! Numbers recorded twice, least and most significant byte first (ECMA-119 §7.2.3, §7.3.3).

use zerocopy::big_endian::{U16 as U16Be, U32 as U32Be};
use zerocopy::little_endian::{U16 as U16Le, U32 as U32Le};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A 32-bit number in both byte orders (§7.3.3).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Both32 {
    little: U32Le,
    big: U32Be,
}

impl Both32 {
    /// Records `value`.
    pub fn new(value: u32) -> Self {
        Self { little: U32Le::new(value), big: U32Be::new(value) }
    }

    /// The number; none where the two records of it disagree.
    pub fn get(self) -> Option<u32> {
        (self.little.get() == self.big.get()).then_some(self.little.get())
    }
}

/// A 16-bit number in both byte orders (§7.2.3).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Both16 {
    little: U16Le,
    big: U16Be,
}

impl Both16 {
    /// Records `value`.
    pub fn new(value: u16) -> Self {
        Self { little: U16Le::new(value), big: U16Be::new(value) }
    }

    /// The number; none where the two records of it disagree.
    pub fn get(self) -> Option<u16> {
        (self.little.get() == self.big.get()).then_some(self.little.get())
    }
}
