//! Objects of any kind: asked for, listed, made, changed and deleted one by one.
//!
//! [`Api::apply`] is the way for what the inventory declares; this is for what is looked at, and for what lives only for
//! a moment.

use std::time::Duration;

use ::kube::{
    api::{
        Api as Resources, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
        Preconditions,
    },
    discovery::Scope,
};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::{
    api::{Api, pause},
    apply::look_up,
    error::Error,
    manifest::{Manifest, read},
};

/// A kind of objects: `Kind::new("apps/v1", "Deployment")`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub api_version: &'static str,
    pub kind: &'static str,
}

impl Kind {
    pub const fn new(api_version: &'static str, kind: &'static str) -> Kind {
        Kind { api_version, kind }
    }

    fn manifest(self, namespace: Option<&str>, name: &str) -> Result<Manifest, Error> {
        let mut object = serde_json::json!({"apiVersion": self.api_version, "kind": self.kind, "metadata": {"name": name}});
        if let Some(namespace) = namespace {
            object["metadata"]["namespace"] = Value::from(namespace);
        }
        manifest(object)
    }
}

fn manifest(object: Value) -> Result<Manifest, Error> {
    read(object).map_err(|mistake| Error::Manifest { mistakes: vec![mistake] })
}

impl Api {
    /// An object; nothing when there is none of this name, or the cluster does not know the kind.
    ///
    /// # Errors
    /// When the API server does not answer, or refuses.
    pub async fn object(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Value>, Error> {
        let wanted = kind.manifest(namespace, name)?;
        let Some(resources) = self.known(&wanted).await? else { return Ok(None) };
        let found = self.ask(&format!("read {}", wanted.name), || resources.get_opt(name)).await?;
        Ok(found.map(json))
    }

    /// The objects of a kind in a namespace, or in all, that have these labels (`app=web,tier!=db`; all when empty). None
    /// when the cluster does not know the kind.
    ///
    /// # Errors
    /// When the API server does not answer, or refuses.
    pub async fn objects(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        labels: &str,
    ) -> Result<Vec<Value>, Error> {
        let any = kind.manifest(namespace, "any")?;
        let Some((resource, scope)) = self.look_up(&any).await? else { return Ok(Vec::new()) };
        let resources: Resources<DynamicObject> = match (scope, namespace) {
            (Scope::Namespaced, Some(namespace)) => {
                Resources::namespaced_with(self.client.clone(), namespace, &resource)
            }
            _ => Resources::all_with(self.client.clone(), &resource),
        };
        let which = ListParams::default().labels(labels);
        let list = self.ask(&format!("list {}", resource.plural), || resources.list(&which)).await?;
        // Items of a list do not say what they are.
        let types = any.types;
        let whole = |mut object: DynamicObject| {
            object.types = Some(types.clone());
            json(object)
        };
        Ok(list.items.into_iter().map(whole).collect())
    }

    /// Makes an object, and returns it as it is kept.
    ///
    /// # Errors
    /// [`Error::Refused`] with status 409 when there is one of this name; it may be this one, for a request whose answer was
    /// lost is sent again.
    pub async fn create(&self, object: Value) -> Result<Value, Error> {
        let wanted = manifest(object)?;
        let resources = self.resources(&wanted).await?;
        let action = format!("make {}", wanted.name);
        let params = PostParams::default();
        Ok(json(self.ask(&action, || resources.create(&params, &wanted.object)).await?))
    }

    /// Puts an object in the place of the one with its `metadata.resourceVersion`.
    ///
    /// # Errors
    /// [`Error::Refused`] with status 409 when it was changed meanwhile; perhaps by this very call, for a request whose
    /// answer was lost is sent again.
    pub async fn replace(&self, object: Value) -> Result<Value, Error> {
        let wanted = manifest(object)?;
        let resources = self.resources(&wanted).await?;
        let action = format!("replace {}", wanted.name);
        let (name, params) = (wanted.name.name.as_str(), PostParams::default());
        Ok(json(self.ask(&action, || resources.replace(name, &params, &wanted.object)).await?))
    }

    /// Merges `patch` into an object (RFC 7386: maps key by key, null removes).
    ///
    /// # Errors
    /// [`Error::Refused`] with status 404 when there is none.
    pub async fn merge(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Error> {
        let wanted = kind.manifest(namespace, name)?;
        let resources = self.resources(&wanted).await?;
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        let merged =
            self.ask(&format!("change {}", wanted.name), || resources.patch(name, &params, &patch)).await?;
        Ok(json(merged))
    }

    /// Merges `patch`, a map with the key `status`, into an object's status, which [`Api::merge`] does not reach.
    ///
    /// # Errors
    /// [`Error::Refused`] with status 404 when there is none.
    pub async fn merge_status(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Error> {
        let wanted = kind.manifest(namespace, name)?;
        let resources = self.resources(&wanted).await?;
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        let action = format!("change the status of {}", wanted.name);
        Ok(json(self.ask(&action, || resources.patch_status(name, &params, &patch)).await?))
    }

    /// Deletes an object and what it owns, and says whether there was one. It may still be there for a while: see
    /// [`Api::wait_until_gone`].
    ///
    /// # Errors
    /// When the API server does not answer, or refuses.
    pub async fn delete(&self, kind: Kind, namespace: Option<&str>, name: &str) -> Result<bool, Error> {
        let wanted = kind.manifest(namespace, name)?;
        self.delete_with(&wanted, &DeleteParams::background()).await
    }

    /// The same, if the object has still this `metadata.resourceVersion`.
    ///
    /// # Errors
    /// [`Error::Refused`] with status 409 when it was changed meanwhile.
    pub async fn delete_version(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        name: &str,
        version: &str,
    ) -> Result<bool, Error> {
        let wanted = kind.manifest(namespace, name)?;
        let demanded = Preconditions { resource_version: Some(version.to_owned()), uid: None };
        self.delete_with(&wanted, &DeleteParams::background().preconditions(demanded)).await
    }

    async fn delete_with(&self, wanted: &Manifest, params: &DeleteParams) -> Result<bool, Error> {
        let Some(resources) = self.known(wanted).await? else { return Ok(false) };
        let (action, name) = (format!("delete {}", wanted.name), &wanted.name.name);
        match self.ask(&action, || resources.delete(name, params)).await {
            Ok(_) => Ok(true),
            Err(Error::Refused { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits until there is no such object any more.
    ///
    /// # Errors
    /// [`Error::NotReady`] after `timeout`, with the finalizers that hold it.
    pub async fn wait_until_gone(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        name: &str,
        timeout: Duration,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + timeout;
        while let Some(object) = self.object(kind, namespace, name).await? {
            if Instant::now() >= deadline {
                let held = &object["metadata"]["finalizers"];
                return Err(Error::NotReady {
                    what: format!("{} is still there", kind.manifest(namespace, name)?.name),
                    after: timeout,
                    reasons: vec![format!("held by its finalizers: {held}")],
                    help: String::from("whoever set the finalizers does not run any more, or waits itself"),
                });
            }
            sleep_until(deadline.min(Instant::now() + pause())).await;
        }
        Ok(())
    }

    /// What the API server answers at a path, as text: `/readyz`, or a Service through
    /// `/api/v1/namespaces/NS/services/NAME:PORT/proxy/`.
    ///
    /// # Errors
    /// When it does not answer, or what stands behind it does not.
    pub async fn get(&self, path: &str) -> Result<String, Error> {
        let action = format!("read {path}");
        let request = || async {
            let request = http::Request::get(path).body(Vec::new()).map_err(::kube::Error::HttpError)?;
            self.client.request_text(request).await
        };
        self.ask(&action, request).await
    }

    async fn known(&self, wanted: &Manifest) -> Result<Option<Resources<DynamicObject>>, Error> {
        let found = self.look_up(wanted).await?;
        Ok(found.map(|(resource, scope)| self.of(&resource, &scope, wanted.name.namespace.as_deref())))
    }

    async fn resources(&self, wanted: &Manifest) -> Result<Resources<DynamicObject>, Error> {
        let (resource, scope) = look_up(self, wanted).await?;
        Ok(self.of(&resource, &scope, wanted.name.namespace.as_deref()))
    }

    async fn look_up(&self, wanted: &Manifest) -> Result<Option<(::kube::api::ApiResource, Scope)>, Error> {
        match look_up(self, wanted).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::UnknownKind { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn json(object: DynamicObject) -> Value {
    // It came from JSON.
    serde_json::to_value(object).unwrap_or_default()
}
