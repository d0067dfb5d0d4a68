//! Hosts that cannot be reached or used.

use super::table::Table;
use crate::cluster::{Unreached, Unusable};

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{} of {all} hosts cannot be used", failures.len())]
#[diagnostic(help("nothing was read or changed on {}", if failures.len() == 1 { "it" } else { "them" }))]
struct Unreachable {
    all: usize,
    #[related]
    failures: Vec<Unusable>,
}

/// Why hosts cannot be used, each with its fix; nothing when there are none. `all` is how many hosts there are.
pub fn unreached(unreached: Vec<Unreached>, all: usize) -> Option<miette::Report> {
    let failures: Vec<Unusable> = unreached.into_iter().map(|lost| lost.why).collect();
    (!failures.is_empty()).then(|| Unreachable { all, failures }.into())
}

/// The same in short, one host a line.
pub fn table(unreached: &[Unreached]) -> Table {
    let mut table = Table::new(["HOST", "SSH", "WHY"]);
    for Unreached { host, why } in unreached {
        table.row([host.clone(), "unreachable".to_owned(), why.to_string()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Error;

    fn refused(host: &str) -> Unreached {
        let error = Error::Refused { host: host.into(), address: "10.77.0.13:22".into() };
        Unreached { host: host.into(), why: error.into() }
    }

    #[test]
    fn a_line_a_host() {
        insta::assert_snapshot!(table(&[refused("w2")]), @r"
        HOST   SSH           WHY
        w2     unreachable   failed to connect to w2: 10.77.0.13:22 refused the connection
        ");
    }

    #[test]
    fn all_are_named_with_their_fix() {
        assert!(unreached(Vec::new(), 3).is_none());
        let report = unreached(vec![refused("w1"), refused("w2")], 3).unwrap();
        assert_eq!(report.to_string(), "2 of 3 hosts cannot be used");
        assert_eq!(report.related().unwrap().filter(|related| related.help().is_some()).count(), 2);
    }
}
