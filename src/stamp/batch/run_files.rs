//! The files that a batch reads and writes, known before the first of them is made.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Batch, Form};
use crate::error::Result;
use crate::image::digest::Digest;
use crate::live::{HostKeys, named_files};
use crate::recipe::users::User;
use crate::run_files::RunFiles;
use crate::stamp::descriptor;
use crate::stamp::manifest::beside::Record;

impl Batch<'_> {
    /// Takes down all of them, but for names with the recipe id. A name that two users have is a fault of one of them.
    pub(super) fn take_down(
        &self,
        users: &[(usize, Result<User>)],
        files: &mut RunFiles,
    ) -> Result<()> {
        files.read(&format!("the base {}", self.file.path().display()), self.file.path())?;
        let all = || users.iter().filter_map(|(index, user)| Some((*index, user.as_ref().ok()?)));
        named_files::take_down(self.shared, files)?;
        all().try_for_each(|(_, user)| named_files::take_down(&user.recipe, files))?;
        if self.form == Form::Oci {
            let parts = ["index.json", "oci-layout"].map(|name| self.folder.join(name));
            return parts.iter().try_for_each(|path| files.write(&shown(path), path));
        }
        if self.template.has_id() {
            return Ok(());
        }
        let mut names = BTreeSet::new();
        for (index, user) in all() {
            // A wrong name is a fault of its user, who has a turn later.
            let name = self.template.file_name(&user.name, index, Digest([0; 32]));
            if let Ok(name) = name
                && names.insert(name.to_lowercase())
            {
                self.take_down_one(user, &name, files)?;
            }
        }
        Ok(())
    }

    /// Takes down what is written for a user.
    pub(super) fn take_down_one(
        &self,
        user: &User,
        name: &str,
        files: &mut RunFiles,
    ) -> Result<()> {
        let path = self.folder.join(name);
        let beside =
            self.endings().into_iter().map(|ending| self.folder.join(name.to_owned() + ending));
        let has_host_key = !user.recipe.host_key.is_empty() || !self.shared.host_key.is_empty();
        let known = (self.known_hosts && has_host_key).then(|| HostKeys::file_beside(&path));
        let all: Vec<PathBuf> = [path.clone()].into_iter().chain(beside).chain(known).collect();
        let whose = &user.name;
        all.iter()
            .try_for_each(|path| files.write(&format!("{} of user {whose}", shown(path)), path))
    }

    /// How the names of the records end that are written beside each file.
    fn endings(&self) -> Vec<&'static str> {
        let records = [
            (Record::Manifest, self.beside.manifest),
            (Record::Signature, self.beside.manifest && self.options.signer.is_some()),
            (Record::Provenance, self.beside.provenance),
            (Record::Sbom, self.beside.sbom),
        ];
        let records = records.into_iter().filter(|(_, is_written)| *is_written);
        let descriptor = self.descriptor.map(|_| descriptor::ENDING);
        records.map(|(record, _)| record.ending()).chain(descriptor).collect()
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
