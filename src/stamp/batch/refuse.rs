//! What a batch refuses: what a recipe may not have where it is one of many users', and more users than it has room for.

use std::path::Path;

use crate::error::{Advice, Error, Result};
use crate::keys::RemoteKeys;
use crate::live::remote_keys;
use crate::recipe::{OF_RECORDS, Recipe, called};
use crate::stamp::oci_index::MOST_IMAGES;

/// A name that is given beside the users' own would derive the same keys for all of them.
pub(super) fn refuse_one_name(recipe: &Recipe) -> Result<()> {
    if recipe.host_key_name.is_none() {
        return Ok(());
    }
    let what = "a batch derives the keys of each user for the user's own name";
    Err(recipe.fault("host-key-name", 0, what, "leave it out"))
}

/// Machines share an image, and the users of a batch have one each.
pub(super) fn refuse_machines(recipe: &Recipe) -> Result<()> {
    if recipe.machine.is_empty() {
        return Ok(());
    }
    let what = "a batch makes an image for each user, and [[machine]] is for one image of several machines";
    Err(recipe.fault("machine", 0, what, Advice::OneImageOrUsers))
}

/// The base is read and the key is opened once for all.
pub(super) fn refuse_own_records(recipe: &Recipe) -> Result<()> {
    let Some(name) = OF_RECORDS.into_iter().find(|name| recipe.is_set(name)) else { return Ok(()) };
    let hint = "put it into the recipe that all users share, or give the flag";
    Err(recipe.fault(name, 0, "all users of a batch have the same", hint))
}

pub(super) const NOT_ASKED: &str = "a batch reads no standard input and asks nobody";

/// Refuses passwords that would be asked for.
pub(super) fn refuse_prompts(recipe: &Recipe) -> Result<()> {
    let Some(secret) = asked_for(recipe) else { return Ok(()) };
    let [name, file] = ["prompt", "file"].map(|how| format!("{secret}-password-{how}"));
    Err(recipe.fault(&name, 0, NOT_ASKED, format!("give {} instead", called(&file))))
}

/// Whose password would be asked for: the first of them.
fn asked_for(recipe: &Recipe) -> Option<&'static str> {
    let all = [
        ("root", recipe.root_password_prompt),
        ("nixos", recipe.nixos_password_prompt),
        ("wifi", recipe.wifi_password_prompt),
    ];
    all.into_iter().find(|(_, asked)| *asked == Some(true)).map(|(whose, _)| whose)
}

/// Refuses keys that would be fetched again for each user, at other times.
pub(super) fn refuse_fetched(recipe: &Recipe) -> Result<()> {
    for (at, given) in recipe.key.iter().enumerate() {
        let hint = match remote_keys::source(recipe, at, given)? {
            None => continue,
            Some(RemoteKeys::Agent) => "make a file of them: ssh-add -L > agent.keys".to_owned(),
            Some(RemoteKeys::Server(url)) => {
                format!("make a file of them, and look at it: curl -fsSo user.keys {url}")
            }
        };
        return Err(recipe.fault("key", at, format!("a batch fetches no keys: {given}"), hint));
    }
    Ok(())
}

/// Refuses more users than the index of a layout has room for, before the first image is made.
pub(super) fn refuse_beyond_layout(users: usize, folder: &Path) -> Result<()> {
    if users <= MOST_IMAGES {
        return Ok(());
    }
    let folder = folder.display();
    Err(Error::Usage {
        what: format!("{users} users, and the OCI layout {folder} takes {MOST_IMAGES} at most"),
        hint: "put parts of the users into folders of their own".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_takes_so_many_users_and_no_more() {
        let folder = Path::new("out");
        assert!(refuse_beyond_layout(MOST_IMAGES, folder).is_ok());
        let fault = refuse_beyond_layout(MOST_IMAGES + 1, folder).unwrap_err();
        let said = "200001 users, and the OCI layout out takes 200000 at most";
        assert!(fault.to_string().contains(said), "{fault}");
    }
}
