//! What EC2 and the Price List API tell of types and prices.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_sdk_ec2::{
    Client,
    primitives::DateTime,
    types::{
        ArchitectureType, EnaSupport, Filter, InstanceTypeInfo, LocationType, UsageClassType,
        VirtualizationType,
    },
};
use aws_sdk_pricing::types::{Filter as PriceFilter, FilterType};

use super::{PAGE, config, error::cloud_error};
use crate::burst::{
    cloud::{CloudError, Order},
    market::{Market, Told, millionths, price},
    offer::{Architecture, Capacity, InstanceType, Money},
};

/// What DescribeInstanceTypes and GetProducts give at once.
const SMALL_PAGE: i32 = 100;
/// kubelet's default: with an overlay network, EC2's number of addresses limits nothing.
const PODS: u32 = 110;

/// AWS in one region, for whoever compares prices.
pub struct Prices {
    client: Client,
    pricing: aws_sdk_pricing::Client,
    region: String,
}

impl Prices {
    /// Reads where credentials are; asks nobody yet.
    pub async fn connect(region: &str) -> Prices {
        let ec2 = config::load(region, RetryConfig::disabled()).await;
        let pricing = config::load(price_list(region), RetryConfig::disabled()).await;
        Prices {
            client: Client::new(&ec2),
            pricing: aws_sdk_pricing::Client::new(&pricing),
            region: region.to_owned(),
        }
    }
}

/// The Price List API is in three regions, and each of them knows the prices of all: "AWS Billing and Cost Management
/// endpoints and quotas" in the AWS General Reference.
fn price_list(region: &str) -> &'static str {
    match region.split('-').next() {
        Some("eu") => "eu-central-1",
        Some("ap") => "ap-south-1",
        _ => "us-east-1",
    }
}

#[async_trait]
impl Market for Prices {
    async fn types(&self) -> Result<Vec<Told>, CloudError> {
        let order = Order::DescribeInstanceTypes;
        let virtual_ones = Filter::builder().name("bare-metal").values("false").build();
        let request = self.client.describe_instance_types().filters(virtual_ones);
        let mut pages = request.into_paginator().page_size(SMALL_PAGE).send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| cloud_error(order, &error))?;
            all.extend(page.instance_types().iter().filter_map(told));
        }
        Ok(all)
    }

    async fn zones(&self) -> Result<BTreeSet<(String, String)>, CloudError> {
        let order = Order::DescribeInstanceTypeOfferings;
        let request = self.client.describe_instance_type_offerings();
        let request = request.location_type(LocationType::AvailabilityZone);
        let mut pages = request.into_paginator().page_size(PAGE).send();
        let mut all = BTreeSet::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| cloud_error(order, &error))?;
            let offerings = page.instance_type_offerings().iter();
            all.extend(offerings.filter_map(|offering| {
                Some((offering.instance_type()?.as_str().to_owned(), offering.location()?.to_owned()))
            }));
        }
        Ok(all)
    }

    async fn spot(&self) -> Result<BTreeMap<(String, String), Money>, CloudError> {
        let order = Order::DescribeSpotPriceHistory;
        // From now on: then EC2 tells the one price that holds.
        let request = self.client.describe_spot_price_history().start_time(DateTime::from(SystemTime::now()));
        let request = request.product_descriptions("Linux/UNIX");
        let mut pages = request.into_paginator().page_size(PAGE).send();
        let mut latest: BTreeMap<(String, String), (i64, Money)> = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| cloud_error(order, &error))?;
            for told in page.spot_price_history() {
                let (Some(kind), Some(zone)) = (told.instance_type(), told.availability_zone()) else {
                    continue;
                };
                let Some(price) = told.spot_price().and_then(millionths) else { continue };
                let at = told.timestamp().map_or(0, DateTime::secs);
                let known = latest.entry((kind.as_str().to_owned(), zone.to_owned())).or_insert((at, price));
                if at > known.0 {
                    *known = (at, price);
                }
            }
        }
        Ok(latest.into_iter().map(|(what, (_, price))| (what, price)).collect())
    }

    async fn on_demand(&self) -> Result<BTreeMap<String, Money>, CloudError> {
        let order = Order::GetProducts;
        let mut request = self.pricing.get_products().service_code("AmazonEC2");
        for (field, value) in [
            ("regionCode", self.region.as_str()),
            ("operatingSystem", "Linux"),
            ("preInstalledSw", "NA"),
            ("tenancy", "Shared"),
            ("capacitystatus", "Used"),
        ] {
            let filter =
                PriceFilter::builder().r#type(FilterType::TermMatch).field(field).value(value).build();
            let invalid =
                |error: aws_sdk_pricing::error::BuildError| CloudError::unanswered(order, &error.to_string());
            request = request.filters(filter.map_err(invalid)?);
        }
        let mut pages = request.into_paginator().page_size(SMALL_PAGE).send();
        let mut all: BTreeMap<String, Money> = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| cloud_error(order, &error))?;
            for document in page.price_list() {
                let read =
                    price(document).map_err(|error| CloudError::unanswered(order, &error.to_string()))?;
                let Some((name, price)) = read else { continue };
                // Of several products of a type, the dearest: a budget errs on the safe side.
                let known = all.entry(name).or_insert(price);
                *known = price.max(*known);
            }
        }
        Ok(all)
    }
}

/// Nothing for a type without a name.
fn told(info: &InstanceTypeInfo) -> Option<Told> {
    let name = info.instance_type()?.as_str().to_owned();
    let architectures = info.processor_info().map(|it| it.supported_architectures()).unwrap_or_default();
    let architecture = architectures.iter().find_map(|it| match it {
        ArchitectureType::X8664 => Some(Architecture::Amd64),
        ArchitectureType::Arm64 => Some(Architecture::Arm64),
        _ => None,
    });
    let vcpus = info.v_cpu_info().and_then(|it| it.default_v_cpus()).and_then(|it| u32::try_from(it).ok());
    let memory = info.memory_info().and_then(|it| it.size_in_mib()).and_then(|it| u64::try_from(it).ok());
    let kind = architecture.zip(vcpus).zip(memory).map(|((architecture, vcpus), memory_mib)| InstanceType {
        name: name.clone(),
        architecture,
        vcpus,
        memory_mib,
        max_pods: PODS,
    });
    let classes = info.supported_usage_classes().iter();
    Some(Told {
        kind,
        name,
        current: info.current_generation() == Some(true),
        bare_metal: info.bare_metal() == Some(true),
        burstable: info.burstable_performance_supported() == Some(true),
        hvm: info.supported_virtualization_types().contains(&VirtualizationType::Hvm),
        ena: info
            .network_info()
            .and_then(|it| it.ena_support())
            .is_some_and(|it| *it != EnaSupport::Unsupported),
        capacity: classes
            .filter_map(|class| match class {
                UsageClassType::Spot => Some(Capacity::Spot),
                UsageClassType::OnDemand => Some(Capacity::OnDemand),
                _ => None,
            })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_asked_for_where_they_are_told() {
        for (region, told) in [
            ("eu-central-1", "eu-central-1"),
            ("eu-north-1", "eu-central-1"),
            ("ap-southeast-2", "ap-south-1"),
            ("us-west-2", "us-east-1"),
            ("sa-east-1", "us-east-1"),
        ] {
            assert_eq!(price_list(region), told, "{region}");
        }
    }
}
