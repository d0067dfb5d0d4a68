//! What the verbs share that ask a group of hosts and no cluster.

use super::{Failure, shared::home};
use crate::{
    cluster::Session,
    exit::Exit,
    inventory::{Inventory, NoSuchHost, Selection},
    report::tell_line,
    transport::{self, Target},
};

/// How the selected hosts are connected to.
pub async fn targets(inventory: &Inventory, selection: &Selection) -> Result<Vec<Target>, Failure> {
    let names: Vec<&str> = selection.hosts(inventory)?.into_iter().map(|(name, _)| name).collect();
    let mut targets = Session::targets(inventory, &home()).await?;
    targets.retain(|target| names.contains(&target.name.as_str()));
    Ok(targets)
}

/// How one host is connected to.
pub async fn target(inventory: &Inventory, name: &str) -> Result<Target, Failure> {
    let targets = Session::targets(inventory, &home()).await?;
    let target = targets.into_iter().find(|target| target.name == name);
    target.ok_or_else(|| NoSuchHost::named(name, inventory).into())
}

/// Tells people which hosts could not be asked, and programs the worst of it.
pub fn tell(failures: impl IntoIterator<Item = transport::Error>) -> Exit {
    Exit::worst(failures.into_iter().map(|failure| {
        let exit = failure.exit();
        tell_line(format_args!("{:?}", miette::Report::new(failure)));
        exit
    }))
}

/// Words as a line of shell that means just these words; a single word is the line itself, as with ssh(1).
pub fn command_line(words: &[String]) -> String {
    match words {
        [line] => line.clone(),
        words => words.iter().map(|word| transport::quote(word)).collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_words_stay_what_they_are_and_one_is_a_line() {
        for (words, line) in [
            (&["uptime"][..], "uptime"),
            (&["df -h / | tail -n 1"], "df -h / | tail -n 1"),
            (&["echo", "a b", "$HOME", "it's", ""], r"'echo' 'a b' '$HOME' 'it'\''s' ''"),
        ] {
            let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
            assert_eq!(command_line(&words), line);
        }
    }
}
