//! Takes over inventories of Ansible that have Kubespray's groups and variables.

mod ansible;
mod folders;
mod ini;
mod kubespray;
mod machine;
mod range;
mod tree;
mod values;

use std::path::Path;

use super::Error;
use crate::yaml::{Problems, Source};

/// What an inventory of Ansible amounts to.
#[derive(Debug)]
pub struct Imported {
    /// An inventory of hoist. Whether it is right is for [`super::parse`] to say.
    pub text: String,
    /// What was not taken over and why, for people; without any value that may be secret.
    pub notes: Vec<String>,
}

/// Reads an inventory of Ansible, INI or YAML, with group_vars and host_vars beside it.
///
/// # Errors
/// When a file cannot be read or is not what Ansible would read. No error shows a line of such a file, for passwords
/// are often kept there.
pub fn import(path: &Path) -> Result<Imported, Error> {
    read(path).map_err(|error| match error {
        Error::Mistakes(problems) => Error::Mistakes(problems.without_text()),
        other => other,
    })
}

fn read(path: &Path) -> Result<Imported, Error> {
    let source = Source::load(path)?;
    let mut ansible = match is_yaml(path, source.text()) {
        true => tree::read(&source)?,
        false => ini::read(&source).map_err(|problems| Problems::new(&source, problems))?,
    };
    folders::read(path.parent().unwrap_or(Path::new("")), &mut ansible)?;
    Ok(kubespray::convert(path, ansible))
}

/// By its name, and else by what its first line that says something ends with: `all:`.
fn is_yaml(path: &Path, text: &str) -> bool {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml" | "json") => true,
        Some("ini" | "cfg") => false,
        _ => {
            let mut lines =
                text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            lines.next().is_some_and(|line| line.starts_with("---") || line.ends_with(':'))
        }
    }
}
