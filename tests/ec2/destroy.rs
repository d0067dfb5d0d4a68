//! `hoist burst destroy --cluster`, for a cluster that is no more and whose network is there still.

use super::{Fault, Moto, Proxy, emulator, hoist, hoist_with};

const GONE: [&str; 4] = ["burst", "destroy", "--cluster", "8c1f0d6e-5a0b-4c52-9a1d-0f2a7b3c4d5e"];
const STACK: &str = "stack hoist-burst-office-burst";

/// With the network of a cluster in it.
fn with_network() -> Option<Moto> {
    let moto = emulator()?;
    let (exit, _, errors) = hoist(&moto.url, &["burst", "up", "--yes"]);
    assert_eq!(exit, 0, "{errors}");
    Some(moto)
}

fn destroy(moto: &Moto, more: &[&str]) -> (i32, String) {
    let (exit, output, errors) = hoist(&moto.url, &[&GONE[..], more].concat());
    (exit, output + &errors)
}

#[test]
fn a_network_that_is_left_is_told_and_is_no_success() {
    let Some(moto) = with_network() else { return };
    let (exit, said) = destroy(&moto, &[]);
    assert!(exit == 2 && said.contains("nothing would end"), "{exit}: {said}");
    let (exit, said) = destroy(&moto, &["--yes"]);
    assert!(exit == 1 && !said.contains("nothing is left"), "{exit}: {said}");
    assert!(
        said.contains(STACK) && said.contains("elastic-ip") && said.contains("say `--network`"),
        "{said}"
    );
}

#[test]
fn a_network_whose_cluster_is_said_to_be_no_more_goes() {
    let Some(moto) = with_network() else { return };
    let (exit, said) = destroy(&moto, &["--network"]);
    assert!(exit == 2 && said.contains("would end") && said.contains(STACK), "{exit}: {said}");
    let (exit, said) = destroy(&moto, &["--network", "--yes"]);
    assert_eq!((exit, said.as_str()), (0, "nothing is left\n"));
    let (exit, said) = destroy(&moto, &["--network"]);
    assert_eq!((exit, said.as_str()), (0, "nothing would end\n"));
}

/// The inventory names a network that is there already, after `up` has made one.
#[test]
fn a_stack_from_before_the_network_was_somebody_elses_is_told_and_is_no_success() {
    let Some(moto) = with_network() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("existing.yaml");
    let theirs = "  connection: routed\n  existing:\n    subnets: [subnet-1, subnet-2, subnet-3]\n    security_groups: [sg-1]\n";
    let sample = std::fs::read_to_string("inventory/burst.yaml").unwrap();
    std::fs::write(&path, format!("{sample}{theirs}")).unwrap();
    let destroy = |url: &str, more: &[&str]| {
        let (exit, output, errors) = hoist_with(url, path.to_str().unwrap(), &[&GONE[..], more].concat());
        (exit, output + &errors)
    };

    let (exit, said) = destroy(&moto.url, &["--network"]);
    assert!(
        exit == 2 && said.contains("nothing would end\nwould stay:") && said.contains(STACK),
        "{exit}: {said}"
    );
    let (exit, said) = destroy(&moto.url, &["--network", "--yes"]);
    assert!(exit == 1 && said.contains(STACK) && said.contains("inventory of then"), "{exit}: {said}");
    // Each that ends something looks for a minute whether more shows up: what is left is only looked at here.
    let proxy = Proxy::start("127.0.0.1:0", &moto.url).unwrap();
    proxy.always("DescribeStacks", Fault::Refused(403, "AccessDenied"));
    let (exit, said) = destroy(&proxy.url, &["--network"]);
    assert!(
        exit == 2 && said.contains("would stay:") && said.contains("unless there is none"),
        "{exit}: {said}"
    );
}

#[test]
fn the_network_goes_by_itself_where_the_cluster_lives() {
    let arguments = ["burst", "destroy", "--network"];
    let (exit, _, errors) = hoist("http://127.0.0.1:1", &arguments);
    assert!(exit == 64 && errors.contains("--cluster"), "{exit}: {errors}");
}
