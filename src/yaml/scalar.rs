//! What an unquoted scalar means: the core schema of YAML 1.2 (section 10.3.2 of the specification), without
//! `.inf` and `.nan`, which JSON cannot say and which stay strings.

use serde_json::Number;

use super::Value;

/// The meaning of an unquoted scalar; `None` when YAML 1.1 and 1.2 disagree about it (leading zeros).
pub(super) fn resolve(text: &str) -> Option<Value> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if has_ambiguous_zero(text) => return None,
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    })
}

/// `0644`: 644 for YAML 1.2, but 420, an octal number, for YAML 1.1.
fn has_ambiguous_zero(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        let whole = text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from));
        if let Ok(whole) = whole {
            return Some(whole);
        }
    }
    // Rust's float syntax is YAML's once "inf", "nan" and the lone dot are excluded, as the first byte does.
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

fn radix(digits: &str, radix: u32) -> Option<Number> {
    let clean = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    clean.then(|| u64::from_str_radix(digits, radix).ok()).flatten().map(Number::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match resolve(text) {
            None => "ambiguous".into(),
            Some(Value::Null) => "null".into(),
            Some(Value::Bool(value)) => format!("bool {value}"),
            Some(Value::Number(number)) => format!("number {number}"),
            Some(Value::String(text)) => format!("string {text}"),
            Some(other) => format!("{other:?}"),
        }
    }

    #[test]
    fn the_core_schema_decides() {
        for (text, meaning) in [
            ("", "null"),
            ("~", "null"),
            ("null", "null"),
            ("true", "bool true"),
            ("False", "bool false"),
            ("yes", "string yes"),
            ("on", "string on"),
            ("0", "number 0"),
            ("-17", "number -17"),
            ("+5", "number 5"),
            ("0x1F", "number 31"),
            ("0o17", "number 15"),
            ("0x+1", "string 0x+1"),
            ("0644", "ambiguous"),
            ("-01", "ambiguous"),
            ("1.20", "number 1.2"),
            ("1.20.2", "string 1.20.2"),
            (".5", "number 0.5"),
            (".", "string ."),
            ("-", "string -"),
            ("1e3", "number 1000.0"),
            ("1e999", "string 1e999"),
            (".inf", "string .inf"),
            ("inf", "string inf"),
            ("nan", "string nan"),
            ("18446744073709551615", "number 18446744073709551615"),
            ("1_000", "string 1_000"),
            ("12:30", "string 12:30"),
            ("10.244.0.0/16", "string 10.244.0.0/16"),
        ] {
            assert_eq!(shown(text), meaning, "{text:?}");
        }
    }
}
