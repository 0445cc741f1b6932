//! Files of this program's own that an image is made of, where an image is asked for: the command that makes it is named.

use std::path::Path;

use remaster::bounded;
use remaster::error::Error;
use remaster::stamp::descriptor::{Descriptor, LARGEST};

use super::usage;
use crate::cli::shell::shell_quote;

/// Refuses an OCI image layout in the place of an image; and a descriptor, if not any file is taken as it is.
pub(super) fn check(word: &str, any: bool) -> Result<(), Error> {
    let path = Path::new(word);
    let name = shell_quote(path);
    if path.join("oci-layout").is_file() {
        let what = format!("{name} is an OCI image layout, not an image");
        let hint = format!("`remaster apply {name} --name NAME -o FILE` makes an image of it");
        return Err(usage(what, hint));
    }
    if !any && is_descriptor(path) {
        let what = format!("{name} is a descriptor, not an image");
        let hint = format!("`remaster apply {name} -o FILE` makes the image of it");
        return Err(usage(what, hint));
    }
    Ok(())
}

/// Whether a file is a descriptor.
pub(crate) fn is_descriptor(path: &Path) -> bool {
    // A pipe can be read once only.
    let text = path.is_file().then(|| bounded::read(path, LARGEST, "read a descriptor"));
    text.and_then(Result::ok).is_some_and(|text| {
        // One of a later version is a descriptor, too.
        matches!(Descriptor::parse(&text), Ok(_) | Err(Error::Unsupported { .. }))
    })
}
