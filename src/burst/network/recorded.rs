//! A recorded CloudFormation for tests: what each look shows is said beforehand, and orders are kept.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
};

use async_trait::async_trait;

use super::{
    Network,
    documents::DIGEST,
    stacks::{Blueprint, Event, Stack, Stacks, Status, Updated},
};
use crate::{
    burst::cloud::{CloudError, Order},
    inventory,
};

/// The last look stays.
#[derive(Default)]
pub struct Recorded {
    pub looks: Mutex<VecDeque<Option<Stack>>>,
    pub orders: Mutex<Vec<&'static str>>,
    /// The newest first.
    pub events: Vec<Event>,
    /// How many of them have not happened yet when they are asked for first; afterwards all have.
    pub hidden_events: Mutex<usize>,
    pub denied: Option<Order>,
    pub nothing_to_do: bool,
}

impl Recorded {
    /// Each look is a status and the digest that the stack has then; `-` stands for no stack.
    pub fn new(looks: &[(&str, &str)]) -> Recorded {
        let look = |(status, digest): &(&str, &str)| {
            (*status != "-").then(|| Stack { status: Status::of(status), outputs: outputs(digest) })
        };
        Recorded { looks: Mutex::new(looks.iter().map(look).collect()), ..Recorded::default() }
    }

    fn order(&self, order: Order, name: &'static str) -> Result<(), CloudError> {
        if self.denied == Some(order) {
            return Err(CloudError::answered(order, 403, "AccessDenied", "not authorized"));
        }
        self.orders.lock().unwrap().push(name);
        Ok(())
    }

    pub fn orders(&self) -> Vec<&'static str> {
        self.orders.lock().unwrap().clone()
    }
}

/// Of the network of [`network`], made from the document with this digest.
pub fn outputs(digest: &str) -> BTreeMap<String, String> {
    let all = [
        (DIGEST, digest),
        ("Vpc", "vpc-1"),
        ("WorkersSubnetA", "subnet-1"),
        ("WorkersSubnetB", "subnet-2"),
        ("WorkersSubnetC", "subnet-3"),
        ("WorkersRoutes", "rtb-1"),
        ("WorkersGroup", "sg-1"),
        ("WorkersProfile", "hoist-office-burst-workers"),
        ("DiskKey", "arn:aws:kms:eu-central-1:1:key/1"),
        ("GatewayAddress", "198.51.100.7"),
        ("GatewayAllocation", "eipalloc-1"),
        ("GatewayInterface", "eni-1"),
        ("GatewayPrivateAddress", "172.16.12.4"),
        ("GatewaySubnet", "subnet-9"),
        ("GatewayGroup", "sg-2"),
    ];
    all.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

pub fn network() -> Network {
    let text = include_str!("../../../inventory/burst.yaml");
    Network::of(&inventory::parse("burst.yaml", text).unwrap().inventory).unwrap()
}

pub fn event(id: u32, part: &str, status: &str, reason: &str) -> Event {
    let kind = if part == "the stack" { "AWS::CloudFormation::Stack" } else { "AWS::EC2::VPC" };
    let reason = (!reason.is_empty()).then(|| reason.to_owned());
    Event { id: id.to_string(), part: part.into(), kind: kind.into(), status: status.into(), reason }
}

#[async_trait]
impl Stacks for Recorded {
    async fn describe(&self, _: &str) -> Result<Option<Stack>, CloudError> {
        if self.denied == Some(Order::DescribeStacks) {
            return Err(CloudError::answered(Order::DescribeStacks, 403, "AccessDenied", "not authorized"));
        }
        let mut looks = self.looks.lock().unwrap();
        Ok(if looks.len() > 1 { looks.pop_front().unwrap() } else { looks[0].clone() })
    }

    async fn create(&self, _: &Blueprint) -> Result<(), CloudError> {
        self.order(Order::CreateStack, "create")
    }

    async fn update(&self, _: &Blueprint) -> Result<Updated, CloudError> {
        self.order(Order::UpdateStack, "update")?;
        Ok(if self.nothing_to_do { Updated::NothingToDo } else { Updated::Begun })
    }

    async fn delete(&self, _: &str) -> Result<(), CloudError> {
        self.order(Order::DeleteStack, "delete")
    }

    async fn events(&self, _: &str) -> Result<Vec<Event>, CloudError> {
        let hidden = std::mem::take(&mut *self.hidden_events.lock().unwrap());
        Ok(self.events[hidden..].to_vec())
    }
}
