//! The simulation: `world` is what is true, `ec2` and `cluster` show it to the controller through its own traits, with
//! lag and faults, `feed` shows it to the program that runs; `bed` runs controllers in it, pauses and kills them.

pub mod bed;
pub mod cluster;
pub mod ec2;
pub mod feed;
pub mod gateway;
pub mod world;

pub use bed::Bed;
pub use world::{Faults, World};
