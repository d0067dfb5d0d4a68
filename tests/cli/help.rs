//! What every verb says about itself.

use super::{answer, ask, assert_plain, hoist};

/// Every verb that is shown, found in the program's own help so that a new one cannot be forgotten.
fn verbs(of: &[&str]) -> Vec<String> {
    let (_, help, _) = ask(&[of, &["--help"]].concat());
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            line.strip_prefix("  ")?.split_whitespace().next().filter(|_| !line.starts_with("   "))
        })
        .filter(|verb| *verb != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_verb_has_its_golden_help_with_an_example() {
    let mut all: Vec<Vec<String>> = Vec::new();
    for outer in verbs(&[]) {
        all.extend(verbs(&[&outer]).into_iter().map(|verb| vec![outer.clone(), verb]));
        all.push(vec![outer]);
    }
    assert!(all.len() >= 24, "{all:?}");
    for words in all {
        let name = words.join("-");
        let arguments: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let (exit, help, errors) = ask(&arguments);
        assert_eq!((exit, errors.as_str()), (0, ""), "{name}");
        assert_plain(&help);
        assert!(help.contains("Example"), "{name} has no example:\n{help}");
        insta::assert_snapshot!(format!("help-{name}"), help);
    }
}

/// The address of a mirror may hold a password.
#[test]
fn help_shows_no_values_of_the_environment() {
    for arguments in [&["lock", "--help"][..], &["bundle", "create", "--help"]] {
        let mut command = hoist(arguments);
        command.env("HOIST_MIRROR", "https://u:hunter2@m").env("HOIST_REGISTRY", "https://u:hunter2@r");
        let (exit, help, errors) = answer(&mut command);
        assert_eq!(exit, 0, "{errors}");
        assert!(help.contains("HOIST_MIRROR") && !help.contains("hunter2"), "{help}");
    }
}

#[test]
fn the_program_says_what_it_is_and_what_its_exit_codes_mean() {
    let (exit, help, _) = ask(&["--help"]);
    assert_eq!(exit, 0);
    insta::assert_snapshot!("help", help);
    let (exit, version, _) = ask(&["--version"]);
    assert_eq!((exit, version), (0, format!("hoist {}\n", env!("CARGO_PKG_VERSION"))));
}
