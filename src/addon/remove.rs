//! An add-on taken away: what hoist installed, and nothing that others keep there.

use super::{
    Definition, Observed, Status,
    difference::stays,
    helm::{Helm, Said},
};
use crate::{
    artifact::File,
    cluster::Way,
    kube::{self, Api, Declared, Kind, name_of},
    transport,
};

/// What a removal takes away, and what it leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal {
    pub removed: Vec<String>,
    pub kept: Vec<String>,
}

/// Why an add-on is still there.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Stuck {
    #[error("helm ended with status {status}: {}", lines.join("\n"))]
    #[diagnostic(help("mend what is named, then run the same again"))]
    Helm { status: i32, lines: Vec<String> },
    #[error("there is no helm among the artifacts")]
    #[diagnostic(help("`hoist lock --fetch` gets it, from Kubernetes 1.31 on"))]
    NoHelm,
    #[error(transparent)]
    #[diagnostic(transparent)]
    Api(#[from] kube::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Host(#[from] transport::Error),
}

impl Removal {
    /// What would go and what would stay. `namespaces` takes the namespace along, with everything in it.
    pub fn of(
        name: &str,
        namespace: &str,
        observed: &Observed,
        known: Option<&Definition>,
        namespaces: bool,
    ) -> Removal {
        let mut removal = Removal::default();
        if let Some(release) = observed.release(namespace, name) {
            removal
                .removed
                .push(format!("release {namespace}/{name} (chart {} {})", release.chart, release.version));
        }
        for object in observed.record(namespace, name).into_iter().flat_map(|record| &record.objects) {
            let list = if stays(object) { &mut removal.kept } else { &mut removal.removed };
            list.push(name_of(object).to_string());
        }
        let own = format!("Namespace {namespace}");
        removal.kept.retain(|kept| *kept != own);
        let list = if namespaces { &mut removal.removed } else { &mut removal.kept };
        list.push(format!("{own} and all else in it"));
        if !namespaces {
            removal.kept.push(String::from("volumes and their claims"));
        }
        removal.kept.push(String::from(
            "CustomResourceDefinitions from the chart's folder `crds`, with their objects",
        ));
        removal.kept.extend(known.into_iter().flat_map(|known| known.kept.iter().cloned()));
        removal
    }
}

/// Takes an add-on away, through this control plane.
///
/// # Errors
/// [`Stuck`]; the same again goes on.
pub async fn remove(
    name: &str,
    namespace: &str,
    namespaces: bool,
    timeout: u32,
    observed: &Observed,
    (api, way, program): (&Api, &Way, Option<&File>),
) -> Result<(), Stuck> {
    let record = observed.record(namespace, name);
    // What needs the chart's kinds and webhooks goes while they are there.
    let objects =
        record.into_iter().flat_map(|record| record.objects.iter().rev()).filter(|object| !stays(object));
    let declared = Declared { namespace: namespace.to_owned(), objects: objects.cloned().collect() };
    api.delete_declared(&declared).await?;
    if let Some(release) = observed.release(namespace, name).filter(|release| release.status != Status::Gone)
    {
        let helm = Helm::ready(&*way.host, program.ok_or(Stuck::NoHelm)?, None, &|_| {}).await?;
        let Said { status, lines } = helm.uninstall(release, timeout).await?;
        if status != 0 {
            return Err(Stuck::Helm { status, lines });
        }
    }
    if let Some(record) = record {
        api.delete_declared(&Declared { namespace: namespace.to_owned(), objects: vec![record.object()] })
            .await?;
    }
    if namespaces {
        api.delete(Kind::new("v1", "Namespace"), None, namespace).await?;
    }
    Ok(())
}
