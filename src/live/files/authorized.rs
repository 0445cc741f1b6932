//! Keys in overlays: sshd takes an `authorized_keys` file only where nobody but its user can write to it and to the
//! folders above (`StrictModes` in `sshd_config(5)`, `safe_path` of `OpenSSH`), and reads it as that user.

use super::arg_ref::ArgRef;
use super::overlay_tree::{Item, OverlayTree, What};
use super::places::is_nixos_folder;
use crate::error::Result;
use crate::recipe::Recipe;
use crate::recipe::edits::{NIXOS, folder};

/// Numbers of a user and a group.
type Owner = (u32, u32);

/// Homes of the users that every installer has.
const HOMES: [(&str, Owner); 2] = [("root", (0, 0)), ("home/nixos", NIXOS)];

/// Names of files below `.ssh`.
const NAMES: [&str; 2] = ["authorized_keys", "authorized_keys2"];

/// The folder with a file for each user.
const ALL_USERS: &str = "etc/ssh/authorized_keys.d/";

/// Somebody whose numbers are not known here, who can read what everybody can read.
const SOMEBODY: Owner = (u32::MAX, u32::MAX);

/// A file that sshd looks for.
struct KeyFile {
    path: String,
    /// The folder above which sshd does not look; none if it looks at all of them.
    home: Option<String>,
    /// Who is let in; none in a home of an unknown user, which may be anybody's.
    user: Option<Owner>,
}

/// Gives key files and the folders above them the modes and owners that sshd wants, and says so.
///
/// # Errors
/// A link to a file that sshd would not take: that file may be there for something else, too.
pub(super) fn set_right(
    recipe: &Recipe,
    overlay: &mut OverlayTree,
    notes: &mut Vec<String>,
) -> Result<()> {
    for file in key_files(overlay) {
        let Some(real) = overlay.real(&file.path) else { continue };
        let mut changes = Vec::new();
        for path in looked_at(&file, &real) {
            let wrong = overlay.get(&path).filter(|item| !is_taken(item, file.user));
            let Some(item) = wrong else { continue };
            if real != file.path {
                return Err(linked(recipe, &file, &path, item));
            }
            let (mode, owner) = right(&path, item, &file);
            changes.push(format!("/{path} from {} to {}", shown(item), stat(mode, owner)));
            overlay.set(&path, mode, owner);
        }
        if !changes.is_empty() {
            let changes = changes.join(", ");
            notes.push(format!("sshd would not take /{}; changed: {changes}", file.path));
        }
    }
    Ok(())
}

fn shown(item: &Item) -> String {
    stat(item.mode, item.owner)
}

fn stat(mode: u32, owner: Owner) -> String {
    format!("{mode:04o} {}:{}", owner.0, owner.1)
}

fn linked(recipe: &Recipe, file: &KeyFile, path: &str, item: &Item) -> crate::Error {
    let (name, index) = item.by;
    let what = format!(
        "sshd would not take /{}, a link to something with another owner or that others can write to: /{path} ({})",
        file.path,
        shown(item)
    );
    ArgRef { recipe, name, index }.fault(what, "put the file itself in the place of the link")
}

/// The key files in an overlay, also those that links lead to.
fn key_files(overlay: &OverlayTree) -> Vec<KeyFile> {
    let mut found: Vec<KeyFile> = homes(overlay).into_iter().flat_map(in_home).collect();
    found.extend(overlay.items().filter_map(|(path, _)| {
        let name = path.strip_prefix(ALL_USERS)?;
        let known = HOMES.iter().find(|(home, _)| home.rsplit('/').next() == Some(name));
        let user = Some(known.map_or(SOMEBODY, |(_, user)| *user));
        Some(KeyFile { path: path.to_owned(), home: None, user })
    }));
    let is_file = |file: &KeyFile| {
        let item = overlay.real(&file.path).and_then(|real| overlay.get(&real));
        item.is_some_and(|item| matches!(item.what, What::File(_)))
    };
    found.retain(is_file);
    found
}

/// The homes of users: the known ones, and others that the overlay puts something into.
fn homes(overlay: &OverlayTree) -> Vec<(String, Option<Owner>)> {
    let known = HOMES.map(|(home, user)| (home.to_owned(), Some(user)));
    let others = overlay.items().filter_map(|(path, _)| {
        let name = path.strip_prefix("home/")?.split('/').next()?;
        Some((format!("home/{name}"), None)).filter(|_| name != "nixos")
    });
    let mut homes: Vec<_> = known.into_iter().chain(others).collect();
    homes.sort();
    homes.dedup();
    homes
}

fn in_home((home, user): (String, Option<Owner>)) -> [KeyFile; 2] {
    NAMES.map(|name| KeyFile {
        path: format!("{home}/.ssh/{name}"),
        home: Some(home.clone()),
        user,
    })
}

/// The file and the folders above it that sshd looks at.
fn looked_at(file: &KeyFile, real: &str) -> Vec<String> {
    let home = file.home.as_deref().filter(|home| real.starts_with(&format!("{home}/")));
    let above = real.match_indices('/').filter_map(|(at, _)| real.get(..at));
    let above = above.filter(|path| home.is_none_or(|home| path.len() >= home.len()));
    [real].into_iter().chain(above).map(str::to_owned).collect()
}

/// Whether sshd takes a file or folder of this mode and owner, and the user can read it.
fn is_taken(item: &Item, user: Option<Owner>) -> bool {
    let closed = item.mode & 0o022 == 0;
    let Some((uid, gid)) = user else { return closed };
    let read = if matches!(item.what, What::Folder) { 0o1 } else { 0o4 };
    let class = match item.owner {
        (owner, _) if owner == uid => 6,
        (_, group) if group == gid => 3,
        _ => 0,
    };
    let readable = uid == 0 || (item.mode >> class) & read != 0;
    closed && readable && [0, uid].contains(&item.owner.0)
}

/// A mode and an owner that sshd takes: those that `--key` gives, where the user is known.
fn right(path: &str, item: &Item, file: &KeyFile) -> (u32, Owner) {
    let Some(user) = file.user else { return (item.mode & !0o022, item.owner) };
    match (&item.what, &file.home) {
        (What::Folder, _) if is_nixos_folder(path) => {
            let own = folder(path);
            (own.mode, own.owner)
        }
        (What::Folder, _) => (0o755, (0, 0)),
        (_, Some(_)) => (0o600, user),
        (_, None) => (0o444, (0, 0)),
    }
}
