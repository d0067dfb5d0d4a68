//! Labels and taints, as `kubectl` takes them.

use std::collections::HashMap;

use indexmap::IndexMap;

use crate::{
    inventory::Inventory,
    yaml::{Document, Problem, listed, nearest},
};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    for (name, host) in &document.value.hosts {
        of_node(document, &["hosts", name], &format!("`{name}`"), (&host.labels, &host.taints), problems);
    }
    if let Some(metallb) = &document.value.addons.metallb {
        let place = ["addons", "metallb", "node_selector"];
        for label in &metallb.node_selector {
            form(document, &place, label, "nodes", problems);
        }
    }
    let burst = &document.value.burst;
    of_node(document, &["burst"], "rented nodes", (&burst.labels, &burst.taints), problems);
}

/// What is said of one node, or of several, at `place`.
fn of_node(
    document: &Document<Inventory>,
    place: &[&str],
    name: &str,
    (labels, taints): (&IndexMap<String, String>, &[String]),
    problems: &mut Vec<Problem>,
) {
    let place_of_labels = [place, &["labels"]].concat();
    for label in labels {
        let key = label.0.as_str();
        if OF_KUBELETS.contains(&key) {
            let at = document.tree.key_at(&[&place_of_labels[..], &[key]].concat());
            let mistake = format!("`{key}` cannot be a label of {name}");
            problems.push(Problem::new(at, mistake).label("the kubelet gives it").help(KUBELET_HELP));
        }
        form(document, &place_of_labels, label, name, problems);
    }
    let mut seen = HashMap::new();
    for (index, taint) in taints.iter().enumerate() {
        let at = document.tree.at(&[place, &["taints", &index.to_string()]].concat());
        match self::taint(taint) {
            Err((reason, help)) => {
                let mistake = format!("`{taint}` cannot be a taint of {name}");
                problems.push(Problem::new(at, mistake).label(reason).help(help));
            }
            // The kubelet does not start with two, and the API server refuses such a node.
            Ok((key, effect)) => match seen.get(&(key, effect)) {
                Some(first) => problems.push(
                    Problem::new(
                        at,
                        format!("two taints of {name} have the key `{key}` and the effect {effect}"),
                    )
                    .label("again here")
                    .also(*first, "first here")
                    .help("keep one of the two: the value does not tell taints apart"),
                ),
                None => _ = seen.insert((key, effect), at),
            },
        }
    }
}

/// Whether key and value of a label in the map at `place` can be those of one.
fn form(
    document: &Document<Inventory>,
    place: &[&str],
    (key, value): (&String, &String),
    name: &str,
    problems: &mut Vec<Problem>,
) {
    let path = [place, &[key]].concat();
    if let Err(reason) = label_key(key) {
        let mistake = format!("`{key}` cannot be a label of {name}");
        problems.push(Problem::new(document.tree.key_at(&path), mistake).label(reason).help(KEY_HELP));
    }
    if !value.is_empty() && !is_name(value) {
        let mistake = format!("`{value}` cannot be the value of a label");
        let problem = Problem::new(document.tree.at(&path), mistake);
        problems.push(problem.label("not allowed in a label").help(NAME_HELP));
    }
}

/// What kubelets say of their nodes, again whenever they start:
/// https://kubernetes.io/docs/reference/labels-annotations-taints/
const OF_KUBELETS: [&str; 5] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];
const KUBELET_HELP: &str = "leave it out: every node has it, and what the kubelet says of itself wins";

const NAME_HELP: &str =
    "write at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends";
const KEY_HELP: &str = "write a name of at most 63 letters, digits, `-`, `_` and `.`, possibly after a DNS name and \
                        a slash, such as example.com/disk";

/// Key and effect, by which taints are told apart, of `key=value:Effect` or `key:Effect`.
fn taint(text: &str) -> Result<(&str, &str), (String, String)> {
    let Some((rest, effect)) = text.rsplit_once(':') else {
        return Err((
            "no effect".into(),
            format!("write it as key=value:Effect, with one of {}", listed(EFFECTS, "or")),
        ));
    };
    if !EFFECTS.contains(&effect) {
        let help = match nearest(effect, EFFECTS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the effects are {}", listed(EFFECTS, "and")),
        };
        return Err((format!("`{effect}` is no effect"), help));
    }
    let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
    label_key(key).map_err(|reason| (reason.to_owned(), KEY_HELP.to_owned()))?;
    if !value.is_empty() && !is_name(value) {
        return Err((format!("`{value}` is not allowed as a value"), NAME_HELP.to_owned()));
    }
    Ok((key, effect))
}

/// A qualified name: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels
fn label_key(key: &str) -> Result<(), &'static str> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if prefix.is_some_and(|prefix| !is_subdomain(prefix)) {
        return Err("what is before the slash is not a DNS name");
    }
    if is_name(name) { Ok(()) } else { Err("not allowed as a key") }
}

fn is_name(text: &str) -> bool {
    let outer = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && outer(bytes.first())
        && outer(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            is_name(label) && !label.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_keys() {
        for good in ["disk", "example.com/disk", "node-role.kubernetes.io/gpu", "A_b.c-1", "1"] {
            assert!(label_key(good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", "/disk", "a/b/c", "-a", "a-", "a b", "Example.com/disk", "ex_ample/disk", "é", &long]
        {
            assert!(label_key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn taints() {
        for good in ["a=b:NoSchedule", "a:NoExecute", "example.com/a=b:PreferNoSchedule", "a=:NoSchedule"] {
            assert!(taint(good).is_ok(), "{good}");
        }
        for (bad, reason, help) in [
            (
                "a",
                "no effect",
                "write it as key=value:Effect, with one of `NoSchedule`, `PreferNoSchedule` or `NoExecute`",
            ),
            ("a=b:noschedule", "`noschedule` is no effect", "did you mean `NoSchedule`?"),
            ("a=b:", "`` is no effect", "the effects are `NoSchedule`, `PreferNoSchedule` and `NoExecute`"),
            ("=b:NoSchedule", "not allowed as a key", KEY_HELP),
            ("a=b=c:NoSchedule", "`b=c` is not allowed as a value", NAME_HELP),
        ] {
            assert_eq!(taint(bad), Err((reason.to_owned(), help.to_owned())), "{bad}");
        }
    }
}
