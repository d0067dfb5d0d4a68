//! EC2's checks of an instance.

use async_trait::async_trait;
use aws_sdk_ec2::types::SummaryStatus;

use super::{Ec2, error::cloud_error};
use crate::burst::{
    cloud::{CloudError, Order},
    gateway::Checks,
};

#[async_trait]
impl Checks for Ec2 {
    async fn impaired(&self, id: &str) -> Result<bool, CloudError> {
        // Of one that does not run nothing is told.
        let told = self.client.describe_instance_status().instance_ids(id).send().await;
        let told = match told.map_err(|error| cloud_error(Order::Describe("InstanceStatus"), &error)) {
            Err(error) if error.code == "InvalidInstanceID.NotFound" => return Ok(false),
            told => told?,
        };
        Ok(told.instance_statuses().iter().any(|it| {
            let checks = [it.instance_status(), it.system_status()];
            checks.into_iter().flatten().any(|check| check.status() == Some(&SummaryStatus::Impaired))
        }))
    }
}
