//! What this month has cost, where it is not lost with the namespace of the claims.

use std::time::Duration;

use super::{Controller, Error, Report, View};
use crate::burst::{
    claim::{Book, Spent, Version},
    offer::Money,
    time::Time,
};

/// How old the sum becomes that is kept. Who deletes the namespace gains no more than what runs costs in this time, and until
/// it is collected.
const KEPT: Duration = Duration::from_secs(5 * 60);

/// What was kept last: of which month, how much, and when.
pub(super) type Kept = (String, Money, Time);

impl Controller {
    /// The book; where there is none, with what is known of the month's sum elsewhere. Somebody may have deleted it.
    pub(super) async fn book(&self) -> Result<(Book, Option<Version>), Error> {
        let ledger = self.around.ledger.as_ref();
        let (mut book, version) = ledger.book().await?;
        if version.is_none()
            && let Some((month, sum)) = ledger.kept_sum().await?
        {
            book.spent = Spent::of(month, sum);
        }
        Ok((book, version))
    }

    /// Keeps the month's sum. That it cannot be kept stops nothing.
    pub(super) async fn keep_sum(&mut self, view: &View, report: &mut Report) {
        let now = self.around.clock.now();
        let (month, sum) = (now.month(), view.spent(now));
        let is_due = match &self.kept {
            None => sum > Money(0),
            Some((of, kept, at)) => (of, kept) != (&month, &sum) && (now < *at || now.since(*at) >= KEPT),
        };
        if !is_due {
            return;
        }
        match self.around.ledger.keep_sum(&month, sum).await {
            Ok(()) => self.kept = Some((month, sum, now)),
            Err(error) => report.troubles.push(error.to_string()),
        }
    }
}
