//! Which parts of a document have mistakes.

use std::collections::{BTreeSet, HashSet};

use super::{Node, Span};

/// The keys and indexes that lead to a place in a document.
type Path = Vec<String>;

/// Where a document has mistakes, and what was left out of its value for them.
#[derive(Debug, Clone, Default)]
pub(super) struct Gaps {
    mistaken: BTreeSet<Path>,
    /// Items of lists.
    left_out: BTreeSet<Path>,
}

impl Gaps {
    /// Adds a place as messages show it, with `[index]`es.
    pub fn add(&mut self, shown: &[String]) {
        self.mistaken.insert(plain(shown));
    }

    /// Adds an item that the value of its list lacks.
    pub fn leave_out(&mut self, shown: &[String]) {
        self.left_out.insert(plain(shown));
    }

    /// As [`Gaps::touch`], of a place as messages show it.
    pub fn touch_shown(&self, shown: &[String]) -> bool {
        self.touch(&plain(shown).iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Whether there is a mistake at this place, below it, or in something that it is part of. `*` is any one step.
    pub fn touch(&self, path: &[&str]) -> bool {
        if self.mistaken.is_empty() {
            return false;
        }
        if path.contains(&"*") {
            let fits = |(step, wanted): (&String, &&str)| *wanted == "*" || step == wanted;
            return self.mistaken.iter().any(|gap| gap.iter().zip(path).all(fits));
        }
        let path: Path = path.iter().map(|step| (*step).to_owned()).collect();
        let above = (0..path.len()).any(|end| self.mistaken.contains(&path[..end]));
        above || self.mistaken.range(path.clone()..).next().is_some_and(|gap| gap.starts_with(&path))
    }

    /// Where in the list at `path`, as it is written, those items of it stand that its value has.
    pub fn kept(&self, path: &[&str], written: usize) -> Vec<usize> {
        let item = |index: &usize| {
            let steps = path.iter().map(|step| (*step).to_owned()).chain([index.to_string()]);
            steps.collect::<Path>()
        };
        (0..written).filter(|index| !self.left_out.contains(&item(index))).collect()
    }

    /// The places of mistaken values that are written.
    pub fn spans(&self, tree: &Node) -> HashSet<(usize, usize)> {
        let written = |gap: &Path| tree.get(&gap.iter().map(String::as_str).collect::<Vec<_>>());
        let gaps = self.mistaken.iter().filter(|gap| !gap.is_empty());
        gaps.filter_map(written).map(|node| key(node.span)).collect()
    }
}

/// A span as something that sets can hold.
pub(super) fn key(span: Span) -> (usize, usize) {
    (span.offset(), span.len())
}

fn plain(shown: &[String]) -> Path {
    let step = |step: &String| {
        let index = step.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        index.unwrap_or(step).to_owned()
    };
    shown.iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_whole_where_no_mistake_is_in_it_nor_in_what_it_is_part_of() {
        let path = |text: &str| -> Vec<String> { text.split('.').map(str::to_owned).collect() };
        let mut gaps = Gaps::default();
        assert!(!gaps.touch(&[]), "without mistakes all is whole");
        for gap in ["hosts.cp1.address", "sites.[1]", "addons"] {
            gaps.add(&path(gap));
        }
        for (place, touched) in [
            (&[][..], true),
            (&["hosts"], true),
            (&["hosts", "cp1"], true),
            (&["hosts", "cp1", "address"], true),
            (&["hosts", "cp1", "roles"], false),
            (&["hosts", "cp"], false),
            (&["hosts", "*", "address"], true),
            (&["hosts", "*", "roles"], false),
            (&["sites"], true),
            (&["sites", "1"], true),
            (&["sites", "0"], false),
            (&["addons", "metallb", "pools"], true),
            (&["cluster"], false),
        ] {
            assert_eq!(gaps.touch(place), touched, "{place:?}");
        }
        gaps.leave_out(&path("sites.[1]"));
        assert_eq!(gaps.kept(&["sites"], 3), [0, 2]);
    }
}
