//! The packer: examples by hand, properties of random problems, and the exhaustive optimum of small ones.

mod examples;
mod home;
mod judge;
mod optimum;
mod ports;
mod properties;
mod replay;
mod spread;
mod world;
