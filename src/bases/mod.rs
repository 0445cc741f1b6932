//! Bases by name: what the NixOS project publishes, fetched once and kept.
//!
//! ```text
//! name -> catalog -> release -> download -> cache -> path
//! ```
//! `known` fetches a base by its address and SHA-256 instead; `text` fetches small texts, which are not bases. Only `http`
//! talks to servers; without the feature `fetch`, `no_http` takes its place.

mod cache;
mod catalog;
mod download;
mod fetch;
mod fetch_options;
#[cfg_attr(not(feature = "fetch"), path = "no_http.rs")]
mod http;
mod known;
mod release;
mod resolve;
mod text;
mod url;

pub use cache::{Cache, LastCheck, Record, Removed};
pub use catalog::{Catalog, CatalogEntry};
pub use fetch::{Fetched, fetch};
pub use fetch_options::FetchOptions;
pub use known::Known;
pub use resolve::{ResolveOptions, Resolved, name_of, resolve};
pub use text::fetch_text;
pub use url::Url;
