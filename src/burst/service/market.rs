//! Keeps what is known of types and prices fresh, beside the turns: AWS may take a minute to answer, and a node that EC2
//! takes back cannot wait for prices.

use std::time::Duration;

use tokio::sync::watch;

use crate::{
    burst::{
        controller::Clock,
        market::{Catalog, Market, Offered},
    },
    inventory::Burst,
};

/// How often it is looked whether anything is old.
const LOOK: Duration = Duration::from_secs(10);

/// What is known now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Whether AWS was asked at all.
    pub asked: bool,
    pub offered: Offered,
    /// What AWS refused or did not answer when it was last asked.
    pub troubles: Vec<String>,
}

/// Asks once, for whatever is old.
pub async fn ask(
    catalog: &mut Catalog,
    market: &dyn Market,
    burst: &Burst,
    zones: &[String],
    clock: &dyn Clock,
) -> Known {
    let troubles = catalog.refresh(market, burst, clock.now()).await;
    Known { asked: true, offered: catalog.offered(burst, zones), troubles }
}

/// Asks AWS now and whenever something is old, until nobody listens any more.
pub async fn keep(
    market: &dyn Market,
    burst: &Burst,
    zones: &[String],
    clock: &dyn Clock,
    known: &watch::Sender<Known>,
) {
    let mut catalog = Catalog::default();
    while !known.is_closed() {
        if catalog.is_old(burst, clock.now()) {
            let now = ask(&mut catalog, market, burst, zones, clock).await;
            known.send_replace(now);
        }
        clock.sleep(LOOK).await;
    }
}
