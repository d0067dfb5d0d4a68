//! The sample application: the proof that a new cluster schedules, mounts, probes and routes.

use std::{sync::LazyLock, time::Duration};

use minijinja::{Environment, UndefinedBehavior, value::Serde};
use serde::Serialize;

use crate::{
    artifact::Index,
    kube::{self, Api, Applied, Rollout},
};

const TEMPLATE: &str = include_str!("../../templates/sample/app.yaml");

/// What the sample application looks like; the variables of `templates/sample/app.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sample {
    pub namespace: String,
    /// Of the Deployment, the Service and the ConfigMap.
    pub name: String,
    pub image: String,
    /// What runs in the image. Empty: the image's own program, which serves the folder and the port that it is given.
    pub program: Vec<String>,
    pub replicas: u32,
    /// The port of every node that leads to the application, 30000 to 32767.
    pub node_port: u16,
    /// What a browser gets at `/`.
    pub page: String,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            namespace: "hoist-sample".to_owned(),
            name: "web".to_owned(),
            image: "hoist.local/static-server:1".to_owned(),
            program: Vec::new(),
            replicas: 3,
            node_port: 30080,
            page: "<!doctype html><title>hoist</title><h1>It works.</h1>\n".to_owned(),
        }
    }
}

impl Sample {
    /// The application with an image of the user's, in which busybox' web server serves the page.
    pub fn with_image(image: String) -> Sample {
        let program = ["busybox", "httpd", "-f", "-p", "8080", "-h", "/www"].map(String::from).into();
        Sample { image, program, ..Sample::default() }
    }

    /// That nodes have the image, for no registry has it: it comes with the artifacts that the lab makes.
    ///
    /// # Errors
    /// When these artifacts, if there are any, are without it.
    pub fn is_at_hand(&self, index: Option<&Index>) -> Result<(), Error> {
        let mut images = index.iter().flat_map(|index| &index.images);
        match images.any(|image| image.reference == self.image) {
            true => Ok(()),
            false => Err(Error::NoImage { image: self.image.clone() }),
        }
    }

    /// The manifests, ready to be applied.
    pub fn manifests(&self) -> Result<String, Error> {
        static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
            let mut engine = Environment::new();
            engine.set_undefined_behavior(UndefinedBehavior::Strict);
            engine
        });
        ENGINE
            .render_str(TEMPLATE, Serde(self))
            .map_err(|error| Error::Template { reason: error.to_string() })
    }

    /// Applies the application and waits until every replica serves. Safe to repeat.
    ///
    /// # Errors
    /// Those of [`Api::apply`] and [`Api::wait_deployment_available`], which says what holds it up.
    pub async fn deploy(
        &self,
        api: &Api,
        timeout: Duration,
        on_change: &mut (dyn FnMut(&Rollout) + Send),
    ) -> Result<Vec<Applied>, Error> {
        let applied = api.apply(&self.manifests()?).await?;
        api.wait_deployment_available(&self.namespace, &self.name, timeout, on_change).await?;
        Ok(applied)
    }
}

/// Why the sample application does not run.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    #[error(
        "the artifacts of this cluster have no image {image}, and no registry has it: nothing was deployed"
    )]
    #[diagnostic(help(
        "only artifacts that `hoist lab setup` made have it. Name an image with busybox that your nodes can pull, or that \
         stands under `artifacts.images`: --image docker.io/library/busybox:1.36"
    ))]
    NoImage { image: String },

    #[error("the template of the sample application cannot be filled in: {reason}")]
    #[diagnostic(help("this is a mistake in templates/sample/app.yaml: please report it"))]
    Template { reason: String },

    #[error(transparent)]
    #[diagnostic(transparent)]
    Api(#[from] kube::Error),
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::artifact::Image;

    fn documents(sample: &Sample) -> Vec<Value> {
        serde_yaml::from_multiple(&sample.manifests().unwrap()).unwrap()
    }

    #[test]
    fn the_manifests_are_the_golden_ones() {
        insta::assert_snapshot!(Sample::default().manifests().unwrap());
    }

    #[test]
    fn hoists_own_image_has_to_be_at_hand() {
        let image = |reference: &str| Image {
            name: "an-image".to_owned(),
            reference: reference.to_owned(),
            path: "an-image.tar".into(),
            sha256: String::new(),
            size: 0,
            digest: String::new(),
            everywhere: false,
        };
        let sample = Sample::default();
        for (images, is_there) in [
            (vec![], false),
            (vec!["registry.k8s.io/pause:3.10"], false),
            (vec!["registry.k8s.io/pause:3.10", "hoist.local/static-server:1"], true),
        ] {
            let images = images.into_iter().map(image).collect();
            let index = Index { images, ..Index::default() };
            assert_eq!(sample.is_at_hand(Some(&index)).is_ok(), is_there);
        }
        assert!(matches!(sample.is_at_hand(None), Err(Error::NoImage { .. })));
    }

    #[test]
    fn an_image_of_the_user_serves_by_busybox() {
        let image = "mirror.example.com/busybox:1.36".to_owned();
        let documents = documents(&Sample::with_image(image.clone()));
        let container = &documents[2]["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], image);
        let program = ["busybox", "httpd", "-f", "-p", "8080", "-h", "/www"];
        assert_eq!(container["command"], serde_json::json!(program));
        assert_eq!(container["args"], Value::Null);
        // It answers probes with a file.
        assert_eq!(documents[1]["data"]["healthz"], "ok\n");
    }

    #[test]
    fn the_page_arrives_as_it_is() {
        let page = "quotes \" and ' and: {braces} <b>\n---\nkind: Secret\n".to_owned();
        let documents = documents(&Sample { page: page.clone(), ..Sample::default() });
        assert_eq!(documents.len(), 4);
        assert_eq!(documents[1]["data"]["index.html"], page);
    }

    #[test]
    fn the_promises_of_the_deployment() {
        let deployment = &documents(&Sample::default())[2];
        let pod = &deployment["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        assert_eq!(deployment["spec"]["replicas"], 3);
        assert_eq!(container["resources"]["requests"], serde_json::json!({"cpu": "250m", "memory": "128Mi"}));
        assert_eq!(container["resources"]["limits"], serde_json::json!({"cpu": "500m", "memory": "256Mi"}));
        assert_eq!((&container["args"][1], &container["command"]), (&Value::from("8080"), &Value::Null));
        assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/healthz");
        assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/healthz");
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        assert_eq!(&deployment["spec"]["selector"]["matchLabels"], labels);
    }
}
