//! Several files as one tree.

use indexmap::IndexMap;

use super::{Entry, Node, Problem, Source, Value, build, problem::shifted};

/// The tree of all files of a source. Maps are joined key by key, wherever they stand; everything else may be said
/// once. `None` after a mistake that makes the rest unreadable.
pub(super) fn tree(source: &Source, problems: &mut Vec<Problem>) -> Option<Node> {
    let mut joined: Option<Node> = None;
    let mut whole = true;
    for part in source.parts() {
        let mut own = Vec::new();
        let tree = build::tree(part.text, &mut own);
        problems.extend(own.into_iter().map(|problem| problem.shifted(part.start)));
        let Some(mut tree) = tree else {
            whole = false;
            continue;
        };
        shift(&mut tree, part.start);
        match &mut joined {
            None => joined = Some(tree),
            Some(first) => join(first, tree, problems),
        }
    }
    // What a file that cannot be read says would be missed.
    joined.filter(|_| whole)
}

fn shift(node: &mut Node, by: usize) {
    node.span = shifted(node.span, by);
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| shift(item, by)),
        Value::Map(entries) => {
            for entry in entries.values_mut() {
                entry.key_span = shifted(entry.key_span, by);
                shift(&mut entry.node, by);
            }
        }
        _ => {}
    }
}

/// Adds the tree of a further file.
fn join(first: &mut Node, second: Node, problems: &mut Vec<Problem>) {
    match (&mut first.value, second.value) {
        (Value::Map(first), Value::Map(second)) => join_maps(first, second, problems),
        (_, Value::Map(_)) => problems.push(no_map(first)),
        (_, value) => problems.push(no_map(&Node { value, ..second })),
    }
}

fn no_map(node: &Node) -> Problem {
    Problem::new(node.span, "a file of a folder must hold a map")
        .help("write `key: value` lines, as in the other files")
}

fn join_maps(
    first: &mut IndexMap<String, Entry>,
    second: IndexMap<String, Entry>,
    problems: &mut Vec<Problem>,
) {
    for (key, entry) in second {
        let Some(known) = first.get_mut(&key) else {
            first.insert(key, entry);
            continue;
        };
        match (&mut known.node.value, entry.node.value) {
            (Value::Map(known), Value::Map(more)) => join_maps(known, more, problems),
            _ => problems.push(
                Problem::new(entry.key_span, format!("the key `{key}` appears twice"))
                    .label("again here")
                    .also(known.key_span, "first here")
                    .help("keep one of them: the files of a folder are read together, and no one comes before another"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{self, Problems};

    fn read(files: &[(&str, &str)]) -> (Option<serde_json::Value>, Vec<String>) {
        let sources: Vec<Source> = files.iter().map(|(name, text)| Source::new(*name, *text)).collect();
        let source = Source::joined("folder", &sources);
        let (tree, problems) = yaml::tree(&source);
        let problems = Problems::new(&source, problems).to_json();
        let told = problems.as_array().unwrap().iter().map(|problem| {
            let text = |key: &str| problem[key].as_str().unwrap().to_owned();
            format!("{}:{}:{}: {}", text("file"), problem["line"], problem["column"], text("message"))
        });
        (tree.map(|tree| tree.to_json()), told.collect())
    }

    #[test]
    fn maps_are_joined_at_every_depth() {
        let (tree, problems) = read(&[
            ("a.yaml", "cluster: {name: a}\nhosts:\n  w1: {address: x}"),
            ("b.yaml", "hosts:\n  w2: {address: y}\n  w1: {site: z}\n"),
        ]);
        assert_eq!(problems, [] as [&str; 0]);
        let expected = serde_json::json!({
            "cluster": {"name": "a"},
            "hosts": {"w1": {"address": "x", "site": "z"}, "w2": {"address": "y"}},
        });
        assert_eq!(tree, Some(expected));
    }

    #[test]
    fn mistakes_are_named_with_their_own_file_and_line() {
        let (_, problems) = read(&[
            ("a.yaml", "name: a\nlist: [1]\n"),
            ("b.yaml", "# nothing\nname: b\nlist: [2]\nnumber: 007\n"),
        ]);
        assert_eq!(
            problems,
            [
                "b.yaml:2:1: the key `name` appears twice",
                "b.yaml:3:1: the key `list` appears twice",
                "b.yaml:4:9: `007` means different numbers to different readers"
            ]
        );
        let (tree, problems) = read(&[("a.yaml", "name: a\n"), ("b.yaml", "x: [\n"), ("c.yaml", "- 1\n")]);
        assert!(tree.is_none(), "what cannot be read is not left out quietly");
        assert!(problems.iter().any(|told| told.starts_with("b.yaml:")), "{problems:?}");
        assert!(
            problems.contains(&"c.yaml:1:1: a file of a folder must hold a map".to_owned()),
            "{problems:?}"
        );
    }
}
