//! From roles to tasks, from tasks to a plan, from a plan to a run.
//!
//! Everything up to the plan is pure: the same roles, variables and observations give the same plan.
//! The run acts, and every act passes one gate (`carry::Carrier::act`), which journals it first.

mod carry;
mod compile;
mod diagnose;
mod error;
mod event;
mod journal;
mod late;
mod library;
mod lint;
mod lock;
mod observe;
mod plan;
mod reference;
mod role;
mod run;
mod syntax;
mod template;

pub use compile::{RoleSteps, Step, Target, compile, late_values};
pub use error::{Error, Failure};
pub use event::{Event, Events, events};
pub use journal::{Interrupted, Journal};
pub use library::Library;
pub use lint::lint;
pub use lock::lock;
pub use plan::{HostPlan, Plan, PlannedChange};
pub use reference::{role_reference, role_schema};
pub use role::{Copy, RoleFile, TaskSpec, Template};
pub use run::{Outcome, Run, Subject, observe_all};
pub use template::Templates;
