//! Digests of what a plan is made from, to see whether it still is the same.

use std::{collections::BTreeMap, fs, path::Path};

use include_dir::Dir;

use super::{
    Error, Library,
    compile::{RoleSteps, Step},
    library::{ROLES, TEMPLATES},
};
use crate::task::{File, Task, sha256};

impl Library {
    /// Lower-case hex SHA-256 of all roles and templates, those of the folder in place of the built-in ones.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn digest(&self) -> Result<String, Error> {
        let mut files = BTreeMap::new();
        embedded("roles", &ROLES, &mut files);
        embedded("templates", &TEMPLATES, &mut files);
        if let Some(folder) = &self.folder {
            for name in ["roles", "templates"] {
                own(name, &folder.join(name), &mut files)?;
            }
        }
        let lines = files.into_iter().map(|(path, digest)| format!("{digest}  {path}\n"));
        Ok(sha256(lines.collect::<String>().as_bytes()))
    }
}

fn embedded(name: &str, dir: &Dir<'_>, files: &mut BTreeMap<String, String>) {
    for file in dir.files() {
        files.insert(format!("{name}/{}", file.path().display()), sha256(file.contents()));
    }
    for dir in dir.dirs() {
        embedded(name, dir, files);
    }
}

fn own(name: &str, folder: &Path, files: &mut BTreeMap<String, String>) -> Result<(), Error> {
    let unreadable = |cause| Error::Unreadable { path: folder.to_path_buf(), cause };
    let entries = match fs::read_dir(folder) {
        // A folder with roles alone is fine.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(unreadable)?,
    };
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        let (path, name) = (entry.path(), format!("{name}/{}", entry.file_name().to_string_lossy()));
        if path.is_dir() {
            own(&name, &path, files)?;
        } else {
            let bytes = fs::read(&path).map_err(|cause| Error::Unreadable { path, cause })?;
            files.insert(name, sha256(&bytes));
        }
    }
    Ok(())
}

/// Digest of one statement. It tells two apart where their text may hold a secret.
pub(super) fn statement(step: &Step) -> String {
    sha256(format!("{:?}", step.task).as_bytes())
}

/// Digest of all statements about a host. The contents of secret files are left out: short ones could be guessed.
pub(super) fn statements(roles: &[RoleSteps]) -> String {
    let mut text = String::new();
    for (role, step) in roles.iter().flat_map(|role| role.steps.iter().map(move |step| (role, step))) {
        let task = match &step.task {
            Task::File(file) if file.secret => &Task::File(File { content: String::new(), ..file.clone() }),
            task => task,
        };
        text.push_str(&format!("{} {} {task:?}\n", role.role, step.name));
    }
    sha256(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_ones_own_changes_the_digest_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let library = Library::new(Some(folder.path().to_path_buf()));
        let built_in = Library::default().digest().unwrap();
        assert_eq!(library.digest().unwrap(), built_in, "an empty folder");
        fs::write(folder.path().join("README"), "neither role nor template").unwrap();
        assert_eq!(library.digest().unwrap(), built_in);
        fs::create_dir_all(folder.path().join("roles/own")).unwrap();
        fs::write(folder.path().join("roles/own/role.yaml"), "one").unwrap();
        let one = library.digest().unwrap();
        fs::write(folder.path().join("roles/own/role.yaml"), "two").unwrap();
        let two = library.digest().unwrap();
        assert!(one != built_in && two != one && two != built_in);
    }
}
