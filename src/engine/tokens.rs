//! Tokens to join with, in what commands print.

use super::late::REDACTED;

/// The line with [`REDACTED`] in place of bootstrap tokens, `[a-z0-9]{6}.[a-z0-9]{16}`:
/// https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
pub(super) fn without_tokens(line: &str) -> String {
    const LONG: (usize, usize) = (6, 16);
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(dot) = rest.find('.') {
        let (before, after) = (&rest[..dot], &rest[dot + 1..]);
        let id = before.len() - before.trim_end_matches(is_word).len();
        let secret = after.len() - after.trim_start_matches(is_word).len();
        let ends = |c: Option<char>| !c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        let alone = ends(before[..dot - id].chars().next_back()) && ends(after[secret..].chars().next());
        if (id, secret) == LONG && alone {
            shown += &before[..dot - id];
            shown += REDACTED;
            rest = &after[secret..];
        } else {
            shown += &rest[..=dot];
            rest = after;
        }
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_nobody_asked_for_are_not_shown() {
        for (line, shown) in [
            (
                "[bootstrap-token] Using token: abcdef.0123456789abcdef",
                "[bootstrap-token] Using token: [secret]",
            ),
            ("--token abcdef.0123456789abcdef --x zyxwvu.0123456789abcdef", "--token [secret] --x [secret]"),
            ("\"abcdef.0123456789abcdef\"", "\"[secret]\""),
            ("é.abcdef.0123456789abcdef.é", "é.[secret].é"),
            // Names and numbers are none.
            ("abcdefg.0123456789abcdef", "abcdefg.0123456789abcdef"),
            ("abcdef.0123456789abcdefa", "abcdef.0123456789abcdefa"),
            ("Abcdef.0123456789abcdeF", "Abcdef.0123456789abcdeF"),
            ("files.kubernetes.io 10.0.0.1:6443 ...", "files.kubernetes.io 10.0.0.1:6443 ..."),
        ] {
            assert_eq!(without_tokens(line), shown, "{line}");
        }
    }
}
