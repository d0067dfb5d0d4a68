//! Durations as Go writes them: https://pkg.go.dev/time#ParseDuration

const UNITS: [&str; 7] = ["ns", "us", "µs", "ms", "s", "m", "h"];

/// Numbers with units, without a sign: `8h`, `1h30m`, `0.5s`.
pub(super) fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = &rest[..rest.len() - unit.len()];
        rest = unit.trim_start_matches(|c: char| !c.is_ascii_digit() && c != '.');
        let unit = &unit[..unit.len() - rest.len()];
        if number.parse::<f64>().is_err() || !UNITS.contains(&unit) {
            return false;
        }
    }
    !text.is_empty()
}

/// A number of digits alone.
pub(super) fn is_whole(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
