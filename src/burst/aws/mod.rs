//! EC2 and CloudFormation themselves, in one region. The only folder that knows AWS' client libraries.
//!
//! Credentials come from where all tools of AWS look for them: the environment, `~/.aws`, the instance's role.

mod answer;
mod checks;
mod config;
mod error;
mod launch;
mod market;
mod stack;
mod tagged;
mod zones;

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sdk_ec2::{
    Client,
    types::{Filter, Reservation},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::cloud::{Cloud, CloudError, Instance, Kind, Leftover, Order, Resource, RunInstances, tag};
use error::cloud_error;
pub use market::Prices;
pub use stack::CloudFormation;

/// What EC2 gives at once.
const PAGE: i32 = 1000;
/// What EC2 takes as the values of one filter.
const FILTER_VALUES: usize = 200;

/// The id of the key that calls are signed with now; nothing without credentials. It is no secret, and changes when
/// somebody cures a refusal by other credentials. Those of a role change by themselves, and tell nothing.
pub async fn key_id(region: &str) -> Option<String> {
    let provider = config::load(region, RetryConfig::disabled()).await.credentials_provider()?;
    let credentials = provider.provide_credentials().await.ok()?;
    match credentials.session_token() {
        None => Some(credentials.access_key_id().to_owned()),
        Some(_) => Some(String::from("a role's")),
    }
}

/// EC2, for one cluster.
pub struct Ec2 {
    client: Client,
    /// The uid of the cluster, as in the tag.
    cluster: String,
}

impl Ec2 {
    /// Reads where credentials are; asks nobody yet. Retries of the library are off.
    pub async fn connect(region: &str, cluster: &str) -> Ec2 {
        let config = config::load(region, RetryConfig::disabled()).await;
        Ec2 { client: Client::new(&config), cluster: cluster.to_owned() }
    }

    fn ours(&self) -> Filter {
        Filter::builder().name(format!("tag:{}", tag::CLUSTER)).values(&self.cluster).build()
    }

    async fn instances_that(&self, filter: Filter) -> Result<Vec<Instance>, CloudError> {
        let order = Order::DescribeInstances;
        let mut pages =
            self.client.describe_instances().filters(filter).into_paginator().page_size(PAGE).send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| cloud_error(order, &error))?;
            let found = page.reservations().iter().flat_map(Reservation::instances);
            for instance in found {
                all.push(answer::instance(order, instance)?);
            }
        }
        Ok(all)
    }

    async fn volumes(&self) -> Result<Vec<Leftover>, CloudError> {
        let order = Order::Describe("Volumes");
        let mut pages =
            self.client.describe_volumes().filters(self.ours()).into_paginator().page_size(PAGE).send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| cloud_error(order, &error))?;
            all.extend(page.volumes().iter().filter_map(answer::volume));
        }
        Ok(all)
    }

    async fn interfaces(&self) -> Result<Vec<Leftover>, CloudError> {
        let order = Order::Describe("NetworkInterfaces");
        let request = self.client.describe_network_interfaces().filters(self.ours());
        let mut pages = request.into_paginator().page_size(PAGE).send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| cloud_error(order, &error))?;
            all.extend(page.network_interfaces().iter().filter_map(answer::interface));
        }
        Ok(all)
    }
}

#[async_trait]
impl Cloud for Ec2 {
    async fn launch(&self, request: &RunInstances) -> Result<Instance, CloudError> {
        let order = Order::RunInstances;
        let launched = launch::call(&self.client, request).send().await;
        let launched = launched.map_err(|error| cloud_error(order, &error))?;
        match launched.instances() {
            [instance] => answer::instance(order, instance),
            others => Err(CloudError::unanswered(
                order,
                &format!("EC2 told of {} instances instead of one", others.len()),
            )),
        }
    }

    async fn instances(&self) -> Result<Vec<Instance>, CloudError> {
        self.instances_that(self.ours()).await
    }

    async fn instances_by_id(&self, ids: &[String]) -> Result<Vec<Instance>, CloudError> {
        let mut all = Vec::new();
        for ids in ids.chunks(FILTER_VALUES) {
            let filter = Filter::builder().name("instance-id").set_values(Some(ids.to_vec())).build();
            all.extend(self.instances_that(filter).await?);
        }
        Ok(all)
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>, CloudError> {
        let mut all = self.volumes().await?;
        all.extend(self.interfaces().await?);
        Ok(all)
    }

    async fn terminate(&self, ids: &[String]) -> Result<(), CloudError> {
        if ids.is_empty() {
            return Ok(());
        }
        let call = self.client.terminate_instances().set_instance_ids(Some(ids.to_vec()));
        let ended = call.send().await;
        ended.map(drop).map_err(|error| cloud_error(Order::TerminateInstances, &error))
    }

    async fn delete(&self, leftover: &Leftover) -> Result<(), CloudError> {
        let gone = |error: &CloudError| error.kind == Kind::NotFound;
        let deleted = match leftover.resource {
            Resource::Volume => {
                let deleted = self.client.delete_volume().volume_id(&leftover.id).send().await;
                deleted.map(drop).map_err(|error| cloud_error(Order::DeleteVolume, &error))
            }
            Resource::NetworkInterface => {
                let call = self.client.delete_network_interface().network_interface_id(&leftover.id);
                let deleted = call.send().await;
                deleted.map(drop).map_err(|error| cloud_error(Order::DeleteNetworkInterface, &error))
            }
        };
        deleted.or_else(|error| if gone(&error) { Ok(()) } else { Err(error) })
    }

    async fn console_output(&self, id: &str) -> Result<String, CloudError> {
        let order = Order::GetConsoleOutput;
        let output = self.client.get_console_output().instance_id(id).latest(true).send().await;
        let output = match output {
            // Only instances on the Nitro system tell the latest; others what they wrote when they booted.
            Err(error) if cloud_error(order, &error).code == "UnsupportedOperation" => {
                self.client.get_console_output().instance_id(id).send().await
            }
            other => other,
        };
        let output = output.map_err(|error| cloud_error(order, &error))?;
        let bytes = STANDARD.decode(output.output().unwrap_or_default()).unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
