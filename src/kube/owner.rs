//! Whose an object is that hoist has made: somebody else may have taken it over since.

use ::kube::api::DynamicObject;
use serde_json::Value;

use super::apply::FIELD_MANAGER;

/// By which tools say that an object is theirs.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// What Helm marks the objects of a release with, also one that it adopts; and as whom it applies them.
const RELEASE: &str = "meta.helm.sh/release-name";
const HELM: &str = "helm";

/// Whether an object is not its owner's any more. The owner is a label and its value, which is gone or another one then; or
/// another tool says that the object is its own: by the label [`MANAGED_BY`], where `declared` has none of its own, by Helm's
/// mark, or as a field manager that applies it.
///
/// Helm's mark of a release that is called as the owner is no claim: it is what is left where the owner's own chart had an object
/// of this name. What Helm takes over has the label, too.
pub fn is_taken(live: &DynamicObject, declared: &Value, owner: (&str, &str)) -> bool {
    let label = |key: &str| live.metadata.labels.as_ref()?.get(key).map(String::as_str);
    let manager = declared["metadata"]["labels"][MANAGED_BY].as_str().unwrap_or(FIELD_MANAGER);
    let release = live.metadata.annotations.as_ref().and_then(|all| all.get(RELEASE)).map(String::as_str);
    let is_left = release == Some(owner.1);
    // What controllers say of a status is no claim.
    let applied = live.metadata.managed_fields.iter().flatten().any(|entry| {
        entry.operation.as_deref() == Some("Apply")
            && entry.subresource.as_deref().unwrap_or_default().is_empty()
            && entry.manager.as_deref() != Some(FIELD_MANAGER)
            && !(is_left && entry.manager.as_deref() == Some(HELM))
    });
    label(owner.0) != Some(owner.1)
        || label(MANAGED_BY).is_some_and(|other| other != manager)
        || (release.is_some() && !is_left)
        || applied
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_says_that_an_object_is_its_own_has_taken_it_over() {
        let field = |manager: &str, operation: &str, subresource: &str| json!([{"manager": manager, "operation": operation, "subresource": subresource}]);
        let ours = || json!({"hoist.dev/addon": "web", MANAGED_BY: "hoist"});
        for (labels, annotations, fields, own, taken) in [
            (ours(), json!({}), json!([]), None, false),
            (json!({"hoist.dev/addon": "web"}), json!({}), json!([]), None, false),
            (json!({MANAGED_BY: "hoist"}), json!({}), json!([]), None, true),
            (json!({"hoist.dev/addon": "other"}), json!({}), json!([]), None, true),
            (json!({"hoist.dev/addon": "web", MANAGED_BY: "Helm"}), json!({}), json!([]), None, true),
            (
                json!({"hoist.dev/addon": "web", MANAGED_BY: "Helm"}),
                json!({}),
                json!([]),
                Some("Helm"),
                false,
            ),
            (ours(), json!({RELEASE: "other"}), json!([]), None, true),
            (ours(), json!({RELEASE: "web"}), field("helm", "Apply", ""), None, false),
            (ours(), json!({RELEASE: "web"}), field("argocd-controller", "Apply", ""), None, true),
            (
                json!({"hoist.dev/addon": "web", MANAGED_BY: "Helm"}),
                json!({RELEASE: "web"}),
                json!([]),
                None,
                true,
            ),
            (ours(), json!({}), field("helm", "Apply", ""), None, true),
            (ours(), json!({}), field("hoist", "Apply", ""), None, false),
            (ours(), json!({}), field("kubectl-edit", "Update", ""), None, false),
            (ours(), json!({}), field("controller", "Apply", "status"), None, false),
            (ours(), json!({}), field("argocd-controller", "Apply", ""), None, true),
        ] {
            let live = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
                "name": "a", "labels": labels, "annotations": annotations, "managedFields": fields}});
            let declared = json!({"metadata": {"name": "a", "labels": {MANAGED_BY: own}}});
            let object: DynamicObject = serde_json::from_value(live.clone()).unwrap();
            assert_eq!(is_taken(&object, &declared, ("hoist.dev/addon", "web")), taken, "{live}");
        }
    }
}
