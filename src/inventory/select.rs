//! Which hosts are meant, in one word or several.

use std::{convert::Infallible, str::FromStr};

use indexmap::IndexSet;

use super::{Host, Inventory};
use crate::yaml::nearest;

/// The word for every host.
const ALL: &str = "all";

/// Some of an inventory's hosts, as a user names them: `w1`, `worker`, `dc1`, several with commas between them,
/// or `all`. A word means every host whose name, role or site it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    words: Vec<String>,
}

/// A word that means no host.
#[derive(Debug, thiserror::Error, miette::Diagnostic, PartialEq, Eq)]
#[error("`{word}` is {missing}")]
#[diagnostic(help("{help}"))]
pub struct NoSuchHost {
    pub word: String,
    missing: &'static str,
    help: String,
}

impl Selection {
    /// Every host.
    pub fn all() -> Selection {
        Selection { words: vec![ALL.to_owned()] }
    }

    /// The hosts that are meant, each once, in the order of the inventory.
    ///
    /// # Errors
    /// The first word that means none: a misspelt name must not quietly do less than was asked.
    pub fn hosts<'a>(&self, inventory: &'a Inventory) -> Result<Vec<(&'a str, &'a Host)>, NoSuchHost> {
        let hosts = || inventory.hosts.iter().map(|(name, host)| (name.as_str(), host));
        if let Some(word) = self.words.iter().find(|word| !hosts().any(|(name, host)| is(word, name, host))) {
            let known = hosts().flat_map(|(name, host)| groups(name, host)).chain([ALL]);
            return Err(NoSuchHost::new(
                word,
                "no host of the inventory, and none has such a role or site",
                known,
            ));
        }
        Ok(hosts().filter(|(name, host)| self.words.iter().any(|word| is(word, name, host))).collect())
    }
}

impl FromStr for Selection {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Selection, Infallible> {
        Ok(Selection { words: text.split(',').map(|word| word.trim().to_owned()).collect() })
    }
}

/// Whether a word means a host.
fn is(word: &str, name: &str, host: &Host) -> bool {
    word == ALL || groups(name, host).any(|group| group == word)
}

/// Everything that a host can be called by.
fn groups<'a>(name: &'a str, host: &'a Host) -> impl Iterator<Item = &'a str> {
    std::iter::once(name).chain(host.roles.iter().map(|role| role.name())).chain(host.site.as_deref())
}

impl Inventory {
    /// The host of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn host(&self, name: &str) -> Result<&Host, NoSuchHost> {
        self.hosts.get(name).ok_or_else(|| NoSuchHost::named(name, self))
    }
}

impl NoSuchHost {
    /// A word that is not the name of a host, where only a name will do.
    pub fn named(word: &str, inventory: &Inventory) -> NoSuchHost {
        NoSuchHost::new(word, "no host of the inventory", inventory.hosts.keys().map(String::as_str))
    }

    fn new<'a>(word: &str, missing: &'static str, known: impl Iterator<Item = &'a str>) -> NoSuchHost {
        let known: IndexSet<&str> = known.collect();
        let help = match nearest(word, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", known.into_iter().collect::<Vec<_>>().join(", ")),
        };
        NoSuchHost { word: word.to_owned(), missing, help }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
cluster: {name: a, kubernetes: 1.20.2}
sites: [dc1, dc2]
hosts:
  w2: {address: 10.0.0.3, roles: [worker], site: dc1}
  cp1: {address: 10.0.0.1, roles: [control-plane, worker], site: dc1}
  w1: {address: 10.0.0.2, roles: [worker], site: dc2}
";

    fn select(text: &str) -> Result<String, NoSuchHost> {
        let inventory = crate::inventory::parse("test", TEXT).unwrap().inventory;
        let selection: Selection = text.parse().unwrap();
        let hosts = selection.hosts(&inventory)?;
        Ok(hosts.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_word_is_a_name_a_role_a_site_or_all_and_each_host_comes_once_in_the_files_order() {
        for (text, hosts) in [
            ("w1", "w1"),
            ("w1,w2", "w2 w1"),
            ("worker", "w2 cp1 w1"),
            ("control-plane", "cp1"),
            ("control-plane, w1 ,w1", "cp1 w1"),
            ("dc1", "w2 cp1"),
            ("dc2,control-plane", "cp1 w1"),
            ("all", "w2 cp1 w1"),
        ] {
            assert_eq!(select(text).as_deref(), Ok(hosts), "{text}");
        }
    }

    #[test]
    fn a_host_is_found_by_its_name_alone() {
        let inventory = crate::inventory::parse("test", TEXT).unwrap().inventory;
        assert!(inventory.host("w1").is_ok());
        let error = inventory.host("worker").unwrap_err();
        assert_eq!(error.to_string(), "`worker` is no host of the inventory");
        assert_eq!(error.help, "there are: w2, cp1, w1");
    }

    #[test]
    fn a_word_that_means_nobody_is_an_error_with_the_way_out() {
        for (text, word, help) in [
            ("w1,wroker", "wroker", "did you mean `worker`?"),
            ("nobody", "nobody", "there are: w2, worker, dc1, cp1, control-plane, w1, dc2, all"),
            ("", "", "there are: w2, worker, dc1, cp1, control-plane, w1, dc2, all"),
            ("w1,", "", "there are: w2, worker, dc1, cp1, control-plane, w1, dc2, all"),
        ] {
            let error = select(text).unwrap_err();
            assert_eq!((error.word.as_str(), error.help.as_str()), (word, help), "{text:?}");
        }
    }
}
