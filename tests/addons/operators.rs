//! KEDA and the External Secrets Operator: operators that hoist gives two replicas and monitoring.

use crate::{Rendered, assert_keys, render};

fn office(addon: &str, workers: usize, more: &str) -> Rendered {
    let hosts: String = (0..workers)
        .map(|index| format!(", w{index}: {{address: 10.0.0.1{index}, roles: [worker]}}"))
        .collect();
    let inventory = format!(
        "cluster: {{name: a, kubernetes: \"1.36.2\"}}\nhosts: {{a: {{address: 10.0.0.1, roles: [control-plane]}}{hosts}}}\n\
         addons: {{{addon}: {{}}{more}}}\n"
    );
    render(&inventory, addon)
}

#[test]
fn golden() {
    for addon in ["keda", "external-secrets"] {
        let many = office(addon, 3, ", prometheus: {}");
        insta::assert_snapshot!(addon, many.golden());
        assert_keys(addon, &many.values);
        let one = office(addon, 1, "");
        insta::assert_snapshot!(format!("{addon}_alone"), one.golden());
        assert_keys(addon, &one.values);
    }
}

#[test]
fn pods_start_again_where_no_registry_answers() {
    assert_eq!(office("keda", 1, "").values["image"]["pullPolicy"], "IfNotPresent");
}
