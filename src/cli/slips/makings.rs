//! Files of this program's own that an image is made of, where an image is asked for: the command that makes it is named.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use remaster::error::Error;
use remaster::image::file_type::HEAD;
use remaster::stamp::descriptor::Descriptor;

use super::usage;
use crate::cli::shell::shell_quote;

/// Refuses an OCI image layout and a descriptor in the place of an image.
pub(super) fn check(word: &str) -> Result<(), Error> {
    let path = Path::new(word);
    let name = shell_quote(path);
    if path.join("oci-layout").is_file() {
        let what = format!("{name} is an OCI image layout, not an image");
        let hint = format!("`remaster apply {name} --name NAME -o FILE` makes an image of it");
        return Err(usage(what, hint));
    }
    if is_descriptor(path) {
        let what = format!("{name} is a descriptor, not an image");
        let hint = format!("`remaster apply {name} -o FILE` makes the image of it");
        return Err(usage(what, hint));
    }
    Ok(())
}

/// Whether a file is a descriptor.
pub(crate) fn is_descriptor(path: &Path) -> bool {
    // A pipe can be read once only.
    if !path.is_file() {
        return false;
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    read.is_ok() && Descriptor::may_be(&head)
}
