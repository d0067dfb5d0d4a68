//! Facts of hosts as a table.

use super::table::Table;
use crate::facts::Facts;

/// What people look for first, a host a line. The rest is in the JSON.
pub fn facts<'a>(hosts: impl IntoIterator<Item = (&'a str, &'a Facts)>) -> Table {
    let mut table =
        Table::new(["HOST", "SYSTEM", "KERNEL", "MACHINE", "CPUS", "MEMORY", "FREE", "ADDRESSES", "CLUSTER"]);
    for (name, facts) in hosts {
        let addresses: Vec<String> = facts.addresses.iter().map(|it| it.address.to_string()).collect();
        let machine = match facts.virtualization.as_str() {
            "" | "none" => facts.architecture.clone(),
            virtualization => format!("{}, {virtualization}", facts.architecture),
        };
        table.row([
            name.to_owned(),
            facts.os.name.clone(),
            facts.kernel.clone(),
            machine,
            facts.cpus.to_string(),
            gib(facts.memory_kib),
            gib(facts.free_kib),
            addresses.join(" "),
            membership(facts).to_owned(),
        ]);
    }
    table
}

fn membership(facts: &Facts) -> &'static str {
    match (facts.kubernetes.joined, facts.kubernetes.control_plane) {
        (_, true) => "control-plane",
        (true, false) => "node",
        (false, false) => "",
    }
}

/// KiB as GiB with one decimal, rounded down: `3.9G`.
fn gib(kib: u64) -> String {
    let tenths = kib * 10 / (1 << 20);
    format!("{}.{}G", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_facts() {
        let node = Facts::parse(include_str!("../../tests/fixtures/facts/debian-nspawn.txt"));
        let metal = Facts { virtualization: "none".into(), addresses: Vec::new(), ..node.clone() };
        insta::assert_snapshot!(facts([("cp1", &node), ("w1", &metal)]), @r"
        HOST   SYSTEM                         KERNEL    MACHINE                  CPUS   MEMORY   FREE    ADDRESSES    CLUSTER
        cp1    Debian GNU/Linux 13 (trixie)   6.18.44   x86_64, systemd-nspawn   2      23.5G    74.0G   10.77.0.11   -
        w1     Debian GNU/Linux 13 (trixie)   6.18.44   x86_64                   2      23.5G    74.0G   -            -
        ");
    }

    #[test]
    fn sizes_are_never_rounded_up() {
        for (kib, shown) in [(0, "0.0G"), (1 << 20, "1.0G"), (4_194_303, "3.9G"), (1 << 30, "1024.0G")] {
            assert_eq!(gib(kib), shown, "{kib}");
        }
    }
}
