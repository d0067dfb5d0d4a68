//! What templates of manifests came to.

use serde_json::Value;

/// All objects, as they would be sent. Each must be YAML, say what it is and have a name.
pub fn text(manifests: &[(String, String)]) -> String {
    let mut text = String::new();
    for document in manifests.iter().flat_map(|(_, manifest)| manifest.split("---\n")) {
        let said = document.lines().any(|line| !line.is_empty() && !line.starts_with('#'));
        if !said {
            continue;
        }
        let object: Value =
            serde_yaml::from_str(document).unwrap_or_else(|error| panic!("{error}:\n{document}"));
        for part in ["/apiVersion", "/kind", "/metadata/name"] {
            assert!(object.pointer(part).is_some_and(Value::is_string), "{part} is missing:\n{document}");
        }
        text += &format!("---\n{document}");
    }
    text
}

/// Values as a user would write them.
pub fn yaml(values: &Value) -> String {
    serde_yaml::to_string(values).unwrap()
}
