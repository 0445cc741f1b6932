//! Puts an ssh key and an overlay into a stock NixOS installer ISO.
//!
//! ```text
//! survey -> plan -> patched image -> verify -> output
//! ```
//! Survey reads, plan decides, output writes. A stage is a type whose constructor takes only what the
//! stages before it made; `docs/architecture.md` says which module may use which.

pub mod units;

pub mod error;

mod checked;

pub mod progress;

pub mod keys;

pub mod formats;

pub mod image;

pub mod place;

pub mod bases;

pub mod recipe;

pub mod live;

mod rights;

pub mod output;

pub mod netboot;

pub mod inspect;

pub mod target;

pub mod flash;

pub mod find;

pub mod stamp;

pub mod iso;

pub mod disk;

pub mod boot;

pub use error::{Error, Result};
