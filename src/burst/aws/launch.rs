//! A launch in the words of AWS' client library: each field of [`RunInstances`], and nothing else.

use aws_sdk_ec2::{
    Client,
    operation::run_instances::builders::RunInstancesFluentBuilder,
    types::{
        BlockDeviceMapping, CreditSpecificationRequest, EbsBlockDevice, HttpTokensState,
        IamInstanceProfileSpecification, InstanceMarketOptionsRequest, InstanceMetadataEndpointState,
        InstanceMetadataOptionsRequest, InstanceNetworkInterfaceSpecification, InstanceType, MarketType,
        ResourceType, ShutdownBehavior, SpotInstanceType, SpotMarketOptions, Tag, TagSpecification,
        VolumeType,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::burst::cloud::RunInstances;

/// The same request gives the same bytes.
pub fn call(client: &Client, request: &RunInstances) -> RunInstancesFluentBuilder {
    let profile = |name: &String| IamInstanceProfileSpecification::builder().name(name).build();
    let credits = |name: &String| CreditSpecificationRequest::builder().cpu_credits(name).build();
    let call = client
        .run_instances()
        .min_count(1)
        .max_count(1)
        .client_token(&request.client_token)
        .image_id(&request.image_id)
        .instance_type(InstanceType::from(request.instance_type.as_str()))
        .set_iam_instance_profile(request.iam_instance_profile.as_ref().map(profile))
        .user_data(STANDARD.encode(request.user_data.expose()))
        .set_instance_market_options(request.spot.then(spot))
        .set_credit_specification(request.credit_specification.as_ref().map(credits))
        .instance_initiated_shutdown_behavior(ShutdownBehavior::from(
            request.instance_initiated_shutdown_behavior.as_str(),
        ))
        .metadata_options(metadata(request))
        .block_device_mappings(root(request));
    let mut tagged = vec![ResourceType::Instance, ResourceType::Volume];
    let call = match &request.network_interface {
        Some(id) => call.network_interfaces(
            InstanceNetworkInterfaceSpecification::builder().device_index(0).network_interface_id(id).build(),
        ),
        None => {
            // EC2 refuses tags for an interface that it does not make.
            tagged.push(ResourceType::NetworkInterface);
            call.subnet_id(&request.subnet_id)
                .set_security_group_ids(Some(request.security_group_ids.clone()))
        }
    };
    if request.spot {
        tagged.push(ResourceType::SpotInstancesRequest);
    }
    tagged.into_iter().fold(call, |call, resource| call.tag_specifications(tags(request, resource)))
}

/// One-time: EC2 does not make another instance by itself. Without a maximum price, which only makes interruptions likelier.
fn spot() -> InstanceMarketOptionsRequest {
    let once = SpotMarketOptions::builder().spot_instance_type(SpotInstanceType::OneTime).build();
    InstanceMarketOptionsRequest::builder().market_type(MarketType::Spot).spot_options(once).build()
}

fn metadata(request: &RunInstances) -> InstanceMetadataOptionsRequest {
    let options = &request.metadata_options;
    InstanceMetadataOptionsRequest::builder()
        .http_endpoint(InstanceMetadataEndpointState::Enabled)
        .http_tokens(HttpTokensState::from(options.http_tokens.as_str()))
        .http_put_response_hop_limit(i32::from(options.http_put_response_hop_limit))
        .build()
}

fn root(request: &RunInstances) -> BlockDeviceMapping {
    let root = &request.root;
    let disk = EbsBlockDevice::builder()
        .volume_size(i32::try_from(root.volume_size).unwrap_or(i32::MAX))
        .volume_type(VolumeType::from(root.volume_type.as_str()))
        .encrypted(root.encrypted)
        .set_kms_key_id(root.kms_key_id.clone())
        .delete_on_termination(root.delete_on_termination)
        .build();
    BlockDeviceMapping::builder().device_name(&root.device_name).ebs(disk).build()
}

fn tags(request: &RunInstances, resource: ResourceType) -> TagSpecification {
    let tags = request.tags.iter().map(|(name, value)| Tag::builder().key(name).value(value).build());
    TagSpecification::builder().resource_type(resource).set_tags(Some(tags.collect())).build()
}

#[cfg(test)]
mod tests {
    use aws_config::retry::RetryConfig;

    use super::*;
    use crate::burst::{
        aws::config,
        cloud::{Template, UserData},
        offer::{Architecture, Capacity, Money, Offer},
        time::Time,
    };

    #[tokio::test]
    async fn credits_are_said_for_types_that_have_them_and_for_no_others() {
        let client = Client::new(&config::load("eu-central-1", RetryConfig::disabled()).await);
        let mut template = Template::bare("uid");
        template.subnets.insert("a".into(), "subnet-1".into());
        template.images.insert(Architecture::Arm64, "ami-1".into());
        let said = |instance_type: &str| {
            let (instance_type, zone) = (instance_type.to_owned(), "a".to_owned());
            let offer = Offer { instance_type, zone, capacity: Capacity::Spot, price: Money(1) };
            let data = UserData::new(Vec::new()).unwrap();
            let request = template.request("burst-1", 1, &offer, Architecture::Arm64, data, Time(0)).unwrap();
            call(&client, &request).as_input().clone().build().unwrap().credit_specification
        };
        assert_eq!(said("t4g.large").and_then(|it| it.cpu_credits).as_deref(), Some("standard"));
        assert_eq!(said("m7g.large"), None);
    }
}
