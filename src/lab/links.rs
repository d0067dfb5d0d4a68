//! Which links of the lab's network are cut or slow: rules in the order in which people gave them, and what follows
//! from them for each pair of ends.
//!
//! Rules and not pairs are kept, so that a node that is added later is on the right side of a cut site.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::quality::Quality;

/// What this machine is called among the ends of links: to the nodes it is their gateway.
pub(crate) const GATEWAY: &str = "gateway";

/// What a link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// It carries everything at once.
    Whole,
    /// It carries nothing.
    Cut,
    /// It carries less, later.
    Slow(Quality),
}

/// What somebody said about links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    /// A node, a site, or the gateway.
    pub(crate) a: String,
    /// The same; without it, everything that `a` is not.
    pub(crate) b: Option<String>,
    pub(crate) link: Link,
}

/// One end of links: a node and its site, or the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) name: String,
    pub(crate) site: Option<String>,
}

impl End {
    fn is(&self, word: &str) -> bool {
        self.name == word || self.site.as_deref() == Some(word)
    }
}

impl Rule {
    fn is_about(&self, x: &End, y: &End) -> bool {
        let a = &self.a;
        match (&self.b, self.link) {
            (Some(b), _) => (x.is(a) && y.is(b)) || (x.is(b) && y.is(a)),
            // A site that is cut off goes on inside; one that is healed is healed inside, too.
            (None, Link::Whole) => x.is(a) || y.is(a),
            (None, _) => x.is(a) != y.is(a),
        }
    }

    fn names(&self, word: &str) -> bool {
        self.ends().contains(&Some(word))
    }

    /// Both words, in an order of their own.
    fn ends(&self) -> [Option<&str>; 2] {
        let mut ends = [Some(self.a.as_str()), self.b.as_deref()];
        ends.sort_unstable();
        ends
    }

    /// Whether what `older` says does not matter after this.
    fn covers(&self, older: &Self) -> bool {
        match (&self.b, self.link) {
            (None, Link::Whole) => older.names(&self.a),
            (None, _) => older.a == self.a && older.b.is_none(),
            (Some(_), _) => older.ends() == self.ends(),
        }
    }
}

/// All rules; where two are about the same link, the later one counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rules(Vec<Rule>);

impl Rules {
    pub(crate) fn add(&mut self, rule: Rule) {
        self.0.retain(|older| !rule.covers(older));
        self.0.push(rule);
        self.tidy();
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Drops what is about nodes and sites that are no more.
    pub(crate) fn keep(&mut self, ends: &[End]) {
        self.0.retain(|rule| {
            [Some(&rule.a), rule.b.as_ref()].into_iter().flatten().all(|word| is_known(word, ends))
        });
        self.tidy();
    }

    /// Links are whole unless a rule says otherwise, so a rule that comes first and says so says nothing.
    fn tidy(&mut self) {
        let idle = self.0.iter().take_while(|rule| rule.link == Link::Whole).count();
        self.0.drain(..idle);
    }

    /// The links that are not whole, each once.
    pub(crate) fn faults<'e>(&self, ends: &'e [End]) -> Vec<Fault<'e>> {
        let mut faults = Vec::new();
        for (place, a) in ends.iter().enumerate() {
            for b in &ends[place + 1..] {
                match self.0.iter().rev().find(|rule| rule.is_about(a, b)) {
                    Some(rule) if rule.link != Link::Whole => {
                        faults.push(Fault { a: &a.name, b: &b.name, link: rule.link });
                    }
                    _ => {}
                }
            }
        }
        faults
    }
}

/// Whether a word stands for an end, or for several.
pub(crate) fn is_known(word: &str, ends: &[End]) -> bool {
    ends.iter().any(|end| end.is(word))
}

/// A link that is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault<'e> {
    pub(crate) a: &'e str,
    pub(crate) b: &'e str,
    pub(crate) link: Link,
}

/// The links of one node that are not whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NodeLinks {
    /// By the other end.
    faults: BTreeMap<String, Link>,
    /// How many other ends there are.
    #[serde(skip)]
    others: usize,
}

impl NodeLinks {
    pub(crate) fn of(node: &str, faults: &[Fault<'_>], ends: usize) -> Self {
        let other = |fault: &Fault<'_>| match node {
            _ if fault.a == node => Some((fault.b.to_owned(), fault.link)),
            _ if fault.b == node => Some((fault.a.to_owned(), fault.link)),
            _ => None,
        };
        Self { faults: faults.iter().filter_map(other).collect(), others: ends.saturating_sub(1) }
    }

    /// What the link to this machine does.
    pub(crate) fn to_gateway(&self) -> Link {
        self.faults.get(GATEWAY).copied().unwrap_or(Link::Whole)
    }
}

impl fmt::Display for NodeLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.faults.is_empty() {
            return f.pad("-");
        }
        let mut groups: BTreeMap<Link, Vec<&str>> = BTreeMap::new();
        for (other, link) in &self.faults {
            groups.entry(*link).or_default().push(other);
        }
        let words: Vec<String> = groups
            .iter()
            .map(|(link, others)| {
                let what = match link {
                    Link::Whole => "whole".to_owned(),
                    Link::Cut => "cut".to_owned(),
                    Link::Slow(quality) => format!("slow ({quality})"),
                };
                let whom = if others.len() == self.others { "all".to_owned() } else { others.join(" ") };
                format!("{what}: {whom}")
            })
            .collect();
        f.pad(&words.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Link = Link::Slow(Quality { delay_ms: 100, loss_ppm: 0, rate: None });

    /// Two nodes in the north, one in the south, one nowhere, and the gateway.
    fn ends() -> Vec<End> {
        [("n1", "north"), ("n2", "north"), ("s1", "south"), ("x", ""), (GATEWAY, "")]
            .map(|(name, site)| End {
                name: name.to_owned(),
                site: Some(site.to_owned()).filter(|site| !site.is_empty()),
            })
            .into()
    }

    fn rules(list: &[(&str, &str, Link)]) -> Rules {
        let mut rules = Rules::default();
        for (a, b, link) in list {
            let b = Some((*b).to_owned()).filter(|b| !b.is_empty());
            rules.add(Rule { a: (*a).to_owned(), b, link: *link });
        }
        rules
    }

    fn shown(rules: &Rules) -> String {
        let sign = |link| if link == Link::Cut { '/' } else { '~' };
        let ends = ends();
        let faults = rules.faults(&ends);
        faults.iter().map(|f| format!("{}{}{}", f.a, sign(f.link), f.b)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_follows_from_rules() {
        use Link::{Cut, Whole};
        for (list, expected) in [
            (&[][..], ""),
            (&[("n1", "s1", Cut)], "n1/s1"),
            (&[("n1", "", Cut)], "n1/n2 n1/s1 n1/x n1/gateway"),
            (&[("north", "", Cut)], "n1/s1 n1/x n1/gateway n2/s1 n2/x n2/gateway"),
            (&[("north", "south", Cut)], "n1/s1 n2/s1"),
            (&[("north", "north", Cut)], "n1/n2"),
            (&[("n1", "north", SLOW)], "n1~n2"),
            (&[("gateway", "", SLOW)], "n1~gateway n2~gateway s1~gateway x~gateway"),
            // The later one counts.
            (&[("n1", "", Cut), ("n1", "gateway", Whole)], "n1/n2 n1/s1 n1/x"),
            (&[("n1", "", Cut), ("north", "", SLOW)], "n1/n2 n1~s1 n1~x n1~gateway n2~s1 n2~x n2~gateway"),
            (&[("north", "south", SLOW), ("s1", "n1", Cut)], "n1/s1 n2~s1"),
            // Healing a node or a site heals all that touches it.
            (&[("n1", "", Cut), ("n1", "", Whole)], ""),
            (&[("n1", "", Cut), ("north", "", Whole)], ""),
            (&[("north", "", Cut), ("n1", "", Whole)], "n2/s1 n2/x n2/gateway"),
            (&[("n1", "s1", Cut), ("n1", "x", Cut), ("s1", "", Whole)], "n1/x"),
        ] {
            assert_eq!(shown(&rules(list)), expected, "{list:?}");
        }
    }

    #[test]
    fn what_does_not_matter_any_more_is_forgotten() {
        use Link::{Cut, Whole};
        for (list, left) in [
            (&[("n1", "s1", Cut), ("s1", "n1", Cut)][..], 1),
            (&[("n1", "s1", Cut), ("s1", "n1", Whole)], 0),
            (&[("n1", "", Cut), ("n1", "", SLOW)], 1),
            (&[("n1", "s1", Cut), ("n1", "", Cut)], 2),
            (&[("n1", "s1", Cut), ("x", "n1", Cut), ("n1", "", Whole)], 0),
            (&[("n1", "", Cut), ("n1", "x", Whole)], 2),
            (&[("north", "x", Cut), ("north", "north", Cut)], 2),
            (&[("n1", "", Whole)], 0),
        ] {
            assert_eq!(rules(list).0.len(), left, "{list:?}");
        }
        let mut rules = rules(&[("n1", "", Cut), ("x", "s1", Cut)]);
        rules.keep(&ends()[1..]);
        assert_eq!(shown(&rules), "s1/x", "n1 is no more");
        rules.clear();
        assert_eq!(rules, Rules::default());
    }

    #[test]
    fn a_node_that_is_added_is_on_its_side_of_the_cut() {
        let mut ends = ends();
        let rules = rules(&[("north", "", Link::Cut)]);
        ends.push(End { name: "n3".into(), site: Some("north".into()) });
        ends.push(End { name: "s2".into(), site: Some("south".into()) });
        let faults = rules.faults(&ends);
        let cut = |a: &str, b: &str| faults.iter().any(|fault| (fault.a, fault.b) == (a, b));
        assert!(cut("s1", "n3") && cut("n3", "s2") && !cut("n1", "n3") && !cut("s1", "s2"));
    }

    #[test]
    fn the_links_of_a_node_read_well() {
        let ends = ends();
        let text = |list: &[(&str, &str, Link)], node: &str| {
            NodeLinks::of(node, &rules(list).faults(&ends), ends.len()).to_string()
        };
        let list =
            [("n1", "", Link::Cut), ("s1", "x", SLOW), ("s1", "gateway", SLOW), ("s1", "n2", Link::Cut)];
        assert_eq!(text(&list, "n1"), "cut: all");
        assert_eq!(text(&list, "n2"), "cut: n1 s1");
        assert_eq!(text(&list, "s1"), "cut: n1 n2; slow (100ms): gateway x");
        assert_eq!(text(&[], "n1"), "-");
        let links = NodeLinks::of("s1", &rules(&list).faults(&ends), ends.len());
        assert_eq!(links.to_gateway(), SLOW);
        assert_eq!(
            serde_json::to_value(&links).unwrap()["faults"]["x"],
            serde_json::json!({"slow": {"delay_ms": 100, "loss_ppm": 0, "rate": null}})
        );
    }
}
