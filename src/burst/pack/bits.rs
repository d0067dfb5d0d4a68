//! A set of small numbers.

/// A set of the numbers below a bound that is given when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// Those below `bound` for which `holds` does.
    pub fn of(bound: usize, holds: impl Fn(usize) -> bool) -> Bits {
        let mut words = vec![0; bound.div_ceil(64)];
        for number in (0..bound).filter(|number| holds(*number)) {
            words[number / 64] |= 1 << (number % 64);
        }
        Bits(words)
    }

    pub fn has(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    pub fn and(&self, other: &Bits) -> Bits {
        Bits(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in() {
        let even = Bits::of(130, |number| number % 2 == 0);
        let third = Bits::of(130, |number| number % 3 == 0);
        assert!(even.has(128) && !even.has(129) && !even.has(1000));
        assert_eq!(even.and(&third), Bits::of(130, |number| number % 6 == 0));
    }
}
