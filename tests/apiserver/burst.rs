//! The burst controller as it is installed: with the rights of its own service account, on pods that a real scheduler finds
//! no room for. EC2 alone is made up.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoist::{
    burst::{
        cloud::{Cloud, CloudError, Instance, Leftover, RunInstances, State, Template, UserData, tag},
        controller::{Batch, Caps, Clock as _},
        demand::Rules,
        deploy::{Form, Installation, document},
        kubernetes::Boards,
        market::Offered,
        offer::{Architecture, Capacity, InstanceType, Money, Offer},
        service::{self, Known, Line, Outcome, Parts, Service, SystemClock, surroundings, uid},
    },
    engine::Library,
    inventory::Burst,
    kube::{Api, Kind, direct},
};
use tokio::{sync::watch, time::sleep};

const REGION: &str = "eu-central-1";

/// Gives an instance to everybody.
#[derive(Default)]
struct Ec2(Mutex<Vec<Instance>>);

#[async_trait]
impl Cloud for Ec2 {
    async fn launch(&self, request: &RunInstances) -> Result<Instance, CloudError> {
        let mut all = self.0.lock().unwrap();
        let instance = Instance {
            id: format!("i-{}", all.len()),
            state: State::Pending,
            reason: None,
            launched: SystemClock.now(),
            client_token: request.client_token.clone(),
            address: None,
            claim: Some(request.tags[tag::CLAIM].clone()),
        };
        all.push(instance.clone());
        Ok(instance)
    }

    async fn instances(&self) -> Result<Vec<Instance>, CloudError> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn instances_by_id(&self, _: &[String]) -> Result<Vec<Instance>, CloudError> {
        Ok(Vec::new())
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>, CloudError> {
        Ok(Vec::new())
    }

    async fn terminate(&self, _: &[String]) -> Result<(), CloudError> {
        Ok(())
    }

    async fn delete(&self, _: &Leftover) -> Result<(), CloudError> {
        Ok(())
    }

    async fn console_output(&self, _: &str) -> Result<String, CloudError> {
        Ok(String::new())
    }
}

/// Three pods of the sample wait, and two of the controller's own Deployment, which never run on a rented node.
pub async fn runs_with_its_own_rights(admin: &Api, ca: &Path, address: SocketAddr) {
    let installation = Installation {
        image: Some("example.com/hoist:1".into()),
        inventory: "burst: {}\n".into(),
        version: "1.20.2".into(),
        index: "kubernetes: 1.20.2\n".into(),
        credentials: None,
        roles: None,
        region: REGION.into(),
    };
    let objects = document(&Library::default(), Form::Deployment, &installation).unwrap();
    admin.apply(&objects).await.unwrap();
    let token = token(admin).await;
    let ca = STANDARD.encode(std::fs::read(ca).unwrap());
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\n\
         clusters: [{{name: c, cluster: {{server: 'https://{address}', certificate-authority-data: {ca}}}}}]\n\
         contexts: [{{name: a, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{token: {token}}}}}]\n"
    );
    let api = direct(&kubeconfig).await.unwrap();

    let burst = Burst {
        region: Some(REGION.into()),
        subnets: vec!["172.16.0.0/22".parse().unwrap()],
        taints: Vec::new(),
        after_seconds: 0,
        max_instances: Some(2),
        monthly_budget: Some(100),
        ..Burst::default()
    };
    let rules: Rules = service::rules(&burst).unwrap();
    assert_eq!(rules.caps, Caps { monthly: Some(Money::dollars(100)), nodes: 2, ..Caps::default() });
    let template = Template {
        subnets: [(format!("{REGION}a"), "subnet-1".to_owned())].into(),
        images: [(Architecture::Amd64, "ami-1".to_owned())].into(),
        ..Template::bare(&uid(&api).await.unwrap())
    };
    let mut settings = service::settings(&rules, template, "AKIA");
    settings.batch = Batch { idle: Duration::ZERO, longest: Duration::ZERO };
    let ec2 = Arc::new(Ec2::default());
    let parts = Parts {
        has_gateway: false,
        only_looks: false,
        api,
        cloud: ec2.clone(),
        clock: Arc::new(SystemClock),
        writer: Box::new(|joining| {
            Ok(UserData::new(format!("#cloud-config {}", joining.token.len()).into_bytes())?)
        }),
        settings,
        identity: "c1".into(),
        gateway: None,
    };
    let mut connection = surroundings(parts).await.unwrap();

    // With room for two pods of the sample.
    let kind = InstanceType {
        name: "c7i.large".into(),
        architecture: Architecture::Amd64,
        vcpus: 1,
        memory_mib: 4096,
        max_pods: 2,
    };
    let (instance_type, zone) = (kind.name.clone(), format!("{REGION}a"));
    let offer = Offer { instance_type, zone, capacity: Capacity::Spot, price: Money(40_000) };
    let offered =
        Offered { types: [(kind.name.clone(), kind)].into(), offers: vec![offer], ..Offered::default() };
    let known = Known { asked: true, offered, troubles: Vec::new() };
    let told: Arc<Mutex<Vec<Line>>> = Arc::default();
    let kept = told.clone();
    let tell = Box::new(move |line: &Line| kept.lock().unwrap().push(line.clone()));
    let (_, known) = watch::channel(known);
    let mut service = Service::new(Box::new(Nowhere), rules, Arc::new(SystemClock), known, "c1".into(), tell);
    for _ in 0..2 {
        let outcome = service.turn(&mut connection, false).await.unwrap();
        assert!(matches!(outcome, Outcome::Done(_)));
    }
    let launched = ec2.0.lock().unwrap().len();
    assert_eq!(launched, 2, "{:#?}", told.lock().unwrap());
    let status = Boards::new(admin.clone()).shown().await.unwrap().unwrap();
    let unplaced: Vec<&str> = status.explanation.unplaced.iter().map(|it| it.pod.as_str()).collect();
    assert_eq!((unplaced.len(), status.explanation.waiting), (2, 5), "{status:?}");
    assert!(unplaced.iter().all(|pod| pod.starts_with("hoist-burst/controller-")), "{unplaced:?}");
    assert_eq!(status.troubles, [""; 0]);
    connection.controller.release().await.unwrap();
}

/// Nobody asks for it: the way is there.
struct Nowhere;

#[async_trait]
impl service::Connect for Nowhere {
    async fn connect(&self) -> Result<service::Connection, service::Error> {
        Err(service::Error::Away { reason: "nowhere".into() })
    }
}

/// That of the controller's service account, and its Deployment's pods are there.
async fn token(admin: &Api) -> String {
    let secret = Kind::new("v1", "Secret");
    for _ in 0..120 {
        let all = admin.objects(secret, Some("hoist-burst"), "").await.unwrap();
        let is_its = |it: &&serde_json::Value| {
            it["metadata"]["annotations"]["kubernetes.io/service-account.name"] == "controller"
        };
        let token = all.iter().find(is_its).and_then(|it| it["data"]["token"].as_str().map(str::to_owned));
        let pods = admin.objects(Kind::new("v1", "Pod"), Some("hoist-burst"), "").await.unwrap();
        let judged = |pod: &&serde_json::Value| pod["status"]["conditions"][0]["reason"] == "Unschedulable";
        if let Some(token) = token.filter(|_| pods.iter().filter(judged).count() == 2) {
            return String::from_utf8(STANDARD.decode(token).unwrap()).unwrap();
        }
        sleep(Duration::from_millis(250)).await;
    }
    panic!("no token, or no pods that wait");
}
