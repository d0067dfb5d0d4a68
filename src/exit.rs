//! Exit codes: part of the interface, documented in `docs/operations.md`, never renumbered.

use std::process::ExitCode;

/// What the process tells its caller. The numbers from 64 are those of `sysexits.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Ok = 0,
    /// Something failed on a host or in the cluster; the message says which and why.
    Failed = 1,
    /// `plan`: something would change. `burst destroy` without `--yes`: something would end.
    Changes = 2,
    /// `apply PLAN` only: the plan does not fit any more.
    Outdated = 3,
    /// The command line is wrong.
    Usage = 64,
    /// The inventory or a role is wrong.
    Data = 65,
    /// A host or the API server does not answer.
    Unavailable = 69,
    /// A local file, process or device failed.
    Os = 71,
    /// Another run holds the lock, or something else that waiting cures.
    Temporary = 75,
    /// A host's key or our login was refused, or root is needed.
    Permission = 77,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

impl Exit {
    /// What a run ends with whose hosts failed in different ways: the highest code. A refused key weighs more than
    /// silence, because waiting does not cure it.
    pub fn worst(exits: impl IntoIterator<Item = Exit>) -> Exit {
        exits.into_iter().max_by_key(|exit| *exit as u8).unwrap_or(Exit::Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_wins() {
        assert_eq!(Exit::worst([]), Exit::Ok);
        assert_eq!(Exit::worst([Exit::Failed, Exit::Permission, Exit::Unavailable]), Exit::Permission);
    }

    #[test]
    fn every_code_stands_in_the_documents() {
        use Exit::*;
        let all = [Ok, Failed, Changes, Outdated, Usage, Data, Unavailable, Os, Temporary, Permission];
        // A new one must be in the list.
        for exit in all {
            match exit {
                Ok | Failed | Changes | Outdated | Usage | Data | Unavailable | Os | Temporary
                | Permission => {}
            }
        }
        let codes = |text: &str| -> Vec<u8> {
            let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
            rows.flat_map(|(cell, _)| cell.split(", ").filter_map(|code| code.parse().ok())).collect()
        };
        let expected = all.map(|exit| exit as u8);
        for document in [include_str!("../docs/operations.md"), include_str!("../README.md")] {
            assert_eq!(codes(document), expected);
        }
    }
}
