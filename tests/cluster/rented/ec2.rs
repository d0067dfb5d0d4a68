//! EC2 as an emulator that speaks its protocol, whose instances are nodes of the lab: each boots when it is launched, has
//! EC2's metadata service, runs its user data as cloud-init would, and loses its power when it is terminated.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::read::GzDecoder;

use super::{
    internet,
    metadata::{Directory, Metadata},
};
use crate::{moto::Moto, stage};

pub const REGION: &str = "eu-central-1";
pub const ZONE: &str = "eu-central-1a";
const HOIST: &str = env!("CARGO_BIN_EXE_hoist");

/// An instance that has been seen, and what became of it.
#[derive(Debug, Clone)]
pub struct Machine {
    pub id: String,
    pub address: String,
    /// The lab's name for it.
    pub node: String,
    pub is_gateway: bool,
    pub seen: Instant,
    /// When it answered SSH.
    pub booted: Option<Instant>,
    /// When its user data had ended, and how.
    pub joined: Option<(Instant, bool)>,
    /// When EC2 no longer had it and its power was off.
    pub off: Option<Instant>,
    /// What its user data printed.
    pub console: String,
}

/// The emulator and the thread that makes its instances real; both end with this value.
pub struct Ec2 {
    pub url: String,
    api: Api,
    /// The address that the gateway has in the VPC.
    gateway: Arc<OnceLock<String>>,
    machines: Arc<Mutex<BTreeMap<String, Machine>>>,
    directory: Directory,
    over: Arc<AtomicBool>,
    watch: Option<JoinHandle<()>>,
    _moto: Moto,
}

impl Ec2 {
    /// For a lab that runs.
    pub fn start(lab: &'static str) -> Result<Ec2, String> {
        let moto = Moto::start(&stage::cache(), "{}")?;
        let (url, api) = (moto.url.clone(), Api { url: moto.url.clone() });
        let machines: Arc<Mutex<BTreeMap<String, Machine>>> = Arc::default();
        let directory = Directory::serve(lab);
        let over = Arc::new(AtomicBool::new(false));
        let gateway: Arc<OnceLock<String>> = Arc::default();
        let (api, kept) = (api.clone(), (machines.clone(), directory.clone(), gateway.clone()));
        let world = World { lab, gateway: kept.2, api: api.clone(), machines: kept.0, directory: kept.1 };
        let ended = over.clone();
        let watch = thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                world.look();
                thread::sleep(Duration::from_millis(200));
            }
        });
        Ok(Ec2 { url, api, gateway, machines, directory, over, watch: Some(watch), _moto: moto })
    }

    /// An image that the emulator knows.
    pub fn image(&self) -> String {
        field(&self.api.ask("DescribeImages", &[]), "imageId")
    }

    /// Every worker that was ever launched, by its id.
    pub fn workers(&self) -> Vec<Machine> {
        let machines = self.machines.lock().unwrap();
        machines.values().filter(|machine| !machine.is_gateway).cloned().collect()
    }

    /// The gateways that there were; the last one is that of now.
    pub fn gateways(&self) -> Vec<Machine> {
        let machines = self.machines.lock().unwrap();
        let mut gateways: Vec<Machine> =
            machines.values().filter(|machine| machine.is_gateway).cloned().collect();
        gateways.sort_by_key(|machine| machine.seen);
        gateways
    }

    /// Where the network has its gateway.
    pub fn has_gateway_at(&self, address: &str) {
        self.gateway.set(address.to_owned()).unwrap();
    }

    /// EC2 loses an instance.
    pub fn lose(&self, id: &str) {
        self.api.ask("TerminateInstances", &[("InstanceId.1", id)]);
    }

    /// The instances that cost money now.
    pub fn running(&self) -> usize {
        self.api.instances().iter().filter(|instance| instance.is_on()).count()
    }

    /// EC2 takes a spot instance back.
    pub fn notice(&self, address: &str) {
        self.directory.notice(address);
    }
}

impl Drop for Ec2 {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(watch) = self.watch.take() {
            let _ = watch.join();
        }
    }
}

/// What the thread works on.
struct World {
    lab: &'static str,
    gateway: Arc<OnceLock<String>>,
    api: Api,
    machines: Arc<Mutex<BTreeMap<String, Machine>>>,
    directory: Directory,
}

impl World {
    fn look(&self) {
        for instance in self.api.instances() {
            let known = self.machines.lock().unwrap().get(&instance.id).cloned();
            match (instance.is_on(), known) {
                (true, None) if !self.is_taken(&instance) => self.boot(&instance),
                (false, Some(machine)) if machine.off.is_none() => self.power_off(&machine),
                _ => {}
            }
        }
    }

    /// Whether another has its address still: a gateway before this one.
    fn is_taken(&self, instance: &Instance) -> bool {
        let machines = self.machines.lock().unwrap();
        machines.values().any(|machine| machine.address == instance.address && machine.off.is_none())
    }

    fn boot(&self, instance: &Instance) {
        let node = format!("ec2-{}", instance.address.rsplit('.').next().unwrap());
        let gateway = self.gateway.get().expect("there is a network before anything is launched").clone();
        let is_gateway = instance.address == gateway;
        let machine = Machine {
            id: instance.id.clone(),
            address: instance.address.clone(),
            node: node.clone(),
            is_gateway,
            seen: Instant::now(),
            booted: None,
            joined: None,
            off: None,
            console: String::new(),
        };
        self.machines.lock().unwrap().insert(instance.id.clone(), machine);
        let told = Metadata { id: instance.id.clone(), zone: ZONE.to_owned(), notice: None };
        self.directory.tell(&instance.address, told);
        let (machines, lab, id) = (self.machines.clone(), self.lab, instance.id.clone());
        let (address, user_data) = (instance.address.clone(), self.api.user_data(&instance.id));
        thread::spawn(move || {
            internet::lab(lab, &["lab", "up", "--nodes", &format!("{node}={address}@ec2")]).unwrap();
            internet::no_other_way(lab);
            if !is_gateway {
                internet::route(lab, &node, &gateway);
            }
            machines.lock().unwrap().get_mut(&id).unwrap().booted = Some(Instant::now());
            // As cloud-init runs a user data that begins with `#!`.
            let script =
                "cat > /var/lib/user-data && chmod 700 /var/lib/user-data && exec /var/lib/user-data 2>&1";
            let mut run = hoist(lab, &["lab", "ssh", &node, "--", script]);
            let mut run = run.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            run.stdin.take().unwrap().write_all(&user_data).unwrap();
            let output = run.wait_with_output().unwrap();
            let mut machines = machines.lock().unwrap();
            let machine = machines.get_mut(&id).unwrap();
            machine.joined = Some((Instant::now(), output.status.success()));
            machine.console = String::from_utf8_lossy(&output.stdout).into_owned();
        });
    }

    fn power_off(&self, machine: &Machine) {
        // It may not have booted yet: the next look tries again.
        if internet::lab(self.lab, &["lab", "down", &machine.node]).is_ok() {
            self.machines.lock().unwrap().get_mut(&machine.id).unwrap().off = Some(Instant::now());
        }
    }
}

fn hoist(lab: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(HOIST);
    command.args(arguments).env("HOIST_LAB", lab).stdin(Stdio::null());
    command
}

/// EC2's query protocol, as far as this needs it.
#[derive(Clone)]
struct Api {
    url: String,
}

struct Instance {
    id: String,
    address: String,
    state: String,
}

impl Instance {
    fn is_on(&self) -> bool {
        ["pending", "running"].contains(&self.state.as_str())
    }
}

impl Api {
    /// The answer's XML.
    fn ask(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        // The emulator reads nothing but the region in it.
        let signed =
            format!("Authorization: AWS4-HMAC-SHA256 Credential=tests/20260101/{REGION}/ec2/aws4_request");
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--noproxy", "*", "-H", &signed, &self.url, "-d", "Version=2016-11-15"]);
        curl.args(["-d", &format!("Action={action}")]);
        for (name, value) in parameters {
            curl.args(["--data-urlencode", &format!("{name}={value}")]);
        }
        String::from_utf8(curl.output().unwrap().stdout).unwrap()
    }

    fn instances(&self) -> Vec<Instance> {
        let answer = self.ask("DescribeInstances", &[]);
        let each = answer.split("<instanceId>").skip(1);
        each.map(|text| Instance {
            id: text.split('<').next().unwrap_or_default().to_owned(),
            address: field(text, "privateIpAddress"),
            state: field(text.split_once("<instanceState>").unwrap_or_default().1, "name"),
        })
        .collect()
    }

    fn user_data(&self, id: &str) -> Vec<u8> {
        let asked = [("InstanceId", id), ("Attribute", "userData")];
        let answer = self.ask("DescribeInstanceAttribute", &asked);
        let bytes = STANDARD.decode(field(&answer, "value")).unwrap();
        // cloud-init unpacks what is packed.
        if !bytes.starts_with(&[0x1f, 0x8b]) {
            return bytes;
        }
        let mut script = Vec::new();
        GzDecoder::new(bytes.as_slice()).read_to_end(&mut script).unwrap();
        script
    }
}

/// What stands in the first element of this name.
fn field(xml: &str, name: &str) -> String {
    let begin = format!("<{name}>");
    let (_, rest) = xml.split_once(&begin).unwrap_or_else(|| panic!("no {begin} in {xml}"));
    rest.split('<').next().unwrap_or_default().to_owned()
}
