//! From roles to tasks, from tasks to a plan, from a plan to a run.
//!
//! Everything up to the plan is pure: the same roles, variables and observations give the same plan.
//! The run acts, and every act passes one gate (`carry::Carrier::act`), which journals it first.

mod carry;
mod compile;
mod context;
mod deliver;
mod diagnose;
mod digest;
mod error;
mod event;
mod failure;
mod input;
mod journal;
mod late;
mod library;
mod lint;
mod lock;
mod log;
mod mistake;
mod observe;
mod plan;
mod reference;
mod role;
mod run;
mod saved;
mod share;
mod spread;
mod statement;
mod stop;
mod syntax;
mod template;
mod tokens;
mod turns;

pub use compile::{RoleSteps, Step, Target, compile, compile_roles, late_values, with_needs};
pub use context::Context;
pub use error::Error;
pub use event::{Event, Events, events};
pub use failure::Failure;
pub use journal::{Entry, Interrupted, Journal};
pub use library::Library;
pub use lint::lint;
pub use lock::Lock;
pub use log::Log;
pub use mistake::Mistake;
pub use plan::{AddonPlan, HostPlan, NodePlan, Plan, PlannedChange, Unread};
pub use reference::{role_reference, role_schema};
pub use role::{Copy, RoleFile, TaskSpec, Template};
pub use run::{Bystander, Outcome, Run, Subject, observe_all};
pub use saved::{SavedPlan, Source};
pub use spread::Place;
pub use template::Templates;
pub use turns::Turns;
