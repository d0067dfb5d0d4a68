//! The registry: an image is pushed, read back by its digests, and deleted, by a user who is there only for that.
//!
//! The registry knows users by hashes alone, and hoist knows no password of them; so a user is added to the Secret that it
//! reads, and taken away again. Source of what is asked: the distribution specification of OCI
//! (github.com/opencontainers/distribution-spec, `spec.md`).

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretString;
use serde_json::{Value, json};
use x509_parser::pem::parse_x509_pem;

use super::{
    Bench, Closed, Gate, Proof, from_node,
    http::{Answer, Question, told},
    login::User,
    pods,
    retry::{Retry, seconds, text},
};
use crate::{
    kube::{self, Kind},
    task::sha256,
    transport::Host,
};

const SERVICE: Kind = Kind::new("v1", "Service");
const SECRET: Kind = Kind::new("v1", "Secret");
const POD: Kind = Kind::new("v1", "Pod");
const LABELS: &str = "app.kubernetes.io/name=registry";
/// The Secret with the users, and its key.
const USERS: (&str, &str) = ("users", "htpasswd");
/// The Secret of its certificate.
const CERTIFICATE: &str = "registry-tls";
/// On pods, so that kubelets look at once whether their Secrets have changed.
const LOOK: &str = "hoist.dev/gate";
/// Where the image is: always the same, for the name stays in the catalogue when all that is in it is deleted.
const PLACE: &str = "hoist-gate";
/// Bytes of the image's only layer.
const LAYER: usize = 64 << 10;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// How long the registry may take to answer, and to know a new user: kubelets look at Secrets every minute or two.
const PATIENCE: Duration = Duration::from_secs(180);
/// Tries at a Secret that somebody else changes at the same moment.
const TRIES: u32 = 5;

/// The gate `image-kept`.
pub(super) struct ImageKept;

#[async_trait]
impl Gate for ImageKept {
    fn name(&self) -> &'static str {
        "image-kept"
    }

    fn proves(&self) -> &'static str {
        "an image is pushed to the registry, read back by its digests, and deleted; who does not log in is refused"
    }

    async fn pass(&self, bench: &Bench<'_>) -> Result<Proof, Closed> {
        let user = User::new().map_err(|why| {
            Closed::observed(
                why,
                "a user that is made up",
                "the system of this machine gives no random numbers",
            )
        })?;
        let done = prove(bench, &user).await;
        let gone = users(bench, |text| user.removed(text)).await;
        // What the gate saw is what matters; the next run takes the user away, and so does the next apply.
        done.and_then(|proof| gone.map(|()| proof))
    }
}

async fn prove(bench: &Bench<'_>, user: &User) -> Result<Proof, Closed> {
    let registry = Registry::find(bench, &user.login()).await?;
    let mut retry = Retry::new(bench, "the registry", PATIENCE);
    while let Some(reason) = is_not(&registry.ask(registry.stranger("/v2/")).await, 401) {
        if !retry.again(&reason).await {
            return Err(closed(format!("asked without a login: {reason}"), "status 401"));
        }
    }
    users(bench, |text| user.added(text)).await?;
    let mut retry = Retry::new(bench, "the registry", PATIENCE);
    while let Some(reason) = is_not(&registry.ask(registry.question("/v2/")).await, 200) {
        if !retry.again(&format!("it does not know the new user yet: {reason}")).await {
            let reason = format!("a user that was added {} s ago logs in: {reason}", PATIENCE.as_secs());
            return Err(closed(reason, "status 200"));
        }
    }
    let known = seconds(retry.took());
    let image = Image::new();
    let done = round(&registry, &image).await;
    // What is left of a try that failed would stay in the registry for ever.
    let cleared = clear(&registry, &image).await;
    done.and(cleared)?;
    Ok(Proof {
        seen: vec![
            format!("a throw-away user could log in after {known}, and nobody without a login"),
            format!("an image of {} KiB was pushed, read back by its digests, and deleted", LAYER >> 10),
        ],
    })
}

/// An image that nobody runs: one layer, and no configuration.
struct Image {
    layer: String,
    configuration: &'static str,
    manifest: String,
}

impl Image {
    fn new() -> Image {
        // The same each time, for registries keep what was deleted until somebody collects garbage, and so they keep it once.
        let layer = "hoist\n".repeat(LAYER / 6 + 1)[..LAYER].to_owned();
        let configuration = "{}";
        let described =
            |kind: &str, blob: &str| json!({"mediaType": kind, "digest": digest(blob), "size": blob.len()});
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": described("application/vnd.oci.image.config.v1+json", configuration),
            "layers": [described("application/vnd.oci.image.layer.v1.tar", &layer)],
        });
        Image { layer, configuration, manifest: manifest.to_string() }
    }

    fn blobs(&self) -> [&str; 2] {
        [self.configuration, &self.layer]
    }
}

fn digest(blob: &str) -> String {
    format!("sha256:{}", sha256(blob.as_bytes()))
}

/// Pushes the image, and reads it back.
async fn round(registry: &Registry<'_>, image: &Image) -> Result<(), Closed> {
    for blob in image.blobs() {
        let begun =
            registry.ask(registry.question(&format!("/v2/{PLACE}/blobs/uploads/")).method("POST")).await;
        expect(&begun, 202, "an upload is begun")?;
        let place = begun.ok().and_then(|answer| answer.header("location").and_then(path));
        let Some(place) = place else {
            return Err(closed("an upload is begun: no Location is in the answer".to_owned(), "one"));
        };
        let sign = if place.contains('?') { '&' } else { '?' };
        let put = registry.question(&format!("{place}{sign}digest={}", digest(blob)));
        let put = put.method("PUT").header("Content-Type", "application/octet-stream").body(blob);
        expect(&registry.ask(put).await, 201, "a layer is pushed")?;
    }
    let put = registry.question(&manifest(image)).method("PUT");
    let put = put.header("Content-Type", MANIFEST).body(&image.manifest);
    expect(&registry.ask(put).await, 201, "a manifest is pushed")?;
    let read = registry.ask(registry.question(&manifest(image)).header("Accept", MANIFEST)).await;
    same(&read, &image.manifest, "the manifest")?;
    same(&registry.ask(registry.question(&blob(&image.layer))).await, &image.layer, "the layer")
}

/// Deletes what was pushed, and sees that it is gone.
async fn clear(registry: &Registry<'_>, image: &Image) -> Result<(), Closed> {
    for path in [manifest(image), blob(&image.layer), blob(image.configuration)] {
        let came = registry.ask(registry.question(&path).method("DELETE")).await;
        // Of a push that failed not all is there.
        if !came.as_ref().is_ok_and(|answer| answer.status == 404) {
            expect(&came, 202, "what was pushed is deleted")?;
        }
    }
    expect(&registry.ask(registry.question(&manifest(image))).await, 404, "what was deleted is asked for")
}

fn manifest(image: &Image) -> String {
    format!("/v2/{PLACE}/manifests/{}", digest(&image.manifest))
}

fn blob(blob: &str) -> String {
    format!("/v2/{PLACE}/blobs/{}", digest(blob))
}

/// The path of an address, which may be one with a host.
fn path(address: &str) -> Option<String> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.find('/').map(|at| rest[at..].to_owned())
}

fn is_not(came: &Result<Answer, String>, wanted: u16) -> Option<String> {
    (!came.as_ref().is_ok_and(|answer| answer.status == wanted)).then(|| told(came))
}

fn expect(came: &Result<Answer, String>, wanted: u16, what: &str) -> Result<(), Closed> {
    is_not(came, wanted)
        .map_or(Ok(()), |reason| Err(closed(format!("{what}: {reason}"), &format!("status {wanted}"))))
}

fn same(came: &Result<Answer, String>, wanted: &str, what: &str) -> Result<(), Closed> {
    expect(came, 200, &format!("{what} is read back"))?;
    match came {
        Ok(answer) if answer.body == wanted => Ok(()),
        Ok(answer) => {
            Err(closed(format!("{what} is read back as {}", digest(&answer.body)), &digest(wanted)))
        }
        Err(_) => Ok(()),
    }
}

fn closed(observed: String, expected: &str) -> Closed {
    let help = "`kubectl -n registry logs deploy/registry` says what it made of that; a volume that is full or was mounted \
                read-only refuses what is pushed";
    Closed::observed(observed, expected, help)
}

/// The registry behind its Service, and from where it is asked.
struct Registry<'a> {
    host: &'a dyn Host,
    address: SocketAddr,
    name: String,
    /// With TLS: the certificate that it must show.
    certificate: Option<Vec<u8>>,
    login: SecretString,
}

impl<'a> Registry<'a> {
    async fn find(bench: &Bench<'a>, login: &SecretString) -> Result<Registry<'a>, Closed> {
        let (nodes, _) = pods::nodes(bench).await?;
        let service = bench.api.object(SERVICE, Some(bench.namespace), "registry").await?.unwrap_or_default();
        let port = service["spec"]["ports"][0]["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let (Ok(address), Some(port)) = (text(&service["spec"]["clusterIP"]).parse::<IpAddr>(), port) else {
            let help = "`hoist apply` makes it";
            return Err(Closed::observed("there is no Service `registry` with an address", "one", help));
        };
        let certificate = if port == 443 {
            let secret = bench.api.object(SECRET, Some(bench.namespace), CERTIFICATE).await?;
            let Some(certificate) = secret.as_ref().and_then(first) else {
                let help =
                    "`kubectl -n registry describe certificate registry` says what cert-manager waits for";
                return Err(Closed::observed(
                    format!("there is no certificate in the Secret {CERTIFICATE}"),
                    "one",
                    help,
                ));
            };
            Some(certificate)
        } else {
            None
        };
        let name = text(&bench.settings.get("host").cloned().unwrap_or_default()).to_owned();
        let host = &*bench.hosts[&nodes[0]];
        Ok(Registry { host, address: (address, port).into(), name, certificate, login: login.clone() })
    }

    fn stranger(&self, path: &str) -> Question {
        Question::new(&self.name, path)
    }

    fn question(&self, path: &str) -> Question {
        self.stranger(path).login(&self.login)
    }

    async fn ask(&self, question: Question) -> Result<Answer, String> {
        match &self.certificate {
            None => from_node::ask(self.host, self.address, &question).await,
            Some(shown) => from_node::ask_securely(self.host, self.address, shown, &question).await,
        }
    }
}

/// The first certificate of a Secret, as DER.
fn first(secret: &Value) -> Option<Vec<u8>> {
    let pem = STANDARD.decode(text(&secret["data"]["tls.crt"])).ok()?;
    parse_x509_pem(&pem).ok().map(|(_, pem)| pem.contents)
}

/// Changes the users that the registry knows, and has kubelets look at once. What is as it shall be is left alone.
async fn users(bench: &Bench<'_>, change: impl Fn(&str) -> String) -> Result<(), Closed> {
    let (place, (name, key)) = (Some(bench.namespace), USERS);
    let mut tries = 0;
    loop {
        let Some(secret) = bench.api.object(SECRET, place, name).await? else {
            let help = "`hoist apply` makes it of the setting `users`";
            return Err(Closed::observed(format!("there is no Secret `{name}`"), "one", help));
        };
        let bytes = STANDARD.decode(text(&secret["data"][key])).unwrap_or_default();
        let now = String::from_utf8_lossy(&bytes);
        let wanted = change(&now);
        if wanted == now {
            return Ok(());
        }
        let patch = json!({"metadata": {"resourceVersion": secret["metadata"]["resourceVersion"]},
                           "data": {key: STANDARD.encode(&wanted)}});
        match bench.api.merge(SECRET, place, name, &patch).await {
            Ok(_) => break,
            Err(kube::Error::Refused { status: 409, .. }) if tries < TRIES => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
    let mark = json!({"metadata": {"annotations": {LOOK: pods_mark()}}});
    for pod in bench.api.objects(POD, place, LABELS).await? {
        bench.api.merge(POD, place, text(&pod["metadata"]["name"]), &mark).await?;
    }
    Ok(())
}

/// Another one each time: what does not change tells nobody anything.
fn pods_mark() -> String {
    k8s_openapi::jiff::Timestamp::now().to_string()
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
