//! The availability zones of a region.

use super::{Ec2, error::cloud_error};
use crate::burst::cloud::{CloudError, Order};

/// Others are local zones and those of telephone companies, where nothing of hoist's is sold.
const USUAL: &str = "availability-zone";

impl Ec2 {
    /// The names of the zones that this account has in the region.
    ///
    /// # Errors
    /// EC2 does not answer, or refuses.
    pub async fn zones(&self) -> Result<Vec<String>, CloudError> {
        let told = self.client.describe_availability_zones().send().await;
        let told = told.map_err(|error| cloud_error(Order::Describe("AvailabilityZones"), &error))?;
        let usual =
            told.availability_zones().iter().filter(|it| it.zone_type().is_none_or(|kind| kind == USUAL));
        let mut names: Vec<String> = usual.filter_map(|it| it.zone_name().map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }
}
