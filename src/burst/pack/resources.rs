//! What pods ask for and what nodes have.

use std::{collections::BTreeMap, fmt, ops::AddAssign};

/// Amounts of resources. The number of pods is not among them: it is a node's own limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resources {
    /// Thousandths of a processor.
    pub milli_cpu: u64,
    /// Bytes.
    pub memory: u64,
    /// Bytes of ephemeral storage.
    pub storage: u64,
    /// Extended resources, such as `nvidia.com/gpu`.
    pub extended: BTreeMap<String, u64>,
}

impl Resources {
    /// Processor and memory, and nothing else.
    pub fn new(milli_cpu: u64, memory: u64) -> Resources {
        Resources { milli_cpu, memory, ..Resources::default() }
    }

    /// The larger of the two, of each resource.
    pub fn max(mut self, other: &Resources) -> Resources {
        self.milli_cpu = self.milli_cpu.max(other.milli_cpu);
        self.memory = self.memory.max(other.memory);
        self.storage = self.storage.max(other.storage);
        for (name, amount) in &other.extended {
            let mine = self.extended.entry(name.clone()).or_default();
            *mine = (*mine).max(*amount);
        }
        self
    }

    /// What the other has of, in place of what there is here.
    pub fn replace(&mut self, other: &Resources) {
        for (mine, theirs) in [
            (&mut self.milli_cpu, other.milli_cpu),
            (&mut self.memory, other.memory),
            (&mut self.storage, other.storage),
        ] {
            if theirs > 0 {
                *mine = theirs;
            }
        }
        self.extended.extend(other.extended.clone());
    }
}

impl AddAssign<&Resources> for Resources {
    fn add_assign(&mut self, other: &Resources) {
        self.milli_cpu = self.milli_cpu.saturating_add(other.milli_cpu);
        self.memory = self.memory.saturating_add(other.memory);
        self.storage = self.storage.saturating_add(other.storage);
        for (name, amount) in &other.extended {
            let mine = self.extended.entry(name.clone()).or_default();
            *mine = mine.saturating_add(*amount);
        }
    }
}

/// `1500m cpu, 2.0 GiB memory, 1 nvidia.com/gpu`: what is not zero.
impl fmt::Display for Resources {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64);
        let mut parts = Vec::new();
        if self.milli_cpu > 0 {
            parts.push(format!("{}m cpu", self.milli_cpu));
        }
        if self.memory > 0 {
            parts.push(format!("{} memory", gib(self.memory)));
        }
        if self.storage > 0 {
            parts.push(format!("{} ephemeral storage", gib(self.storage)));
        }
        parts.extend(self.extended.iter().map(|(name, amount)| format!("{amount} {name}")));
        formatter.write_str(&if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") })
    }
}

/// The thousandths in a quantity of Kubernetes, such as `100m`, `1.5`, `2Gi` or `1e3`, rounded up.
///
/// Source: `k8s.io/apimachinery/pkg/api/resource`, suffixes n, u, m, k, M, G, T, P, E and Ki to Ei.
pub fn milli(quantity: &str) -> Option<u64> {
    let digits = quantity.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(quantity.len());
    let (number, suffix) = quantity.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 18 {
        return None;
    }
    // The number without its point, and the power of ten that it is to be divided by.
    let value: u128 = format!("{whole}{fraction}").parse().ok()?;
    let below = u32::try_from(fraction.len()).ok()?;
    let (multiplier, more_below): (u128, u32) = match suffix {
        "" => (1, 0),
        "n" => (1, 9),
        "u" => (1, 6),
        "m" => (1, 3),
        "k" => (1_000, 0),
        "M" => (1_000_000, 0),
        "G" => (1_000_000_000, 0),
        "T" => (1_000_000_000_000, 0),
        "P" => (1_000_000_000_000_000, 0),
        "E" => (1_000_000_000_000_000_000, 0),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            match u32::try_from(power) {
                Ok(power) => (10u128.checked_pow(power)?, 0),
                Err(_) => (1, power.unsigned_abs()),
            }
        }
    };
    let divisor = 10u128.checked_pow(below.checked_add(more_below)?)?;
    let thousandths = value.checked_mul(multiplier)?.checked_mul(1_000)?;
    u64::try_from(thousandths.div_ceil(divisor)).ok()
}

/// The whole units in a quantity, rounded up.
pub fn whole(quantity: &str) -> Option<u64> {
    // Thousandths of an exabyte would not fit; a plain number of bytes with a suffix is far below.
    milli(quantity).map(|thousandths| thousandths.div_ceil(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        for (text, thousandths) in [
            ("0", 0),
            ("1", 1_000),
            ("100m", 100),
            ("1.5", 1_500),
            (".5", 500),
            ("0.0001", 1), // rounded up, as the scheduler does
            ("250u", 1),
            ("1k", 1_000_000),
            ("1e3", 1_000_000),
            ("5e-1", 500),
            ("1Ki", 1_024_000),
            ("1.5Gi", 1_610_612_736_000),
            ("64Ti", 70_368_744_177_664_000),
        ] {
            assert_eq!(milli(text), Some(thousandths), "{text}");
        }
        for text in ["", ".", "m", "1x", "-1", "1 Gi", "1e", "1e99"] {
            assert_eq!(milli(text), None, "{text}");
        }
        assert_eq!(whole("1500m"), Some(2));
        assert_eq!(whole("16331752Ki"), Some(16_331_752 * 1024));
    }

    #[test]
    fn amounts_are_told_without_what_is_zero() {
        let mut resources = Resources::new(1500, 2 << 30);
        resources.extended.insert("nvidia.com/gpu".into(), 1);
        assert_eq!(resources.to_string(), "1500m cpu, 2.0 GiB memory, 1 nvidia.com/gpu");
        assert_eq!(Resources::default().to_string(), "nothing");
    }
}
