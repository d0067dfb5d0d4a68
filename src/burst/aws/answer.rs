//! What EC2 tells, in the controller's words.

use aws_sdk_ec2::types::{
    Instance as Told, InstanceStateName, NetworkInterface, NetworkInterfaceStatus, Tag, Volume, VolumeState,
};

use crate::burst::{
    cloud::{CloudError, Instance, Leftover, Order, Resource, State, tag},
    time::Time,
};

/// # Errors
/// It lacks what every instance has: then nobody knows what it is.
pub fn instance(order: Order, told: &Told) -> Result<Instance, CloudError> {
    let lacks = |what: &str| CloudError::unanswered(order, &format!("an instance came without {what}"));
    let state = told.state().and_then(|state| state.name()).ok_or_else(|| lacks("a state"))?;
    let launched = told.launch_time().and_then(|time| time.to_millis().ok());
    let launched = launched.and_then(|millis| u64::try_from(millis).ok());
    Ok(Instance {
        id: told.instance_id().ok_or_else(|| lacks("an id"))?.to_owned(),
        state: self::state(state).ok_or_else(|| lacks("a state that is known"))?,
        reason: told.state_reason().and_then(|reason| reason.code()).map(str::to_owned),
        launched: Time(launched.ok_or_else(|| lacks("the time of its launch"))?),
        client_token: told.client_token().unwrap_or_default().to_owned(),
        address: told.private_ip_address().map(str::to_owned),
        claim: claim(told.tags()),
    })
}

fn state(name: &InstanceStateName) -> Option<State> {
    match name {
        InstanceStateName::Pending => Some(State::Pending),
        InstanceStateName::Running => Some(State::Running),
        InstanceStateName::ShuttingDown => Some(State::ShuttingDown),
        InstanceStateName::Terminated => Some(State::Terminated),
        InstanceStateName::Stopping => Some(State::Stopping),
        InstanceStateName::Stopped => Some(State::Stopped),
        _ => None,
    }
}

/// Nothing for a volume that is gone.
pub fn volume(told: &Volume) -> Option<Leftover> {
    let in_use = match told.state() {
        Some(VolumeState::Deleted) => return None,
        Some(VolumeState::Available | VolumeState::Error) => false,
        // It is being made, used or deleted: none of that can be hurried.
        _ => true,
    };
    let (resource, claim) = (Resource::Volume, claim(told.tags()));
    Some(Leftover { id: told.volume_id()?.to_owned(), resource, claim, in_use })
}

/// Nothing for an interface without an id.
pub fn interface(told: &NetworkInterface) -> Option<Leftover> {
    let in_use = told.status() != Some(&NetworkInterfaceStatus::Available);
    let (resource, claim) = (Resource::NetworkInterface, claim(told.tag_set()));
    Some(Leftover { id: told.network_interface_id()?.to_owned(), resource, claim, in_use })
}

fn claim(tags: &[Tag]) -> Option<String> {
    let found = tags.iter().find(|found| found.key() == Some(tag::CLAIM));
    found.and_then(|found| found.value()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::{
        primitives::DateTime,
        types::{InstanceState, StateReason},
    };

    use super::*;

    fn told() -> aws_sdk_ec2::types::builders::InstanceBuilder {
        let tag = Tag::builder().key(tag::CLAIM).value("burst-1").build();
        Told::builder()
            .instance_id("i-1")
            .state(InstanceState::builder().name(InstanceStateName::Terminated).build())
            .state_reason(StateReason::builder().code("Server.SpotInstanceTermination").build())
            .launch_time(DateTime::from_millis(1_767_323_045_678))
            .client_token("abc")
            .private_ip_address("172.16.0.9")
            .tags(tag)
    }

    #[test]
    fn an_instance_is_what_ec2_says() {
        let found = instance(Order::DescribeInstances, &told().build()).unwrap();
        assert_eq!(
            found,
            Instance {
                id: "i-1".into(),
                state: State::Terminated,
                reason: Some("Server.SpotInstanceTermination".into()),
                launched: Time(1_767_323_045_678),
                client_token: "abc".into(),
                address: Some("172.16.0.9".into()),
                claim: Some("burst-1".into()),
            }
        );
    }

    #[test]
    fn half_an_instance_is_no_answer() {
        for (what, half) in [
            ("an id", told().set_instance_id(None)),
            ("a state", told().set_state(None)),
            ("the time", told().set_launch_time(None)),
        ] {
            let error = instance(Order::RunInstances, &half.build()).unwrap_err();
            assert_eq!(error.kind, crate::burst::cloud::Kind::Ambiguous);
            assert!(error.message.contains(what), "{error}");
        }
        let strange = InstanceState::builder().name("dreaming".into()).build();
        assert!(instance(Order::RunInstances, &told().state(strange).build()).is_err());
    }

    #[test]
    fn what_is_attached_or_on_its_way_is_left_alone_and_what_is_gone_is_not_told() {
        let in_use = |state: VolumeState| {
            volume(&Volume::builder().volume_id("vol-1").state(state).build()).map(|it| it.in_use)
        };
        assert_eq!(in_use(VolumeState::Available), Some(false));
        assert_eq!(in_use(VolumeState::InUse), Some(true));
        assert_eq!(in_use(VolumeState::Deleting), Some(true));
        assert_eq!(in_use(VolumeState::Deleted), None);
        let in_use = |status: NetworkInterfaceStatus| {
            let told = NetworkInterface::builder().network_interface_id("eni-1").status(status).build();
            interface(&told).unwrap().in_use
        };
        assert!(!in_use(NetworkInterfaceStatus::Available) && in_use(NetworkInterfaceStatus::InUse));
    }
}
