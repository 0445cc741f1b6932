//! Gives written files their names once all of them are on the disk: all files of a group, or none.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::file::{Output, OverwritePolicy, sync_folder};
use super::temp_file::TempFile;
use crate::error::{Error, Result};
use crate::few::Few;

/// A file that is written and waits for its name.
#[derive(Debug)]
pub struct StagedFile {
    pub(super) output: Output,
    pub(super) draft: TempFile,
}

/// Files that are synced one by one; more are synced with their filesystem. Each fsync(2) waits for the disk once, and
/// syncfs(2) once for all, but also for what others have written.
const MAX_SYNCED_ALONE: usize = 4;

/// Names files that belong together, after all of them are on the disk. The last one is what the others are about.
///
/// # Errors
/// The operating system's. If a file cannot be named, those named before are removed again; the error names files that cannot
/// be removed. If a folder cannot be synced, all files have their names.
pub fn publish(staged: Vec<StagedFile>) -> Result<()> {
    publish_all(vec![staged]).into_iter().collect()
}

/// The same of several such groups, with one sync for all of them. Says of each group what came of it.
pub(crate) fn publish_all(groups: Vec<Vec<StagedFile>>) -> Vec<Result<()>> {
    let synced = sync_all(&groups);
    let named: Vec<Result<Vec<Output>>> = groups
        .into_iter()
        .zip(synced)
        .map(|(group, synced)| synced.and_then(|()| name_all(group)))
        .collect();
    let mut durable = BTreeSet::new();
    named.into_iter().map(|named| make_durable(&named?, &mut durable)).collect()
}

/// Brings files to the disk, where that is waited for.
fn sync_all(groups: &[Vec<StagedFile>]) -> Vec<Result<()>> {
    let mut waiting = groups.iter().flatten().filter(|one| one.output.is_synced());
    let Some(first) = waiting.next() else { return groups.iter().map(|_| Ok(())).collect() };
    let others: Vec<&StagedFile> = waiting.collect();
    // Files of one folder are on one filesystem.
    let is_one_folder = others.iter().all(|one| one.output.folder() == first.output.folder());
    if others.len() < MAX_SYNCED_ALONE || !is_one_folder {
        let each = |group: &Vec<StagedFile>| {
            group.iter().try_for_each(|one| {
                let synced = one.output.sync(&one.draft.file);
                synced.map_err(|fault| one.output.not_written(fault))
            })
        };
        return groups.iter().map(each).collect();
    }
    let all = rustix::fs::syncfs(&first.draft.file);
    let of_group = |group: &Vec<StagedFile>| match (group.first(), all) {
        (Some(one), Err(fault)) => Err(one.output.not_written(fault.into())),
        _ => Ok(()),
    };
    groups.iter().map(of_group).collect()
}

/// Names all files, or none.
fn name_all(staged: Vec<StagedFile>) -> Result<Vec<Output>> {
    let mut named: Vec<Output> = Vec::new();
    for StagedFile { output, draft } in staged {
        if let Err(fault) = output.publish(draft) {
            return Err(taken_back(&named, output.not_written(fault)));
        }
        named.push(output);
    }
    Ok(named)
}

/// Removes files again that have their names. What gave way to one of them is gone, and where files may give way, it can be
/// somebody else's by now: those stay, and the error says so.
fn taken_back(named: &[Output], fault: Error) -> Error {
    let stays = |output: &&Output| {
        output.existing() == OverwritePolicy::Replace || fs::remove_file(output.path()).is_err()
    };
    let left = named.iter().filter(stays).map(|output| output.path().display().to_string());
    let left: Few = left.collect();
    if left.is_empty() { fault } else { fault.but(format!("{left} is written")) }
}

/// Makes names durable, where that is waited for: each folder once.
fn make_durable(named: &[Output], durable: &mut BTreeSet<PathBuf>) -> Result<()> {
    for output in named.iter().filter(|output| output.is_synced()) {
        if !durable.contains(output.folder()) {
            sync_folder(output.folder(), output.path())?;
            durable.insert(output.folder().to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::file::FileAccess;

    #[test]
    fn files_that_have_their_names_lose_them_where_another_gets_none_or_the_error_says_they_stay() {
        for existing in [OverwritePolicy::Refuse, OverwritePolicy::Replace] {
            let folder = tempfile::tempdir().unwrap();
            let [first, second, last] = ["a", "b", "c"].map(|name| folder.path().join(name));
            let ready = |path, existing| {
                Output::of_bytes(path, existing)
                    .unwrap()
                    .stage_bytes(b"new", FileAccess::Usual)
                    .unwrap()
            };
            let refuse = OverwritePolicy::Refuse;
            let all = vec![ready(&first, existing), ready(&second, refuse), ready(&last, refuse)];
            fs::write(&second, "mine").unwrap();
            let told = publish(all).unwrap_err().to_string();
            let stays = existing == OverwritePolicy::Replace;
            assert!(told.contains("b already exists"), "{told}");
            assert_eq!(told.ends_with("a is written"), stays, "{told}");
            assert_eq!(first.exists(), stays);
            assert_eq!(fs::read(&second).unwrap(), b"mine");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), if stays { 2 } else { 1 });
        }
    }
}
