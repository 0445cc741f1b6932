//! Puts an ssh key and an overlay into a stock NixOS installer ISO.
//!
//! ```text
//! open -> survey -> plan -> compose -> verify -> sink
//! ```
//! Survey reads, plan thinks, sink writes. A stage is a type whose constructor takes only what the
//! stages before it made; `tests/suite/layers.rs` holds which module may use which.

pub mod units;

pub mod error;

pub mod progress;

pub mod keys;

pub mod format;

pub mod journal;

pub mod image;

pub mod file_type;

pub mod place;

pub mod unpack;

pub mod bases;

pub mod compose;

pub mod scratch;

pub mod survey;

pub mod edit;

pub mod recipe;

pub mod customize;

pub mod plan;

pub mod stamped;

pub mod raw;

pub mod private;

pub mod replaced;

pub mod digest;

pub mod patch;

pub mod sign;

pub mod manifest;

pub mod identity;

pub mod sink;

pub mod verify;

pub mod netboot;

pub mod basis;

pub mod oci;

pub mod batch;

pub mod inspect;

pub mod diff;

pub mod device;

pub mod flash;

pub mod find;

pub use error::{Error, Result};
