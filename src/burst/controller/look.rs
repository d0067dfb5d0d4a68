//! What there is, read in the order that keeps collection from taking what has an owner.

use std::{collections::BTreeSet, time::Duration};

use super::{CertificateRequest, Controller, Error, NodeError};
use crate::burst::{
    claim::{Book, Claim, InVain, NodeSeen, Phase, Version},
    cloud::{CloudError, Instance, Leftover},
    offer::{Money, Offer},
    time::Time,
};

/// Between two looks at EC2 while something is on its way: three calls of the hundreds in a minute that an account has.
const LOOK: Duration = Duration::from_secs(2);

/// What EC2 has of the cluster.
#[derive(Debug, Clone, Default)]
pub(super) struct CloudView {
    pub instances: Vec<Instance>,
    pub leftovers: Vec<Leftover>,
}

/// What was seen at the beginning of a turn.
#[derive(Debug)]
pub struct View {
    pub(super) claims: Vec<(Claim, Version)>,
    pub(super) book: Book,
    pub(super) book_version: Option<Version>,
    pub(super) cloud: Option<CloudView>,
    pub(super) nodes: Vec<NodeSeen>,
    pub(super) requests: Vec<CertificateRequest>,
    pub(super) troubles: Vec<String>,
}

impl View {
    /// All claims that are not gone; those which [`Claim::is_capacity`] are nodes that pods can count on.
    pub fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.claims.iter().map(|(claim, _)| claim)
    }

    /// Nodes of claims.
    pub fn nodes(&self) -> &[NodeSeen] {
        &self.nodes
    }

    /// What this month has cost until now.
    pub fn spent(&self, now: Time) -> Money {
        self.book.spent.total(&self.claims().collect::<Vec<_>>(), now)
    }

    /// Pods that nodes were rented for in vain.
    pub fn in_vain(&self) -> &InVain {
        &self.book.in_vain
    }

    /// Whether EC2 may be asked for this offer now.
    pub fn has(&self, offer: &Offer, now: Time) -> bool {
        self.book.market.has(offer, now)
    }
}

impl Controller {
    /// Takes or renews the lease and looks; nothing if another controller leads.
    ///
    /// # Errors
    /// The ledger or Kubernetes did not answer. EC2 not answering is no error: the turn then leaves out what needs it.
    pub async fn look(&mut self) -> Result<Option<View>, Error> {
        if !self.leads().await? {
            return Ok(None);
        }
        let now = self.around.clock.now();
        let due = self.looked.is_none_or(|last| now < last || now.since(last) >= LOOK);
        let wanted = (self.busy && due) || self.collection.due(now);
        let mut cloud = None;
        let mut troubles = Vec::new();
        if wanted && self.pace.is_open(now) {
            self.looked = Some(now);
            let answer = self.look_at_cloud().await;
            self.pace.take_in(&answer, now);
            match answer {
                Ok(view) => cloud = Some(view),
                Err(error) => troubles.push(error.to_string()),
            }
        }
        // After the cloud: whatever it shows was written down before it was launched.
        let claims = self.around.ledger.claims().await?;
        let (book, book_version) = self.book().await?;
        if let Some(view) = &mut cloud
            && let Err(error) = self.look_at_missing(view, &claims).await
        {
            troubles.push(error.to_string());
            cloud = None;
        }
        let nodes = self.nodes_of(&claims).await?;
        let requests = self.around.nodes.requests().await?;
        self.busy = claims.iter().any(|(claim, _)| claim.phase != Phase::Ready);
        Ok(Some(View { claims, book, book_version, cloud, nodes, requests, troubles }))
    }

    /// Looks at claims and nodes, whoever leads, and changes nothing. EC2 is not asked.
    ///
    /// # Errors
    /// As [`Controller::look`].
    pub async fn peek(&self) -> Result<View, Error> {
        let claims = self.around.ledger.claims().await?;
        let (book, book_version) = self.book().await?;
        let nodes = self.nodes_of(&claims).await?;
        Ok(View {
            claims,
            book,
            book_version,
            cloud: None,
            nodes,
            requests: Vec::new(),
            troubles: Vec::new(),
        })
    }

    async fn nodes_of(&self, claims: &[(Claim, Version)]) -> Result<Vec<NodeSeen>, NodeError> {
        let claims: Vec<&Claim> = claims.iter().map(|(claim, _)| claim).collect();
        self.around.nodes.nodes(&claims).await
    }

    async fn look_at_cloud(&mut self) -> Result<CloudView, CloudError> {
        let cloud = self.around.cloud.clone();
        let instances = self.holding(cloud.instances()).await?;
        let leftovers = self.holding(cloud.leftovers()).await?;
        Ok(CloudView { instances, leftovers })
    }

    /// Asks by id for what the tags did not show.
    async fn look_at_missing(
        &mut self,
        view: &mut CloudView,
        claims: &[(Claim, Version)],
    ) -> Result<(), CloudError> {
        let shown: BTreeSet<&str> = view.instances.iter().map(|instance| instance.id.as_str()).collect();
        let missing: Vec<String> = claims
            .iter()
            .flat_map(|(claim, _)| claim.instances().filter(|id| !claim.dead.contains(*id)))
            .filter(|id| !shown.contains(id))
            .map(str::to_owned)
            .collect();
        if !missing.is_empty() {
            let cloud = self.around.cloud.clone();
            view.instances.extend(self.holding(cloud.instances_by_id(&missing)).await?);
        }
        Ok(())
    }
}
