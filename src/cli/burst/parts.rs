//! What the controller is made of, for the verbs that run it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::reach::ReachArgs;
use crate::{
    artifact::Index,
    burst::{
        aws::{self, CloudFormation, Ec2},
        cloud::{Template, UserData},
        controller::{Batch, Settings},
        demand::Rules,
        gateway::{Plan, SETTLED},
        join::Joiner,
        kubernetes::{Store, Writer},
        network::{self, Made, Network},
        service::{
            self, Connect, Connection, Error, Gateway, Missing, Parts, Place, SystemClock, authority,
            surroundings,
        },
    },
    engine::Library,
    inventory::Inventory,
};

/// What new nodes are made of.
pub struct Supply {
    /// The files that they fetch.
    pub index: Index,
    pub library: Library,
}

/// The way to the API server, and everything that is made anew with it.
pub struct Way {
    pub reach: ReachArgs,
    pub inventory: Inventory,
    pub rules: Rules,
    pub identity: String,
    /// Without it nothing is launched: for who only looks, or ends what there is.
    pub supply: Option<Supply>,
    /// One turn has to do: no more pods are waited for.
    pub once: bool,
    /// Nothing is changed.
    pub only_looks: bool,
}

#[async_trait]
impl Connect for Way {
    async fn connect(&self) -> Result<Connection, Error> {
        let away = |reason: &dyn std::fmt::Display| Error::Away { reason: reason.to_string() };
        let api = self.reach.api(&self.inventory).await.map_err(|failure| away(&failure.report))?;
        let uid = service::uid(&api).await?;
        let place = Place::of(&Network::of(&self.inventory)?);
        let store = Store::reader(api.clone());
        place.is_kept(&store).await?;
        let region = self.rules.burst.region.as_deref().unwrap_or_default();
        let cloud = Arc::new(Ec2::connect(region, &uid).await);
        let (template, writer, gateway) = match &self.supply {
            None => (Template::bare(&uid), nothing(), None),
            Some(Supply { index, library }) => {
                let joiner = Joiner::new(&self.inventory, index, library, authority(&api).await?)?;
                let (network, made) = network(&self.inventory).await?;
                // Not before: where there is no network nothing can be rented, and the region may be a mistake.
                place.keep(&store).await?;
                let template = network::template(&self.inventory, &made, &uid);
                let (inventory, cluster, library) = (self.inventory.clone(), uid.clone(), library.clone());
                let plan = Plan { inventory, network, made, cluster, library };
                let settled = if self.once { Duration::ZERO } else { SETTLED };
                (template, joiner.writer(), Some(Gateway { plan, checks: cloud.clone(), settled }))
            }
        };
        let key = aws::key_id(region).await.unwrap_or_default();
        // Another process may have what cures a refusal: whoever starts it anew says so.
        let mut settings: Settings =
            service::settings(&self.rules, template, &format!("{key} {}", self.identity));
        if self.once {
            settings.batch = Batch { idle: Duration::ZERO, longest: Duration::ZERO };
        }
        let clock = Arc::new(SystemClock);
        let identity = self.identity.clone();
        let has_gateway = self.inventory.burst.has_gateway();
        let only_looks = self.only_looks;
        let parts = Parts { api, cloud, clock, writer, settings, identity, gateway, has_gateway, only_looks };
        surroundings(parts).await
    }
}

/// Where instances are: in a network that was there, or that `hoist burst up` has made.
async fn network(inventory: &Inventory) -> Result<(Network, Made), Error> {
    let network = Network::of(inventory)?;
    let made = match &network.existing {
        Some(existing) => Made::existing(&network, existing),
        None => {
            let stacks = CloudFormation::connect(&network.region).await;
            network::made(&stacks, &network).await?.ok_or(Missing::Network)?
        }
    };
    Ok((network, made))
}

/// For who launches nothing: it is never asked.
fn nothing() -> Writer {
    Box::new(|_| Ok(UserData::new(Vec::new())?))
}

/// Who this process is, among all that ever were.
pub fn identity() -> String {
    let machine = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let mut bytes = [0; 4];
    // Without numbers at random, the number of the process has to do.
    let random = getrandom::fill(&mut bytes).map(|()| data_encoding::HEXLOWER.encode(&bytes));
    let random = random.unwrap_or_else(|_| std::process::id().to_string());
    format!("{}-{random}", machine.unwrap_or_else(|| String::from("hoist")))
}
