//! cert-manager: a certificate is issued, and renewed, by a throw-away issuer.

use std::time::Duration;

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use x509_parser::{extensions::GeneralName, parse_x509_certificate, pem::parse_x509_pem};

use super::{
    Bench, Closed, Gate, Proof,
    ground::Ground,
    retry::{Retry, condition, make, seconds, text},
};
use crate::kube::Kind;

const CERTIFICATE: Kind = Kind::new("cert-manager.io/v1", "Certificate");
const SECRET: Kind = Kind::new("v1", "Secret");
const NAME: &str = "gate.hoist.test";
/// How long the webhook may take until it admits an object.
const WEBHOOK: Duration = Duration::from_secs(120);
/// How long a certificate may take.
const ISSUED: Duration = Duration::from_secs(90);

/// The gate `certificate-issued`.
pub(super) struct CertificateIssued;

#[async_trait]
impl Gate for CertificateIssued {
    fn name(&self) -> &'static str {
        "certificate-issued"
    }

    fn proves(&self) -> &'static str {
        "cert-manager's webhook answers, a throw-away certificate is issued, and renewed"
    }

    async fn pass(&self, bench: &Bench<'_>) -> Result<Proof, Closed> {
        let ground = Ground::take(bench, self.name()).await?;
        let done = prove(bench, &ground).await;
        ground.leave(bench, done).await
    }
}

async fn prove(bench: &Bench<'_>, ground: &Ground) -> Result<Proof, Closed> {
    let metadata = json!({"name": "gate", "namespace": ground.namespace, "labels": ground.labels()});
    let issuer = json!({"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": metadata, "spec": {"selfSigned": {}}});
    make(bench, issuer, WEBHOOK).await?;
    let spec = json!({"secretName": "gate", "dnsNames": [NAME], "duration": "24h", "issuerRef": {"name": "gate"},
                      "privateKey": {"algorithm": "ECDSA"}});
    let certificate = json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": metadata, "spec": spec});
    make(bench, certificate, WEBHOOK).await?;
    let (first, issued) = issued(bench, ground, None).await?;
    renew(bench, ground).await?;
    let (_, renewed) = self::issued(bench, ground, Some(&first)).await?;
    Ok(Proof {
        seen: vec![
            format!("a throw-away certificate for {NAME} was issued after {issued}"),
            format!("it was renewed, with another serial number, after {renewed}"),
        ],
    })
}

/// What `cmctl renew` does: the condition says that there is something to issue.
async fn renew(bench: &Bench<'_>, ground: &Ground) -> Result<(), Closed> {
    let now = bench.api.object(CERTIFICATE, Some(&ground.namespace), "gate").await?.unwrap_or_default();
    let mut conditions = now["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.retain(|condition| condition["type"] != "Issuing");
    conditions.push(json!({
        "type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "hoist proves that it is renewed",
        "lastTransitionTime": k8s_openapi::jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "observedGeneration": now["metadata"]["generation"],
    }));
    let patch = json!({"status": {"conditions": conditions}});
    bench.api.merge_status(CERTIFICATE, Some(&ground.namespace), "gate", &patch).await?;
    Ok(())
}

/// Waits for a certificate with another serial number than `before`; the serial number, and how long it took.
async fn issued(
    bench: &Bench<'_>,
    ground: &Ground,
    before: Option<&str>,
) -> Result<(String, String), Closed> {
    let mut retry = Retry::new(bench, "the certificate", ISSUED);
    loop {
        let certificate =
            bench.api.object(CERTIFICATE, Some(&ground.namespace), "gate").await?.unwrap_or_default();
        let reason = match condition(&certificate, "Ready") {
            (true, _) => {
                let secret = bench.api.object(SECRET, Some(&ground.namespace), "gate").await?;
                match serial(secret.as_ref()) {
                    Ok(serial) if before != Some(serial.as_str()) => {
                        return Ok((serial, seconds(retry.took())));
                    }
                    Ok(_) => "its serial number is still the same".to_owned(),
                    Err(reason) => reason,
                }
            }
            (false, reason) => reason,
        };
        if !retry.again(&reason).await {
            let what = if before.is_some() { "renewed" } else { "issued" };
            let observed =
                format!("a self-signed certificate is not {what} after {} s: {reason}", ISSUED.as_secs());
            let help = format!(
                "`kubectl -n {} logs deploy/cert-manager` says what its controller waits for",
                bench.namespace
            );
            return Err(Closed::observed(observed, format!("a certificate for {NAME} in its Secret"), help));
        }
    }
}

/// The serial number of a Secret's certificate, if that is for our name.
fn serial(secret: Option<&Value>) -> Result<String, String> {
    let pem = secret.ok_or("there is no Secret with it")?;
    let pem =
        STANDARD.decode(text(&pem["data"]["tls.crt"])).map_err(|_| "the Secret's tls.crt is not base64")?;
    let (_, pem) = parse_x509_pem(&pem).map_err(|_| "the Secret's tls.crt is no PEM")?;
    let (_, certificate) =
        parse_x509_certificate(&pem.contents).map_err(|_| "the Secret's tls.crt is no certificate")?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let ours = |name: &GeneralName<'_>| matches!(name, GeneralName::DNSName(name) if *name == NAME);
    if names.is_some_and(|names| names.value.general_names.iter().any(ours)) {
        return Ok(certificate.raw_serial_as_string());
    }
    Err(format!("the certificate is not for {NAME}"))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::addon::gate::testing::Cluster;

    fn secret(name: &str, serial: u64) -> Value {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.serial_number = Some(serial.into());
        let pem = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        json!({"data": {"tls.crt": STANDARD.encode(pem)}})
    }

    #[test]
    fn a_certificate_is_read_and_must_be_for_the_name() {
        assert_ne!(serial(Some(&secret(NAME, 7))), serial(Some(&secret(NAME, 8))));
        assert_eq!(serial(Some(&secret(NAME, 7))), serial(Some(&secret(NAME, 7))));
        assert_eq!(serial(Some(&secret("other.test", 7))), Err(format!("the certificate is not for {NAME}")));
        assert!(serial(None).is_err() && serial(Some(&json!({"data": {"tls.crt": "aGk="}}))).is_err());
    }

    /// Issues like cert-manager's controller, with the next serial number each time that it is asked to.
    fn issue(cluster: &mut Cluster, renews: bool) {
        let mut next = 1;
        cluster.on_write(move |objects| {
            let Some(certificate) = objects.find_mut("Certificate", "gate") else { return };
            let (first, again) = (certificate["status"].is_null(), condition(certificate, "Issuing").0);
            if !(first || again && renews) {
                return;
            }
            let namespace = certificate["metadata"]["namespace"].clone();
            certificate["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
            let mut made = secret(NAME, next);
            next += 1;
            made["apiVersion"] = json!("v1");
            made["kind"] = json!("Secret");
            made["metadata"] = json!({"name": "gate", "namespace": namespace});
            objects.put(made);
        });
    }

    #[tokio::test]
    async fn it_is_issued_and_renewed_when_the_webhook_answers() {
        let mut cluster = Cluster::new(&["cp1"]).await;
        issue(&mut cluster, true);
        cluster.refuse_once(
            "POST",
            "issuers",
            500,
            "failed calling webhook \"webhook.cert-manager.io\": connection refused",
        );
        let proof = cluster.pass(&CertificateIssued, "cert-manager").await.unwrap();
        assert!(
            proof.seen[0].starts_with("a throw-away certificate for gate.hoist.test was issued"),
            "{proof:?}"
        );
        assert!(proof.seen[1].starts_with("it was renewed, with another serial number"), "{proof:?}");
        let said = cluster.said();
        assert!(said[0].contains("failed calling webhook") && said[0].ends_with("trying again"), "{said:?}");
        assert!(cluster.has_no("Namespace"), "nothing is left");
    }

    #[tokio::test]
    async fn one_that_is_never_renewed_closes_the_gate_and_nothing_is_left() {
        let mut cluster = Cluster::new(&["cp1"]).await;
        issue(&mut cluster, false);
        let closed = cluster.pass(&CertificateIssued, "cert-manager").await.unwrap_err();
        let words = closed.to_string();
        assert!(words.starts_with("a self-signed certificate is not renewed after 90 s: "), "{words}");
        assert!(words.ends_with("expected: a certificate for gate.hoist.test in its Secret"), "{words}");
        assert!(cluster.has_no("Namespace"), "nothing is left");
    }

    #[tokio::test]
    async fn a_cluster_without_it_is_told() {
        let cluster = Cluster::new(&["cp1"]).await.without("cert-manager.io/v1");
        let closed = cluster.pass(&CertificateIssued, "cert-manager").await.unwrap_err();
        assert!(closed.to_string().contains("does not know Issuer of cert-manager.io/v1"), "{closed}");
    }
}
