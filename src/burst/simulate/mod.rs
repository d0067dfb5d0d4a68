//! What burst would have done: a workload is replayed against metal, offers and limits, without AWS and without a
//! cluster, as fast as the machine computes. The same question has the same answer.

mod chart;
mod error;
mod outcome;
mod prices;
mod random;
mod replay;
mod site;
mod state;
mod workload;

pub use chart::{svg, text};
pub use error::Error;
pub use outcome::{Hour, Outcome, Pending, Point, Refused};
pub use prices::{Prices, read as read_prices};
pub use replay::replay;
pub use site::{Delays, Site};
pub use state::machine;
pub use workload::{Event, Generated, Happening, generate, read as read_workload};
