//! Claims and their controller against a simulated EC2 and a simulated cluster, both seeded and in virtual time: hours
//! of faults in milliseconds. A run that breaks a rule prints its seed and what happened.

mod cases;
mod cut;
mod denied;
mod destroy;
mod gates;
mod gateway;
mod keeper;
mod kills;
mod launches;
mod lives;
mod money;
mod play;
mod refused;
mod roads;
mod runs;
mod service;
mod service_gateway;
mod shares;
mod sim;
