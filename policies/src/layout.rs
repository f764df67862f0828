//! The canonical layout of a policy file: what `pointsman fmt` writes.
//!
//! Two spaces a level, list items inside their key, the keys of a route in one order, one blank line between routes and
//! between tests that take several lines, no space at the end of a line. Works on lines, so whatever it does not know
//! stays as it was written, comments and flow collections included.
//!
//! It is sure by being checked: the result has to read as the same tree, with every comment, and be its own layout; else
//! the text is left alone and the reason said. Knows the keys of a route and nothing of what they mean.

use std::{fmt, ops::Range};

use crate::yaml::{self, Node, Value};

/// The order of the keys of a route.
const KEYS: [&str; 13] = [
    "name",
    "match",
    "suffixes",
    "require",
    "leave_out",
    "prefer",
    "split",
    "candidates",
    "shadow",
    "attempts",
    "on_none",
    "reuse",
    "tests",
];
/// The lists whose items stand apart.
const LISTS: [&str; 2] = ["routes", "tests"];

/// Why a text is left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// It is not YAML; the check of the file says where.
    NotYaml {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// It is written in a way that has no layout here.
    Unusual {
        /// The line, from 1.
        line: usize,
        /// What it has.
        what: &'static str,
    },
    /// The result would not say the same.
    Unsafe,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYaml { line, message } => write!(f, "line {line} is not YAML: {message}"),
            Self::Unusual { line, what } => write!(f, "line {line} has {what}, which has no canonical layout"),
            Self::Unsafe => f.write_str("its layout cannot be changed without changing what it says"),
        }
    }
}

impl std::error::Error for LayoutError {}

/// The text in its canonical layout.
///
/// # Errors
/// The text cannot be laid out, or not for certain; it is to be left as it is.
pub fn layout(text: &str) -> Result<String, LayoutError> {
    let tree = read(text)?;
    let laid_out = lay_out(text, &tree)?;
    let again = yaml::parse(&laid_out).map_err(|_| LayoutError::Unsafe)?;
    let (mut before, mut after) = (yaml::comments(text), yaml::comments(&laid_out));
    before.sort_unstable();
    after.sort_unstable();
    if !alike(&tree, &again) || before != after || lay_out(&laid_out, &again)? != laid_out {
        return Err(LayoutError::Unsafe);
    }
    Ok(laid_out)
}

fn read(text: &str) -> Result<Node, LayoutError> {
    yaml::parse(text).map_err(|broken| {
        let line = line_of(text, broken.at.start);
        LayoutError::NotYaml { line, message: broken.message }
    })
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Whether two trees say the same; the order of keys says nothing.
fn alike(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::Scalar { text: a, quoted: x }, Value::Scalar { text: b, quoted: y }) => a == b && x == y,
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.iter().any(|(k, v)| alike(key, k) && alike(value, v)))
        }
        _ => false,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Blank,
    Comment,
    /// A key, a list item, or both.
    Structure,
    /// A line within a flow collection that began above.
    Flow,
}

#[derive(Clone, Debug)]
struct Line<'t> {
    kind: Kind,
    /// Whether it begins a list item. `indent` is then that of the dash, and `text` what follows.
    dash: bool,
    indent: usize,
    text: &'t str,
}

fn lay_out(text: &str, tree: &Node) -> Result<String, LayoutError> {
    let mut lines = indented(text, tree)?;
    order_keys(&mut lines);
    space(&mut lines);
    let mut laid_out = String::with_capacity(text.len());
    for line in &lines {
        if line.kind != Kind::Blank {
            laid_out.extend(std::iter::repeat_n(' ', line.indent));
            if line.dash {
                laid_out.push_str(if line.text.is_empty() { "-" } else { "- " });
            }
            laid_out.push_str(line.text);
        }
        laid_out.push('\n');
    }
    Ok(laid_out)
}

/// A column of the text, and the one that it becomes.
struct Level {
    old: usize,
    new: usize,
    dash: bool,
}

/// The lines, each at its new column.
fn indented<'t>(text: &'t str, tree: &Node) -> Result<Vec<Line<'t>>, LayoutError> {
    let mut flows = Vec::new();
    flow_collections(tree, text, &mut flows)?;
    let mut lines: Vec<Line<'t>> = Vec::new();
    let mut levels: Vec<Level> = Vec::new();
    // Comments wait for the line below them, which says where they belong.
    let mut waiting: Vec<(usize, usize)> = Vec::new();
    let mut shift: isize = 0;
    let mut start = 0;
    for (number, whole) in text.split('\n').enumerate() {
        let line = whole.trim_end();
        let old = line.len() - line.trim_start_matches(' ').len();
        let (at, content) = (start + old, &line[old..]);
        start += whole.len() + 1;
        let unusual = |what| Err(LayoutError::Unusual { line: number + 1, what });
        let kind = match content {
            "" => Kind::Blank,
            _ if flows.iter().any(|flow| flow.start < at && at < flow.end) => Kind::Flow,
            _ if content.starts_with('#') => Kind::Comment,
            "---" if old == 0 => {
                levels.clear();
                Kind::Structure
            }
            _ if content.starts_with("? ") => return unusual("a key of several lines"),
            _ if content.starts_with('%') || content == "..." => return unusual("a directive"),
            _ if content.starts_with(['\t', '\u{feff}']) => return unusual("a tab or a byte order mark"),
            _ => Kind::Structure,
        };
        let mut new = Line { kind, dash: false, indent: 0, text: content };
        match kind {
            Kind::Blank => {}
            Kind::Comment => waiting.push((lines.len(), old)),
            Kind::Flow => new.indent = (old as isize + shift).max(0) as usize,
            Kind::Structure if content == "---" => {}
            Kind::Structure => {
                new.dash = content == "-" || content.starts_with("- ");
                // Where they stood before this line may be where the comments above it belong.
                let known: Vec<(usize, usize)> = levels.iter().map(|level| (level.old, level.new)).collect();
                new.indent = column(&mut levels, old, new.dash);
                shift = new.indent as isize - old as isize;
                if new.dash {
                    new.text = content[1..].trim_start();
                    if new.text == "-" || new.text.starts_with("- ") {
                        return unusual("a list right within a list");
                    }
                    if !new.text.is_empty() && !new.text.starts_with('#') {
                        let inner = old + content.len() - new.text.len();
                        levels.push(Level { old: inner, new: new.indent + 2, dash: false });
                        shift = (new.indent + 2) as isize - inner as isize;
                    }
                }
                for (comment, column) in waiting.drain(..) {
                    let belongs = known.iter().rev().find(|(known, _)| column == *known && column != old);
                    lines[comment].indent = belongs.map_or(new.indent, |(_, new)| *new);
                }
            }
        }
        lines.push(new);
    }
    for (comment, column) in waiting {
        let belongs = levels.iter().rev().find(|level| column == level.old);
        lines[comment].indent = belongs.map_or(0, |level| level.new);
    }
    Ok(lines)
}

/// The new column of a line that begins at column `old`.
fn column(levels: &mut Vec<Level>, old: usize, dash: bool) -> usize {
    while levels.last().is_some_and(|top| top.old > old || top.old == old && top.dash && !dash) {
        levels.pop();
    }
    let new = match levels.last() {
        None => 0,
        Some(top) if top.old == old && top.dash == dash => return top.new,
        Some(top) => top.new + 2,
    };
    levels.push(Level { old, new, dash });
    new
}

/// The places of all flow collections. A text over several lines has no layout, since its line breaks are part of it.
fn flow_collections(node: &Node, text: &str, flows: &mut Vec<Range<usize>>) -> Result<(), LayoutError> {
    let written = text.get(node.at.clone()).unwrap_or_default();
    match &node.value {
        Value::Scalar { .. } if written.trim_end().contains('\n') => {
            return Err(LayoutError::Unusual { line: line_of(text, node.at.start), what: "a text of several lines" });
        }
        Value::Scalar { .. } => {}
        Value::List(_) | Value::Map(_) if written.starts_with(['[', '{']) => flows.push(node.at.clone()),
        Value::List(items) => {
            for item in items {
                flow_collections(item, text, flows)?;
            }
        }
        Value::Map(pairs) => {
            for (key, value) in pairs {
                flow_collections(key, text, flows)?;
                flow_collections(value, text, flows)?;
            }
        }
    }
    // Within a flow collection only its texts matter.
    let inner: Vec<&Node> = match &node.value {
        Value::List(items) if written.starts_with('[') => items.iter().collect(),
        Value::Map(pairs) if written.starts_with('{') => pairs.iter().flat_map(|(key, value)| [key, value]).collect(),
        _ => Vec::new(),
    };
    inner.into_iter().try_for_each(|node| flow_collections(node, text, flows))
}

/// The key at the top that a line begins, if it begins one.
fn top_key<'t>(line: &Line<'t>) -> Option<&'t str> {
    (line.kind == Kind::Structure && line.indent == 0 && !line.dash).then(|| key(line.text))
}

fn key(text: &str) -> &str {
    text.split(':').next().unwrap_or_default().trim_matches(['"', '\''])
}

/// The items of the lists at the top that are called `names`: from the line of the dash to the last that is theirs.
fn items(lines: &[Line<'_>], names: &[&str]) -> Vec<Range<usize>> {
    let mut items: Vec<Range<usize>> = Vec::new();
    let mut inside = false;
    let mut open = false;
    for (at, line) in lines.iter().enumerate() {
        if let Some(key) = top_key(line) {
            (inside, open) = (names.contains(&key), false);
        } else if inside && line.kind == Kind::Structure && line.dash && line.indent == 2 {
            items.push(at..at + 1);
            open = true;
        } else if let (true, Kind::Structure | Kind::Flow, Some(item)) = (open, line.kind, items.last_mut()) {
            item.end = at + 1;
        }
    }
    items
}

/// Puts the keys of each route in their order.
fn order_keys(lines: &mut Vec<Line<'_>>) {
    // From the last to the first, so that the places of those before stay true.
    for item in items(lines, &["routes"]).into_iter().rev() {
        let first = &lines[item.start];
        if first.text.is_empty() || first.text.starts_with(['{', '[', '#']) {
            continue;
        }
        let column = first.indent + 2;
        let mut blocks: Vec<Block<'_>> = Vec::new();
        let mut above = Vec::new();
        for line in lines[item.clone()].iter().cloned() {
            let begins =
                line.kind == Kind::Structure && (line.dash && line.indent + 2 == column || line.indent == column);
            match line.kind {
                Kind::Structure if begins && !(line.dash && line.indent == column) => {
                    let line = Line { dash: false, indent: column, ..line };
                    blocks.push(Block { above: std::mem::take(&mut above), lines: vec![line] });
                }
                Kind::Blank => above.push(line),
                Kind::Comment if line.indent <= column => above.push(line),
                // A comment further in is about what is above it.
                Kind::Comment | Kind::Structure | Kind::Flow => {
                    if let Some(block) = blocks.last_mut() {
                        block.lines.append(&mut above);
                        block.lines.push(line);
                    }
                }
            }
        }
        let rank = |block: &Block<'_>| {
            let name = key(block.lines[0].text);
            KEYS.iter().position(|key| *key == name).unwrap_or(KEYS.len())
        };
        if blocks.is_sorted_by_key(rank) {
            continue;
        }
        blocks.sort_by_key(rank);
        let mut ordered = Vec::new();
        for (at, Block { mut above, lines: mut block }) in blocks.into_iter().enumerate() {
            if at == 0 {
                // What is above the first key stands above the item.
                above.retain(|line| line.kind == Kind::Comment);
                above.iter_mut().for_each(|line| line.indent = column - 2);
                block[0] = Line { dash: true, indent: column - 2, ..block[0].clone() };
            }
            ordered.append(&mut above);
            ordered.append(&mut block);
        }
        lines.splice(item, ordered);
    }
}

/// A key with what is below it, and the comments above it.
struct Block<'t> {
    above: Vec<Line<'t>>,
    lines: Vec<Line<'t>>,
}

/// One blank line where there are several, one between items of several lines, none at either end.
fn space(lines: &mut Vec<Line<'_>>) {
    let blank = || Line { kind: Kind::Blank, dash: false, indent: 0, text: "" };
    let items = items(lines, &LISTS);
    for pair in items.windows(2).rev() {
        let (before, after) = (&pair[0], &pair[1]);
        let same_list = lines[before.end..after.start].iter().all(|line| line.kind != Kind::Structure);
        if !same_list || before.len() + after.len() == 2 {
            continue;
        }
        // The comments right above an item are its own.
        let own = lines[before.end..after.start].iter().rev().take_while(|line| line.kind == Kind::Comment).count();
        lines.insert(after.start - own, blank());
    }
    lines.dedup_by(|b, a| a.kind == Kind::Blank && b.kind == Kind::Blank);
    while lines.last().is_some_and(|line| line.kind == Kind::Blank) {
        lines.pop();
    }
    if lines.first().is_some_and(|line| line.kind == Kind::Blank) {
        lines.remove(0);
    }
}

#[cfg(test)]
mod tests;
