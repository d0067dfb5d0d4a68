//! Writes YAML as people would: two levels in lines of their own, the rest in braces and brackets.

use serde_json::Value as Json;

use super::{Value, scalar};

/// A string so that it is read as the same string, with quotes only where they are needed.
pub fn quoted(text: &str) -> String {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./@+".contains(&byte);
    let first = |byte: &u8| byte.is_ascii_alphanumeric() || b"./".contains(byte);
    let plain = text.bytes().all(inner) && text.as_bytes().first().is_some_and(first)
        || text.strip_prefix("~/").is_some_and(|rest| rest.bytes().all(inner));
    let stays = matches!(scalar::resolve(text), Some(Value::String(_)));
    // A version looks like a number to people, too.
    let numeric =
        text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && text.matches('.').count() < 3;
    // A string of JSON is one of YAML.
    if plain && stays && !numeric { text.to_owned() } else { Json::from(text).to_string() }
}

/// A value on one line.
pub fn flow(value: &Json) -> String {
    match value {
        Json::String(text) => quoted(text),
        Json::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Json::Object(entries) => {
            let pairs = entries.iter().map(|(key, value)| format!("{}: {}", quoted(key), flow(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A map below a key, each of its entries on a line.
pub fn section<'a>(name: &str, entries: impl IntoIterator<Item = (&'a String, &'a Json)>) -> String {
    let lines = entries.into_iter().map(|(key, value)| format!("  {}: {}\n", quoted(key), flow(value)));
    format!("{name}:\n{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::yaml::{Source, tree};

    #[test]
    fn quotes_stand_only_where_they_are_needed() {
        for (text, written) in [
            ("office", "office"),
            ("~/.ssh/id_ed25519", "~/.ssh/id_ed25519"),
            ("10.244.0.0/16", "10.244.0.0/16"),
            ("192.168.18.201", "192.168.18.201"),
            ("1.20.2", "\"1.20.2\""),
            ("1.20", "\"1.20\""),
            ("yes", "yes"),
            ("true", "\"true\""),
            ("~", "\"~\""),
            ("", "\"\""),
            ("-", "\"-\""),
            ("a: b", "\"a: b\""),
            ("key=value:NoSchedule", "\"key=value:NoSchedule\""),
            ("it's \"so\"\n", "\"it's \\\"so\\\"\\n\""),
        ] {
            assert_eq!(quoted(text), written);
        }
    }

    #[test]
    fn a_section_is_two_levels_deep() {
        let Json::Object(entries) = json!({"user": "admin", "labels": {"a b": "c", "n": [1, true, null]}})
        else {
            unreachable!()
        };
        assert_eq!(
            section("ssh", &entries),
            "ssh:\n  user: admin\n  labels: {\"a b\": c, n: [1, true, null]}\n"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(text in "\\PC*|[ -~\n\t]*") {
            let (read, problems) = tree(&Source::new("test", format!("a: [{}]\n", quoted(&text))));
            prop_assert!(problems.is_empty(), "{:?}", problems);
            prop_assert_eq!(read.unwrap().to_json(), json!({"a": [text]}));
        }
    }
}
