//! The `kube` room against a real kube-apiserver, etcd, controller manager and scheduler of Kubernetes 1.20.2,
//! on loopback, without nodes. Needs their binaries and kubeadm and kubectl in one folder: that of
//! `HOIST_TEST_KUBERNETES`, or the cache's. Without them it says so and does nothing.

#[path = "apiserver/burst.rs"]
mod burst;

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use hoist::{
    cluster::{kubeconfig, sample::Sample},
    kube::{Api, Change, Error, Patience, Rollout, connect},
    transport::{self, Destination, Host, Output, Script, Stream, Transfer},
};
use miette::Diagnostic;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;

/// Not an address of this machine: only the tunnel leads there.
const ENDPOINT: &str = "192.0.2.10";

/// A process that does not outlive its test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct ControlPlane {
    binaries: PathBuf,
    folder: tempfile::TempDir,
    api: SocketAddr,
    etcd: SocketAddr,
    processes: Vec<Process>,
}

impl ControlPlane {
    fn start(binaries: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (api, etcd) = (free_port(), free_port());
        let mut plane = Self { binaries, folder, api, etcd, processes: Vec::new() };
        let peer = format!("http://{}", free_port());
        let url = format!("http://{etcd}");
        let data = plane.path("etcd");
        let args = ["--data-dir", &data, "--listen-client-urls", &url, "--advertise-client-urls", &url];
        let peers = ["--listen-peer-urls", &peer, "--unsafe-no-fsync"];
        let etcd = plane.spawn("etcd", &[&args[..], &peers[..]].concat());
        plane.processes.push(etcd);
        let (pki, config) = (plane.path("pki"), plane.path("kubeadm.yaml"));
        let text = format!(
            "apiVersion: kubeadm.k8s.io/v1beta2\nkind: InitConfiguration\n\
             localAPIEndpoint: {{advertiseAddress: {ENDPOINT}}}\n---\n\
             apiVersion: kubeadm.k8s.io/v1beta2\nkind: ClusterConfiguration\nkubernetesVersion: v1.20.2\n\
             controlPlaneEndpoint: {ENDPOINT}:6443\ncertificatesDir: {pki}\n\
             apiServer: {{certSANs: [127.0.0.1]}}\n"
        );
        fs::write(&config, text).unwrap();
        plane.run("kubeadm", &["init", "phase", "certs", "all", "--config", &config]);
        let here = plane.path("");
        let phase = ["init", "phase", "kubeconfig", "admin", "--config", &config, "--kubeconfig-dir", &here];
        plane.run("kubeadm", &phase);
        plane
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn spawn(&self, name: &str, arguments: &[&str]) -> Process {
        let log = File::create(self.path(&format!("{name}.log"))).unwrap();
        let mut command = Command::new(self.binaries.join(name));
        command.args(arguments).stdout(log.try_clone().unwrap()).stderr(log);
        Process(command.spawn().unwrap())
    }

    fn run(&self, name: &str, arguments: &[&str]) -> String {
        let output = Command::new(self.binaries.join(name)).args(arguments).output().unwrap();
        assert!(output.status.success(), "{name} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn start_api_server(&self) -> Process {
        let pki = |name: &str| self.path(&format!("pki/{name}"));
        let arguments = [
            format!("--etcd-servers=http://{}", self.etcd),
            "--bind-address=127.0.0.1".into(),
            format!("--secure-port={}", self.api.port()),
            format!("--advertise-address={ENDPOINT}"),
            "--service-cluster-ip-range=10.96.0.0/16".into(),
            "--authorization-mode=Node,RBAC".into(),
            format!("--client-ca-file={}", pki("ca.crt")),
            format!("--tls-cert-file={}", pki("apiserver.crt")),
            format!("--tls-private-key-file={}", pki("apiserver.key")),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-key-file={}", pki("sa.pub")),
            format!("--service-account-signing-key-file={}", pki("sa.key")),
        ];
        self.spawn("kube-apiserver", &arguments.each_ref().map(String::as_str))
    }

    fn admin(&self) -> SecretString {
        fs::read_to_string(self.path("admin.conf")).unwrap().into()
    }
}

/// A control plane in the sense of the tunnel: what it can reach is the API server on loopback.
struct Near(SocketAddr);

#[async_trait]
impl Host for Near {
    fn name(&self) -> &str {
        "cp1"
    }
    async fn run(&self, _: Script) -> Result<Output, transport::Error> {
        unreachable!("an address needs no lookup")
    }
    async fn send(&self, _: &Transfer, _: &(dyn Fn(u64) + Sync)) -> Result<(), transport::Error> {
        unreachable!("nothing is sent")
    }
    async fn forward(&self, to: Destination) -> Result<Box<dyn Stream>, transport::Error> {
        assert_eq!(to.to_string(), format!("{ENDPOINT}:6443"));
        match TcpStream::connect(self.0).await {
            Ok(stream) => Ok(Box::new(stream)),
            // A proxy that is up before what is behind it: the stream ends at once.
            Err(_) => Ok(Box::new(tokio::io::duplex(1).0)),
        }
    }
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn binaries() -> Option<PathBuf> {
    let cache =
        || Path::new(&std::env::var_os("HOME")?).join(".cache/hoist/artifacts/kubernetes-1.20.2").into();
    let folder: PathBuf = std::env::var_os("HOIST_TEST_KUBERNETES").map(PathBuf::from).or_else(cache)?;
    let names = ["etcd", "kubeadm", "kubectl", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];
    let missing: Vec<_> = names.into_iter().filter(|name| !folder.join(name).exists()).collect();
    if missing.is_empty() {
        return Some(folder);
    }
    eprintln!("skipped: {} does not have {}", folder.display(), missing.join(", "));
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_api_server() {
    let Some(binaries) = binaries() else { return };
    let mut plane = ControlPlane::start(binaries);
    let admin = plane.admin();
    let api = connect(Arc::new(Near(plane.api)), admin.expose_secret()).await.unwrap();

    // Nobody listens yet.
    let server = plane.start_api_server();
    api.wait_until_serving(Duration::from_secs(120)).await.unwrap();
    assert_eq!(api.version().await.unwrap().to_string(), "1.20.2");
    assert_eq!(api.nodes().await.unwrap(), []);

    // What a user gets: kubectl itself reads it and reaches the server by its own name.
    let renamed =
        kubeconfig::rename(&admin, "office", &format!("https://{}", plane.api), kubeconfig::Whose::Admin)
            .unwrap();
    let file = plane.path("office.conf");
    kubeconfig::write(Path::new(&file), &renamed).unwrap();
    assert_eq!(plane.run("kubectl", &["--kubeconfig", &file, "config", "current-context"]), "office\n");
    let version = plane.run("kubectl", &["--kubeconfig", &file, "version", "--short"]);
    assert!(version.contains("Server Version: v1.20.2"), "{version}");

    let arguments = ["--kubeconfig", &file, "--leader-elect=false", "--port=0", "--secure-port=0"];
    // Makes the tokens of service accounts, without which the API server admits no pod.
    let tokens = format!("--service-account-private-key-file={}", plane.path("pki/sa.key"));
    let manager = plane.spawn("kube-controller-manager", &[&arguments[..], &[tokens.as_str()]].concat());
    let scheduler = plane.spawn("kube-scheduler", &arguments);
    plane.processes.extend([manager, scheduler]);
    apply_tells_the_truth(&api).await;
    an_unschedulable_application_says_so(&api).await;
    let ca = plane.path("pki/ca.crt");
    burst::runs_with_its_own_rights(&api, Path::new(&ca), plane.api).await;
    refusals_are_the_servers_own_words(&api).await;
    let _server = a_restart_is_survived(&api, &plane, server).await;
    strangers_are_not_let_in(&plane).await;
}

async fn apply_tells_the_truth(api: &Api) {
    let sample = Sample { replicas: 0, ..Sample::default() };
    let manifests = sample.manifests().unwrap();
    let changes = |applied: Vec<hoist::kube::Applied>| applied.iter().map(|a| a.change).collect::<Vec<_>>();

    let planned = api.diff(&manifests).await.unwrap();
    assert!(planned.iter().all(|difference| difference.change == Change::Created), "{planned:?}");
    let applied = sample.deploy(api, Duration::from_secs(60), &mut |_| ()).await.unwrap();
    assert_eq!(changes(applied), [Change::Created; 4]);
    assert_eq!(changes(api.apply(&manifests).await.unwrap()), [Change::Unchanged; 4]);

    let scaled = manifests.replace("replicas: 0", "replicas: 3");
    let planned = api.diff(&scaled).await.unwrap();
    let diffs: String = planned.iter().map(|difference| difference.diff.as_str()).collect();
    let changed = |sign: char| -> Vec<_> {
        diffs
            .lines()
            .filter(|line| line.starts_with(sign) && !line.starts_with(&sign.to_string().repeat(3)))
            .collect()
    };
    assert_eq!((changed('-'), changed('+')), (vec!["-  replicas: 0"], vec!["+  replicas: 3"]), "{diffs}");
    use Change::{Changed, Unchanged};
    assert_eq!(changes(api.apply(&scaled).await.unwrap()), [Unchanged, Unchanged, Changed, Unchanged]);
}

async fn an_unschedulable_application_says_so(api: &Api) {
    let mut told = Vec::new();
    let mut tell = |rollout: &Rollout| told.push(*rollout);
    let wait = api.wait_deployment_available("hoist-sample", "web", Duration::from_secs(6), &mut tell);
    let error = wait.await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("after 6 s deployment hoist-sample/web has 0 of 3 pods available: pod web-"),
        "{text}"
    );
    assert!(text.contains("no nodes available to schedule pods"), "{text}");
    assert!(error.help().unwrap().to_string().contains("no node fits"), "{error:?}");
    assert_eq!(told.last().unwrap().updated, 3);

    let pods = api.pods(Some("hoist-sample")).await.unwrap();
    assert_eq!(pods.len(), 3);
    assert!(pods.iter().all(|pod| !pod.ready && pod.node.is_none() && pod.containers == (0, 1)), "{pods:?}");

    api.apply("apiVersion: v1\nkind: Node\nmetadata: {name: w1}\n").await.unwrap();
    let names = ["w1".to_owned(), "w2".to_owned()];
    let error =
        api.wait_for_nodes_ready(&names, Duration::from_secs(1), &mut |_| ()).await.unwrap_err().to_string();
    assert!(error.contains("w1: ") && error.contains("w2: has not joined"), "{error}");
}

async fn refusals_are_the_servers_own_words(api: &Api) {
    let error = api.apply("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: []}\n").await;
    let Err(Error::Refused { status: 422, message, .. }) = error else { panic!("{error:?}") };
    assert!(message.contains("spec.containers: Required value"), "{message}");
    let error =
        api.apply("apiVersion: extensions/v1beta9\nkind: Ingress\nmetadata: {name: p}\n").await.unwrap_err();
    assert!(matches!(error, Error::UnknownKind { .. }), "{error:?}");
    let limit = Duration::from_secs(5);
    let error =
        api.wait_deployment_available("hoist-sample", "nobody", limit, &mut |_| ()).await.unwrap_err();
    assert!(matches!(error, Error::Refused { status: 404, .. }), "{error:?}");
}

async fn a_restart_is_survived(api: &Api, plane: &ControlPlane, server: Process) -> Process {
    drop(server);
    let impatient =
        api.clone().with_patience(Patience { request: Duration::from_secs(2), total: Duration::ZERO });
    let error = impatient.version().await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    let start = Instant::now();
    let asked = tokio::spawn({
        let patient = Patience { request: Duration::from_secs(5), total: Duration::from_secs(120) };
        let api = api.clone().with_patience(patient);
        async move { api.pods(None).await }
    });
    let server = plane.start_api_server();
    assert_eq!(asked.await.unwrap().unwrap().len(), 5, "after {:?}", start.elapsed());
    server
}

async fn strangers_are_not_let_in(plane: &ControlPlane) {
    let admin = plane.admin();
    let start = admin.expose_secret().find("    client-certificate-data").unwrap();
    let stranger = format!("{}    token: no-such-token\n", &admin.expose_secret()[..start]);
    let api = connect(Arc::new(Near(plane.api)), &stranger).await.unwrap();
    let error = api.version().await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
}
