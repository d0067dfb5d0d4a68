//! Ranges of addresses: which overlap, which holds an address. Sorted once, so that thousands of them cost little.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// Consecutive addresses, both ends included, and whose they are.
pub(super) struct Range<T> {
    pub first: Ipv4Addr,
    pub last: Ipv4Addr,
    pub of: T,
}

impl<T> Range<T> {
    pub fn network(network: Ipv4Net, of: T) -> Range<T> {
        Range { first: network.network(), last: network.broadcast(), of }
    }
}

/// Ranges by their first address.
pub(super) struct Ranges<T> {
    sorted: Vec<Range<T>>,
    /// For each range the one among it and those before that reaches farthest.
    farthest: Vec<usize>,
}

impl<T> Ranges<T> {
    pub fn new(mut ranges: Vec<Range<T>>) -> Ranges<T> {
        ranges.sort_by_key(|range| range.first);
        let mut farthest: Vec<usize> = Vec::with_capacity(ranges.len());
        for (index, range) in ranges.iter().enumerate() {
            let before = farthest.last().copied().filter(|before| ranges[*before].last >= range.last);
            farthest.push(before.unwrap_or(index));
        }
        Ranges { sorted: ranges, farthest }
    }

    /// Pairs of ranges that share addresses, the one that begins first first: each range with that before it which
    /// reaches farthest, and with its neighbour. So nothing is missed, and many that share do not give all pairs.
    pub fn overlaps(&self) -> impl Iterator<Item = (&T, &T)> {
        (1..self.sorted.len()).flat_map(move |index| {
            let (farthest, neighbour) = (self.farthest[index - 1], index - 1);
            let others = [Some(farthest), Some(neighbour).filter(|it| *it != farthest)];
            let range = &self.sorted[index];
            let sharing = move |other: usize| {
                let other = &self.sorted[other];
                (range.first <= other.last).then_some((&other.of, &range.of))
            };
            others.into_iter().flatten().filter_map(sharing)
        })
    }

    /// Whose range an address is in.
    pub fn holding(&self, address: Ipv4Addr) -> Option<&T> {
        let begun = self.sorted.partition_point(|range| range.first <= address);
        let farthest = &self.sorted[*self.farthest.get(begun.checked_sub(1)?)?];
        (address <= farthest.last).then_some(&farthest.of)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranges(ends: &[(u8, u8)]) -> Ranges<usize> {
        let range = |(of, (first, last)): (usize, &(u8, u8))| Range {
            first: Ipv4Addr::new(10, 0, 0, *first),
            last: Ipv4Addr::new(10, 0, 0, *last),
            of,
        };
        Ranges::new(ends.iter().enumerate().map(range).collect())
    }

    #[test]
    fn a_long_range_is_not_forgotten_behind_a_short_one() {
        let ranges = ranges(&[(0, 100), (10, 20), (50, 60), (200, 210)]);
        assert_eq!(ranges.overlaps().collect::<Vec<_>>(), [(&0, &1), (&0, &2)]);
        for (last, holder) in [(5, Some(&0)), (55, Some(&0)), (101, None), (205, Some(&3)), (255, None)] {
            assert_eq!(ranges.holding(Ipv4Addr::new(10, 0, 0, last)), holder, "{last}");
        }
        assert_eq!(ranges.holding(Ipv4Addr::UNSPECIFIED), None);
    }

    proptest! {
        #[test]
        fn it_finds_what_comparing_all_with_all_finds(
            ends in prop::collection::vec((0_u8..40, 0_u8..10), 0..8), address: u8,
        ) {
            let ends: Vec<(u8, u8)> = ends.into_iter().map(|(first, length)| (first, first + length)).collect();
            let ranges = ranges(&ends);
            let crossing = |a: &(u8, u8), b: &(u8, u8)| a.0 <= b.1 && b.0 <= a.1;
            let any = (0..ends.len()).any(|a| (0..a).any(|b| crossing(&ends[a], &ends[b])));
            prop_assert_eq!(ranges.overlaps().count() > 0, any);
            for (before, after) in ranges.overlaps() {
                prop_assert!(crossing(&ends[*before], &ends[*after]));
            }
            let held = ends.iter().any(|(first, last)| (*first..=*last).contains(&address));
            prop_assert_eq!(ranges.holding(Ipv4Addr::new(10, 0, 0, address)).is_some(), held);
        }
    }
}
