//! YAML text to a tree in which every node knows its bytes.
//!
//! Scalars keep their text as written: whether `429` or `no` is a number, a word or a truth value is for the
//! reader of that key to say, so nothing is lost to YAML's guesses. Bounded in size, depth and number of nodes, also
//! after aliases are expanded, so a YAML bomb is an error and not a hang. Knows nothing of policies.

use std::{collections::HashMap, ops::Range};

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle};

/// The largest file that is read.
pub(crate) const MAX_BYTES: usize = 4 << 20;
/// The most nodes of a file, aliases expanded.
pub(crate) const MAX_NODES: usize = 500_000;
/// The deepest nesting; the policy language needs seven levels.
pub(crate) const MAX_DEPTH: usize = 32;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Range<usize>,
    pub(crate) value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// `quoted` text is never a number, a truth value or nothing.
    Scalar {
        text: String,
        quoted: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// Why a text has no tree.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) limit: bool,
    pub(crate) at: Range<usize>,
    pub(crate) message: String,
}

impl Node {
    /// Whether nothing was written: an absent value, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, quoted: false } if matches!(text.as_str(), "" | "~" | "null"))
    }

    /// What kind of value it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Scalar { .. } => 0,
            Value::List(items) => items.iter().map(Node::size).sum(),
            Value::Map(entries) => entries.iter().map(|(k, v)| k.size() + v.size()).sum(),
        }
    }
}

/// Reads the one document of `text`; an empty text is a null node.
pub(crate) fn parse(text: &str) -> Result<Node, Broken> {
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len());
        return Err(Broken { limit: true, at: 0..0, message });
    }
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut tree = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| {
            let at = error.marker().byte_offset().unwrap_or(0);
            Broken {
                limit: matches!(error.kind(), ErrorKind::RecursionLimitExceeded),
                at: at..at + 1,
                message: error.info(),
            }
        })?;
        tree.take(event, span.byte_range().unwrap_or(0..0))?;
    }
    Ok(tree.root.unwrap_or(Node { at: 0..0, value: Value::Scalar { text: String::new(), quoted: false } }))
}

/// The comments of a text that has a tree, in their order.
pub(crate) fn comments(text: &str) -> Vec<String> {
    let options = granit_parser::options! {
        emit_comments: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let events = Parser::new_from_str_with_options(text, options).map_while(Result::ok);
    let comments = events.filter_map(|(event, _)| match event {
        Event::Comment(text, _) => Some(text.trim_end().to_owned()),
        _ => None,
    });
    comments.collect()
}

/// A collection whose end has not come yet.
struct Open {
    start: usize,
    anchor: usize,
    map: bool,
    /// Of a map: keys and values in turn.
    items: Vec<Node>,
}

#[derive(Default)]
struct Builder {
    root: Option<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Range<usize>) -> Result<(), Broken> {
        let tag = match &event {
            Event::Scalar(.., tag) | Event::SequenceStart(.., tag) | Event::MappingStart(.., tag) => tag.is_some(),
            _ => false,
        };
        if tag {
            return Err(Broken { limit: false, at, message: "tags such as `!name` are not read here".to_owned() });
        }
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let value = Value::Scalar { text: text.into_owned(), quoted: style != ScalarStyle::Plain };
                self.finished(Node { at, value }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => self.begin(at.start, anchor, false),
            Event::MappingStart(_, anchor, _) => self.begin(at.start, anchor, true),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { start, anchor, map, items }) = self.open.pop() else { return Ok(()) };
                let end = if at.end > start { at.end } else { items.last().map_or(start, |last| last.at.end) };
                let value = if map { Value::Map(pairs(items)) } else { Value::List(items) };
                self.finished(Node { at: start..end, value }, anchor)
            }
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id) else {
                    let message = "an alias inside the node that it names".to_owned();
                    return Err(Broken { limit: false, at, message });
                };
                self.nodes += node.size();
                self.check_size(&at)?;
                let node = node.clone();
                self.finished(node, 0)
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                let message = "a second document; a policy file holds one".to_owned();
                Err(Broken { limit: false, at, message })
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, start: usize, anchor: usize, map: bool) -> Result<(), Broken> {
        if self.open.len() >= MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(Broken { limit: true, at: start..start + 1, message });
        }
        self.open.push(Open { start, anchor, map, items: Vec::new() });
        Ok(())
    }

    fn finished(&mut self, node: Node, anchor: usize) -> Result<(), Broken> {
        self.nodes += 1;
        if anchor != 0 {
            self.nodes += node.size();
            self.check_size(&node.at)?;
            self.anchors.insert(anchor, node.clone());
        }
        self.check_size(&node.at)?;
        match self.open.last_mut() {
            Some(open) => open.items.push(node),
            None => self.root = Some(node),
        }
        Ok(())
    }

    fn check_size(&self, at: &Range<usize>) -> Result<(), Broken> {
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        let message = format!("more than {MAX_NODES} values, aliases expanded");
        Err(Broken { limit: true, at: at.clone(), message })
    }
}

fn pairs(items: Vec<Node>) -> Vec<(Node, Node)> {
    let mut items = items.into_iter();
    let mut pairs = Vec::with_capacity(items.len() / 2);
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        pairs.push((key, value));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_knows_its_bytes() {
        let text = "a: [one, \"two\"]\n";
        let Value::Map(entries) = parse(text).unwrap().value else { panic!("not a map") };
        assert_eq!(&text[entries[0].0.at.clone()], "a");
        let Value::List(items) = &entries[0].1.value else { panic!("not a list") };
        assert_eq!(&text[entries[0].1.at.clone()], "[one, \"two\"]");
        assert_eq!(items.iter().map(|i| &text[i.at.clone()]).collect::<Vec<_>>(), ["one", "\"two\""]);
    }

    #[test]
    fn an_alias_stands_for_the_node_it_names() {
        let text = "a: &x [1, 2]\nb: *x\n";
        let Value::Map(entries) = parse(text).unwrap().value else { panic!("not a map") };
        assert!(matches!(&entries[1].1.value, Value::List(items) if items.len() == 2));
    }

    #[test]
    fn an_alias_bomb_is_an_error_and_not_a_hang() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = level - 1;
            let row = vec![format!("*a{below}"); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{row}]\n"));
        }
        assert!(parse(&text).unwrap_err().limit);
    }

    #[test]
    fn deep_nesting_is_an_error() {
        assert!(parse(&"[".repeat(100_000)).unwrap_err().limit);
        assert!(parse(&(0..200).map(|n| format!("{}- \n", " ".repeat(n))).collect::<String>()).is_err());
    }

    #[test]
    fn a_file_over_the_limit_is_refused_unread() {
        assert!(parse(&" ".repeat(MAX_BYTES + 1)).unwrap_err().limit);
    }

    #[test]
    fn a_second_document_and_a_tag_are_refused() {
        assert!(parse("a: 1\n---\nb: 2\n").is_err());
        assert!(parse("a: !include other.yaml\n").is_err());
    }
}
