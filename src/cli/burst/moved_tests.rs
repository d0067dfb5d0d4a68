//! The inventory says another region than that in which the cluster's workers are: nothing is done in AWS.

use std::sync::Mutex;

use clap::Parser;
use serde_json::json;

use super::{
    destroy,
    parts::{Way, identity},
    reach::ReachArgs,
    up,
};
use crate::{
    burst::{
        kubernetes::Store,
        network::{Network, recorded::Recorded},
        service::{self, Connect as _, Error, Place},
    },
    exit::Exit,
    kube::{
        self,
        fake::{Fake, SERVER},
        memory::Memory,
    },
};

#[derive(Parser)]
struct Destroy {
    #[command(flatten)]
    args: destroy::Args,
}

#[derive(Parser)]
struct Up {
    #[command(flatten)]
    args: up::Args,
}

#[derive(Parser)]
struct Reach {
    #[command(flatten)]
    args: ReachArgs,
}

#[tokio::test]
async fn neither_up_nor_run_nor_destroy_forgets_what_stands_elsewhere() {
    let mut memory = Memory::default();
    let metadata = json!({"name": "kube-system", "uid": "8c1f0d6e-uid"});
    memory.objects.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}));
    let memory = Mutex::new(memory);
    let fake =
        Fake::serve("127.0.0.1", move |_, request, body| memory.lock().unwrap().answer(request, body)).await;
    let kubeconfig = Fake::kubeconfig(&fake.ca)
        .replace(&format!("{SERVER}:6443"), &format!("127.0.0.1:{}", fake.address.port()));
    let store = Store::reader(kube::direct(&kubeconfig).await.unwrap());
    let elsewhere = Place { region: "eu-west-1".into(), stack: "hoist-burst-office-burst".into() };
    store.keep_place(&elsewhere).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.conf");
    std::fs::write(&path, kubeconfig).unwrap();
    let arguments = ["hoist", "-i", "inventory/burst.yaml", "--kubeconfig", path.to_str().unwrap()];
    let told =
        "are in eu-west-1 (stack hoist-burst-office-burst), and the inventory says eu-central-1 (stack";

    for yes in [&[][..], &["--yes"]] {
        let args = Destroy::parse_from(arguments.iter().chain(yes)).args;
        let failure = destroy::run(&args).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Data);
        assert!(failure.report.to_string().contains(told), "{:?}", failure.report);
    }
    for look in [("-", ""), ("CREATE_COMPLETE", "of another document")] {
        for yes in [&[][..], &["--yes"]] {
            let (stacks, args) = (Recorded::new(&[look]), Up::parse_from(arguments.iter().chain(yes)).args);
            let inventory = crate::inventory::load("inventory/burst.yaml".as_ref()).unwrap().inventory;
            let network = Network::of(&inventory).unwrap();
            let failure = up::made::by(&stacks, &args, &inventory, &network).await.unwrap_err();
            assert_eq!((failure.exit, stacks.orders().len()), (Exit::Data, 0));
            assert!(failure.report.to_string().contains(told), "{:?}", failure.report);
        }
    }
    for only_looks in [false, true] {
        let reach = Reach::parse_from(arguments).args;
        let inventory = crate::inventory::load(&reach.inventory.file).unwrap().inventory;
        let rules = service::rules(&inventory.burst).unwrap();
        let way = Way { reach, inventory, rules, identity: identity(), supply: None, once: true, only_looks };
        let refused = way.connect().await.err().unwrap();
        assert!(matches!(&refused, Error::Moved(_)) && refused.to_string().contains(told), "{refused}");
    }
    assert_eq!(store.place().await.unwrap(), Some(elsewhere));
}
