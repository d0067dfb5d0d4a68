//! Many objects at once: what lives of them, how they differ from what was declared, and how that is mended.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use ::kube::{
    api::{Api as Resources, ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    discovery::Scope,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use super::{
    api::Api,
    apply::{Change, Difference, FIELD_MANAGER, compare, look_up, unified},
    error::Error,
    manifest::{Manifest, ObjectName, parse, read},
    owner::is_taken,
};

/// So many objects are looked at at the same time.
const AT_ONCE: usize = 16;

/// Objects that were declared, in a namespace where they name none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Declared {
    pub namespace: String,
    pub objects: Vec<Value>,
}

/// The documents of a text, each with `apiVersion`, `kind` and a name.
///
/// # Errors
/// [`Error::Manifest`] with every document that is no object.
pub fn documents(text: &str) -> Result<Vec<Value>, Error> {
    let mut all = Vec::new();
    for manifest in parse(text)? {
        all.push(serde_json::to_value(manifest.object).unwrap_or_default());
    }
    Ok(all)
}

/// What names an object in messages.
pub fn name_of(object: &Value) -> ObjectName {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).map(String::from);
    ObjectName {
        kind: text("/kind").unwrap_or_default(),
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name").unwrap_or_default(),
    }
}

impl Api {
    /// What differs between declared objects and those that live: what is gone, and what somebody changed. Fields that
    /// nobody declared do not count. Only objects that do not look alike are compared by the API server, in a dry run of
    /// what [`Api::mend`] does.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn drift(&self, declared: &Declared) -> Result<Vec<Difference>, Error> {
        let kinds = Arc::new(Found::default());
        let looks = declared.objects.iter().map(|object| {
            let kinds = kinds.clone();
            async move { self.drifted(&kinds, object, &declared.namespace).await }
        });
        let found: Vec<Option<Difference>> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn drifted(
        &self,
        kinds: &Found,
        object: &Value,
        namespace: &str,
    ) -> Result<Option<Difference>, Error> {
        let placed = match kinds.place(self, object, namespace).await {
            Ok(placed) => placed,
            Err(Error::UnknownKind { .. }) => return Ok(Some(gone(name_of(object), object))),
            Err(error) => return Err(error),
        };
        let (manifest, resources) = placed;
        let name = manifest.name;
        let before = self.ask(&format!("read {name}"), || resources.get_opt(&name.name)).await?;
        let Some(before) = before else { return Ok(Some(gone(name, object))) };
        let live = serde_json::to_value(&before).unwrap_or_default();
        let object = &without_authority(object);
        if holds(object, &live) {
            return Ok(None);
        }
        match self.patch(&resources, &name, object, true).await {
            // Whoever should answer is perhaps what is to be mended.
            Err(Error::Webhook { .. }) => {
                Ok(Some(Difference { object: name, change: Change::Changed, diff: String::new() }))
            }
            Ok(after) if compare(Some(&before), &after) == Change::Unchanged => Ok(None),
            Ok(after) => {
                let diff = unified(Some(&before), &after);
                Ok(Some(Difference { object: name, change: Change::Changed, diff }))
            }
            // What may not be changed any more (a Job's template) is no drift that anybody could mend.
            Err(Error::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes declared objects as they were declared: those that are gone again, and the fields that somebody changed.
    ///
    /// # Errors
    /// When the API server does not answer, or refuses one.
    pub async fn mend(&self, declared: &Declared) -> Result<(), Error> {
        let kinds = Found::default();
        for object in &declared.objects {
            let (manifest, resources) = kinds.place(self, object, &declared.namespace).await?;
            let name = &manifest.name;
            match self.patch(&resources, name, &without_authority(object), false).await {
                Err(Error::Refused { status: 404, .. }) => {
                    let params = PostParams {
                        field_manager: Some(String::from(FIELD_MANAGER)),
                        ..PostParams::default()
                    };
                    let make = || resources.create(&params, &manifest.object);
                    match self.ask(&format!("make {name}"), make).await {
                        Ok(_) | Err(Error::Refused { status: 409, .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                done => drop(done?),
            }
        }
        Ok(())
    }

    /// What [`Api::apply_declared`] would do, asked of the API server without doing it.
    ///
    /// # Errors
    /// When the API server does not answer, or refuses one. An object whose kind or namespace there is not yet is told
    /// as created.
    pub async fn diff_declared(&self, declared: &Declared) -> Result<Vec<Difference>, Error> {
        let kinds = Arc::new(Found::default());
        let looks = declared.objects.iter().map(|object| {
            let kinds = kinds.clone();
            async move {
                let (manifest, resources) = match kinds.place(self, object, &declared.namespace).await {
                    Ok(placed) => placed,
                    Err(Error::UnknownKind { .. }) => return Ok(gone(name_of(object), object)),
                    Err(error) => return Err(error),
                };
                let (before, after) = match self.send(&resources, &manifest, true).await {
                    Err(Error::Refused { status: 404, .. }) => return Ok(gone(manifest.name, object)),
                    Err(Error::Webhook { .. }) => {
                        return self.by_sight(&resources, manifest.name, object).await;
                    }
                    answer => answer?,
                };
                let change = compare(before.as_ref(), &after);
                let diff = if change == Change::Unchanged {
                    String::new()
                } else {
                    unified(before.as_ref(), &after)
                };
                Ok(Difference { object: manifest.name, change, diff })
            }
        });
        stream::iter(looks).buffered(AT_ONCE).try_collect().await
    }

    /// How an object differs as far as can be seen without asking the API server to apply it.
    async fn by_sight(
        &self,
        resources: &Resources<DynamicObject>,
        name: ObjectName,
        object: &Value,
    ) -> Result<Difference, Error> {
        let before = self.ask(&format!("read {name}"), || resources.get_opt(&name.name)).await?;
        let live = before.map(|live| serde_json::to_value(live).unwrap_or_default());
        let change = match live {
            None => Change::Created,
            Some(live) if holds(object, &live) => Change::Unchanged,
            Some(_) => Change::Changed,
        };
        Ok(Difference { object: name, change, diff: String::new() })
    }

    /// Applies declared objects in their order, by server-side apply. Gives them as they are named, namespace included.
    ///
    /// # Errors
    /// At the first that the API server does not take: those before it stay applied.
    pub async fn apply_declared(&self, declared: &Declared) -> Result<Vec<Value>, Error> {
        let kinds = Found::default();
        let mut applied = Vec::new();
        for object in &declared.objects {
            let (manifest, resources) = kinds.place(self, object, &declared.namespace).await?;
            self.send(&resources, &manifest, false).await?;
            applied.push(reference(&manifest));
        }
        Ok(applied)
    }

    /// Those of these objects that live and that somebody else has taken over from the owner, which is a label and its value.
    ///
    /// # Errors
    /// When the API server does not answer, or refuses.
    pub async fn taken_over(&self, declared: &Declared, owner: (&str, &str)) -> Result<Vec<Value>, Error> {
        let kinds = Found::default();
        let mut taken = Vec::new();
        for object in &declared.objects {
            let (manifest, resources) = match kinds.place(self, object, &declared.namespace).await {
                Ok(placed) => placed,
                Err(Error::UnknownKind { .. }) => continue,
                Err(error) => return Err(error),
            };
            let name = &manifest.name;
            let live = self.ask(&format!("read {name}"), || resources.get_opt(&name.name)).await?;
            if live.is_some_and(|live| is_taken(&live, object, owner)) {
                taken.push(object.clone());
            }
        }
        Ok(taken)
    }

    /// Deletes objects that are named by `apiVersion`, `kind`, namespace and name; those that are gone are none to delete,
    /// and neither are those that somebody else has taken over from the owner, which is a label and its value.
    ///
    /// # Errors
    /// When the API server does not answer, or refuses.
    pub async fn delete_declared(&self, declared: &Declared, owner: (&str, &str)) -> Result<(), Error> {
        let kinds = Found::default();
        for object in &declared.objects {
            let (manifest, resources) = match kinds.place(self, object, &declared.namespace).await {
                Ok(placed) => placed,
                Err(Error::UnknownKind { .. }) => continue,
                Err(error) => return Err(error),
            };
            let (name, params) = (&manifest.name, ::kube::api::DeleteParams::background());
            let live = self.ask(&format!("read {name}"), || resources.get_opt(&name.name)).await?;
            if live.is_none_or(|live| is_taken(&live, object, owner)) {
                continue;
            }
            match self.ask(&format!("delete {name}"), || resources.delete(&name.name, &params)).await {
                Err(Error::Refused { status: 404, .. }) => {}
                done => drop(done?),
            }
        }
        Ok(())
    }

    /// Merges what is declared into what lives: lists of Kubernetes' own kinds by their keys, as `kubectl apply` does.
    async fn patch(
        &self,
        resources: &Resources<DynamicObject>,
        name: &ObjectName,
        object: &Value,
        dry_run: bool,
    ) -> Result<DynamicObject, Error> {
        let params = PatchParams {
            dry_run,
            field_manager: Some(String::from(FIELD_MANAGER)),
            ..PatchParams::default()
        };
        let action = format!("change {name}");
        let strategic = Patch::Strategic(object);
        match self.ask(&action, || resources.patch(&name.name, &params, &strategic)).await {
            // Custom resources have no keys.
            Err(Error::Refused { status: 415, .. }) => {
                let merge = Patch::Merge(object);
                self.ask(&action, || resources.patch(&name.name, &params, &merge)).await
            }
            answer => answer,
        }
    }
}

/// Which kinds the API server knows, asked once each however many ask at the same time.
#[derive(Default)]
struct Found(Mutex<HashMap<(String, String), Once>>);

/// What the API server says of a kind, once it was asked.
type Once = Arc<OnceCell<(ApiResource, Scope)>>;

impl Found {
    /// An object in its namespace, and the way to objects of its kind there.
    async fn place(
        &self,
        api: &Api,
        object: &Value,
        namespace: &str,
    ) -> Result<(Manifest, Resources<DynamicObject>), Error> {
        let wrong = |mistake| Error::Manifest { mistakes: vec![mistake] };
        let mut manifest = read(object.clone()).map_err(wrong)?;
        let key = (manifest.types.api_version.clone(), manifest.types.kind.clone());
        let cell = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
        let (resource, scope) = cell.get_or_try_init(|| look_up(api, &manifest)).await?;
        match scope {
            Scope::Namespaced if manifest.name.namespace.is_none() => {
                manifest.name.namespace = Some(String::from(namespace));
                manifest.object.metadata.namespace = Some(String::from(namespace));
            }
            Scope::Namespaced => {}
            Scope::Cluster => {
                manifest.name.namespace = None;
                manifest.object.metadata.namespace = None;
            }
        }
        let resources = api.of(resource, scope, manifest.name.namespace.as_deref());
        Ok((manifest, resources))
    }
}

/// What is needed to find an object again.
fn reference(manifest: &Manifest) -> Value {
    let mut metadata = Map::new();
    if let Some(namespace) = &manifest.name.namespace {
        metadata.insert(String::from("namespace"), Value::from(namespace.as_str()));
    }
    metadata.insert(String::from("name"), Value::from(manifest.name.name.as_str()));
    serde_json::json!({
        "apiVersion": manifest.types.api_version, "kind": manifest.types.kind, "metadata": metadata,
    })
}

fn gone(name: ObjectName, object: &Value) -> Difference {
    let diff = match serde_json::from_value::<DynamicObject>(object.clone()) {
        Ok(object) => unified(None, &object),
        Err(_) => String::new(),
    };
    Difference { object: name, change: Change::Created, diff }
}

/// Whoever serves a webhook writes its own authority there.
fn without_authority(object: &Value) -> Value {
    let mut object = object.clone();
    let remove = |config: Option<&mut Value>| {
        if let Some(config) = config.and_then(Value::as_object_mut) {
            config.shift_remove("caBundle");
        }
    };
    remove(object.pointer_mut("/spec/conversion/webhook/clientConfig"));
    for hook in object.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten() {
        remove(hook.get_mut("clientConfig"));
    }
    object
}

/// Whether everything that is declared is found as it is, word by word. A no may only be another way of writing it.
fn holds(declared: &Value, live: &Value) -> bool {
    match (declared, live) {
        (Value::Object(declared), live) => declared.iter().all(|(key, value)| match live.get(key) {
            Some(live) => holds(value, live),
            None => is_nothing(value),
        }),
        (Value::Array(declared), Value::Array(live)) => {
            declared.len() == live.len()
                && declared.iter().zip(live).all(|(declared, live)| holds(declared, live))
        }
        (Value::Number(declared), Value::Number(live)) => declared.as_f64() == live.as_f64(),
        (declared, live) => declared == live,
    }
}

/// The API server leaves out what says nothing.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().all(is_nothing),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
#[path = "bulk_tests.rs"]
mod tests;
