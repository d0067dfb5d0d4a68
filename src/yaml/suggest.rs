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
    fn lists_read_like_a_sentence() {
        assert_eq!(listed([], "or"), "nothing");
        assert_eq!(listed(["a"], "or"), "`a`");
        assert_eq!(listed(["a", "b", "c"], "or"), "`a`, `b` or `c`");
    }
}
