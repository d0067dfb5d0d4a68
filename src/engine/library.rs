//! Where roles and templates come from: the binary itself, or folders that override it file by file.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use include_dir::{Dir, include_dir};

use super::{
    Error,
    role::{RoleFile, kind_problems},
};
use crate::yaml::{self, Source};

pub(super) static ROLES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/roles");
pub(super) static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// The roles and templates of a run.
#[derive(Debug, Clone, Default)]
pub struct Library {
    /// A folder with `roles/` and `templates/` whose files come before those in the binary.
    pub folder: Option<PathBuf>,
    /// The roles that were read, for this value and its clones: a run reads each once, and sees what it saw first.
    read: Arc<Mutex<HashMap<String, RoleFile>>>,
}

impl Library {
    /// With the files of a folder before those in the binary.
    pub fn new(folder: Option<PathBuf>) -> Library {
        Library { folder, ..Library::default() }
    }

    /// A role.
    ///
    /// # Errors
    /// When there is no such role, or every mistake in its file.
    pub fn role(&self, name: &str) -> Result<RoleFile, Error> {
        if let Some(known) = self.known().get(name) {
            return Ok(known.clone());
        }
        let role = yaml::read_and(&self.role_source(name)?, kind_problems)?.value;
        self.known().insert(name.to_owned(), role.clone());
        Ok(role)
    }

    /// What is kept is whole at any moment, also when somebody panicked beside it.
    fn known(&self) -> MutexGuard<'_, HashMap<String, RoleFile>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The text of a role.
    ///
    /// # Errors
    /// When there is no such role, or it cannot be read.
    pub(super) fn role_source(&self, name: &str) -> Result<Source, Error> {
        let path = format!("roles/{name}/role.yaml");
        let text =
            self.text(&path)?.ok_or_else(|| Error::NoRole { name: name.to_string(), known: self.roles() })?;
        Ok(Source::new(path, text.into_owned()))
    }

    /// The names of all roles.
    pub fn roles(&self) -> Vec<String> {
        let own = self.folder.as_ref().map(|folder| folder.join("roles"));
        holding("role.yaml", Some(&ROLES), own.as_deref())
    }

    /// The names of all add-ons: the folders of `roles/addons/`.
    pub fn addons(&self) -> Vec<String> {
        let own = self.folder.as_ref().map(|folder| folder.join("roles/addons"));
        holding("addon.yaml", ROLES.get_dir("addons"), own.as_deref())
    }

    /// The text of a file of an add-on; nothing when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn addon_text(&self, addon: &str, file: &str) -> Result<Option<String>, Error> {
        // What lies beside its definition is meant, and nothing else on the administrator's machine.
        if !Path::new(file).components().all(|part| matches!(part, Component::Normal(_))) {
            return Ok(None);
        }
        Ok(self.text(&format!("roles/addons/{addon}/{file}"))?.map(Cow::into_owned))
    }

    /// The text of a template.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn template(&self, path: &str) -> Result<Cow<'static, str>, Error> {
        self.text(&format!("templates/{path}"))?.ok_or_else(|| Error::NoTemplate { path: path.to_string() })
    }

    /// The paths of all templates.
    pub fn templates(&self) -> BTreeSet<String> {
        let mut paths = BTreeSet::new();
        embedded_files(&TEMPLATES, &mut paths);
        if let Some(folder) = &self.folder {
            let root = folder.join("templates");
            files_below(&root, &root, &mut paths);
        }
        paths
    }

    /// A file that is shipped beside a role, and where it is, unless it is in the binary.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn file(&self, role: &str, source: &str) -> Result<(Vec<u8>, Option<PathBuf>), Error> {
        let path = format!("roles/{role}/files/{source}");
        // What is beside the role is meant, and nothing else on the administrator's machine.
        let inside = Path::new(source).components().all(|part| matches!(part, Component::Normal(_)));
        let none = || Error::NoFile { path: path.clone() };
        let found = self.find(&path)?.filter(|_| inside && !source.is_empty()).ok_or_else(none)?;
        Ok((found.bytes.into_owned(), found.local))
    }

    fn text(&self, path: &str) -> Result<Option<Cow<'static, str>>, Error> {
        let Some(Found { bytes, local }) = self.find(path)? else { return Ok(None) };
        let text = match bytes {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
        };
        text.map(Some).ok_or_else(|| Error::Unreadable {
            path: local.unwrap_or_else(|| path.into()),
            cause: std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not UTF-8 text"),
        })
    }

    fn find(&self, path: &str) -> Result<Option<Found>, Error> {
        if let Some(folder) = &self.folder {
            let file = folder.join(path);
            match std::fs::read(&file) {
                Ok(bytes) => return Ok(Some(Found { bytes: bytes.into(), local: Some(file) })),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(cause) => return Err(Error::Unreadable { path: file, cause }),
            }
        }
        let (dir, rest) = match path.strip_prefix("templates/") {
            Some(rest) => (&TEMPLATES, rest),
            None => (&ROLES, path.trim_start_matches("roles/")),
        };
        Ok(dir.get_file(rest).map(|file| Found { bytes: file.contents().into(), local: None }))
    }
}

/// A file of the library.
struct Found {
    bytes: Cow<'static, [u8]>,
    /// Where it is, unless it is in the binary.
    local: Option<PathBuf>,
}

/// The folders that hold a file of this name, of those in the binary and those of a folder.
fn holding(file: &str, embedded: Option<&Dir<'_>>, folder: Option<&Path>) -> Vec<String> {
    let name = |path: &Path| path.file_name()?.to_str().map(String::from);
    let embedded = embedded.into_iter().flat_map(Dir::dirs);
    let embedded = embedded.filter(|dir| dir.get_file(dir.path().join(file)).is_some());
    let own = folder.and_then(|folder| folder.read_dir().ok()).into_iter().flatten().flatten();
    let own = own.map(|entry| entry.path()).filter(|path| path.join(file).is_file());
    let names = embedded.map(|dir| dir.path().to_path_buf()).chain(own);
    let names: BTreeSet<String> = names.filter_map(|path| name(&path)).collect();
    names.into_iter().collect()
}

fn embedded_files(dir: &Dir<'_>, paths: &mut BTreeSet<String>) {
    paths.extend(dir.files().map(|file| file.path().to_string_lossy().into_owned()));
    dir.dirs().for_each(|dir| embedded_files(dir, paths));
}

/// Adds the files below a folder by their paths from `root`. What cannot be listed holds none.
fn files_below(folder: &Path, root: &Path, paths: &mut BTreeSet<String>) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let path = entry.path();
        match path.strip_prefix(root) {
            _ if path.is_dir() => files_below(&path, root, paths),
            Ok(inner) => drop(paths.insert(inner.to_string_lossy().into_owned())),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addons_are_no_roles_and_a_folder_overrides_them_file_by_file() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("roles/addons/own");
        std::fs::create_dir_all(&own).unwrap();
        std::fs::write(own.join("addon.yaml"), "about: Ours.\n").unwrap();
        std::fs::write(folder.path().join("roles/secret"), "s").unwrap();
        let library = Library::new(Some(folder.path().to_path_buf()));
        assert!(library.addons().contains(&"own".to_string()));
        assert_eq!(library.roles(), Library::default().roles());
        assert!(
            library.roles().contains(&"base".to_string()) && !library.roles().contains(&"addons".to_string())
        );
        assert_eq!(library.addon_text("own", "addon.yaml").unwrap().as_deref(), Some("about: Ours.\n"));
        assert_eq!(library.addon_text("own", "../../secret").unwrap(), None);
    }

    #[test]
    fn a_role_is_read_once_in_a_run() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("roles/own/role.yaml");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "description: Ours.\nneeds: [base]\ntasks: []\n").unwrap();
        let library = Library::new(Some(folder.path().to_path_buf()));
        let first = library.role("own").unwrap();
        std::fs::write(&file, "tasks: nonsense\n").unwrap();
        assert_eq!(library.clone().role("own").unwrap().needs, first.needs, "clones share it");
        assert!(Library::new(library.folder).role("own").is_err(), "the next run reads it again");
    }
}
