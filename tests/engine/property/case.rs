//! Roles and hosts of all sorts.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use proptest::{
    collection::vec,
    prelude::*,
    sample::{select, subsequence},
};

use super::says::role;
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
    /// A file that a template makes of a variable.
    Template {
        lines: Vec<&'static str>,
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
    /// A directory, and in it what a loop makes or takes away: nothing of it stands where there is no content.
    Inside(BTreeMap<&'static str, Option<String>>),
    /// Two blocks and a line in one file, which do not know of each other; no content: no such block.
    Sections {
        blocks: [Option<&'static str>; 2],
        value: Option<u32>,
    },
    /// A file, what a command makes of it whenever it is newer, and what another one makes of that.
    Derived {
        content: String,
    },
    /// A command that mends it until a check is content.
    Mended {
        word: &'static str,
    },
    /// Keys that let a user in, whose home it is, with a comment each; no comment: that key is not there.
    Keys(BTreeMap<&'static str, Option<&'static str>>),
    /// Kernel parameters that hold already, and modules that are there: what is left is the file.
    Kernel {
        modules: bool,
        which: bool,
    },
}

/// What stands somewhere, what the role says of it, and what the role says after it was edited.
pub type Case = Vec<(Before, Says, Says)>;

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

fn words() -> impl Strategy<Value = &'static str> {
    select(vec!["one", "it's $HOME", "zoë \"two\""])
}

/// What may stand somewhere, and two sayings of one kind.
fn of<S: Strategy<Value = Says> + 'static>(
    before: impl Strategy<Value = Before> + 'static,
    says: impl Fn() -> S,
) -> BoxedStrategy<(Before, Says, Says)> {
    (before, says(), says()).boxed()
}

/// What the role says of a path, and what may stand there before: not what hoist refuses to replace.
pub fn statement() -> impl Strategy<Value = (Before, Says, Says)> {
    let no_directory = |before: &Before| !matches!(before, Before::Link("directory"));
    let editable = || file().prop_filter("no directory", no_directory);
    let directory = || {
        prop_oneof![
            Just(Before::Nothing),
            mode().prop_map(|mode| Before::Directory { mode: mode | 0o700 }),
            Just(Before::Link("directory"))
        ]
    };
    let home = || Just(Before::Directory { mode: 0o700 });
    let lines = || {
        let values = vec(proptest::option::of(0..3_u32), 3);
        (subsequence(vec!["key1", "key2", "key3"], 1..=3), values)
            .prop_map(|(keys, values)| Says::Lines(keys.into_iter().zip(values).collect()))
    };
    let inside = || {
        (subsequence(vec!["a", "b", "c", "beside"], 1..=4), vec(proptest::option::of(text()), 4))
            .prop_map(|(names, texts)| Says::Inside(names.into_iter().zip(texts).collect()))
    };
    let sections = || {
        let content = || proptest::option::of(select(vec!["", "x", "x\n\n  y", "it's $HOME"]));
        (content(), content(), proptest::option::of(0..3_u32))
            .prop_map(|(one, other, value)| Says::Sections { blocks: [one, other], value })
    };
    let keys = || {
        (subsequence(vec!["AAAAone", "AAAAtwo"], 1..=2), vec(proptest::option::of(words()), 2))
            .prop_map(|(keys, comments)| Says::Keys(keys.into_iter().zip(comments).collect()))
    };
    prop_oneof![
        of(file(), || (text(), mode()).prop_map(|(content, mode)| Says::File { content, mode })),
        of(file(), || {
            (vec(words(), 0..3), mode()).prop_map(|(lines, mode)| Says::Template { lines, mode })
        }),
        of(file(), || {
            (vec(any::<u8>(), 0..50), mode()).prop_map(|(bytes, mode)| Says::Copy { bytes, mode })
        }),
        of(directory(), || mode().prop_map(|mode| Says::Directory { mode: mode | 0o700 })),
        of(file(), || Just(Says::Absent)),
        of(editable(), lines),
        of(editable(), || text().prop_map(|content| Says::Block { content })),
        of(Just(Before::Nothing), || Just(Says::Command)),
        of(directory(), inside),
        of(editable(), sections),
        of(home(), || text().prop_map(|content| Says::Derived { content })),
        of(editable(), || words().prop_map(|word| Says::Mended { word })),
        of(home(), keys),
        of(file(), || {
            (any::<bool>(), any::<bool>()).prop_map(|(modules, which)| Says::Kernel { modules, which })
        }),
    ]
}

/// Writes the role of these sayings, and what is shipped with it.
pub fn say<'a>(bed: &Bed, all: impl Iterator<Item = &'a Says> + Clone) {
    let write = |path: String, content: &[u8]| {
        let path = bed.state().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    write("roles/r/role.yaml".into(), role(all.clone()).as_bytes());
    for (index, says) in all.enumerate() {
        match says {
            Says::Copy { bytes, .. } => write(format!("roles/r/files/{index}"), bytes),
            Says::Template { .. } => {
                let text = format!(
                    "begin\n{{% for line in vars.lines{index} %}}\n- {{{{ line }}}}\n{{% endfor %}}\nend\n"
                );
                write(format!("templates/{index}.txt"), text.as_bytes());
            }
            _ => {}
        }
    }
}

/// The case on a host of its own, with what the role says first.
pub fn bed(case: &Case) -> Bed {
    let bed = Bed::new(&[], &[]);
    say(&bed, case.iter().map(|(_, says, _)| says));
    let root = bed.root();
    for (index, (before, ..)) in case.iter().enumerate() {
        let path = root.join(index.to_string());
        let beside = |what: &str| root.join(format!("{index} {what}"));
        fs::write(beside("file"), "key1=0\nbeside").unwrap();
        fs::create_dir(beside("directory")).unwrap();
        fs::write(beside("directory").join("beside"), "beside").unwrap();
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
                fs::write(path.join("a"), "key1=0\nbeside").unwrap();
                set_mode(mode);
            }
        }
    }
    bed
}
