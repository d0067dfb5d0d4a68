//! Changing a part of a text file and leaving the rest, its owner and its mode alone.
//!
//! What the file shall be is worked out here, from what was read of it; the host only puts it in place, and
//! only if the file is still what was read. So the plan shows exactly what will be written.

use super::{Act, Change, Observations, Text, quote, sha256};

/// A text file as it is and as it shall be.
pub(super) struct Edit<'a> {
    path: &'a str,
    /// Nothing when there is no such file.
    now: Option<&'a str>,
    /// Why not, when it cannot be edited.
    then: Result<String, String>,
}

impl<'a> Edit<'a> {
    /// Works out what `edited` makes of the file's text; a file that is missing has none.
    pub fn new(
        path: &'a str,
        seen: &'a Observations,
        edited: impl FnOnce(&str) -> Result<String, String>,
    ) -> Edit<'a> {
        match seen.texts.get(path) {
            Some(Text::Unfit(what)) => Edit { path, now: None, then: Err(format!("{path} is {what}")) },
            Some(Text::Known(now)) => Edit { path, now: Some(now), then: edited(now) },
            None => Edit { path, now: None, then: edited("") },
        }
    }

    pub fn is_needed(&self) -> bool {
        self.then.as_ref().map_or(true, |then| then != self.now.unwrap_or_default())
    }

    /// What differs, line by line unless it is secret.
    pub fn change(&self, summary: String, secret: bool) -> Option<Change> {
        if !self.is_needed() {
            return None;
        }
        let change = Change::new(summary);
        Some(match &self.then {
            Err(why) => change.attribute("cannot be edited", why, "text"),
            Ok(_) if secret => change.attribute("content", "another", "as stated"),
            Ok(then) => change.text(self.path, self.now.unwrap_or_default(), then),
        })
    }

    /// Puts the text in place. A link of root's is followed: what it leads to is edited. One that somebody else put
    /// there is not, for it may lead anywhere.
    pub fn acts(&self) -> Vec<Act> {
        match &self.then {
            Err(why) => vec![Act::refuse(why)],
            Ok(_) if !self.is_needed() => Vec::new(),
            Ok(then) => {
                let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
                let path = format!(
                    "mkdir -p {folder} || exit 1\n\
                     [ ! -L {path} ] || [ \"$(stat -c %u {path})\" = \"$(id -u)\" ] || {{ printf '%s is a link of %s: \
                     only links of root are followed\\n' {path} \"$(stat -c %U {path})\" >&2; exit 1; }}\n\
                     path=$(readlink -f {path}) || exit 1",
                    folder = quote(if folder.is_empty() { "/" } else { folder }),
                    path = quote(self.path)
                );
                vec![Act::quick(format!("{path}\n{}", put(self.now, then, "0644")))]
            }
        }
    }

    /// What will be there, if that is not there already.
    pub fn foreseen(self) -> Option<String> {
        if self.is_needed() { self.then.ok() } else { None }
    }
}

/// The sh that puts a text at `$path`, if what is there is what was read. A new file gets this mode.
pub(super) fn put(now: Option<&str>, then: &str, mode: &str) -> String {
    let (unchanged, begin, end) = match now {
        // All that belongs to the file is copied with it; only the content is another.
        Some(now) => (
            format!("[ \"$(sha256sum < \"$path\")\" = '{}  -' ]", sha256(now.as_bytes())),
            "cp -a \"$path\" \"$part\"",
            ":".to_string(),
        ),
        None => ("[ ! -e \"$path\" ]".to_string(), ":", format!("chmod {mode} \"$part\"")),
    };
    format!(
        "part=${{path%/*}}/.${{path##*/}}.hoist\n\
         {unchanged} || {{ printf '%s has changed since it was read: run the same command again\\n' \"$path\" >&2; exit 1; }}\n\
         rm -f \"$part\" && {begin} && (umask 077; printf %s {then} > \"$part\") && {end} && mv -f \"$part\" \"$path\" || \
         {{ rm -f \"$part\"; exit 1; }}",
        then = quote(then)
    )
}

/// The lines of a text, each with the end that it has there: what is not edited stays as it is, byte for byte.
struct Lines<'a> {
    text: &'a str,
    lines: Vec<&'a str>,
}

/// A line without its end.
fn bare(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Lines<'a> {
        Lines { text, lines: text.split_inclusive('\n').collect() }
    }

    /// The text with these lines instead. New ones have no end yet and get that of the text's first line. When
    /// nothing changes, not even a missing newline is added.
    fn with(&self, lines: &[&str]) -> String {
        if lines.iter().map(|line| bare(line)).eq(self.lines.iter().map(|line| bare(line))) {
            return self.text.to_string();
        }
        let end = if self.lines.first().is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" };
        lines.iter().flat_map(|line| [*line, if line.ends_with('\n') { "" } else { end }]).collect()
    }
}

/// The text with this line in the place of the first line that `is` it; further ones go. Where there is none it
/// comes after the last line that is `after`, or else at the end.
pub(super) fn set_line(
    text: &str,
    line: &str,
    is: impl Fn(&str) -> bool,
    after: impl Fn(&str) -> bool,
) -> String {
    let old = Lines::of(text);
    let mut new: Vec<&str> = Vec::with_capacity(old.lines.len() + 1);
    let mut placed = false;
    for present in &old.lines {
        match is(bare(present)) {
            true if placed => {}
            true => {
                placed = true;
                new.push(line);
            }
            false => new.push(present),
        }
    }
    if !placed {
        let at = new.iter().rposition(|present| after(bare(present))).map_or(new.len(), |index| index + 1);
        new.insert(at, line);
    }
    old.with(&new)
}

/// The text without the lines that are `gone`.
pub(super) fn drop_lines(text: &str, gone: impl Fn(&str) -> bool) -> String {
    let old = Lines::of(text);
    let new: Vec<&str> = old.lines.iter().copied().filter(|line| !gone(bare(line))).collect();
    old.with(&new)
}

/// The text with this before every line that `goes`.
pub(super) fn comment_out(text: &str, goes: impl Fn(&str) -> bool, comment: &str) -> String {
    text.split_inclusive('\n').flat_map(|line| [if goes(bare(line)) { comment } else { "" }, line]).collect()
}

/// The text with these lines between two marks, at the end if the marks are not there yet; without lines, the
/// marks go as well.
///
/// # Errors
/// When the marks do not come in pairs: what is between them cannot be told from the rest.
pub(super) fn set_block(text: &str, begin: &str, end: &str, lines: Option<&str>) -> Result<String, String> {
    let old = Lines::of(text);
    let places = |mark: &str| -> Vec<usize> {
        let is_mark = |(_, line): &(usize, &&str)| bare(line) == mark;
        old.lines.iter().enumerate().filter(is_mark).map(|(index, _)| index).collect()
    };
    let (begins, ends) = (places(begin), places(end));
    let (first, last) = match (&begins[..], &ends[..]) {
        ([], []) => (old.lines.len(), old.lines.len()),
        ([first], [last]) if first < last => (*first, last + 1),
        _ => {
            return Err(format!(
                "has not one \"{begin}\" with one \"{end}\" after it: mend or remove these lines by hand"
            ));
        }
    };
    let mut new = old.lines[..first].to_vec();
    if let Some(lines) = lines {
        new.push(begin);
        new.extend(lines.lines());
        new.push(end);
    }
    new.extend(&old.lines[last..]);
    Ok(old.with(&new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_takes_the_place_of_what_matches() {
        let port = |line: &str| line == "Port 22" || line.starts_with("#Port");
        let after = |line: &str| line.starts_with("Listen");
        for (text, expected) in [
            ("", "Port 22\n"),
            ("a\n", "a\nPort 22\n"),
            ("a", "a\nPort 22\n"),
            ("a\n#Port 1\nb\n", "a\nPort 22\nb\n"),
            ("#Port 1\n#Port 2\nPort 22\nb", "Port 22\nb\n"),
            ("Listen 1\nListen 2\nb\n", "Listen 1\nListen 2\nPort 22\nb\n"),
            ("a\r\nb\r\n", "a\r\nb\r\nPort 22\r\n"),
            ("a\r\n#Port\r\n", "a\r\nPort 22\r\n"),
            ("a\r\nb", "a\r\nb\r\nPort 22\r\n"),
            ("\n", "\nPort 22\n"),
            ("a\nb\r\n#Port\nc\r\n", "a\nb\r\nPort 22\nc\r\n"),
            // It holds.
            ("a\nPort 22", "a\nPort 22"),
            ("a\r\nPort 22\r\n", "a\r\nPort 22\r\n"),
        ] {
            let once = set_line(text, "Port 22", port, after);
            assert_eq!(once, expected, "{text:?}");
            assert_eq!(set_line(&once, "Port 22", port, after), once, "{text:?}: a second time");
        }
    }

    #[test]
    fn lines_go_and_the_rest_stays() {
        let gone = |line: &str| line == "x";
        for (text, expected) in [
            ("", ""),
            ("x", ""),
            ("a\nx\nb", "a\nb\n"),
            ("a\nb", "a\nb"),
            ("a\r\nx\r\n", "a\r\n"),
            ("x\nx\n", ""),
        ] {
            assert_eq!(drop_lines(text, gone), expected, "{text:?}");
        }
    }

    #[test]
    fn a_block_is_set_changed_and_taken_away() {
        let (begin, end) = ("# begin", "# end");
        let block = |text: &str, lines| set_block(text, begin, end, lines).unwrap();
        for (text, lines, expected) in [
            ("", Some("1\n2\n"), "# begin\n1\n2\n# end\n"),
            ("a", Some("1"), "a\n# begin\n1\n# end\n"),
            ("a\n# begin\n0\n# end\nb\n", Some("1\n"), "a\n# begin\n1\n# end\nb\n"),
            ("a\n# begin\n1\n# end\nb", Some("1\n"), "a\n# begin\n1\n# end\nb"),
            ("a\r\n", Some("1\n"), "a\r\n# begin\r\n1\r\n# end\r\n"),
            ("a\n# begin\n0\n# end\nb\n", None, "a\nb\n"),
            ("a\nb", None, "a\nb"),
            ("a\n", Some(""), "a\n# begin\n# end\n"),
        ] {
            let once = block(text, lines);
            assert_eq!(once, expected, "{text:?}");
            assert_eq!(block(&once, lines), once, "{text:?}: a second time");
        }
        for text in ["# begin\n", "# end\n", "# end\n# begin\n", "# begin\n# begin\n# end\n"] {
            assert!(set_block(text, begin, end, Some("1")).is_err(), "{text:?}");
        }
    }
}
