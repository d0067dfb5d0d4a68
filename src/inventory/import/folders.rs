//! The folders group_vars and host_vars beside an inventory of Ansible.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    ansible::{Ansible, Vars},
    tree,
};
use crate::{
    inventory::Error,
    yaml::{ReadError, Source},
};

/// Adds what the folders say of the groups and hosts that there are.
///
/// # Errors
/// When a file there cannot be read or is no YAML.
pub(super) fn read(folder: &Path, ansible: &mut Ansible) -> Result<(), Error> {
    // It is there even when nobody is put into it by name.
    ansible.group("all");
    let mut notes = Vec::new();
    for (name, group) in &mut ansible.groups {
        group.beside = vars(&folder.join("group_vars"), name, &mut notes)?;
    }
    for (name, host) in &mut ansible.hosts {
        host.beside = vars(&folder.join("host_vars"), name, &mut notes)?;
    }
    ansible.notes.append(&mut notes);
    Ok(())
}

/// The variables of one group or host: of the first that there is of `NAME`, `NAME.yml`, `NAME.yaml` and `NAME.json`, as
/// Ansible stops there. `NAME` may be a folder: then of every file in it, the later name winning.
fn vars(folder: &Path, name: &str, notes: &mut Vec<String>) -> Result<Vars, Error> {
    let mut vars = Vars::new();
    // A name with a slash would lead out of the folder.
    if name.contains('/') || name.starts_with('.') {
        return Ok(vars);
    }
    let mut there = Vec::new();
    for ending in ["", ".yml", ".yaml", ".json"] {
        let path = folder.join(format!("{name}{ending}"));
        match path.try_exists() {
            Ok(true) => there.push(path),
            Ok(false) => {}
            Err(cause) => return Err(ReadError::Io { path, cause }.into()),
        }
    }
    let Some((first, others)) = there.split_first() else { return Ok(vars) };
    for other in others {
        notes.push(format!(
            "{}: not read, for Ansible reads {} in its place",
            other.display(),
            first.display()
        ));
    }
    for file in files(first)? {
        let source = Source::load(&file)?;
        if source.text().starts_with("$ANSIBLE_VAULT") {
            notes.push(format!("{}: not read, it is encrypted by ansible-vault", file.display()));
            continue;
        }
        let (read, left_out) = tree::read_vars(&source)?;
        vars.extend(read);
        notes.extend(left_out);
    }
    Ok(vars)
}

/// The file, or the files in the folder and below in the order of their names; nothing when there is neither.
fn files(path: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let failed = |cause| ReadError::Io { path: path.to_owned(), cause };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
        Ok(metadata) if !metadata.is_dir() => Ok(vec![path.to_owned()]),
        Ok(_) => {
            let entries = fs::read_dir(path).map_err(failed)?;
            let mut names: Vec<PathBuf> =
                entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>().map_err(failed)?;
            names.retain(|name| is_read(name));
            names.sort();
            let below: Vec<Vec<PathBuf>> = names.iter().map(|name| files(name)).collect::<Result<_, _>>()?;
            Ok(below.concat())
        }
    }
}

/// Ansible reads neither hidden files nor those of editors nor what has another ending, nor folders with any.
fn is_read(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ending = path.extension().map(|ending| ending.to_string_lossy());
    !name.starts_with('.')
        && !name.ends_with('~')
        && ending.is_none_or(|ending| !path.is_dir() && matches!(&*ending, "yml" | "yaml" | "json"))
}
