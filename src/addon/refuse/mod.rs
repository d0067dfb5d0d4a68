//! What must not be begun because of what is there already: told before anything is changed.

mod classes;
mod plugin;
mod pools;
mod removal;
mod steps;

pub use classes::{classes, makes_class};
pub use plugin::plugin;
pub use pools::pools;
pub use removal::removal;
pub use steps::steps;

pub use super::gateway_api::refuse as gateway_api;
