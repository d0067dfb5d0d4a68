//! The files that the package statements of a run install from.

use std::{collections::HashMap, sync::Arc};

use super::Error;
use crate::{
    artifact::{Index, Package, System},
    cluster::{Observed, files::url},
    engine::RoleSteps,
    inventory::{Inventory, Packages},
    task::{PackageFile, Task},
};

/// What an inventory's index has of packages; nothing where hosts use their own repositories.
pub struct Pinned<'a> {
    inventory: &'a Inventory,
    index: Option<&'a Index>,
    systems: Option<&'a [System]>,
    /// Hosts of one operating system share a list.
    lists: HashMap<(String, Vec<String>), Arc<[PackageFile]>>,
}

impl<'a> Pinned<'a> {
    /// What an inventory wants its hosts to install from.
    pub fn new(inventory: &'a Inventory, index: Option<&'a Index>) -> Pinned<'a> {
        let systems = match inventory.artifacts.packages {
            Packages::Repositories => None,
            Packages::Pinned => Some(index.map_or(&[][..], |index| &index.packages)),
        };
        Pinned { inventory, index, systems, lists: HashMap::new() }
    }

    /// Gives all package statements about a host their files.
    ///
    /// # Errors
    /// [`Error::UnknownSystem`] and [`Error::NotPinned`] when there are none, whether the host lacks the package or not: a
    /// lock is for every host that may come.
    pub fn give(&mut self, roles: &mut [RoleSteps], host: &str, facts: &Observed) -> Result<(), Error> {
        let Some(systems) = self.systems else { return Ok(()) };
        let fetched = |file: &Package| {
            let url = self.index.map(|index| url(self.inventory, index, &file.path, &file.sha256));
            let url = url.unwrap_or_default();
            (!url.is_empty()).then_some(url)
        };
        let os = facts.get(host).map(|facts| facts.os.release()).unwrap_or_default();
        for role in roles {
            for step in &mut role.steps {
                let Task::Package(package) = &mut step.task else { continue };
                let Some(system) = systems.iter().find(|system| system.os == os) else {
                    let pinned: Vec<&str> = systems.iter().map(|system| system.os.as_str()).collect();
                    let pinned = if pinned.is_empty() { "none".to_string() } else { pinned.join(", ") };
                    return Err(Error::UnknownSystem { host: host.to_string(), os, pinned });
                };
                if let Some(name) = package.names.iter().find(|name| !system.needs.contains_key(*name)) {
                    let (role, name) = (role.role.clone(), name.clone());
                    return Err(Error::NotPinned { host: host.to_string(), role, name, os });
                }
                let key = (os.clone(), package.names.clone());
                let list = self.lists.entry(key).or_insert_with(|| files(system, &package.names, fetched));
                package.files = Some(Arc::clone(list));
            }
        }
        Ok(())
    }
}

/// What these packages and all that they need are installed from.
fn files(
    system: &System,
    names: &[String],
    fetched: impl Fn(&Package) -> Option<String>,
) -> Arc<[PackageFile]> {
    let wanted = |name: &String| {
        names.iter().filter_map(|root| system.needs.get(root)).any(|needs| needs.contains(name))
    };
    let files = system.files.iter().filter(|file| wanted(&file.name));
    files
        .map(|file| PackageFile {
            name: file.name.clone(),
            version: file.version.clone(),
            source: file.path.to_string_lossy().into_owned(),
            url: fetched(file),
            sha256: file.sha256.clone(),
        })
        .collect()
}
