//! `hoist burst`.

use serde_json::Value;

use super::ask;

const SAMPLE: &str = "inventory/burst.yaml";

#[test]
fn the_network_is_shown_in_every_form() {
    let form = |form: &str| {
        let (exit, text, errors) = ask(&["burst", "plan", "-i", SAMPLE, "--as", form]);
        assert_eq!((exit, errors.as_str()), (0, ""), "{form}");
        text
    };
    insta::assert_snapshot!(form("text"));
    assert_eq!(ask(&["burst", "plan", "-i", SAMPLE]).1, form("text"));
    assert!(form("terraform").contains("resource \"aws_vpc\" \"burst\""));
    assert!(form("cloudformation").contains("Type: AWS::EC2::VPC"));
    let policy: Value = serde_json::from_str(&form("policy")).unwrap();
    let all: Value = serde_json::from_str(&form("json")).unwrap();
    assert_eq!(all["policy"], policy);
    assert_eq!(all["network"]["vpc"], "172.16.0.0/20");
}

#[test]
fn an_inventory_without_burst_is_told_what_to_say() {
    let (exit, text, errors) = ask(&["burst", "plan", "-i", "inventory/three.yaml"]);
    assert_eq!((exit, text.as_str()), (65, ""));
    assert!(errors.contains("asks for no workers in EC2"), "{errors}");
}
