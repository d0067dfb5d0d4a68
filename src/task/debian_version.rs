//! The order of Debian's package versions. Source: deb-version(7).

use std::cmp::Ordering;

/// Compares two versions: `[EPOCH:]UPSTREAM[-REVISION]`.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let ((a_epoch, a_upstream, a_revision), (b_epoch, b_upstream, b_revision)) = (parts(a), parts(b));
    a_epoch
        .cmp(&b_epoch)
        .then_with(|| piece(a_upstream, b_upstream))
        .then_with(|| piece(a_revision, b_revision))
}

fn parts(version: &str) -> (u64, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch.parse().unwrap_or(0), upstream, revision)
}

/// Runs of other characters and of digits take turns; the former are compared letter by letter, the latter as numbers.
fn piece(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (a_word, a_rest) = split(a, |c| !c.is_ascii_digit());
        let (b_word, b_rest) = split(b, |c| !c.is_ascii_digit());
        let (a_number, a_rest) = split(a_rest, |c| c.is_ascii_digit());
        let (b_number, b_rest) = split(b_rest, |c| c.is_ascii_digit());
        let order = words(a_word, b_word).then_with(|| numbers(a_number, b_number));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (a_rest, b_rest);
    }
    Ordering::Equal
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// A tilde comes before everything, even before the end; letters come before other signs.
fn words(a: &str, b: &str) -> Ordering {
    let weight = |c: Option<char>| match c {
        Some('~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => c as i32,
        Some(c) => c as i32 + 256,
    };
    let length = a.len().max(b.len());
    let (mut a, mut b) = (a.chars(), b.chars());
    (0..=length)
        .map(|_| weight(a.next()).cmp(&weight(b.next())))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `dpkg --compare-versions` says of these.
    #[test]
    fn versions_have_dpkgs_order() {
        for (a, order, b) in [
            ("1.0", Ordering::Equal, "1.0"),
            ("1.0", Ordering::Equal, "0:1.0"),
            ("1.0", Ordering::Equal, "1.00"),
            ("1.9", Ordering::Less, "1.10"),
            ("1:0.9", Ordering::Greater, "2.0"),
            ("2.36-9+deb12u9", Ordering::Less, "2.36-9+deb12u10"),
            ("1.0~rc1", Ordering::Less, "1.0"),
            ("1.0~~", Ordering::Less, "1.0~"),
            ("1.0", Ordering::Less, "1.0a"),
            ("1.0a", Ordering::Less, "1.0+"),
            ("1.0-1", Ordering::Less, "1.0-1.1"),
            ("1.0-1", Ordering::Greater, "1.0"),
            ("3.0.17-1~deb12u2", Ordering::Less, "3.0.17-1"),
            ("1.2.3-4-5", Ordering::Less, "1.2.3-4-6"),
            ("20240101", Ordering::Greater, "2024010"),
            ("1.a", Ordering::Less, "1.b"),
            ("", Ordering::Less, "1"),
        ] {
            assert_eq!(compare(a, b), order, "{a} {b}");
            assert_eq!(compare(b, a), order.reverse(), "{b} {a}");
        }
    }
}
