//! What takes the place of a required value that is mistaken or missing, so that the rest can be looked at.

use serde_json::{Value as Json, json};

use super::Checker;
use crate::yaml::{format, words};

impl<'a> Checker<'a> {
    /// A value that the schema allows; `None` where nothing can stand in: for enums, numbers and maps, for texts of a
    /// pattern, and within lists, whose mistaken items are left out as a whole.
    pub(super) fn stand_in(&self, schema: &'a Json) -> Option<Json> {
        let (schema, _) = self.resolve(schema);
        let listed = self.path.iter().any(|step| step.starts_with('['));
        let narrowed = ["const", "enum", "pattern", "minLength"].iter().any(|key| schema.get(key).is_some());
        if listed || narrowed {
            return None;
        }
        match (words::types(schema).as_slice(), schema.get("format").and_then(Json::as_str)) {
            (["array"], _) => Some(json!([])),
            (["string"], None) => Some(json!("")),
            (["string"], Some(name)) => format::named(name)?.stand_in.map(Json::from),
            _ => None,
        }
    }
}
