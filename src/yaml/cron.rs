//! Schedules of five fields, as crontab(5) has them.

/// A field: what it is called, what it may say, and the names that stand for numbers.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, names: &[] },
    Field { name: "hour", least: 0, most: 23, names: &[] },
    Field { name: "day of the month", least: 1, most: 31, names: &[] },
    Field {
        name: "month",
        least: 1,
        most: 12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    // Some take 7 for Sunday, too; those who run these schedules do not.
    Field {
        name: "day of the week",
        least: 0,
        most: 6,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

/// What is wrong with a schedule, in words; nothing when it is one.
pub(super) fn mistake(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    if parts.len() != FIELDS.len() {
        return Some(format!("it has {} fields instead of {}", parts.len(), FIELDS.len()));
    }
    let wrong = FIELDS.iter().zip(parts).find(|(field, part)| !field.takes(part));
    wrong.map(|(field, part)| {
        let Field { name, least, most, .. } = field;
        format!("the {name} `{part}` is none: numbers from {least} to {most}, `*`, ranges, steps and lists")
    })
}

impl Field {
    /// A list of `*`, `N` or `N-M`, each with `/STEP` behind it or not.
    fn takes(&self, text: &str) -> bool {
        text.split(',').all(|item| {
            let (range, step) = item.split_once('/').unwrap_or((item, "1"));
            let range = match range.split_once('-') {
                _ if range == "*" => true,
                Some((first, last)) => {
                    matches!((self.number(first), self.number(last)), (Some(first), Some(last)) if first <= last)
                }
                None => self.number(range).is_some(),
            };
            range && digits(step).is_some_and(|step| step > 0)
        })
    }

    fn number(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let number = match named {
            Some(index) => self.least + u32::try_from(index).ok()?,
            None => digits(text)?,
        };
        (self.least..=self.most).contains(&number).then_some(number)
    }
}

/// A number without a sign.
fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        for good in ["0 2 * * *", "*/15 * * * *", "0 0,12 1-7 jan-mar Mon", "5/10 23 31 12 6", "0  2 * * 0"] {
            assert_eq!(mistake(good), None, "{good}");
        }
        for (bad, named) in [
            ("", "0 fields"),
            ("@daily", "1 fields"),
            ("0 2 * *", "4 fields"),
            ("0 0 2 * * *", "6 fields"),
            ("60 2 * * *", "minute `60`"),
            ("0 24 * * *", "hour `24`"),
            ("0 0 0 * *", "day of the month `0`"),
            ("0 0 * 13 *", "month `13`"),
            ("0 0 * * 7", "day of the week `7`"),
            ("*/0 * * * *", "minute `*/0`"),
            ("30-10 * * * *", "minute `30-10`"),
            ("+1 * * * *", "minute `+1`"),
            ("1, * * * *", "minute `1,`"),
            ("/5 * * * *", "minute `/5`"),
        ] {
            let said = mistake(bad).unwrap_or_default();
            assert!(said.contains(named), "{bad}: {said}");
        }
    }
}
