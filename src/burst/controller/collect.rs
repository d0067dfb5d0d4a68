//! Ends what belongs to no claim, as collection tells it.

use super::{Controller, Error, Report, View, Work};
use crate::burst::{
    claim::Claim,
    cloud::{Cloud, CloudError, Kind},
    stray::Stray,
};

impl Controller {
    /// All at once, and if EC2 refuses because of one of them, one by one.
    pub(super) async fn terminate(&mut self, ids: &[String], report: &mut Report) {
        let cloud = self.around.cloud.clone();
        for error in self.holding(terminate(cloud.as_ref(), ids)).await {
            let now = self.around.clock.now();
            report.troubles.push(error.to_string());
            self.pace.take_in::<()>(&Err(error), now);
        }
    }

    pub(super) async fn collect(&mut self, view: &View, report: &mut Report) -> Result<(), Error> {
        let now = self.around.clock.now();
        let Some(cloud) = view.cloud.as_ref().filter(|_| self.collection.due(now)) else { return Ok(()) };
        let claims: Vec<&Claim> = view.claims().collect();
        let orphans = self.collection.look(&cloud.instances, &cloud.leftovers, &claims, now);
        if !orphans.instances.is_empty() && self.leads_still().await? {
            self.terminate(&orphans.instances, report).await;
            report.collected = orphans.instances;
        }
        for Stray { node, instance } in self.strays.look(&view.nodes, &cloud.instances, &claims, now) {
            if !self.leads_still().await? {
                break;
            }
            self.work(&node, &Work::DropNode(vec![instance]), report).await;
            report.collected.push(node);
        }
        let cloud = self.around.cloud.clone();
        for leftover in orphans.leftovers {
            // There may be many, and each may take half a minute.
            if !self.leads_still().await? {
                break;
            }
            if let Err(error) = self.holding(cloud.delete(&leftover)).await {
                report.troubles.push(error.to_string());
            }
            report.collected.push(leftover.id);
        }
        Ok(())
    }
}

/// Terminates, one by one if EC2 refuses all because of one. What EC2 does not know is no error: it may not know it yet,
/// or not any more, and is looked at again.
pub(in crate::burst) async fn terminate(cloud: &dyn Cloud, ids: &[String]) -> Vec<CloudError> {
    let batch = match cloud.terminate(ids).await {
        Ok(()) => return Vec::new(),
        Err(error) => error,
    };
    // One by one would be as many throttled calls.
    if matches!(batch.kind, Kind::Throttled | Kind::Expired | Kind::Ambiguous) || ids.len() < 2 {
        return if batch.kind == Kind::NotFound { Vec::new() } else { vec![batch] };
    }
    let mut errors = Vec::new();
    for id in ids {
        match cloud.terminate(std::slice::from_ref(id)).await {
            Err(error) if error.kind != Kind::NotFound => errors.push(error),
            _ => {}
        }
    }
    errors
}
