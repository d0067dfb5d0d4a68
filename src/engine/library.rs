//! Where roles and templates come from: the binary itself, or folders that override it file by file.

use std::{borrow::Cow, path::PathBuf};

use include_dir::{Dir, include_dir};

use super::{Error, role::RoleFile};
use crate::yaml::{self, Problem, Source};

pub(super) static ROLES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/roles");
pub(super) static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// The roles and templates of a run.
#[derive(Debug, Clone, Default)]
pub struct Library {
    /// A folder with `roles/` and `templates/` whose files come before those in the binary.
    pub folder: Option<PathBuf>,
}

impl Library {
    /// A role.
    ///
    /// # Errors
    /// When there is no such role, or every mistake in its file.
    pub fn role(&self, name: &str) -> Result<RoleFile, Error> {
        let path = format!("roles/{name}/role.yaml");
        let text =
            self.text(&path)?.ok_or_else(|| Error::NoRole { name: name.to_string(), known: self.roles() })?;
        let source = Source::new(path, text.into_owned());
        let document = yaml::read_and::<RoleFile>(&source, |document| {
            let tasks = document.value.tasks.iter().enumerate();
            tasks
                .filter_map(|(index, task)| {
                    let kinds = task.kind().err()?;
                    let span = document.tree.at(&["tasks", &index.to_string(), "name"]);
                    let (label, help) = match kinds[..] {
                        [] => ("no kind".to_string(), "add one kind, such as `file:`"),
                        _ => (format!("kinds: {}", kinds.join(", ")), "make one task of each kind"),
                    };
                    let title = "a task states exactly one thing";
                    Some(Problem::new(span, title).label(label).help(help))
                })
                .collect()
        })?;
        Ok(document.value)
    }

    /// The names of all roles.
    pub fn roles(&self) -> Vec<String> {
        let embedded = ROLES.dirs().filter_map(|dir| dir.path().file_name()?.to_str().map(String::from));
        let folder = self.folder.as_ref().and_then(|folder| folder.join("roles").read_dir().ok());
        let own =
            folder.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = embedded.chain(own).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The text of a template.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn template(&self, path: &str) -> Result<Cow<'static, str>, Error> {
        self.text(&format!("templates/{path}"))?.ok_or_else(|| Error::NoTemplate { path: path.to_string() })
    }

    fn text(&self, path: &str) -> Result<Option<Cow<'static, str>>, Error> {
        if let Some(folder) = &self.folder {
            let file = folder.join(path);
            match std::fs::read_to_string(&file) {
                Ok(text) => return Ok(Some(text.into())),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(cause) => return Err(Error::Unreadable { path: file, cause }),
            }
        }
        let (dir, rest) = match path.strip_prefix("templates/") {
            Some(rest) => (&TEMPLATES, rest),
            None => (&ROLES, path.trim_start_matches("roles/")),
        };
        Ok(dir.get_file(rest).and_then(|file| file.contents_utf8()).map(Cow::from))
    }
}
