//! Roles and hosts of all sorts, and what must become of them.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use proptest::{
    collection::vec,
    prelude::*,
    sample::{select, subsequence},
    test_runner::TestCaseError,
};
use serde_json::{Value, json};

use crate::bed::Bed;

/// What stands at a path before the first run.
#[derive(Debug, Clone)]
pub enum Before {
    Nothing,
    File {
        content: String,
        mode: u32,
    },
    /// To a file, a directory or nothing beside what the role is about.
    Link(&'static str),
    Directory {
        mode: u32,
    },
}

/// What the role says of a path.
#[derive(Debug, Clone)]
pub enum Says {
    File {
        content: String,
        mode: u32,
    },
    Copy {
        bytes: Vec<u8>,
        mode: u32,
    },
    Directory {
        mode: u32,
    },
    Absent,
    /// Values of keys, each in a line `KEY=VALUE`; no value: no such line.
    Lines(BTreeMap<&'static str, Option<u32>>),
    Block {
        content: String,
    },
    /// A command that makes it.
    Command,
}

pub type Case = Vec<(Before, Says)>;

fn mode() -> impl Strategy<Value = u32> {
    select(vec![0o600, 0o644, 0o755, 0o4711])
}

fn text() -> impl Strategy<Value = String> {
    let line =
        select(vec!["", "a", "it's \"odd\" $HOME `id` \\n %s", "zoë", "key1=7", "key1=8", "#key2=", "-n"]);
    let end = select(vec!["\n", "\r\n", "\n\n"]);
    (vec(line, 0..5), end, any::<bool>())
        .prop_map(|(lines, end, ended)| lines.join(end) + if ended && !lines.is_empty() { end } else { "" })
}

fn file() -> impl Strategy<Value = Before> {
    prop_oneof![
        Just(Before::Nothing),
        (text(), mode()).prop_map(|(content, mode)| Before::File { content, mode }),
        select(vec!["file", "directory", "nothing"]).prop_map(Before::Link),
    ]
}

/// What the role says of a path, and what may stand there before: not what hoist refuses to replace.
pub fn statement() -> impl Strategy<Value = (Before, Says)> {
    let no_directory = |before: &Before| !matches!(before, Before::Link("directory"));
    let values = (subsequence(vec!["key1", "key2", "key3"], 1..=3), vec(proptest::option::of(0..3_u32), 3));
    let lines = values.prop_map(|(keys, values)| Says::Lines(keys.into_iter().zip(values).collect()));
    prop_oneof![
        (file(), (text(), mode()).prop_map(|(content, mode)| Says::File { content, mode })),
        (file(), (vec(any::<u8>(), 0..50), mode()).prop_map(|(bytes, mode)| Says::Copy { bytes, mode })),
        (
            prop_oneof![
                Just(Before::Nothing),
                mode().prop_map(|mode| Before::Directory { mode: mode | 0o700 }),
                Just(Before::Link("directory"))
            ],
            mode().prop_map(|mode| Says::Directory { mode: mode | 0o700 })
        ),
        (file(), Just(Says::Absent)),
        (file().prop_filter("no directory", no_directory), lines),
        (
            file().prop_filter("no directory", no_directory),
            text().prop_map(|content| Says::Block { content })
        ),
        (Just(Before::Nothing), Just(Says::Command)),
    ]
}

/// The case on a host of its own.
pub fn bed(case: &Case) -> Bed {
    let mut tasks = Vec::new();
    for (index, (_, says)) in case.iter().enumerate() {
        let path = format!("{{{{ vars.root }}}}/{index}");
        let mut push = |kind: &str, mut body: Value| {
            if matches!(kind, "file" | "copy" | "directory") {
                (body["owner"], body["group"]) = ("{{ vars.user }}".into(), "{{ vars.group }}".into());
            }
            tasks.push(json!({"name": format!("{index} {kind}"), kind: body}));
        };
        match says {
            Says::File { content, mode } => {
                push("file", json!({"path": path, "content": content, "mode": format!("{mode:04o}")}));
            }
            Says::Copy { mode, .. } => {
                push(
                    "copy",
                    json!({"source": index.to_string(), "path": path, "mode": format!("{mode:04o}")}),
                );
            }
            Says::Directory { mode } => {
                push("directory", json!({"path": path, "mode": format!("{mode:04o}")}))
            }
            Says::Absent => push("absent", json!({"path": path})),
            Says::Lines(values) => {
                for (key, value) in values {
                    let pattern = format!("#?{key}=.*");
                    push(
                        "line",
                        match value {
                            Some(value) => {
                                json!({"path": path, "line": format!("{key}={value}"), "match": pattern})
                            }
                            None => json!({"path": path, "match": pattern, "absent": true}),
                        },
                    );
                }
            }
            Says::Block { content } => push("block", json!({"path": path, "name": "x", "content": content})),
            Says::Command => push("command", json!({"run": format!("echo ran >> {path}"), "creates": path})),
        }
    }
    let bed = Bed::new(&[("r", &format!("tasks: {}\n", Value::Array(tasks)))], &[]);
    let files = bed.state().join("roles/r/files");
    fs::create_dir(&files).unwrap();
    let root = bed.root();
    for (index, (before, says)) in case.iter().enumerate() {
        if let Says::Copy { bytes, .. } = says {
            fs::write(files.join(index.to_string()), bytes).unwrap();
        }
        let path = root.join(index.to_string());
        let beside = |what: &str| root.join(format!("{index} {what}"));
        fs::write(beside("file"), "key1=0\nbeside").unwrap();
        fs::create_dir(beside("directory")).unwrap();
        let set_mode = |mode: &u32| fs::set_permissions(&path, PermissionsExt::from_mode(*mode)).unwrap();
        match before {
            Before::Nothing => {}
            Before::File { content, mode } => {
                fs::write(&path, content).unwrap();
                set_mode(mode);
            }
            Before::Link(to) => symlink(beside(to), &path).unwrap(),
            Before::Directory { mode } => {
                fs::create_dir(&path).unwrap();
                set_mode(mode);
            }
        }
    }
    bed
}

/// What must be at the path of a statement, said without the code that is tested.
pub fn check(path: &Path, says: &Says) -> Result<(), TestCaseError> {
    let state = fs::symlink_metadata(path).ok();
    let permissions = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    match says {
        Says::File { content, mode } => {
            prop_assert!(state.unwrap().is_file());
            prop_assert_eq!(&fs::read_to_string(path).unwrap(), content);
            prop_assert_eq!(permissions(path), *mode);
        }
        Says::Copy { bytes, mode } => {
            prop_assert!(state.unwrap().is_file());
            prop_assert_eq!(&fs::read(path).unwrap(), bytes);
            prop_assert_eq!(permissions(path), *mode);
        }
        Says::Directory { mode } => {
            prop_assert!(path.is_dir());
            prop_assert_eq!(permissions(path), *mode);
        }
        Says::Absent => prop_assert!(state.is_none()),
        Says::Lines(values) => {
            let text = fs::read_to_string(path).unwrap_or_default();
            for (key, value) in values {
                let found: Vec<&str> = text
                    .lines()
                    .filter(|line| line.trim_start_matches('#').starts_with(&format!("{key}=")))
                    .collect();
                let expected: Vec<String> = value.iter().map(|value| format!("{key}={value}")).collect();
                prop_assert_eq!(found, expected, "{}", text);
            }
        }
        Says::Block { content } => {
            let text = fs::read_to_string(path).unwrap();
            let lines: Vec<&str> =
                text.lines().skip_while(|line| *line != "# hoist x begin").skip(1).collect();
            let lines: Vec<&str> = lines.into_iter().take_while(|line| *line != "# hoist x end").collect();
            prop_assert_eq!(lines, content.lines().collect::<Vec<_>>(), "{}", text);
        }
        Says::Command => prop_assert_eq!(fs::read_to_string(path).unwrap(), "ran\n"),
    }
    Ok(())
}

/// The lines that nobody speaks of stay, in their order.
pub fn check_rest(path: &Path, before: &Before, says: &Says) -> Result<(), TestCaseError> {
    let (Before::File { content, .. }, Says::Lines(values)) = (before, says) else { return Ok(()) };
    let others = |text: &str| -> Vec<String> {
        let ours = |line: &&str| {
            values.keys().any(|key| line.trim_start_matches('#').starts_with(&format!("{key}=")))
        };
        text.lines().filter(|line| !ours(line)).map(String::from).collect()
    };
    prop_assert_eq!(others(&fs::read_to_string(path).unwrap()), others(content));
    Ok(())
}
