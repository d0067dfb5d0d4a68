//! Secrets that are made of settings: read where the inventory says, and shown nowhere.

use std::{collections::BTreeMap, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::{Form, KEEP, SecretObject, desired::Secret, htpasswd, made_up};
use crate::{
    engine,
    inventory::{SecretSource, expand_home},
    kube::{self, Api, Kind},
};

const SECRET: Kind = Kind::new("v1", "Secret");

/// A Secret as it shall be; none where no setting says where a value is.
///
/// # Errors
/// The inner one has every setting that does not say where a value is; the outer one is a template's.
#[allow(clippy::type_complexity, reason = "two kinds of mistakes: one of the add-on, many of the user")]
pub fn read(
    wanted: &SecretObject,
    settings: &Map<String, Value>,
    namespace: &str,
    home: &Path,
    plain: &dyn Fn(&str) -> Result<String, engine::Error>,
) -> Result<Result<Option<Secret>, Vec<String>>, engine::Error> {
    let (mut data, mut missing, mut mistakes) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for (key, setting) in &wanted.data {
        let path = format!("/{}", setting.replace('.', "/"));
        let Some(said) = settings.get(path.split('/').nth(1).unwrap_or_default()) else { continue };
        let rest = path.splitn(3, '/').nth(2).map(|rest| format!("/{rest}")).unwrap_or_default();
        let Some(said) = said.pointer(&rest).filter(|said| !said.is_null()) else { continue };
        match serde_json::from_value::<SecretSource>(said.clone()) {
            Ok(source) => match value(&source, home).and_then(|secret| readable(secret, wanted)) {
                Ok(secret) => drop(data.insert(key.clone(), secret)),
                Err(reason) => drop(missing.insert(key.clone(), format!("{setting}: {reason}"))),
            },
            Err(_) => mistakes.push(format!("{setting} does not say where a secret is")),
        }
    }
    if !mistakes.is_empty() {
        return Ok(Err(mistakes));
    }
    if data.is_empty() && missing.is_empty() && !wanted.data.is_empty() && wanted.generate.is_empty() {
        return Ok(Ok(None));
    }
    let is_given = |key: &String| data.contains_key(key) || missing.contains_key(key);
    let generate = wanted.generate.iter().filter(|(key, _)| !is_given(key));
    let generate = generate.map(|(key, length)| (key.clone(), *length)).collect();
    for (key, template) in &wanted.plain {
        data.insert(key.clone(), SecretString::from(plain(template)?));
    }
    Ok(Ok(Some(Secret {
        name: wanted.name.clone(),
        namespace: wanted.namespace.clone().unwrap_or_else(|| namespace.to_owned()),
        kind: wanted.kind.clone().unwrap_or_else(|| String::from("Opaque")),
        data,
        generate,
        missing,
        kept: !wanted.generate.is_empty(),
    })))
}

fn value(source: &SecretSource, home: &Path) -> Result<SecretString, String> {
    match source {
        SecretSource::Env(name) => match std::env::var(name) {
            Ok(value) if !value.is_empty() => Ok(SecretString::from(value)),
            _ => Err(format!("the environment variable {name} is not set")),
        },
        SecretSource::File(path) => {
            let path = expand_home(path, home);
            let text =
                std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(SecretString::from(text.strip_suffix('\n').unwrap_or(&text).to_owned()))
        }
    }
}

/// A value in the form that is wanted, and without these characters. Which of them it has would tell something of it.
fn readable(secret: SecretString, wanted: &SecretObject) -> Result<SecretString, String> {
    if wanted.form == Some(Form::Htpasswd) {
        htpasswd::check(secret.expose_secret())?;
    }
    let without = &wanted.without;
    if !secret.expose_secret().contains(|letter: char| without.contains(letter)) {
        return Ok(secret);
    }
    let shown = |letter: char| {
        if letter.is_control() { letter.escape_debug().to_string() } else { letter.to_string() }
    };
    let letters: Vec<String> = without.chars().map(shown).collect();
    Err(format!(
        "its value has one of the characters {}, and who reads it would take it for something else: choose one without them",
        letters.join(" ")
    ))
}

impl Secret {
    /// With what the cluster has of the keys that are made up; what it lacks is left in `generate`.
    pub(super) async fn found(&self, api: &Api) -> Result<Secret, kube::Error> {
        let mut found = self.clone();
        if self.generate.is_empty() {
            return Ok(found);
        }
        let live = api.object(SECRET, Some(&self.namespace), &self.name).await?.unwrap_or_default();
        for key in self.generate.keys() {
            if let Some(value) = text(&live["data"][key.as_str()]) {
                found.data.insert(key.clone(), value);
                found.generate.remove(key);
            }
        }
        Ok(found)
    }

    /// Makes up what is left.
    pub(super) fn fill(&mut self) -> Result<(), getrandom::Error> {
        for (key, length) in std::mem::take(&mut self.generate) {
            self.data.insert(key, made_up(length)?);
        }
        Ok(())
    }

    /// The object, as the API server takes it. It must not be printed.
    pub(super) fn object(&self, labels: &Value) -> Value {
        let encoded = |value: &SecretString| STANDARD.encode(value.expose_secret());
        let data: BTreeMap<&String, String> =
            self.data.iter().map(|(key, value)| (key, encoded(value))).collect();
        let mut object = json!({
            "apiVersion": "v1", "kind": "Secret", "type": self.kind,
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": labels},
            "data": data,
        });
        if self.kept {
            object["metadata"]["annotations"] = json!({KEEP: "true"});
        }
        object
    }
}

/// A value in a Secret as the API server gives it; an empty one protects nothing.
fn text(value: &Value) -> Option<SecretString> {
    let bytes = STANDARD.decode(value.as_str()?).ok()?;
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty()).map(SecretString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(settings: Value) -> Result<Option<Secret>, Vec<String>> {
        let wanted = SecretObject {
            name: String::from("backup"),
            data: [(String::from("key"), String::from("backup.access_key"))].into(),
            without: String::from("\"$\n"),
            form: None,
            plain: [(String::from("url"), String::from("https://s3"))].into(),
            namespace: None,
            kind: None,
            generate: BTreeMap::new(),
        };
        tried_as(&wanted, settings)
    }

    fn tried_as(wanted: &SecretObject, settings: Value) -> Result<Option<Secret>, Vec<String>> {
        let Value::Object(settings) = settings else { panic!() };
        read(wanted, &settings, "here", Path::new("/home/me"), &|text| Ok(text.to_owned())).unwrap()
    }

    #[test]
    fn a_value_comes_from_its_file_without_the_newline_and_is_not_printed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2\n").unwrap();
        let secret = tried(json!({"backup": {"access_key": {"file": file.path()}}})).unwrap().unwrap();
        assert_eq!(secret.data["key"].expose_secret(), "hunter2");
        assert_eq!(secret.data["url"].expose_secret(), "https://s3");
        assert!(!format!("{secret:?}").contains("hunter2"));
        let object = secret.object(&json!({}));
        assert_eq!(object["data"]["key"], "aHVudGVyMg==");
        assert_eq!((&object["type"], &object["metadata"]["namespace"]), (&json!("Opaque"), &json!("here")));
        assert_eq!(object["metadata"]["annotations"], Value::Null);
    }

    #[test]
    fn a_setting_that_is_absent_makes_no_secret() {
        assert!(tried(json!({})).unwrap().is_none());
        assert!(tried(json!({"backup": {"access_key": null}})).unwrap().is_none());
    }

    #[test]
    fn what_nobody_gives_is_made_up_and_outlives_its_add_on() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2").unwrap();
        let wanted = SecretObject {
            name: String::from("admin"),
            namespace: Some(String::from("elsewhere")),
            kind: Some(String::from("kubernetes.io/basic-auth")),
            data: [(String::from("password"), String::from("password"))].into(),
            without: String::new(),
            form: None,
            plain: BTreeMap::new(),
            generate: [(String::from("password"), 32), (String::from("token"), 64)].into(),
        };
        let given = tried_as(&wanted, json!({"password": {"file": file.path()}})).unwrap().unwrap();
        assert_eq!(given.generate, [(String::from("token"), 64)].into());
        let mut secret = tried_as(&wanted, json!({})).unwrap().unwrap();
        assert_eq!(secret.generate, wanted.generate);
        secret.fill().unwrap();
        let length = |key: &str| secret.data[key].expose_secret().len();
        assert_eq!((length("password"), length("token"), secret.generate.len()), (32, 64, 0));
        let object = secret.object(&json!({}));
        assert_eq!(object["type"], "kubernetes.io/basic-auth");
        assert_eq!(object["metadata"]["namespace"], "elsewhere");
        assert_eq!(object["metadata"]["annotations"][KEEP], "true");
    }

    #[test]
    fn a_value_that_its_reader_cannot_take_is_refused_and_not_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (value, fits) in [
            ("hunter2\n", true),
            ("hun'ter2", true),
            ("hun\"ter2", false),
            ("$hunter2", false),
            ("hun\nter2", false),
        ] {
            std::fs::write(file.path(), value).unwrap();
            let secret = tried(json!({"backup": {"access_key": {"file": file.path()}}})).unwrap().unwrap();
            assert_eq!(secret.data.contains_key("key"), fits, "{value}");
            let expected = "backup.access_key: its value has one of the characters \" $ \\n, and who reads it would take it for \
                            something else: choose one without them";
            assert_eq!(secret.missing.get("key").map(String::as_str), (!fits).then_some(expected), "{value}");
        }
    }

    #[test]
    fn users_that_could_never_log_in_are_refused_and_not_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let wanted = SecretObject {
            name: String::from("users"),
            namespace: None,
            kind: None,
            data: [(String::from("htpasswd"), String::from("users"))].into(),
            without: String::new(),
            form: Some(Form::Htpasswd),
            plain: BTreeMap::new(),
            generate: BTreeMap::new(),
        };
        let bcrypt = "ada:$2y$05$Geu2Z4LN0QDpUJBHvP5JVOsKOLH/XPoJBqISv1D8Aeh6LVGvjWWVC\n";
        for (users, refused) in [(bcrypt, false), ("ada:$apr1$hc1hKYZ1$Hh1BKgmAgKmPGDRYZgHXs.\n", true)] {
            std::fs::write(file.path(), users).unwrap();
            let secret = tried_as(&wanted, json!({"users": {"file": file.path()}})).unwrap().unwrap();
            let said = secret.missing.get("htpasswd").map(String::as_str).unwrap_or_default();
            assert_eq!(said.starts_with("users: line 1 is no `USER:HASH`"), refused, "{said}");
            assert_eq!(secret.data.is_empty(), refused);
            assert!(!said.contains("apr1"), "{said}");
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let missing = |source: Value| {
            let secret = tried(json!({"backup": {"access_key": source}})).unwrap().unwrap();
            assert!(!secret.data.contains_key("key"));
            secret.missing["key"].clone()
        };
        assert_eq!(
            missing(json!({"env": "HOIST_TEST_NOT_SET"})),
            "backup.access_key: the environment variable HOIST_TEST_NOT_SET is not set"
        );
        let said = missing(json!({"file": "/nowhere/key"}));
        assert!(said.contains("/nowhere/key"), "{said:?}");
        assert!(
            tried(json!({"backup": {"access_key": "hunter2"}})).unwrap_err()[0].contains("where a secret is")
        );
    }
}
