//! One run at a time on a host.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hoist::{
    engine::{Error, lock},
    transport::{Host, Local},
};
use nix::unistd::geteuid;

async fn open(name: &str) -> Arc<dyn Host> {
    Arc::new(Local::open(name).await.unwrap())
}

#[tokio::test]
async fn the_second_is_refused_by_name_until_the_first_has_gone() {
    if !geteuid().is_root() {
        eprintln!("skipped: not root, so no file in /run");
        return;
    }
    let (first, second) = (open("cp1").await, open("cp1").await);
    lock(&first, "it's ada@laptop, process 7").await.unwrap();
    match lock(&second, "somebody else").await.unwrap_err() {
        Error::Locked { host, holder } => {
            assert_eq!((host.as_str(), holder.as_str()), ("cp1", "it's ada@laptop, process 7"));
        }
        other => panic!("{other}"),
    }
    drop(first);
    let gone = Instant::now();
    lock(&second, "the second").await.unwrap();
    assert!(gone.elapsed() < Duration::from_secs(3), "{:?}", gone.elapsed());
}
