//! Values as a plan shows them.

use serde_json::{Map, Value};

use crate::{
    kube::{hide_listed, is_secret},
    task::Change,
};

/// Adds how values change, without what may be a secret.
pub(super) fn values_change(change: Change, from: &Map<String, Value>, to: &Map<String, Value>) -> Change {
    let (mut old, mut new) = (Value::Object(from.clone()), Value::Object(to.clone()));
    hide_listed(&mut old);
    hide_listed(&mut new);
    hide(Some(&mut old), &mut new);
    let text = |value: &Value| match value.as_object().is_none_or(Map::is_empty) {
        true => String::new(),
        false => format!("{}\n", serde_yaml::to_string(&sorted(value)).unwrap_or_default().trim_end()),
    };
    let (old, new) = (text(&old), text(&new));
    if old == new { change } else { change.text("values", &old, &new) }
}

/// Whoever writes a password into values shall not find it in a plan.
fn hide(old: Option<&mut Value>, new: &mut Value) {
    let mut old = old;
    if let Some(Value::Object(old)) = old.as_deref_mut() {
        for (key, value) in old.iter_mut().filter(|(_, value)| !value.is_object()) {
            let other = new.get(key).cloned();
            if hides(key, value) {
                let changed = other.is_some_and(|other| other != *value);
                if changed && let Some(other) = new.get_mut(key) {
                    *other = Value::from("(hidden, new)");
                }
                *value = Value::from("(hidden)");
            }
        }
    }
    match new {
        Value::Object(new) => {
            for (key, value) in new {
                match value {
                    value if value == "(hidden, new)" => {}
                    value if hides(key, value) => *value = Value::from("(hidden)"),
                    Value::Object(_) | Value::Array(_) => {
                        hide(old.as_deref_mut().and_then(|old| old.get_mut(key.as_str())), value);
                    }
                    _ => {}
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| hide(None, item)),
        _ => {}
    }
    // What is only in the old ones.
    match old {
        Some(Value::Object(old)) => old.values_mut().for_each(hide_all),
        Some(Value::Array(items)) => items.iter_mut().for_each(hide_all),
        _ => {}
    }
}

fn hide_all(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    value if hides(key, value) => *value = Value::from("(hidden)"),
                    value => hide_all(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_all),
        _ => {}
    }
}

fn hides(key: &str, value: &Value) -> bool {
    is_secret(key) && matches!(value, Value::String(_) | Value::Number(_) | Value::Array(_))
}

/// Keys in the order of the alphabet, as Helm gives them back.
pub(super) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            Value::Object(keys.into_iter().map(|key| (key.clone(), sorted(&map[key]))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        value => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_in_a_plan() {
        let map = |value: Value| value.as_object().unwrap().clone();
        let old = map(
            json!({"adminPassword": "hunter1", "db": {"token": "same1", "gone": {"secretKey": "old1"}}, "port": 1}),
        );
        let new = map(
            json!({"adminPassword": "hunter2", "db": {"token": "same1"}, "list": [{"apiKey": "k1"}], "port": 2,
                   "pinPassword": 90210, "tokens": ["t1"], "createSecret": true}),
        );
        let change = values_change(Change::new("x"), &old, &new);
        let text = format!("{change:?}");
        assert!(text.contains("-port: 1") && text.contains("(hidden, new)"), "{text}");
        assert!(text.contains("+createSecret: true"), "{text}");
        for leak in ["hunter1", "hunter2", "same1", "old1", "k1", "90210", "t1"] {
            assert!(!text.contains(leak), "{leak}: {text}");
        }
    }

    #[test]
    fn what_opens_something_is_hidden_whatever_its_key_is() {
        let map = |value: Value| value.as_object().unwrap().clone();
        let old = map(
            json!({"env": [{"name": "DB_PASSWORD", "value": "hunter0"}], "gone": "https://ada:hunter7@a/"}),
        );
        let new = map(json!({
            "api_key": "hunter1", "private-key": "hunter2", "extra": {"env": [
                {"name": "DB_PASSWD", "value": "hunter3"}, {"name": "PORT", "value": "8080"},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": "a"}}}]},
            "dsn": "postgres://ada:hunter4@db/shop", "pem": "-----BEGIN EC PRIVATE KEY-----\nhunter5\n",
            "config": "upstream: x\nurl: redis://:hunter6@cache:6379\n",
            "mail": "ada@example.com", "docs": "https://example.com/a:b@c",
        }));
        let text = format!("{:?}", values_change(Change::new("x"), &old, &new));
        assert!(!text.contains("hunter"), "{text}");
        for shown in ["8080", "ada@example.com", "https://example.com/a:b@c", "secretKeyRef", "DB_PASSWD"] {
            assert!(text.contains(shown), "{shown} in {text}");
        }
    }
}
