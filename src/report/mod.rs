//! What a user sees of work in progress and of its results.

pub mod steps;
