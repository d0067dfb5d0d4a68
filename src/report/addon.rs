//! Add-ons in words.

use std::fmt::Write;

use serde_json::Value;

use super::table::Table;
use crate::addon::Removal;

/// One line an add-on.
pub fn list(rows: &[Value]) -> String {
    let mut table = Table::new(["ADD-ON", "WANTED", "CHART", "INSTALLED", "STATE"]);
    for row in rows {
        let wanted = if row["wanted"] == true { "yes" } else { "no" };
        table.row([
            text(&row["name"]),
            wanted.into(),
            text(&row["chart"]),
            text(&row["installed"]),
            text(&row["state"]),
        ]);
    }
    if rows.is_empty() { String::from("No add-on is wanted or installed.\n") } else { table.to_string() }
}

/// A block an add-on.
pub fn status(rows: &[Value]) -> String {
    let mut out = String::new();
    for row in rows {
        let pods = &row["pods"];
        let _ = writeln!(
            out,
            "{}: {}, {} of {} pods ready",
            text(&row["name"]),
            text(&row["state"]),
            pods["ready"],
            pods["all"]
        );
        for pod in items(&pods["waiting"]) {
            let _ = writeln!(
                out,
                "  pod {} on {}: {}",
                text(&pod["pod"]),
                text(&pod["node"]),
                text(&pod["reason"])
            );
        }
        for change in items(&row["changes"]) {
            let _ = writeln!(out, "  differs: {}", text(change));
        }
        if let Some(why) = row["unproven"].as_str() {
            let _ = writeln!(out, "  not proven: {why}");
        }
        for gate in items(&row["gates"]) {
            let open = if gate["open"] == true { "proven" } else { "NOT proven" };
            let _ = writeln!(out, "  {open}: {}", text(&gate["proves"]));
            for seen in items(&gate["seen"]) {
                let _ = writeln!(out, "    {}", text(seen));
            }
        }
    }
    if rows.is_empty() { String::from("No add-on is wanted.\n") } else { out }
}

/// What would be broken on purpose.
pub fn breaks(rows: &[Value]) -> String {
    if rows.is_empty() {
        return String::from("Nothing of what is installed has a proof that breaks anything.\n");
    }
    let line = |row: &Value| {
        format!("  {}: {} breaks {}\n", text(&row["addon"]), text(&row["gate"]), text(&row["breaks"]))
    };
    format!("With --yes this is broken on purpose:\n{}", rows.iter().map(line).collect::<String>())
}

/// What went, or would go, and what stays.
pub fn removal(removal: &Removal, done: bool) -> String {
    let mut out = String::from(if done { "Removed:\n" } else { "With --yes this is removed:\n" });
    let lines = |list: &[String]| list.iter().map(|line| format!("  {line}\n")).collect::<String>();
    out.push_str(&lines(&removal.removed));
    out.push_str(if done { "Kept:\n" } else { "and this is kept:\n" });
    out.push_str(&lines(&removal.kept));
    out
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::from("-"),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wanted_and_what_is_there() {
        let rows = [
            json!({"name": "metallb", "wanted": true, "chart": "0.16.1", "installed": null, "state": "not installed"}),
            json!({"name": "old", "wanted": false, "chart": null, "installed": "1.0.0", "state": "not wanted any more"}),
        ];
        let text = list(&rows);
        assert!(text.contains("metallb   yes      0.16.1   -           not installed"), "{text}");
        assert!(text.contains("old       no       -        1.0.0       not wanted any more"), "{text}");
        assert_eq!(list(&[]), "No add-on is wanted or installed.\n");
    }

    #[test]
    fn pods_that_wait_are_named_with_their_reason() {
        let row = json!({
            "name": "web", "state": "differs", "changes": ["mend Deployment site/web: it is gone"],
            "pods": {"ready": 1, "all": 2, "waiting": [{"pod": "web-1", "node": null, "reason": "ErrImagePull"}]},
            "gates": [{"open": false, "proves": "it answers", "seen": ["nothing answers"]}],
        });
        insta::assert_snapshot!(status(&[row]), @r"
        web: differs, 1 of 2 pods ready
          pod web-1 on -: ErrImagePull
          differs: mend Deployment site/web: it is gone
          NOT proven: it answers
            nothing answers
        ");
    }

    #[test]
    fn what_is_not_installed_is_not_proven() {
        let row = json!({"name": "web", "state": "not installed", "pods": {"ready": 0, "all": 0},
                         "unproven": "it is not installed"});
        assert!(status(&[row]).ends_with("0 of 0 pods ready\n  not proven: it is not installed\n"));
    }

    #[test]
    fn what_would_be_broken_is_named() {
        let row =
            json!({"addon": "metallb", "gate": "metallb-address", "breaks": "a node: its speaker is ended"});
        assert_eq!(
            breaks(&[row]),
            "With --yes this is broken on purpose:\n  metallb: metallb-address breaks a node: its speaker is ended\n"
        );
        assert!(breaks(&[]).starts_with("Nothing of what is installed"));
    }

    #[test]
    fn a_removal_says_what_stays() {
        let what = Removal { removed: vec!["release a/b".into()], kept: vec!["Namespace a".into()] };
        assert!(
            removal(&what, false)
                .contains("With --yes this is removed:\n  release a/b\nand this is kept:\n  Namespace a\n")
        );
    }
}
