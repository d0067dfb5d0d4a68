//! For tests: a cluster whose API server is in memory and whose hosts answer as they are told. What gates do on real
//! nodes, the story `gates` of `tests/cluster` tells.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Bench, Closed, Gate, Proof, pods::Pod};
use crate::{
    inventory::{self, Inventory},
    kube::{
        self, Api,
        fake::{Answer, Fake, SERVER},
        memory::{Memory, Objects},
    },
    transport::{Destination, Dialogue, Error, Host, Local, Output, Route, Script, Stream, Transfer},
};

type Scripted = Box<dyn FnMut(&str, &str) -> (i32, String) + Send>;
type Forwarded = Box<dyn Fn(SocketAddr) -> &'static str + Send>;
type Asked = Box<dyn FnMut(SocketAddr, &str) -> (u16, String) + Send>;
type Page = Box<dyn FnMut(usize) -> (u16, String) + Send>;

/// How hosts behave.
#[derive(Default)]
struct Behaviour {
    script: Option<Scripted>,
    forward: Option<Forwarded>,
    asked: Option<Asked>,
    route: Route,
}

/// What the API server answers before it looks into its memory.
#[derive(Default)]
struct Special {
    pages: HashMap<String, (usize, Page)>,
    refusals: Vec<(String, String, Answer)>,
}

pub struct Cluster {
    pub hosts: IndexMap<String, Arc<dyn Host>>,
    memory: Arc<Mutex<Memory>>,
    special: Arc<Mutex<Special>>,
    behaviour: Arc<Mutex<Behaviour>>,
    api: Api,
    inventory: Inventory,
    settings: Map<String, Value>,
    said: Arc<Mutex<Vec<String>>>,
    say: Box<dyn Fn(&str) + Send + Sync>,
}

impl Cluster {
    pub async fn new(nodes: &[&str]) -> Cluster {
        let (memory, special) =
            (Arc::new(Mutex::new(Memory::default())), Arc::new(Mutex::new(Special::default())));
        let (ours, first) = (memory.clone(), special.clone());
        let fake = Fake::serve(SERVER, move |_, request, body| {
            let special = first.lock().unwrap().answer(request);
            special.unwrap_or_else(|| ours.lock().unwrap().answer(request, body))
        })
        .await;
        let api = kube::connect(fake.host(), &Fake::kubeconfig(&fake.ca)).await.unwrap();
        let behaviour = Arc::new(Mutex::new(Behaviour::default()));
        let host = |name: &&str| {
            let host: Arc<dyn Host> = Arc::new(Told { name: name.to_string(), behaviour: behaviour.clone() });
            (name.to_string(), host)
        };
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = said.clone();
        let text =
            include_str!("../../../inventory/lab.yaml").replace("  network_namespace: hoist-lab", "  #");
        let mut cluster = Cluster {
            hosts: nodes.iter().map(host).collect(),
            memory,
            special,
            behaviour,
            api,
            inventory: inventory::parse("lab.yaml", &text).unwrap().inventory,
            settings: Map::new(),
            said,
            say: Box::new(move |text| heard.lock().unwrap().push(text.to_owned())),
        };
        for node in nodes {
            cluster.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": {}},
                               "status": {"conditions": [{"type": "Ready", "status": "True"}]}}));
        }
        cluster
    }

    /// The same without a group of kinds.
    pub fn without(self, group: &str) -> Cluster {
        self.memory.lock().unwrap().unknown.push(group.to_owned());
        self
    }

    pub fn put(&mut self, object: Value) {
        self.memory.lock().unwrap().objects.put(object);
    }

    pub fn label(&mut self, node: &str, key: &str, value: &str) {
        self.memory.lock().unwrap().objects.find_mut("Node", node).unwrap()["metadata"]["labels"][key] =
            json!(value);
    }

    pub fn labels(&self, node: &str) -> Value {
        let mut memory = self.memory.lock().unwrap();
        memory.objects.find_mut("Node", node).unwrap()["metadata"]["labels"].clone()
    }

    pub fn settings(&mut self, key: &str, value: &str) {
        self.set(key, json!(value));
    }

    pub fn set(&mut self, key: &str, value: Value) {
        self.settings.insert(key.to_owned(), value);
    }

    /// The object of a kind and name.
    pub fn object(&self, kind: &str, name: &str) -> Value {
        self.memory.lock().unwrap().objects.find_mut(kind, name).unwrap().clone()
    }

    /// The names of all objects of a kind.
    pub fn names(&self, kind: &str) -> Vec<String> {
        let memory = self.memory.lock().unwrap();
        let all = memory.objects.of(kind);
        all.iter().filter_map(|it| it["metadata"]["name"].as_str()).map(String::from).collect()
    }

    /// What happens after each write.
    pub fn on_write(&mut self, controller: impl FnMut(&mut Objects) + Send + 'static) {
        self.memory.lock().unwrap().controllers.push(Box::new(controller));
    }

    /// Pods run as soon as they are made.
    pub fn runs_pods(&mut self) {
        self.on_write(|objects| {
            for pod in objects.of_mut("Pod") {
                pod["status"] = json!({"phase": "Running", "podIP": "10.244.0.2",
                                       "containerStatuses": [{"state": {"running": {}}}]});
            }
        });
    }

    /// What hosts answer to scripts: status and output for name and text.
    pub fn on_script(&mut self, answer: impl FnMut(&str, &str) -> (i32, String) + Send + 'static) {
        self.behaviour.lock().unwrap().script = Some(Box::new(answer));
    }

    /// What comes from where a host forwards to.
    pub fn on_forward(&mut self, answer: impl Fn(SocketAddr) -> &'static str + Send + 'static) {
        self.behaviour.lock().unwrap().forward = Some(Box::new(answer));
    }

    /// What is answered where a host forwards to: status, and headers with an empty line and the body, for a whole question.
    pub fn on_question(&mut self, answer: impl FnMut(SocketAddr, &str) -> (u16, String) + Send + 'static) {
        self.behaviour.lock().unwrap().asked = Some(Box::new(answer));
    }

    /// How hosts are reached from this machine.
    pub fn is_reached(&mut self, route: Route) {
        self.behaviour.lock().unwrap().route = route;
    }

    /// What the API server answers at a path, by turn.
    pub fn answers(&mut self, path: &str, answer: impl FnMut(usize) -> (u16, String) + Send + 'static) {
        self.special.lock().unwrap().pages.insert(path.to_owned(), (0, Box::new(answer)));
    }

    /// The next request of this method whose path has this word is refused.
    pub fn refuse_once(&mut self, method: &str, word: &str, status: u16, message: &str) {
        let refusal = Answer::failure(status, "InternalError", message);
        self.special.lock().unwrap().refusals.push((method.to_owned(), word.to_owned(), refusal));
    }

    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    pub fn has_no(&self, kind: &str) -> bool {
        self.memory.lock().unwrap().objects.of(kind).is_empty()
    }

    pub fn bench<'a>(&'a self, namespace: &'a str) -> Bench<'a> {
        Bench {
            inventory: &self.inventory,
            api: &self.api,
            hosts: &self.hosts,
            namespace,
            settings: &self.settings,
            timeout: Duration::from_secs(900),
            say: &*self.say,
        }
    }

    pub async fn pass(&self, gate: &dyn Gate, namespace: &str) -> Result<Proof, Closed> {
        gate.pass(&self.bench(namespace)).await
    }

    pub(super) fn pod(&self, name: &str, node: &str) -> Pod {
        Pod { host: self.hosts[node].clone(), ..pod(name, node, "10.244.0.2") }
    }
}

impl Special {
    fn answer(&mut self, request: &str) -> Option<Answer> {
        let (method, path) = request.split_once(' ')?;
        if let Some(at) = self.refusals.iter().position(|(it, word, _)| it == method && path.contains(word)) {
            return Some(self.refusals.remove(at).2);
        }
        let (turn, page) = self.pages.get_mut(path)?;
        let (status, body) = page(*turn);
        *turn += 1;
        Some(Answer::Json(status, body))
    }
}

/// A pod on a host that answers nothing.
pub(super) fn pod(name: &str, node: &str, address: &str) -> Pod {
    let host = Arc::new(Told { name: node.to_owned(), behaviour: Arc::default() });
    let uid = format!("uid-{name}");
    Pod { name: name.to_owned(), node: node.to_owned(), uid, address: address.parse().unwrap(), host }
}

/// An error's words; none when there is none.
pub fn words(closed: Option<Closed>) -> String {
    closed.map(|closed| closed.to_string()).unwrap_or_default()
}

/// A host that answers as it is told.
struct Told {
    name: String,
    behaviour: Arc<Mutex<Behaviour>>,
}

#[async_trait]
impl Host for Told {
    fn name(&self) -> &str {
        &self.name
    }

    fn route(&self) -> Route {
        self.behaviour.lock().unwrap().route.clone()
    }

    async fn run(&self, script: Script) -> Result<Output, Error> {
        let mut behaviour = self.behaviour.lock().unwrap();
        let (status, stdout) = match &mut behaviour.script {
            _ if script.text.contains("containerd/config.toml") => {
                (0, "registry.example/pause:3\n".to_owned())
            }
            Some(answer) => answer(&self.name, &script.text),
            None => (0, String::new()),
        };
        Ok(Output { status, stdout: stdout.into_bytes(), stderr: Vec::new() })
    }

    async fn send(&self, _: &Transfer, _: &(dyn Fn(u64) + Sync)) -> Result<(), Error> {
        unreachable!("a gate sends nothing")
    }

    /// Listens to everything.
    async fn dialogue(&self, _: &str) -> Result<Dialogue, Error> {
        Local::open(self.name.clone()).await?.dialogue("while read -r _; do echo listening; done").await
    }

    async fn forward(&self, to: Destination) -> Result<Box<dyn Stream>, Error> {
        if self.behaviour.lock().unwrap().asked.is_some() {
            let (theirs, ours) = tokio::io::duplex(1 << 20);
            tokio::spawn(answer(theirs, to, self.behaviour.clone()));
            return Ok(Box::new(ours));
        }
        let Some(page) = self.behaviour.lock().unwrap().forward.as_ref().map(|answer| answer(to)) else {
            return Err(Error::Forward {
                host: self.name.clone(),
                to: to.to_string(),
                reason: "refused".to_owned(),
            });
        };
        let (mut theirs, ours) = tokio::io::duplex(1 << 16);
        theirs.write_all(page.as_bytes()).await.unwrap();
        tokio::spawn(async move {
            theirs.shutdown().await.unwrap();
            tokio::io::copy(&mut theirs, &mut tokio::io::sink()).await
        });
        Ok(Box::new(ours))
    }
}

/// Reads a whole question and answers it.
async fn answer(mut stream: tokio::io::DuplexStream, to: SocketAddr, behaviour: Arc<Mutex<Behaviour>>) {
    let mut came = String::new();
    let length = |came: &str| {
        let (head, body) = came.split_once("\r\n\r\n")?;
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        Some(body.len() >= length.map_or(0, |length| length.parse().unwrap()))
    };
    while length(&came) != Some(true) {
        let mut bytes = vec![0; 1 << 16];
        let read = stream.read(&mut bytes).await.unwrap();
        assert_ne!(read, 0, "a question is cut off: {came}");
        came += std::str::from_utf8(&bytes[..read]).unwrap();
    }
    let (status, rest) = behaviour.lock().unwrap().asked.as_mut().unwrap()(to, &came);
    stream.write_all(format!("HTTP/1.0 {status} X\r\n{rest}").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}
