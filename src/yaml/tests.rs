use std::collections::BTreeMap;

use miette::{GraphicalReportHandler, GraphicalTheme};
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use super::*;

/// A kind of file with one of everything.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only whether it can be read is of interest")]
struct Sample {
    /// What it is called. A second sentence.
    name: String,
    count: Option<u8>,
    #[serde(default)]
    enabled: bool,
    /// Bits as `0644`.
    #[serde(default)]
    #[schemars(regex(pattern = "^0[0-7]{3}$"), extend("examples" = ["0644"]))]
    mode: Option<String>,
    #[serde(default)]
    tasks: Vec<Task>,
    #[serde(default)]
    steps: Vec<Step>,
    #[serde(default)]
    ratio: f64,
    #[serde(default)]
    shift: i32,
    #[serde(default)]
    asn: Option<u32>,
    #[serde(default)]
    free: BTreeMap<String, serde_json::Value>,
}

/// Told apart by the one key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only whether it can be read is of interest")]
enum Task {
    Reboot,
    File(File),
    Unit { name: String },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only whether it can be read is of interest")]
struct File {
    path: String,
}

/// Told apart by the value of `kind`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[expect(dead_code, reason = "only whether it can be read is of interest")]
enum Step {
    Wait { seconds: u32 },
    Run { command: String },
}

/// "line:column title | help" of every problem.
fn problems(text: &str) -> Vec<String> {
    let Err(problems) = read::<Sample>(&Source::new("sample", text)) else { return Vec::new() };
    let json = problems.to_json();
    let word = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let line = |it: &serde_json::Value| {
        format!("{}:{} {} | {}", it["line"], it["column"], word(&it["message"]), word(&it["help"]))
    };
    json.as_array().unwrap().iter().map(line).collect()
}

#[test]
fn good_documents_are_read() {
    for text in [
        "name: a",
        "\u{feff}name: a\r\nenabled: true\r\n",
        "{\"name\": \"a\", \"count\": null}",
        "name: a\ncount: 0x10\nmode: '0644'\nratio: 1\n",
        "name: !!str 7",
        "name: a\nshift: -2147483648\nasn: 4294967295",
        "name: &n a\nfree: {copy: *n, \"1\": [{b: .nan}]}",
        "---\nname: a\n...\n",
        "name: a\ntasks: [reboot, {file: {path: /x}}, {unit: {name: y}}]",
        "name: a\nsteps: [{kind: wait, seconds: 3}, {kind: run, command: ls}]",
    ] {
        assert_eq!(problems(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn every_mistake_has_its_answer() {
    let cases = [
        // Types.
        "name: 1.20",
        "name: true",
        "name: [a]",
        "name: {}",
        "name:",
        "count: many\nname: a",
        "name: a\ncount: '7'",
        "name: a\ncount: 256",
        "name: a\ncount: 1.5",
        "name: a\nshift: 2147483648",
        "name: a\nshift: -2147483649",
        "name: a\nasn: 4294967296",
        "name: a\nasn: 18446744073709551616",
        "name: a\nenabled: yes",
        "name: a\nenabled: 'off'",
        "name: a\ntasks: reboot",
        "name: a\nfree: [x]",
        "name: a\nratio: 5%",
        "just a text",
        // Keys.
        "nmae: a",
        "name: a\nzone: b",
        "enabled: true",
        "name: a\n7: b",
        "name: a\n[x]: b",
        "name: a\n{{ x }}: b",
        "name: a\n? \n: b",
        "name: a\nname: b\nname: c",
        "name: a\nfree: &f {x: 1}\n<<: *f",
        // Patterns and ambiguous numbers.
        "name: a\nmode: 0644",
        "name: a\nmode: '644'",
        "name: a\nfree: {mode: 0755}",
        // Enums.
        "name: a\ntasks: [rebot]",
        "name: a\ntasks: [{fil: {path: /x}}]",
        "name: a\ntasks: [{file: {pth: 1}}]",
        "name: a\ntasks: [{other: 1}]",
        "name: a\ntasks: [7]",
        "name: a\nsteps: [{kind: wiat, seconds: 3}]",
        "name: a\nsteps: [{kind: wait, seconds: -3}]",
        "name: a\nsteps: [{kind: wait, seconds: 4294967296}]",
        "name: a\nsteps: [{seconds: 3}]",
        // Syntax.
        "",
        "  \n# nothing\n",
        "name: a\n\tenabled: true",
        "name:\n\t- a",
        "name: a: b",
        "name: @a",
        "name: 'a",
        "name: \"a\\q\"",
        "name: [a\nb: c",
        "name: {a",
        "name: *x",
        "name: a\n  b: c",
        "name:\n  a: b\n c: d",
        "name: \0",
        "name: a\n---\nname: b",
        "name: !custom a",
        "free: &f {x: *f}\nname: a",
    ];
    let mut answers = String::new();
    for text in cases {
        let problems = problems(text);
        assert!(!problems.is_empty(), "no mistake found in {text:?}");
        answers.push_str(&format!("{text:?}\n"));
        problems.iter().for_each(|line| answers.push_str(&format!("    {line}\n")));
    }
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false, snapshot_path => "." }, {
        insta::assert_snapshot!("answers", answers);
    });
}

#[test]
fn files_that_would_fill_the_memory_are_refused() {
    let mut laughs = String::from("name: a\nfree:\n  l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = vec![format!("*l{}", level - 1); 10].join(", ");
        laughs.push_str(&format!("  l{level}: &l{level} [{below}]\n"));
    }
    let deep = format!("name: a\nfree: {{x: {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_block =
        format!("name: a\nfree:\n{}", (1..300).map(|n| " ".repeat(n) + "x:\n").collect::<String>());
    let mut deep_aliases = String::from("name: a\nfree:\n  l0: &l0 [x]\n");
    for level in 1..100 {
        deep_aliases.push_str(&format!("  l{level}: &l{level} [*l{}]\n", level - 1));
    }
    let many = format!("name: a\nfree: {{x: [{}]}}", "0,".repeat(300_000));
    let large = format!("name: {}", "a".repeat(MAX_BYTES));
    for (text, message) in [
        (laughs, "more than 200000 values"),
        (deep, "nested too deep"),
        (deep_block, "nested too deep"),
        (deep_aliases, "nested too deep"),
        (many, "more than 200000 values"),
        (large, "larger than 4 MiB"),
    ] {
        let problems = problems(&text);
        assert!(problems.iter().any(|problem| problem.contains(message)), "{message}: {problems:?}");
    }
}

#[test]
fn positions_can_be_asked_for() {
    let source = Source::new("sample", "name: a\nfree:\n  list: [x, {y: z}]\n  empty:\n");
    let tree = read::<Sample>(&source).unwrap().tree;
    let slice = |span: Span| &source.text()[span.offset()..span.offset() + span.len()];
    for (path, value, key) in [
        (&["name"][..], "a", "name"),
        (&["free"], "free", "free"),
        (&["free", "list"], "[x, {y: z}]", "list"),
        (&["free", "list", "0"], "x", "x"),
        (&["free", "list", "1", "y"], "z", "y"),
        (&["free", "list", "9"], "[x, {y: z}]", "[x, {y: z}]"),
        (&["free", "empty"], "empty", "empty"),
        (&["free", "absent", "deeper"], "free", "free"),
    ] {
        assert_eq!((slice(tree.at(path)), slice(tree.key_at(path))), (value, key), "{path:?}");
    }
}

#[test]
fn verification_sees_what_could_be_read() {
    let mut seen = None;
    let source = Source::new("sample", "name: a\ncount: x\nzone: b\n");
    let result = read_and::<Sample>(&source, |document| {
        seen = Some((document.value.name.clone(), document.value.count, document.is_whole(&["count"])));
        vec![Problem::new(document.tree.at(&["name"]), "a semantic mistake")]
    });
    assert_eq!(seen, Some(("a".to_owned(), None, false)));
    assert_eq!(result.unwrap_err().list().len(), 3);
}

#[test]
fn many_mistakes_in_one_long_line_are_still_quick_to_print() {
    let text = format!("{{name: a, tasks: [{}]}}", "oops, ".repeat(20_000));
    let problems = read::<Sample>(&Source::new("sample", text)).unwrap_err();
    assert_eq!(problems.list().len(), 20_000);
    let mut out = String::new();
    let printer = GraphicalReportHandler::new_themed(GraphicalTheme::none());
    printer.render_report(&mut out, &problems).unwrap();
    assert!(out.contains("20000 mistakes in sample, the first 50 are"));
    assert!(out.len() < 100_000, "{} bytes", out.len());
}

/// Prints too, as a span outside of the text would show only there.
fn survives(text: &str) {
    if let Err(problems) = read::<Sample>(&Source::new("sample", text)) {
        assert!(!problems.list().is_empty());
        let mut out = String::new();
        let printer = GraphicalReportHandler::new_themed(GraphicalTheme::none());
        printer.render_report(&mut out, &problems).unwrap();
        assert!(!out.contains("Failed to read contents"), "{text:?}: {out}");
    }
}

const WHOLE: &str = "name: &a \"b\\u00e9\"\ncount: 7\nenabled: true\nmode: '0644'\ntasks:\n- reboot\n- {file: {path: /x}}\n\
                     steps:\n  - kind: wait\n    seconds: 3\nfree: {x: |\n  y\n, z: *a}\n";

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in "[\\PC\\t\\n\\r\\x00:{}\\[\\]&*!|>'\"%@`#,? -]{0,80}") {
        survives(&text);
    }

    #[test]
    fn no_change_of_a_good_text_makes_it_panic(
        at in 0..WHOLE.len(), remove in 0_usize..12, insert in "[a0:{}\\[\\]&*!|>'\"\\t\\n é#,?-]{0,4}",
    ) {
        let mut text = WHOLE.to_owned();
        text.replace_range(at..(at + remove).min(WHOLE.len()), &insert);
        survives(&text);
    }
}
