//! "Did you mean …?"

use strsim::damerau_levenshtein;

/// The known word that was probably meant: the same but for case and for `-` and `_`, or at most a third of
/// its letters away.
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = fold(found);
    known
        .into_iter()
        .map(|word| (damerau_levenshtein(&found, &fold(word)), word))
        .filter(|(distance, word)| {
            *distance <= (word.chars().count() / 3).max(1) && *distance < found.len().max(1)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

fn fold(word: &str) -> String {
    word.chars()
        .take(80)
        .map(|letter| if letter == '-' { '_' } else { letter.to_ascii_lowercase() })
        .collect()
}

/// Keys of other tools: those, a key that is known where they have a counterpart here, and what to do.
const ELSEWHERE: [(&[&str], &str, &str); 9] = [
    (
        &["notify", "listen", "handlers"],
        "service",
        "a service says itself what restarts it: `restart_after` of `service`",
    ),
    (&["shell", "raw", "script"], "command", "write `command: {run: …}`, with `unless` or `creates`"),
    (&["apt", "dnf", "yum"], "package", "write `package: {names: […]}`"),
    (&["systemd", "systemd_service"], "service", "write `service: {unit: …}`"),
    (&["with_items", "with_list"], "loop", "write `loop:` with an expression that gives a list"),
    (&["state"], "names", "leave it out: packages that are missing are installed"),
    (&["state"], "running", "write `running: true` or `running: false`"),
    (&["src"], "source", "did you mean `source`?"),
    (&["dest", "dst"], "path", "did you mean `path`?"),
];

/// What to do about a key that other tools have, where these are known.
pub(super) fn elsewhere<'a>(
    found: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'static str> {
    if is_secret(found) && known.clone().any(|key| key == "known_hosts") {
        return Some(
            "no file holds passwords: set HOIST_SSH_PASSWORD, or HOIST_SUDO_PASSWORD for sudo, or type them when hoist \
             asks",
        );
    }
    let fits = |keys: &[&str], here: &str| keys.contains(&found) && known.clone().any(|key| key == here);
    ELSEWHERE.iter().find(|(keys, here, _)| fits(keys, here)).map(|(.., help)| *help)
}

/// Whether the value of a key so called is not to be shown.
pub(super) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["password", "passwd", "passphrase", "secret", "token"].iter().any(|word| key.contains(word))
        || key.split(['_', '-']).any(|word| word == "pass")
}

/// "`a`, `b` and `c`", in the given order.
pub fn listed<'a>(words: impl IntoIterator<Item = &'a str>, last: &str) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => String::from("nothing"),
        Some((only, [])) => only.clone(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_is_near_and_nothing_else() {
        let known = ["address", "roles", "labels", "pod_subnet", "ssh"];
        for (found, meant) in [
            ("adress", Some("address")),
            ("Address", Some("address")),
            ("pod-subnet", Some("pod_subnet")),
            ("role", Some("roles")),
            ("shs", Some("ssh")),
            ("x", None),
            ("", None),
            ("memory", None),
        ] {
            assert_eq!(nearest(found, known), meant, "{found:?}");
        }
    }

    #[test]
    fn keys_of_other_tools_are_known_where_they_have_a_counterpart() {
        let task = ["name", "command", "package", "service", "loop"];
        for (found, known, says) in [
            ("notify", &task[..], Some("restart_after")),
            ("shell", &task, Some("command: {run:")),
            ("apt", &task, Some("package: {names:")),
            ("systemd", &task, Some("service: {unit:")),
            ("with_items", &task, Some("`loop:`")),
            ("state", &["names"], Some("leave it out")),
            ("state", &["unit", "running"], Some("`running: true`")),
            ("src", &["source", "path"], Some("`source`")),
            ("dest", &["source", "path"], Some("`path`")),
            ("become_pass", &["user", "known_hosts"], Some("HOIST_SUDO_PASSWORD")),
            ("password", &["user"], None),
            ("notify", &["user"], None),
            ("host", &task, None),
        ] {
            let help = elsewhere(found, known.iter().copied());
            assert_eq!(help.is_some(), says.is_some(), "{found}: {help:?}");
            assert!(
                says.is_none_or(|says| help.is_some_and(|help| help.contains(says))),
                "{found}: {help:?}"
            );
        }
    }

    #[test]
    fn lists_read_like_a_sentence() {
        assert_eq!(listed([], "or"), "nothing");
        assert_eq!(listed(["a"], "or"), "`a`");
        assert_eq!(listed(["a", "b", "c"], "or"), "`a`, `b` or `c`");
    }
}
