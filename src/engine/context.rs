//! What templates see.

use std::collections::BTreeMap;

use minijinja::{Value, value::Serde};
use serde::Serialize;
use serde_json::Value as Json;

/// What templates see: values by name.
///
/// Cheap to clone, for clones share the values: what all hosts have in common is in memory once, however many hosts
/// there are, and it is turned into what templates read once, not for every text that is rendered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context(BTreeMap<String, Value>);

impl Context {
    /// Gives a name a value, in place of the one that it had.
    pub fn set(&mut self, name: &str, value: impl Serialize) {
        self.0.insert(name.to_string(), Value::from(Serde(value)));
    }

    /// The value of a name; null when it has none.
    pub fn get(&self, name: &str) -> Json {
        // What came from JSON has a JSON form.
        self.0.get(name).and_then(|value| serde_json::to_value(value).ok()).unwrap_or_default()
    }

    /// Takes a name away.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// As templates take it.
    pub(super) fn value(&self) -> Value {
        Value::from(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn clones_go_their_own_ways() {
        let mut common = Context::default();
        common.set("hosts", json!([{"name": "cp1"}]));
        let mut own = common.clone();
        own.set("host", json!({"name": "w1"}));
        own.remove("hosts");
        assert_eq!((common.get("host"), common.get("hosts")), (Json::Null, json!([{"name": "cp1"}])));
        assert_eq!((own.get("host"), own.get("hosts")), (json!({"name": "w1"}), Json::Null));
    }
}
