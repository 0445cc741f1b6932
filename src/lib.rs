//! Puts an ssh key and an overlay into a stock NixOS installer ISO.
//!
//! ```text
//! open -> survey -> plan -> compose -> sink -> verify
//! ```
//! Survey reads, plan thinks, sink writes. A stage is a type whose constructor takes only what the
//! stages before it made.

pub mod units;

pub mod error;

pub mod progress;

pub mod format;

pub mod image;

pub mod compose;

pub mod scratch;

pub mod survey;

pub mod edit;

pub mod plan;

pub mod sink;

pub mod stamped;

pub mod verify;

pub use error::{Error, Result};
