//! The definitions of the Gateway API: hoist's, from the artifacts, or somebody else's. Those of one bundle belong together,
//! and going back to an older one, or from the experimental channel to the standard one, loses fields of objects that live.
//!
//! Sources: gateway-api.sigs.k8s.io/concepts/versioning (bundles and channels), its policy `safe-upgrades`; Cilium's upgrade notes
//! and `operator/pkg/gateway-api/cell.go` of 1.20 (what it requires).

use futures::future::try_join_all;
use semver::Version;
use serde_json::Value;

use super::{DEFINITION, is_served};
use crate::{
    addon::{Desired, Error, release::ADDON},
    kube::{self, Api, Declared},
};

/// Of which release a definition is, and of which of its channels.
const BUNDLE: &str = "gateway.networking.k8s.io/bundle-version";
const CHANNEL: &str = "gateway.networking.k8s.io/channel";
/// Without one of these the operator serves nothing; from 1.20 on each must have the version `v1`.
const NEEDED: [&str; 5] = ["gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants"];
const NEEDED_FROM_1_20: [&str; 2] = ["tlsroutes", "backendtlspolicies"];

/// What comes before an add-on's chart in a cluster: without the definitions of the Gateway API, where these are not hoist's
/// to change.
///
/// # Errors
/// When the API server does not answer, or refuses to say.
pub(in crate::addon) async fn before(api: &Api, desired: &Desired) -> Result<Declared, kube::Error> {
    let mut before = desired.before.clone();
    if theirs(api, desired).await?.is_some() {
        before.objects.retain(|object| !is_of_bundle(object));
    }
    Ok(before)
}

/// Refuses the Gateway API where neither the artifacts nor the cluster have what Cilium needs of it; where there is no cluster
/// yet, it has nothing.
///
/// # Errors
/// [`Error::Mistakes`] with the ways to bring it, and when the API server does not answer.
pub async fn refuse(api: Option<&Api>, desired: &[Desired]) -> Result<(), Error> {
    let Some(cilium) = desired.iter().find(|desired| is_served(desired)) else { return Ok(()) };
    let brings = cilium.before.objects.iter().any(is_of_bundle);
    let name = &cilium.name;
    let (ours, way) = (
        "`hoist lock --update --fetch` brings them for the minor versions of Cilium that the catalogue has",
        way(cilium),
    );
    let mistake = match api {
        None if brings => return Ok(()),
        None => format!(
            "{name}: `gateway_api` needs definitions that a new cluster does not have and that are not among the artifacts: {ours}; \
             or leave it off, apply, then {way}, then switch it on"
        ),
        Some(api) => {
            let theirs = theirs(api, cilium).await?;
            let missing = match (brings, &theirs) {
                (true, None) => Vec::new(),
                _ => missing(api, cilium).await?,
            };
            let list = missing.join(", ");
            match theirs {
                _ if missing.is_empty() => return Ok(()),
                Some(bundle) => format!(
                    "{name}: `gateway_api` needs definitions ({list}) that are not in the bundle of the Gateway API which the \
                     cluster has from somebody else ({bundle}); hoist does not change it: bring it up to date with what \
                     installed it"
                ),
                None => format!(
                    "{name}: `gateway_api` needs definitions that the cluster lacks ({list}) and that are not among the \
                     artifacts: {ours}; or {way}"
                ),
            }
        }
    };
    Err(Error::Mistakes { mistakes: vec![mistake] })
}

/// Whether it came with a release of the Gateway API: a definition, or the policy that guards them.
fn is_of_bundle(object: &Value) -> bool {
    object["metadata"]["annotations"][BUNDLE].is_string()
}

/// The bundle in the cluster that is not hoist's to change, in words; nothing where there is none, or an older one.
async fn theirs(api: &Api, desired: &Desired) -> Result<Option<String>, kube::Error> {
    let ours = desired.before.objects.iter();
    let ours = ours.filter(|object| is_of_bundle(object) && object["kind"] == DEFINITION.kind);
    let found = try_join_all(ours.map(|ours| async move {
        let name = ours["metadata"]["name"].as_str().unwrap_or_default();
        let live = api.object(DEFINITION, None, name).await?;
        Ok::<_, kube::Error>(live.and_then(|live| is_theirs(ours, &live, &desired.name)))
    }));
    Ok(found.await?.into_iter().flatten().next())
}

/// It is, if it is newer than ours or experimental, whoever made it; or else somebody else's, unless it is older.
fn is_theirs(ours: &Value, live: &Value, addon: &str) -> Option<String> {
    let said = |object: &Value, key: &str| object["metadata"]["annotations"][key].as_str().map(String::from);
    let version = |object: &Value| Version::parse(said(object, BUNDLE)?.trim_start_matches('v')).ok();
    let is_ours = live["metadata"]["labels"][ADDON] == addon;
    let channel = said(live, CHANNEL).unwrap_or_default();
    let theirs = match (version(live), version(ours)) {
        (Some(live), Some(ours)) => live > ours || (live == ours && !is_ours),
        // Nobody can tell which is newer.
        _ => !is_ours,
    };
    let version = said(live, BUNDLE).unwrap_or_else(|| String::from("of no known version"));
    (theirs || channel == "experimental").then(|| format!("{version} {channel}").trim_end().to_owned())
}

async fn missing(api: &Api, cilium: &Desired) -> Result<Vec<String>, kube::Error> {
    let strict = is_from_1_20(cilium);
    let more = NEEDED_FROM_1_20.iter().filter(|_| strict);
    let mut missing = Vec::new();
    for plural in NEEDED.iter().chain(more) {
        let name = format!("{plural}.gateway.networking.k8s.io");
        let found = api.object(DEFINITION, None, &name).await?;
        let has_v1 = |found: &Value| {
            let versions = found["spec"]["versions"].as_array().into_iter().flatten();
            { versions }.any(|version| version["name"] == "v1")
        };
        match found {
            None => missing.push(name),
            Some(found) if strict && !has_v1(&found) => missing.push(format!("{name} with the version v1")),
            Some(_) => {}
        }
    }
    Ok(missing)
}

/// Cilium 1.20 asks for 1.6.1 or newer, and serves nothing with 1.4; for 1.19 it is 1.4, and its operator fails with a newer
/// one.
fn is_from_1_20(cilium: &Desired) -> bool {
    let said = cilium.release.as_ref().map(|release| release.chart.version.trim_start_matches('v'));
    let version = said.and_then(|said| Version::parse(said).ok());
    version.is_none_or(|version| (version.major, version.minor) >= (1, 20))
}

/// How they are brought by hand. They are too large for what kubectl keeps of objects that it does not apply on the server.
fn way(cilium: &Desired) -> String {
    let release = if is_from_1_20(cilium) { "1.6.1" } else { "1.4.1" };
    format!(
        "`kubectl apply --server-side -f https://github.com/kubernetes-sigs/gateway-api/releases/download/v{release}/\
         standard-install.yaml` (the release that Cilium's documentation names for its version, \
         docs.cilium.io/en/stable/network/servicemesh/gateway-api/gateway-api/)"
    )
}

#[cfg(test)]
#[path = "definitions_tests.rs"]
mod tests;
