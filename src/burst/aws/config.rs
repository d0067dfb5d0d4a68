//! Where credentials are, and how patient a client is.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};

/// To reach AWS. Longer than it takes from anywhere.
const CONNECT: Duration = Duration::from_secs(5);
/// For a whole call. EC2 answers a launch within ten seconds, or it does not.
const CALL: Duration = Duration::from_secs(25);

/// Reads where credentials are; asks nobody yet.
pub async fn load(region: &str, retries: RetryConfig) -> SdkConfig {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_timeout(CALL).build();
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(Region::new(region.to_owned()))
        .retry_config(retries)
        .timeout_config(timeouts)
        .load()
        .await
}
