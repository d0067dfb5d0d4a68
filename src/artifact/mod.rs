//! Files that hosts need, known by name, version and digest.
//!
//! The way of an artifact: the [`catalogue`] says which version goes with a Kubernetes release, [`wanted()`] what an
//! inventory's hosts need of it, [`pin`] makes a [`Lock`] of that, [`fetch()`] brings it into the [`Store`],
//! [`bundle`] carries it to where there is no internet, and [`stage`] lays out the folder whose [`Index`] roles
//! install from.

mod access;
mod archive;
pub mod bundle;
pub mod catalogue;
mod charts;
mod difference;
pub(crate) mod digest;
mod error;
mod fetch;
mod helm;
mod hold;
mod http;
mod index;
pub mod lock;
mod origin;
pub mod packages;
mod pin;
mod reach;
mod registry;
pub mod skew;
mod source;
mod space;
mod stage;
mod store;
mod supply;
mod wanted;

pub use charts::extra;
pub use error::Error;
pub use fetch::{Event, fetch};
pub use http::{Http, Patience};
pub use index::{Chart, File, Image, Index, Package, System};
pub use lock::{Architecture, Lock};
pub use origin::{Files, Registry};
pub use pin::pin;
pub use reach::reach;
pub use source::Source;
pub use stage::{stage, up_to_date};
pub use store::Store;
pub use supply::supply;
pub use wanted::{File as WantedFile, Image as WantedImage, Wanted, wanted};
