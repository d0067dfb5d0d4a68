//! Quoting for POSIX sh: the only way any value gets into a script.

/// The value as one word of a POSIX shell, whatever it contains (XCU 2.2.2, single quotes).
///
/// ```
/// assert_eq!(hoist::task::quote("it's"), r"'it'\''s'");
/// assert_eq!(hoist::task::quote("/etc/hosts"), "/etc/hosts");
/// ```
pub fn quote(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@%+,=".contains(c);
    if !value.is_empty() && value.chars().all(plain) && !value.contains('=') {
        return value.to_string();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// Several values as words.
pub fn quote_all<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    values.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}
