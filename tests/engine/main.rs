//! The engine with roles of its own, on shells of this machine: what a run promises, and what it says when it
//! cannot keep it.

mod bed;
mod compile;
mod contained;
mod late;
mod lint;
mod lock;
mod property;
mod roles;
mod runs;
mod turns;
