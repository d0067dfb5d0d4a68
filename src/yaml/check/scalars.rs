//! Checks of single values, and the usual reasons why one has the wrong type.

use regex::Regex;
use serde_json::{Number, Value as Json};

use super::Checker;
use crate::yaml::{Node, Problem, Value, format, scalar, suggest, words};

impl<'a> Checker<'a> {
    pub(super) fn wrong_type(&mut self, schema: &'a Json, node: &Node) {
        let expected = words::expected(schema);
        let (title, label) = match node.value {
            Value::Null => {
                (format!("{} has no value and should be {expected}", self.here()), String::from("no value"))
            }
            _ => {
                let found = match &node.value {
                    Value::Number(number) => format!("the number {number}"),
                    _ => node.kind().to_owned(),
                };
                (format!("{} should be {expected}, not {found}", self.here()), format!("this is {found}"))
            }
        };
        let help = self.type_advice(schema, node, &expected);
        self.report(Problem::new(node.span, title).label(label).help(help));
    }

    fn type_advice(&self, schema: &Json, node: &Node, expected: &str) -> String {
        let types = words::types(schema);
        let wants = |name| types.contains(&name);
        let written = self.written(node);
        let format = schema.get("format").and_then(Json::as_str).and_then(format::named);
        // Quotes alone may not be enough.
        let fits = |text| format.is_none_or(|format| (format.accepts)(text));
        let unfit_help = |text| format.and_then(|format| (format.fix)(text));
        match &node.value {
            Value::Null => String::from("give it a value, or leave the key out"),
            Value::Number(_) | Value::Bool(_) if wants("string") && !fits(written) => {
                unfit_help(written).unwrap_or_else(|| format!("write {expected}"))
            }
            Value::Number(number) if wants("string") && number.to_string() != written => {
                format!("put it in quotes: \"{written}\"; without them YAML reads the number {number}")
            }
            Value::Number(_) | Value::Bool(_) if wants("string") => {
                format!("put it in quotes: \"{written}\"")
            }
            Value::Number(_) if wants("integer") => String::from("write it without a fraction"),
            Value::String(text) if wants("boolean") => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" | "true" => {
                    String::from("write true: YAML 1.2 knows only true and false, without quotes")
                }
                "no" | "off" | "n" | "false" => {
                    String::from("write false: YAML 1.2 knows only true and false, without quotes")
                }
                _ => String::from("write true or false, without quotes"),
            },
            Value::String(text) if wants("integer") || wants("number") => match scalar::resolve(text) {
                Some(Value::Number(number)) => format!("write it without quotes: {number}"),
                _ => format!("write {expected}, without a unit"),
            },
            Value::String(_) | Value::Number(_) | Value::Bool(_) if wants("array") => {
                format!("write it as a list: [{written}]")
            }
            Value::Map(_) if wants("array") => String::from("begin each item with `- `, or write [a, b]"),
            Value::List(_) if wants("object") => String::from("write `key: value` pairs, without `-`"),
            Value::String(_) | Value::Number(_) | Value::Bool(_) if wants("object") => {
                String::from("write `key: value` pairs, indented below it or in braces")
            }
            Value::List(items) if items.len() == 1 => {
                String::from("write the value alone, without brackets and `-`")
            }
            _ => format!("write {expected}"),
        }
    }

    /// The node as the source has it.
    fn written(&self, node: &Node) -> &'a str {
        let start = node.span.offset();
        self.text.get(start..start + node.span.len()).unwrap_or_default()
    }

    pub(super) fn choice(&mut self, choices: &[&'a str], node: &Node) -> Option<Json> {
        let found = match &node.value {
            Value::String(text) if choices.contains(&text.as_str()) => return Some(node.to_json()),
            Value::String(text) => format!("`{text}`"),
            Value::Null if choices.is_empty() => return Some(Json::Null),
            _ => node.kind().to_owned(),
        };
        let known = suggest::listed(choices.iter().copied(), "or");
        let near = match &node.value {
            Value::String(text) => suggest::nearest(text, choices.iter().copied()),
            _ => None,
        };
        let problem = Problem::new(node.span, format!("{} should be {known}, not {found}", self.here()))
            .label(match choices {
                [only] => format!("`{only}` is the only possible value"),
                _ => String::from("not one of the possible values"),
            })
            .help(match (near, choices) {
                (Some(near), _) => format!("did you mean `{near}`?"),
                (None, [only]) => format!("write {only}"),
                (None, _) => format!("write one of {known}"),
            });
        self.report(problem);
        None
    }

    pub(super) fn string(&mut self, schema: &'a Json, node: &Node, text: &str) {
        if let Some(format) = schema.get("format").and_then(Json::as_str).and_then(format::named)
            && !(format.accepts)(text)
        {
            let help = (format.fix)(text).unwrap_or_else(|| format!("write {}", format.expected));
            self.unfit(node, format.expected, text, help);
            return;
        }
        let length = text.chars().count() as u64;
        let least = schema.get("minLength").and_then(Json::as_u64).unwrap_or(0);
        if length == 0 && least > 0 {
            let problem = Problem::new(node.span, format!("{} should not be empty", self.here()))
                .label("empty")
                .help("write a text, or leave the key out");
            self.report(problem);
            return;
        }
        if length < least {
            let expected = format!("at least {least} characters long");
            self.unfit(node, &expected, text, String::from("write a longer one"));
        }
        if let Some(most) = schema.get("maxLength").and_then(Json::as_u64).filter(|most| length > *most) {
            self.unfit(
                node,
                &format!("at most {most} characters long"),
                text,
                String::from("make it shorter"),
            );
        }
        let pattern = schema.get("pattern").and_then(Json::as_str);
        // Patterns come from our own types; one that does not compile forbids nothing.
        if let Some(pattern) =
            pattern.and_then(|pattern| Regex::new(pattern).ok()).filter(|it| !it.is_match(text))
        {
            let example = schema.get("examples").and_then(|all| all.get(0)).and_then(Json::as_str);
            let (expected, help) = match example {
                Some(example) => (format!("like {example}"), format!("the pattern is {pattern}")),
                None => {
                    (format!("of the pattern {pattern}"), String::from("use only what the pattern allows"))
                }
            };
            self.unfit(node, &expected, text, help);
        }
    }

    fn unfit(&mut self, node: &Node, expected: &str, text: &str, help: String) {
        let mut shown: String = text.chars().take(60).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        let problem = Problem::new(node.span, format!("{} should be {expected}, not `{shown}`", self.here()))
            .help(help);
        self.report(problem);
    }

    pub(super) fn number(&mut self, schema: &'a Json, node: &Node, number: &Number) {
        let limit = |name| schema.get(name).and_then(Json::as_f64);
        let value = number.as_f64().unwrap_or(f64::NAN);
        let (of_type_least, of_type_most) = of_type(schema);
        let least = limit("minimum").or(of_type_least.filter(|least| value < *least));
        let most = limit("maximum").or(of_type_most.filter(|most| value > *most));
        if least.is_none_or(|least| value >= least) && most.is_none_or(|most| value <= most) {
            return;
        }
        let range = match (least, most) {
            (Some(least), Some(most)) => format!("between {least} and {most}"),
            (Some(least), None) => format!("at least {least}"),
            (None, most) => format!("at most {}", most.unwrap_or(f64::INFINITY)),
        };
        let problem = Problem::new(node.span, format!("{} should be {range}, not {number}", self.here()))
            .label("out of range")
            .help(format!("write a number {range}"));
        self.report(problem);
    }
}

/// What a whole number of 32 bits can be. schemars writes these limits only for smaller types; and what does not fit into
/// 64 bits is no whole number here.
fn of_type(schema: &Json) -> (Option<f64>, Option<f64>) {
    match schema.get("format").and_then(Json::as_str) {
        Some("int32") => (Some(i32::MIN.into()), Some(i32::MAX.into())),
        Some("uint32") => (Some(u32::MIN.into()), Some(u32::MAX.into())),
        _ => (None, None),
    }
}
