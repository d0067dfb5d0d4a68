//! Reference documentation of a file, written from its schema.

/// The reference of a schema in Markdown.
pub fn markdown(_schema: &serde_json::Value) -> String {
    String::new()
}
