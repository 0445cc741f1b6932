//! Stands for `http` in a program that was built without the feature `fetch`: it says so.

use std::convert::Infallible;
use std::io::Read;

use super::fetch_options::FetchOptions;
use super::url::Url;
use crate::error::{Error, Result};

/// Cannot be made.
#[derive(Debug)]
pub(super) struct Client(Infallible);

/// Cannot be got.
pub(super) struct Answer {
    pub(super) url: Url,
    pub(super) status: u16,
    pub(super) length: Option<u64>,
    pub(super) range: Option<String>,
    pub(super) etag: Option<String>,
    pub(super) modified: Option<String>,
    pub(super) location: Option<String>,
    pub(super) body: Box<dyn Read>,
}

impl Client {
    pub(super) fn new(_: &FetchOptions) -> Result<Self> {
        Err(Error::Usage {
            what: "this remaster was built without the feature `fetch`".to_owned(),
            hint: "download the file yourself and give its path, or build remaster with `--features fetch`".into(),
        })
    }

    pub(super) fn get(&self, _: &Url, _: &[(&str, String)]) -> Result<Answer> {
        match self.0 {}
    }
}
