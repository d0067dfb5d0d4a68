//! What can be known of a template without rendering it: the names it uses and the templates it includes.

use std::collections::BTreeSet;

use minijinja::{
    Environment, Error,
    machinery::{parse, parse_expr},
};
use serde_json::Value;

/// A template or an expression, taken apart.
pub(super) struct Syntax {
    /// The names it does not define itself, with the attributes that follow them: `vars.user`, `late.join.token`.
    pub names: BTreeSet<String>,
    /// The parser's tree.
    tree: Value,
}

/// A template that another one includes, extends or imports.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Include {
    /// Nothing when the name is not written there but computed.
    pub path: Option<String>,
    /// Where it is named, in bytes.
    pub offset: usize,
}

/// A filter (`value | name`) or a test (`value is name`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Operator {
    pub name: String,
    /// Whether it is a test.
    pub test: bool,
    /// Where it stands, in bytes.
    pub offset: usize,
}

impl Syntax {
    /// # Errors
    /// When it is no template.
    pub fn of_template(environment: &Environment<'_>, path: &str, text: &str) -> Result<Syntax, Error> {
        let names = environment.template_from_named_str(path, text)?.undeclared_variables(true);
        let tree = parse(text, path, environment.syntax().clone())?;
        Ok(Syntax::new(names, serde_json::to_value(&tree)))
    }

    /// # Errors
    /// When it is no expression.
    pub fn of_expression(environment: &Environment<'_>, text: &str) -> Result<Syntax, Error> {
        let names = environment.compile_expression(text)?.undeclared_variables(true);
        Ok(Syntax::new(names, serde_json::to_value(parse_expr(text)?)))
    }

    fn new(names: impl IntoIterator<Item = String>, tree: Result<Value, serde_json::Error>) -> Syntax {
        // A tree of maps with string keys always has a JSON form.
        Syntax { names: names.into_iter().collect(), tree: tree.unwrap_or_default() }
    }

    /// Whether it uses this name or an attribute of it.
    pub fn uses(&self, name: &str) -> bool {
        self.names.iter().any(|used| used.split('.').next() == Some(name))
    }

    /// The templates that it includes, extends or imports.
    pub fn includes(&self) -> Vec<Include> {
        let mut includes = Vec::new();
        walk(&self.tree, &mut |node| {
            let name = match node["stmt"].as_str() {
                Some("Include" | "Extends") => &node["inner"][0]["name"],
                Some("Import" | "FromImport") => &node["inner"][0]["expr"],
                _ => return,
            };
            let offset = offset(name);
            let mut push =
                |path: Option<&str>| includes.push(Include { path: path.map(String::from), offset });
            match name["expr"].as_str() {
                Some("Const") => push(name["inner"][0]["value"].as_str()),
                // `include` takes a list, too: the first that exists.
                Some("List") => {
                    for item in name["inner"][0]["items"].as_array().into_iter().flatten() {
                        push(item["inner"][0]["value"].as_str());
                    }
                }
                _ => push(None),
            }
        });
        includes
    }

    /// The filters and tests that it uses: their names, and where they stand.
    pub fn operators(&self) -> Vec<Operator> {
        let mut operators = Vec::new();
        walk(&self.tree, &mut |node| {
            let test = match node["expr"].as_str() {
                Some("Filter") => false,
                Some("Test") => true,
                _ => return,
            };
            if let Some(name) = node["inner"][0]["name"].as_str() {
                operators.push(Operator { name: name.to_string(), test, offset: offset(node) });
            }
        });
        operators
    }

    /// Where a name first stands, in bytes.
    pub fn offset_of(&self, name: &str) -> usize {
        let mut first = None;
        walk(&self.tree, &mut |node| {
            if first.is_none() && dotted(node).is_some_and(|dotted| dotted == name) {
                first = Some(offset(node));
            }
        });
        first.unwrap_or_default()
    }
}

/// Visits every object of the tree, outer ones first.
fn walk<'a>(node: &'a Value, visit: &mut impl FnMut(&'a Value)) {
    match node {
        Value::Object(map) => {
            visit(node);
            map.values().for_each(|child| walk(child, visit));
        }
        Value::Array(items) => items.iter().for_each(|child| walk(child, visit)),
        _ => {}
    }
}

/// `a.b.c` of an expression that is just that.
fn dotted(node: &Value) -> Option<String> {
    let inner = &node["inner"][0];
    match node["expr"].as_str()? {
        "Var" => Some(inner["id"].as_str()?.to_string()),
        "GetAttr" => Some(format!("{}.{}", dotted(&inner["expr"])?, inner["name"].as_str()?)),
        _ => None,
    }
}

/// Where an expression begins: for `a.b` that is where `a` does.
fn offset(node: &Value) -> usize {
    match node["expr"].as_str() {
        Some("GetAttr") => offset(&node["inner"][0]["expr"]),
        _ => node["inner"][1]["start_offset"]
            .as_u64()
            .and_then(|at| usize::try_from(at).ok())
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syntax(text: &str) -> Syntax {
        Syntax::of_template(&Environment::new(), "test", text).unwrap()
    }

    #[test]
    fn names_and_where_they_stand() {
        let text = "{% for host in hosts %}{{ host.name }}{% endfor %}\n{{ vars.user }} {{ late['x'] }}";
        let syntax = syntax(text);
        assert_eq!(syntax.names.iter().collect::<Vec<_>>(), ["hosts", "late", "vars.user"]);
        assert_eq!(syntax.offset_of("vars.user"), text.find("vars").unwrap());
        assert!(syntax.uses("vars") && !syntax.uses("host") && !syntax.uses("user"));
        let expression = Syntax::of_expression(&Environment::new(), "1 + item.size").unwrap();
        assert!(expression.uses("item"));
        assert_eq!(expression.offset_of("item.size"), 4);
    }

    #[test]
    fn filters_and_tests() {
        let text = "{{ a | one }}{% if b is two %}{{ c | three | four(d | five) }}{% endif %}{% filter six %}x{% endfilter %}";
        let operators = syntax(text).operators();
        let mut names: Vec<(&str, bool)> =
            operators.iter().map(|own| (own.name.as_str(), own.test)).collect();
        names.sort_unstable();
        let expected = [
            ("five", false),
            ("four", false),
            ("one", false),
            ("six", false),
            ("three", false),
            ("two", true),
        ];
        assert_eq!(names, expected);
        let one = operators.iter().find(|own| own.name == "one").unwrap();
        assert!(text[one.offset..].starts_with("one"), "{}", one.offset);
    }

    /// This is what an update of minijinja may break: its tree is no part of what it promises.
    #[test]
    fn everything_that_brings_in_another_template() {
        let text = "{% extends 'a' %}{% block x %}{% include 'b' %}{% if y %}{% include ['c', 'd'] %}{% endif %}\
                    {% import 'e' as e %}{% from 'f' import f %}{% include y %}{# {% include 'g' %} #}{% endblock %}";
        let includes = syntax(text).includes();
        let paths: Vec<Option<&str>> = includes.iter().map(|include| include.path.as_deref()).collect();
        assert_eq!(paths, [Some("a"), Some("b"), Some("c"), Some("d"), Some("e"), Some("f"), None]);
        assert_eq!(includes[1].offset, text.find("'b'").unwrap());
    }
}
