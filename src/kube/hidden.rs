//! What nobody shall find in a plan, though it stands in objects that are no Secrets.

use serde_json::Value;

/// Environment variables are lists of `{name: DB_PASSWORD, value: …}`, and what they are called is no key; and a key or an
/// address that opens something is one wherever it stands.
pub fn hide_listed(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if map.get("name").and_then(Value::as_str).is_some_and(is_secret)
                && let Some(value) = map.get_mut("value").filter(|value| !value.is_object())
            {
                *value = Value::from("(hidden)");
            }
            map.values_mut().for_each(hide_listed);
        }
        Value::Array(items) => items.iter_mut().for_each(hide_listed),
        Value::String(text) if opens(text) => *text = String::from("(hidden)"),
        _ => {}
    }
}

/// Whether a text is a private key, or an address with a password (`postgres://user:password@host`).
fn opens(text: &str) -> bool {
    let address = |rest: &str| {
        let place = rest.split(['/', '?', '#', ' ', '\n', '"']).next().unwrap_or_default();
        place.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
    };
    text.contains("PRIVATE KEY-----") || text.split("://").skip(1).any(address)
}

/// Whether what is called so may be a secret.
pub fn is_secret(key: &str) -> bool {
    let letter = |char: char| char.is_ascii_alphanumeric().then_some(char.to_ascii_lowercase());
    let key: String = key.chars().filter_map(letter).collect();
    ["password", "passwd", "passphrase", "secret", "token", "credential", "privatekey", "accesskey", "apikey"]
        .iter()
        .any(|word| key.contains(word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_shows_what_its_variables_are_called_and_not_what_opens_something() {
        let mut pod = json!({"spec": {"containers": [{"name": "token-server", "image": "web:1", "env": [
            {"name": "DB_PASSWORD", "value": "hunter1"}, {"name": "PORT", "value": "80"},
            {"name": "URL", "value": "amqp://shop:hunter2@queue"},
            {"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": "api"}}}]}]}});
        hide_listed(&mut pod);
        let text = pod.to_string();
        assert!(!text.contains("hunter"), "{text}");
        for shown in ["DB_PASSWORD", "\"80\"", "secretKeyRef", "web:1"] {
            assert!(text.contains(shown), "{shown} in {text}");
        }
    }
}
