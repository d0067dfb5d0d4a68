//! The lab for real.
//!
//! Needs root and a cache that `hoist lab setup` has filled. Elsewhere it says so and passes, except in CI.

mod faults;
mod life;
mod stage;
