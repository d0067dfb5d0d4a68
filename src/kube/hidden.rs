//! What nobody shall find in a plan, though it stands in objects that are no Secrets.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

const HIDDEN: &str = "(hidden)";

/// Environment variables are lists of `{name: DB_PASSWORD, value: …}`, and what they are called is no key; and a key or an
/// address that opens something is one wherever it stands.
pub fn hide_listed(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if map.get("name").and_then(Value::as_str).is_some_and(is_secret)
                && let Some(value) = map.get_mut("value").filter(|value| !value.is_object())
            {
                *value = Value::from(HIDDEN);
            }
            map.values_mut().for_each(hide_listed);
        }
        Value::Array(items) => {
            // `--password` and its value may be two words of a command.
            let mut flag = false;
            for item in items {
                let word = item.as_str().filter(|text| text.starts_with('-'));
                let names = word.is_some_and(|word| is_secret(word) && !word.contains(['=', ' ', ':']));
                match item {
                    Value::String(text) if flag && !text.starts_with('-') => *text = String::from(HIDDEN),
                    item => hide_listed(item),
                }
                flag = names;
            }
        }
        Value::String(text) if opens(text) => *text = String::from(HIDDEN),
        Value::String(text) => {
            if let Some(shown) = told(text) {
                *text = shown;
            }
        }
        _ => {}
    }
}

/// Hides the texts of an object that stand under a key such as `password`; not under one that only names where a secret is.
pub(super) fn hide_keyed(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if holds_secret(key) => *text = String::from(HIDDEN),
                    // `password: 90210` is one, and `tokenSeconds: 90` is none.
                    Value::Number(_) if is_secret(key) && ends_secretly(key) => *value = Value::from(HIDDEN),
                    Value::Array(items) if holds_secret(key) => {
                        items
                            .iter_mut()
                            .filter(|item| item.is_string())
                            .for_each(|item| *item = Value::from(HIDDEN));
                        items.iter_mut().for_each(hide_keyed);
                    }
                    value => hide_keyed(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_keyed),
        _ => {}
    }
}

fn ends_secretly(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["password", "passwd", "pin", "token", "secret"].iter().any(|end| key.ends_with(end))
}

fn holds_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let names = ["name", "namespace", "ref", "type", "class", "provider", "path", "file", "policy"];
    is_secret(&key) && !names.iter().any(|end| key.ends_with(end))
}

/// What is a setting of its own on a line: `password: x`, `password = x`, `- "token": x`.
static LINE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"^([\s\-{,"']*)([A-Za-z0-9_.-]+)(["']?\s*[:=]\s*)(\S.*)$"#).ok());
/// What is one among other words: `--password=x`, `password=x`, `"password": "x"`, `password: x`.
static WORD: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"([A-Za-z0-9_.-]+)(=|["']\s*:\s*|:\s+)("[^"]*"|'[^']*'|[^\s"'][^\s]*)"#).ok()
});
/// A flag and its value as two words: `--password x`. Any other words beside each other are prose.
static FLAG: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(^|[\s"'(,\[])(--?[A-Za-z0-9_.-]+\s+)("[^"]*"|'[^']*'|[^\s"'-]\S*)"#).ok()
});

/// A text without the passwords that settings and arguments in it say; nothing where there is none.
fn told(text: &str) -> Option<String> {
    // A block of lines after `password: |`, deeper than this.
    let mut block: Option<usize> = None;
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let depth = line.len() - line.trim_start().len();
        if let Some(above) = block {
            if line.trim().is_empty() || depth > above {
                lines.push(if line.trim().is_empty() {
                    String::new()
                } else {
                    format!("{:depth$}{HIDDEN}", "")
                });
                continue;
            }
            block = None;
        }
        let setting = LINE.as_ref().and_then(|form| form.captures(line)).filter(|found| is_secret(&found[2]));
        lines.push(match setting {
            Some(found) if found[4].starts_with(['|', '>']) => {
                block = Some(depth);
                line.to_owned()
            }
            Some(found) if !is_open(&found[4]) => format!("{}{}{}{HIDDEN}", &found[1], &found[2], &found[3]),
            _ => words(line),
        });
    }
    let shown = lines.join("\n");
    (shown != text).then_some(shown)
}

fn words(line: &str) -> String {
    let (Some(word), Some(flag)) = (WORD.as_ref(), FLAG.as_ref()) else { return line.to_owned() };
    let keeps = |name: &str, value: &str| !is_secret(name) || is_open(value);
    let line = word.replace_all(line, |found: &Captures<'_>| match keeps(&found[1], &found[3]) {
        true => found[0].to_owned(),
        false => format!("{}{}{HIDDEN}", &found[1], &found[2]),
    });
    let line = flag.replace_all(&line, |found: &Captures<'_>| match keeps(&found[2], &found[3]) {
        true => found[0].to_owned(),
        false => format!("{}{}{HIDDEN}", &found[1], &found[2]),
    });
    line.into_owned()
}

/// Whether a value says nothing by itself: it is switched on or off, stands elsewhere, or is no more than the beginning of a
/// map or a list. What may be a password is hidden even where it may be none.
fn is_open(value: &str) -> bool {
    let word = value.trim_matches(['"', '\'', ',', ' ']);
    let elsewhere = |open: &str, close: char| {
        word.strip_prefix(open)
            .and_then(|rest| rest.strip_suffix(close))
            .is_some_and(|name| !name.contains(close))
    };
    ["true", "false", "null", "", "{", "[", "{}", "[]", HIDDEN].contains(&word)
        || elsewhere("${", '}')
        || elsewhere("$(", ')')
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
    fn arguments_show_what_they_are_called_and_not_what_they_say() {
        for (args, expected) in [
            (json!(["--password=hunter2", "--port=80"]), json!(["--password=(hidden)", "--port=80"])),
            (json!(["--token", "hunter2", "--port", "80"]), json!(["--token", "(hidden)", "--port", "80"])),
            (json!(["--use-token", "--verbose", "here"]), json!(["--use-token", "--verbose", "here"])),
            (
                json!(["sh", "-c", "exec serve --db-password 'hunter2' --port 80 api_key=hunter3"]),
                json!(["sh", "-c", "exec serve --db-password (hidden) --port 80 api_key=(hidden)"]),
            ),
            (
                json!(["--token=$(TOKEN)", "--token-file=/run/t"]),
                json!(["--token=$(TOKEN)", "--token-file=(hidden)"]),
            ),
            (json!(["the token is made up", "a: b"]), json!(["the token is made up", "a: b"])),
            // However many words stand before it, and whatever a password is made of.
            (
                json!([
                    "serve --db-password=hun,ter2 --x",
                    "exec now --token *hun;ter2 -v",
                    "a --token 'x y' b"
                ]),
                json!([
                    "serve --db-password=(hidden) --x",
                    "exec now --token (hidden) -v",
                    "a --token (hidden) b"
                ]),
            ),
            (
                json!(["--password=*hunter2", "DB_PASSWORD=$ecret1", "DB_PASSWORD=${SECRET}"]),
                json!(["--password=(hidden)", "DB_PASSWORD=(hidden)", "DB_PASSWORD=${SECRET}"]),
            ),
            (
                json!([
                    "password: \"!hunter2\"\nadmin_password = $2a$10$abc\nauth: {user: ada, password: hunter2}"
                ]),
                json!([
                    "password: (hidden)\nadmin_password = (hidden)\nauth: {user: ada, password: (hidden)"
                ]),
            ),
        ] {
            let mut shown = args.clone();
            hide_listed(&mut shown);
            assert_eq!(shown, expected, "{args}");
        }
    }

    #[test]
    fn a_file_shows_its_settings_and_not_its_passwords() {
        let file = "server: db\n  password: hunter1 # a comment\n- token = \"hunter2\"\nport: 80\nauth.secret=hunter3\n\
                    {\"user\": \"ada\", \"apiKey\": \"hunter4\", \"size\": 3}\nkey: |\n  no secret\n\
                    private_key: |\n    hunter5\n\n    hunter6\nafter: all\ncreateSecret: true\nsecrets: [\n  a]\n";
        let mut map = json!({"data": {"app.conf": file}});
        hide_listed(&mut map);
        let shown = map["data"]["app.conf"].as_str().unwrap();
        assert!(!shown.contains("hunter"), "{shown}");
        for kept in [
            "server: db",
            "  password: (hidden)",
            "- token = (hidden)",
            "port: 80",
            "auth.secret=(hidden)",
            "\"user\": \"ada\"",
            "no secret",
            "private_key: |",
            "after: all",
            "createSecret: true",
            "secrets: [\n  a]\n",
        ] {
            assert!(shown.contains(kept), "{kept} in {shown}");
        }
    }

    #[test]
    fn a_key_hides_its_text_but_not_the_name_of_a_secret() {
        let mut object = json!({"data": {"password": "hunter1", "DB_TOKEN": "hunter2", "port": "80"},
            "spec": {"secretName": "tls", "passwordSecretRef": {"name": "db", "key": "a"}, "automountServiceAccountToken": false}});
        hide_keyed(&mut object);
        let text = object.to_string();
        assert!(!text.contains("hunter") && text.contains("\"80\"") && text.contains("\"tls\""), "{text}");
        assert_eq!(object["spec"]["passwordSecretRef"], json!({"name": "db", "key": "a"}));
    }

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
