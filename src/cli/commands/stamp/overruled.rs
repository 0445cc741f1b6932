//! Flags of a batch that its users overrule with settings of their own.

use remaster::error::{Error, Result};
use remaster::recipe::users::{self, User};
use remaster::recipe::{Recipe, called};

use crate::cli::printer;

/// Tells of flags that some users have settings of their own for.
///
/// # Errors
/// A flag that is for no user, and `--no-key` where a user has a key.
pub(super) fn check(flags: &Recipe, no_key: bool, all: &[Result<User>]) -> Result<()> {
    let sound: Vec<&User> = all.iter().filter_map(|user| user.as_ref().ok()).collect();
    if let Some(user) = sound.iter().find(|user| no_key && user.recipe.is_set("key")) {
        let hint = "leave --no-key out, or take the key out";
        return Err(user.recipe.fault("key", 0, "a key, and --no-key", hint));
    }
    for name in flags.set_names() {
        let own = sound.iter().filter(|user| is_overruled(flags, &name, user)).count();
        let (flag, key) = (called(&name), users::key_of(&name));
        if own > 0 && own == sound.len() {
            let by_name = sound.iter().all(|user| user.recipe.is_set(&name));
            let other = if by_name { "" } else { ", or what takes its place" };
            return Err(Error::Usage {
                what: format!("{flag} has no effect: every user has {key} of its own{other}"),
                hint: "leave it out, or take it out of the users file".into(),
            });
        }
        if own > 0 {
            let all = sound.len();
            printer::note(&format!("{flag} is not for {own} of {all} users, who have their own"));
        }
    }
    Ok(())
}

/// Whether a user has the setting, or another one in its place: a password by a hash where the flag names a file.
fn is_overruled(flags: &Recipe, name: &str, user: &User) -> bool {
    let goes = || user.recipe.clone().over(flags.clone()).is_ok_and(|laid| !laid.is_set(name));
    user.recipe.is_set(name) || goes()
}
