//! From parser events to the tree, with limits on what a file may make us do.

use std::collections::HashMap;

use granit_parser::{Event, Options, Parser, ScalarStyle, StructureStyle, Tag};
use indexmap::IndexMap;

use super::{
    Entry, MAX_BYTES, Node, Problem, Span, Value, scalar,
    syntax::{self, first_line},
};

/// The most values a document may have once aliases are expanded: enough for some thousands of hosts, and
/// little enough that a few lines of nested aliases cannot fill the memory.
const MAX_NODES: usize = 200_000;
/// The most levels of nesting, which also bounds every recursion over the tree.
const MAX_DEPTH: usize = 64;

/// The tree of the one document in `text`; `None` after a mistake that makes the rest unreadable.
pub(super) fn tree(text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    let mut builder =
        Builder { text, problems, open: Vec::new(), anchors: HashMap::new(), nodes: 0, root: None };
    match builder.run() {
        Ok(root) => Some(root),
        Err(fatal) => {
            problems.push(*fatal);
            None
        }
    }
}

/// A mistake after which reading on makes no sense.
type Fatal = Box<Problem>;

struct Builder<'a> {
    text: &'a str,
    problems: &'a mut Vec<Problem>,
    /// Collections that have begun and not ended.
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
}

struct Open {
    content: Content,
    span: Span,
    anchor: usize,
}

enum Content {
    List(Vec<Node>),
    Map { entries: IndexMap<String, Entry>, key: Option<Key> },
}

/// A key that waits for its value.
struct Key {
    /// `None` when it has been reported and its value is to be dropped.
    name: Option<String>,
    span: Span,
}

impl Builder<'_> {
    fn run(&mut self) -> Result<Node, Fatal> {
        if self.text.len() > MAX_BYTES {
            return Err(Problem::new(Span::from(0), format!("larger than {} MiB", MAX_BYTES / 1024 / 1024))
                .help("a file that people write is a few kilobytes: is this the right one?")
                .into());
        }
        let mut options = Options::default();
        options.set_emit_comments(false);
        options.flow_nesting_limit = MAX_DEPTH;
        options.block_nesting_limit = MAX_DEPTH;
        for next in Parser::new_from_str_with_options(self.text, options) {
            let (event, place) = next.map_err(|error| syntax::problem(self.text, &error))?;
            let start = place.start.byte_offset().unwrap_or(0);
            let end = place.end.byte_offset().unwrap_or(start).max(start);
            self.take(event, Span::from((start, end - start)))?;
        }
        self.root.take().ok_or_else(|| {
            Problem::new(Span::from(0), "the file is empty")
                .label("nothing but white space and comments")
                .help("start from one of the samples, or from the reference of this kind of file")
                .into()
        })
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fatal> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => Err(Problem::new(
                span,
                "several documents in one file",
            )
            .label("a second document starts here")
            .help("keep one document a file; remove the `---` or move what follows into a file of its own")
            .into()),
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(&text, style, tag.as_deref(), span);
                self.finish(node, anchor)
            }
            Event::Alias(target) => {
                let node = self.expand(target, span)?;
                self.count(node.measure().0, span)?;
                self.place(node);
                Ok(())
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.begin(Content::List(Vec::new()), style, anchor, tag.as_deref(), span)
            }
            Event::MappingStart(style, anchor, tag) => {
                let content = Content::Map { entries: IndexMap::new(), key: None };
                self.begin(content, style, anchor, tag.as_deref(), span)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => {
                    let node = self.close(open.content, open.span, span);
                    self.finish(node, open.anchor)
                }
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn begin(
        &mut self,
        content: Content,
        style: StructureStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Fatal> {
        if self.open.len() >= MAX_DEPTH {
            return Err(syntax::too_deep(span).into());
        }
        if tag.is_some_and(|tag| !tag.is_yaml_core_schema()) {
            self.problems.push(unknown_tag(span));
        }
        let span = match (style, self.waiting_key()) {
            (StructureStyle::Block, Some(key)) => key,
            (StructureStyle::Block, None) => first_line(self.text, span.offset(), self.text.len()),
            (StructureStyle::Flow, _) => span,
        };
        self.open.push(Open { content, span, anchor });
        Ok(())
    }

    fn close(&mut self, content: Content, start: Span, end: Span) -> Node {
        let is_flow = !end.is_empty();
        let span = match is_flow {
            true => first_line(self.text, start.offset(), end.offset() + end.len()),
            false => start,
        };
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map { entries, .. } => Value::Map(entries),
        };
        Node { value, span, plain: false }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Node {
        let plain = style == ScalarStyle::Plain;
        let node_span = match self.waiting_key() {
            Some(key) if span.is_empty() => key,
            _ => first_line(self.text, span.offset(), span.offset() + span.len()),
        };
        let value = match tag {
            Some(tag) if tag.is_yaml_core_schema_tag("str") => Value::String(text.to_owned()),
            Some(_) => {
                self.problems.push(unknown_tag(node_span));
                Value::Invalid
            }
            None if !plain => Value::String(text.to_owned()),
            None => scalar::resolve(text).unwrap_or_else(|| {
                self.problems.push(
                    Problem::new(node_span, format!("`{text}` means different numbers to different readers"))
                        .label("a number with leading zeros")
                        .help(format!(
                            "put it in quotes to keep it as it is: \"{text}\"; as an octal number write 0o{}",
                            text.trim_start_matches(['+', '-', '0'])
                        )),
                );
                Value::Invalid
            }),
        };
        Node { value, span: node_span, plain }
    }

    /// A copy of what an alias stands for.
    fn expand(&self, target: usize, span: Span) -> Result<Node, Fatal> {
        let node = self.anchors.get(&target).ok_or_else(|| {
            Problem::new(span, "an alias inside of what it stands for")
                .label("this would never end")
                .help("repeat the part that is meant instead of using an alias")
        })?;
        let (nodes, levels) = node.measure();
        if self.open.len() + levels > MAX_DEPTH {
            return Err(syntax::too_deep(span).into());
        }
        if self.nodes + nodes > MAX_NODES {
            return Err(too_many(span).into());
        }
        Ok(node.clone())
    }

    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), Fatal> {
        self.count(1, node.span)?;
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.place(node);
        Ok(())
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Fatal> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES { Err(too_many(span).into()) } else { Ok(()) }
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Node) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, key } => match key.take() {
                None => *key = Some(as_key(node, self.text, self.problems)),
                Some(Key { name: None, .. }) => {}
                Some(Key { name: Some(name), span }) => match entries.get(&name) {
                    Some(first) => self.problems.push(
                        Problem::new(span, format!("the key `{name}` appears twice"))
                            .label("again here")
                            .also(first.key_span, "first here")
                            .help("keep one of them; YAML readers disagree about which one counts"),
                    ),
                    None => {
                        entries.insert(name, Entry { key_span: span, node });
                    }
                },
            },
        }
    }

    fn waiting_key(&self) -> Option<Span> {
        match &self.open.last()?.content {
            Content::Map { key: Some(key), .. } => Some(key.span),
            _ => None,
        }
    }
}

/// Takes a node as a key: strings only, and no merge keys.
fn as_key(node: Node, text: &str, problems: &mut Vec<Problem>) -> Key {
    let span = node.span;
    let problem = match node.value {
        Value::String(name) if name == "<<" && node.plain => {
            Problem::new(span, "merge keys are not supported")
                .label("`<<` is no part of YAML 1.2")
                .help("write the keys out, or use an alias for a whole value: `labels: *common`")
        }
        Value::String(name) => return Key { name: Some(name), span },
        Value::Invalid => return Key { name: None, span },
        Value::List(_) | Value::Map(_) => Problem::new(span, format!("{} used as a key", node.kind()))
            .help("a key is a string; a template such as {{ name }} must be in quotes"),
        _ => Problem::new(span, format!("{} used as a key", node.kind())).help(format!(
            "a key is a string: put it in quotes: \"{}\"",
            text.get(span.offset()..span.offset() + span.len()).unwrap_or_default()
        )),
    };
    problems.push(problem);
    Key { name: None, span }
}

/// The title of the problem of a value with a tag, which is then [`Value::Invalid`].
pub const TAGS: &str = "tags are not supported";

fn unknown_tag(span: Span) -> Problem {
    Problem::new(span, TAGS)
        .label("this value has a tag")
        .help("remove the word that starts with `!`; to make a string of something, put it in quotes")
}

fn too_many(span: Span) -> Problem {
    Problem::new(span, format!("more than {MAX_NODES} values"))
        .label("the limit is reached here")
        .help("aliases count as often as they are used: is there one inside another?")
}
