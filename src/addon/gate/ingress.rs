//! ingress-nginx: names and paths lead to their own backends through one address.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use x509_parser::parse_x509_certificate;

use super::{
    Bench, Closed, Gate, Proof,
    ground::Ground,
    http::Question,
    outside::{self, Miss},
    retry::{Retry, make, text},
    ways::{BACKENDS, Backends, WEBHOOK, Ways},
};
use crate::kube::Kind;

const SERVICE: Kind = Kind::new("v1", "Service");
const POD: Kind = Kind::new("v1", "Pod");
const CLASS: Kind = Kind::new("networking.k8s.io/v1", "IngressClass");
/// What ingress-nginx calls itself in its IngressClass.
const CONTROLLER: &str = "k8s.io/ingress-nginx";
const LABELS: &str = "app.kubernetes.io/name=ingress-nginx,app.kubernetes.io/component=controller";
const ENTRANCE: Duration = Duration::from_secs(90);
const ANSWERS: Duration = Duration::from_secs(60);

/// Names of nobody: they are only in questions, no DNS is asked for them.
const HOSTS: [&str; 3] = ["one.gate.hoist.test", "two.gate.hoist.test", "three.gate.hoist.test"];
/// The last is for the default backend, where anything may be: mostly 404, but also an Ingress of somebody's without a host,
/// or a `defaultBackend`.
const WAYS: Ways = Ways {
    what: "ingress-nginx",
    all: &[
        (HOSTS[0], "/", Some(0)),
        (HOSTS[0], "/two", Some(1)),
        (HOSTS[1], "/", Some(1)),
        (HOSTS[1], "/one", Some(0)),
        (HOSTS[2], "/", None),
    ],
    led: "two names with two paths each led to their own backends",
    astray: "and a third to neither",
    question: |host, path| Question::new(host, path),
    other: (|_| true, "404, or what else is there for a name of no Ingress"),
    help: HELP,
};

/// The gate `ingress-answers`.
pub(super) struct IngressAnswers;

#[async_trait]
impl Gate for IngressAnswers {
    fn name(&self) -> &'static str {
        "ingress-answers"
    }

    fn proves(&self) -> &'static str {
        "two names with two paths each lead to their own backends through one address, a third name to neither, and TLS is spoken"
    }

    async fn pass(&self, bench: &Bench<'_>) -> Result<Proof, Closed> {
        let wanted = bench.settings.get("class").map(text).unwrap_or_default();
        let class = class(&bench.api.objects(CLASS, None, "").await?, wanted)?;
        let ground = Ground::take(bench, self.name()).await?;
        let done = prove(bench, &ground, &class).await;
        ground.leave(bench, done).await
    }
}

async fn prove(bench: &Bench<'_>, ground: &Ground, class: &str) -> Result<Proof, Closed> {
    let (plain, tls) = entrance(bench).await?;
    let backends = Backends::start(bench, ground).await?;
    make(bench, ingress(ground, class), WEBHOOK).await?;
    Ok(Proof { seen: vec![WAYS.ask(bench, plain, &backends.pages).await?, shown(bench, tls).await?] })
}

/// The class that this ingress-nginx serves: the one of the settings, or else, where values give it another name, the one of
/// the usual controller. A second ingress-nginx has a class and a controller of its own.
fn class(classes: &[Value], wanted: &str) -> Result<String, Closed> {
    let controller = |class: &Value| text(&class["spec"]["controller"]).to_owned();
    let named = |class: &&Value| {
        text(&class["metadata"]["name"]) == wanted && controller(class).starts_with(CONTROLLER)
    };
    let usual = |class: &&Value| controller(class) == CONTROLLER;
    let ours = classes.iter().find(named).or_else(|| classes.iter().find(usual));
    ours.map(|class| text(&class["metadata"]["name"]).to_owned()).ok_or_else(|| {
        let names: Vec<&str> = classes.iter().map(|class| text(&class["metadata"]["name"])).collect();
        let observed = format!(
            "IngressClasses: {}",
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        );
        Closed::observed(
            observed,
            format!("one of the controller {CONTROLLER}"),
            "the chart makes it: `controller.ingressClassResource`",
        )
    })
}

/// Where HTTP and HTTPS come in: at a load balancer's address, a port of nodes, or a port of the hosts it runs on.
async fn entrance(bench: &Bench<'_>) -> Result<(SocketAddr, SocketAddr), Closed> {
    let mut retry = Retry::new(bench, "the address of ingress-nginx", ENTRANCE);
    loop {
        let services = bench.api.objects(SERVICE, Some(bench.namespace), LABELS).await?;
        let pods = bench.api.objects(POD, Some(bench.namespace), LABELS).await?;
        let found = found(&services, &pods);
        let reason = match found {
            Ok(entrance) => return Ok(entrance),
            Err(reason) => reason,
        };
        if !retry.again(&reason).await {
            let help = "a Service of type LoadBalancer gets its address from MetalLB (`addons: {metallb: {pools: […]}}`); \
                        `kubectl get services,pods -A -l app.kubernetes.io/name=ingress-nginx` shows what there is";
            return Err(Closed::observed(reason, "an address or a port of nodes where HTTP comes in", help));
        }
    }
}

fn found(services: &[Value], pods: &[Value]) -> Result<(SocketAddr, SocketAddr), String> {
    let running = || pods.iter().find_map(|pod| text(&pod["status"]["hostIP"]).parse::<Ipv4Addr>().ok());
    let of = |port: u16, address: Ipv4Addr| SocketAddr::new(IpAddr::V4(address), port);
    let number = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
    // Not the one of the webhook.
    let fronts =
        services.iter().filter(|service| !text(&service["metadata"]["name"]).ends_with("-admission"));
    for service in fronts {
        let port = |name: &str, field: &str| {
            let ports = service["spec"]["ports"].as_array().into_iter().flatten();
            ports.filter(|port| text(&port["name"]) == name).find_map(|port| number(&port[field]))
        };
        match text(&service["spec"]["type"]) {
            "LoadBalancer" => {
                let address = text(&service["status"]["loadBalancer"]["ingress"][0]["ip"]).parse();
                let address =
                    address.map_err(|_| "its Service of type LoadBalancer has no address".to_owned())?;
                let ports = port("http", "port").zip(port("https", "port"));
                let (plain, tls) = ports.ok_or("its Service has no ports named http and https")?;
                return Ok((of(plain, address), of(tls, address)));
            }
            "NodePort" => {
                let ports = port("http", "nodePort").zip(port("https", "nodePort"));
                let (plain, tls) = ports.ok_or("its Service has no node ports named http and https")?;
                let address = running().ok_or("no pod of its controller runs")?;
                return Ok((of(plain, address), of(tls, address)));
            }
            _ => {}
        }
    }
    for pod in pods {
        let host_port = |name: &str| {
            let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
            let mut ports =
                containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
            ports.find(|port| text(&port["name"]) == name).and_then(|port| number(&port["hostPort"]))
        };
        if let (Some(plain), Some(tls), Some(address)) = (host_port("http"), host_port("https"), running()) {
            return Ok((of(plain, address), of(tls, address)));
        }
    }
    Err("it has neither a Service of type LoadBalancer or NodePort, nor a port of its hosts".to_owned())
}

fn ingress(ground: &Ground, class: &str) -> Value {
    let path = |path: &str, service: &str| json!({"path": path, "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 80}}}});
    let rule = |host: &str| {
        let ours = WAYS.all.iter().filter(|(name, _, _)| *name == host);
        let paths = ours.filter_map(|(_, it, backend)| Some(path(it, BACKENDS[(*backend)?])));
        json!({"host": host, "http": {"paths": paths.collect::<Vec<_>>()}})
    };
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "gate", "namespace": ground.namespace, "labels": ground.labels(),
                     // Names without a certificate stay plain, also where the values lead all to HTTPS.
                     "annotations": {"nginx.ingress.kubernetes.io/ssl-redirect": "false",
                                     "nginx.ingress.kubernetes.io/force-ssl-redirect": "false"}},
        "spec": {"ingressClassName": class, "rules": [rule(HOSTS[0]), rule(HOSTS[1])]},
    })
}

const HELP: &str = "404 for a name of the Ingress: the controller has not taken it, its log says why (`kubectl -n ingress-nginx logs \
                    -l app.kubernetes.io/component=controller`); 502 or 503: it does not reach the pods; no answer: the address \
                    does not lead to it, which `metallb-address` tells apart";

async fn shown(bench: &Bench<'_>, to: SocketAddr) -> Result<String, Closed> {
    let mut retry = Retry::new(bench, "TLS", ANSWERS);
    loop {
        let shown = match outside::certificate(bench, to, HOSTS[0]).await {
            Ok((_, bytes)) => subject(&bytes),
            Err(Miss::Silent { reason, .. }) => Err(reason),
            Err(Miss::Unasked { why }) => return Ok(format!("TLS was not tried from outside: {why}")),
        };
        let reason = match shown {
            Ok(subject) => {
                return Ok(format!("TLS is spoken on {to}, with the default certificate ({subject})"));
            }
            Err(reason) => reason,
        };
        let observed = format!("asked for {} on {to}: {reason}", HOSTS[0]);
        if !retry.again(&observed).await {
            return Err(Closed::observed(observed, "TLS with the default certificate", HELP));
        }
    }
}

fn subject(certificate: &[u8]) -> Result<String, String> {
    let read = parse_x509_certificate(certificate);
    read.map(|(_, it)| it.subject().to_string())
        .map_err(|error| format!("its certificate cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addon::gate::{http::Answer, testing::words};

    fn service(kind: &str, status: Value) -> Value {
        json!({"metadata": {"name": "ingress-nginx-controller"}, "status": status, "spec": {"type": kind, "ports": [
            {"name": "http", "port": 80, "nodePort": 30080}, {"name": "https", "port": 443, "nodePort": 30443}]}})
    }

    #[test]
    fn http_comes_in_where_the_chart_lets_it() {
        let at = |services: &[Value], pods: &[Value]| {
            found(services, pods).map(|(plain, tls)| format!("{plain} {tls}"))
        };
        let address = json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.9"}]}});
        let pod = json!({"status": {"hostIP": "10.0.0.2"}, "spec": {"containers": [{"ports": [
            {"name": "http", "hostPort": 80}, {"name": "https", "hostPort": 443}]}]}});
        assert_eq!(at(&[service("LoadBalancer", address)], &[]).unwrap(), "10.0.0.9:80 10.0.0.9:443");
        assert_eq!(
            at(&[service("LoadBalancer", json!({}))], &[]).unwrap_err(),
            "its Service of type LoadBalancer has no address"
        );
        let pods = std::slice::from_ref(&pod);
        assert_eq!(at(&[service("NodePort", json!({}))], pods).unwrap(), "10.0.0.2:30080 10.0.0.2:30443");
        assert_eq!(at(&[service("NodePort", json!({}))], &[]).unwrap_err(), "no pod of its controller runs");
        assert_eq!(at(&[], pods).unwrap(), "10.0.0.2:80 10.0.0.2:443");
        assert!(at(&[service("ClusterIP", json!({}))], &[]).unwrap_err().starts_with("it has neither"));
    }

    #[test]
    fn the_class_is_that_of_the_settings_or_of_the_usual_controller() {
        let class_of = |name: &str, controller: &str| json!({"metadata": {"name": name}, "spec": {"controller": controller}});
        let (internal, usual) =
            (class_of("internal", "k8s.io/ingress-nginx-internal"), class_of("nginx", CONTROLLER));
        let both = [internal, usual];
        assert_eq!(class(&both, "nginx").unwrap(), "nginx");
        assert_eq!(class(&both, "internal").unwrap(), "internal");
        // The values give it another name than the settings.
        assert_eq!(class(&both, "web").unwrap(), "nginx");
        let strange = [class_of("nginx", "nginx.org/ingress-controller")];
        assert_eq!(
            words(class(&strange, "nginx").err()),
            "IngressClasses: nginx; expected: one of the controller k8s.io/ingress-nginx"
        );
        assert!(words(class(&[], "nginx").err()).starts_with("IngressClasses: none"));
    }

    #[test]
    fn each_way_has_its_backend_and_a_strange_name_has_none() {
        let came = |status: u16, body: &str| {
            Ok(("here".to_owned(), Answer { status, headers: Vec::new(), body: body.to_owned() }))
        };
        let silent =
            || Err(Miss::Silent { from: "here".to_owned(), reason: "connection refused".to_owned() });
        let (one, none) = ("status 200 and \"one\"", "404, or what else is there for a name of no Ingress");
        let pages = ["one".to_owned(), "two".to_owned()];
        for (came, backend, expected) in [
            (came(200, "one"), Some(0), ""),
            (came(200, "two"), Some(0), one),
            (came(503, "one"), Some(0), one),
            (came(308, ""), Some(0), one),
            (silent(), Some(0), one),
            (came(404, "nginx"), None, ""),
            // An Ingress without a host, or a default backend, which is nobody's fault.
            (came(200, "the shop"), None, ""),
            (came(308, ""), None, ""),
            (came(200, "one"), None, none),
            (came(200, "two"), None, none),
            (silent(), None, none),
        ] {
            assert_eq!(
                WAYS.wrongly(&came, backend, &pages).unwrap_or_default(),
                expected,
                "{came:?} {backend:?}"
            );
        }
    }

    #[test]
    fn the_ingress_has_two_of_the_names_and_stays_plain() {
        let ground = Ground { gate: "g", namespace: "n".to_owned() };
        let made = ingress(&ground, "nginx");
        let rules = &made["spec"]["rules"];
        assert_eq!(rules[1]["http"]["paths"][1]["backend"]["service"]["name"], "one", "{rules}");
        assert_eq!(rules.as_array().unwrap().len(), 2, "the third name is in no rule");
        for redirect in ["ssl-redirect", "force-ssl-redirect"] {
            let annotation = format!("nginx.ingress.kubernetes.io/{redirect}");
            assert_eq!(made["metadata"]["annotations"][annotation], "false", "{redirect}");
        }
    }
}
