//! What can be rented at which price: instance types that the inventory allows, the zones in which EC2 offers them, spot
//! prices, and prices on demand.
//!
//! [`Market`] asks AWS; `admit` and `list` are pure; [`Catalog`] keeps what was last known and asks again when it is old.

mod admit;
mod catalog;
mod list;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

pub use admit::admits;
pub use catalog::{Catalog, Offered, disk_price, dollars_of};
pub use list::{Unreadable, millionths, price};

use super::{
    cloud::CloudError,
    offer::{Capacity, InstanceType, Money},
};

/// An instance type, as `DescribeInstanceTypes` tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// None where it is neither amd64 nor arm64.
    pub kind: Option<InstanceType>,
    pub name: String,
    /// `CurrentGeneration`
    pub current: bool,
    pub bare_metal: bool,
    /// `BurstablePerformanceSupported`
    pub burstable: bool,
    /// `SupportedVirtualizationTypes` has `hvm`, which all images are made for.
    pub hvm: bool,
    /// `EnaSupport` is not `unsupported`: drivers of that network card are in all images.
    pub ena: bool,
    /// `SupportedUsageClasses`, as far as they are known here.
    pub capacity: BTreeSet<Capacity>,
}

/// AWS in one region, as far as prices go. Calls are bounded in time by the implementation.
#[async_trait]
pub trait Market: Send + Sync {
    /// `DescribeInstanceTypes`, all pages.
    ///
    /// # Errors
    /// As [`super::cloud::Cloud`]'s.
    async fn types(&self) -> Result<Vec<Told>, CloudError>;

    /// `DescribeInstanceTypeOfferings`: type and zone.
    ///
    /// # Errors
    /// As above.
    async fn zones(&self) -> Result<BTreeSet<(String, String)>, CloudError>;

    /// `DescribeSpotPriceHistory`: the latest price of an hour of Linux, by type and zone.
    ///
    /// # Errors
    /// As above.
    async fn spot(&self) -> Result<BTreeMap<(String, String), Money>, CloudError>;

    /// `GetProducts` of the Price List API: what an hour of Linux costs in this region, by type.
    ///
    /// # Errors
    /// As above.
    async fn on_demand(&self) -> Result<BTreeMap<String, Money>, CloudError>;
}
