//! What must become of a host, said without the code that is tested.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use proptest::{prelude::*, test_runner::TestCaseError};

use super::{
    case::{Before, Says},
    says::is_root,
};

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
        Says::Template { lines, mode } => {
            let lines: String = lines.iter().map(|line| format!("- {line}\n")).collect();
            prop_assert_eq!(fs::read_to_string(path).unwrap(), format!("begin\n{lines}end\n"));
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
                check_line(&text, key, *value)?;
            }
        }
        Says::Block { content } => {
            check_block(&fs::read_to_string(path).unwrap(), "# hoist x", Some(content))?
        }
        Says::Inside(files) => {
            prop_assert!(path.is_dir());
            for (name, content) in files {
                let found = fs::read_to_string(path.join(name)).ok();
                prop_assert_eq!(&found, content, "{}", name);
            }
        }
        Says::Sections { blocks, value } => {
            let text = fs::read_to_string(path).unwrap_or_default();
            check_block(&text, "# hoist x", blocks[0])?;
            check_block(&text, "; hoist y", blocks[1])?;
            check_line(&text, "key1", *value)?;
        }
        Says::Derived { content } => {
            let read = |name: &str| fs::read_to_string(path.join(name)).unwrap();
            let made = content.replace('a', "b");
            prop_assert_eq!(
                (read("from"), read("to"), read("last")),
                (content.clone(), made.clone(), made + "x\n")
            );
        }
        Says::Mended { word } => {
            let text = fs::read_to_string(path).unwrap();
            prop_assert_eq!(text.lines().filter(|line| line == word).count(), 1, "{}", text);
        }
        Says::Keys(keys) => {
            let text = fs::read_to_string(path.join(".ssh/authorized_keys")).unwrap_or_default();
            for (key, comment) in keys {
                let found: Vec<&str> = text.lines().filter(|line| line.contains(key)).collect();
                let expected: Vec<String> =
                    comment.iter().map(|comment| format!("ssh-ed25519 {key} {comment}")).collect();
                prop_assert_eq!(found, expected, "{}", text);
            }
        }
        Says::Kernel { .. } if !is_root() => {}
        Says::Kernel { modules: true, which } => {
            let name = if *which { "one" } else { "other" };
            prop_assert_eq!(fs::read_to_string(path).unwrap(), format!("{name}\nthird\n"));
        }
        Says::Kernel { modules: false, which } => {
            let text = fs::read_to_string(path).unwrap();
            prop_assert!(text.ends_with("kernel.ostype = Linux\n"));
            prop_assert_eq!(text.lines().count(), 1 + usize::from(*which));
        }
        Says::Command => prop_assert_eq!(fs::read_to_string(path).unwrap(), "ran\n"),
    }
    Ok(())
}

/// The one line of a key, or none.
fn check_line(text: &str, key: &str, value: Option<u32>) -> Result<(), TestCaseError> {
    let ours = |line: &&str| line.trim_start_matches('#').starts_with(&format!("{key}="));
    let found: Vec<&str> = text.lines().filter(ours).collect();
    let expected: Vec<String> = value.iter().map(|value| format!("{key}={value}")).collect();
    prop_assert_eq!(found, expected, "{}", text);
    Ok(())
}

/// What stands between the marks, or that they are not there.
fn check_block(text: &str, mark: &str, content: Option<&str>) -> Result<(), TestCaseError> {
    let (begin, end) = (format!("{mark} begin"), format!("{mark} end"));
    let Some(content) = content else {
        prop_assert!(!text.contains(&begin) && !text.contains(&end), "{}", text);
        return Ok(());
    };
    let lines = text.lines().skip_while(|line| *line != begin).skip(1);
    let lines: Vec<&str> = lines.take_while(|line| *line != end).collect();
    prop_assert_eq!(lines, content.lines().collect::<Vec<_>>(), "{}", text);
    prop_assert_eq!(text.matches(&begin).count(), 1, "{}", text);
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
