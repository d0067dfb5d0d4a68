//! What must not be begun because of what is there already: told before anything is changed.

mod classes;
mod plugin;
mod pools;
mod steps;
mod removal;

pub use classes::{classes, makes_class};
pub use plugin::plugin;
pub use pools::pools;
pub use steps::steps;
pub use removal::removal;

pub use super::gateway_api::refuse as gateway_api;
