//! Builds the tree from the parser's events.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as Marks, StrInput, Tag};

use super::{Entry, Kind, Node, Repeated, Scalar, Tree, Weight, hint};
use crate::check::Checker;
use crate::diagnostic::{Code, Problem, quote};
use crate::source::{Source, Span};

/// The deepest nesting. It also bounds the recursion of whoever walks, or drops, a tree.
const DEEPEST: usize = 64;

/// The text is no tree, and why has been reported.
struct Hopeless;

/// Reads the text. None after an error that leaves no tree to go on with.
///
/// Of a key that stands several times in one mapping the tree has the one of this number, from 0, or the last:
/// so each can be looked into, one tree after the other.
pub(crate) fn read(occurrence: usize, checker: &mut Checker<'_>) -> Option<Tree> {
    let source = checker.source();
    let mut builder = Builder::new(source, occurrence);
    builder.run(checker).ok()?;
    let Some(root) = builder.root else {
        let problem = Problem::error(Code::Empty, source.start(), "the config is empty");
        checker.report(problem.suggest("a config has at least `jobs:` with one job and its `steps:`"));
        return None;
    };
    Some(Tree::new(
        root,
        &builder.anchored,
        &builder.aliases,
        builder.repeated,
    ))
}

/// A list or mapping whose end has not come yet.
struct Frame {
    span: Span,
    tag: Option<Rc<str>>,
    anchor: usize,
    weight: Weight,
    height: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping(Pairs),
}

#[derive(Default)]
struct Pairs {
    entries: Vec<Entry>,
    index: HashMap<Rc<str>, Place>,
    key: Option<Key>,
    merges: Vec<(Span, Node)>,
}

/// Where a mapping has a key.
struct Place {
    /// The number of its entry.
    entry: usize,
    /// Where the key stands for the first time.
    first: Span,
    /// How often it has come.
    count: usize,
}

enum Key {
    /// An ordinary one.
    Text(Rc<str>, Span),
    /// `<<`.
    Merge(Span),
    /// Something that cannot be a key, and was reported.
    Wrong,
}

struct Builder<'s> {
    source: &'s Source,
    parser: Parser<'s, StrInput<'s>>,
    frames: Vec<Frame>,
    root: Option<Node>,
    documents: usize,
    nodes: HashMap<usize, Node>,
    anchored: Vec<(usize, usize)>,
    aliases: Vec<(usize, usize)>,
    spent: Weight,
    /// Which of the entries of one key is kept.
    occurrence: usize,
    repeated: Repeated,
}

impl<'s> Builder<'s> {
    fn new(source: &'s Source, occurrence: usize) -> Self {
        Self {
            source,
            parser: Parser::new_from_str(source.text()),
            frames: Vec::new(),
            root: None,
            documents: 0,
            nodes: HashMap::new(),
            anchored: Vec::new(),
            aliases: Vec::new(),
            spent: Weight::default(),
            occurrence,
            repeated: Repeated::default(),
        }
    }

    fn run(&mut self, checker: &mut Checker<'_>) -> Result<(), Hopeless> {
        while let Some(event) = self.parser.next_event() {
            let (event, marks) = match event {
                Ok(event) => event,
                Err(error) => {
                    let at = self.source.position_of_character(error.marker().index());
                    checker.report(hint::of_parser(error.info(), at, self.source));
                    return Err(Hopeless);
                }
            };
            let span = self.span(marks);
            match event {
                Event::DocumentStart(_) => self.documents += 1,
                Event::Alias(id) => self.alias(id, span, checker)?,
                Event::Scalar(text, style, anchor, tag) => {
                    let tag = self.tag(tag.as_deref(), span, checker);
                    let weight = Weight {
                        nodes: 1,
                        bytes: u64::try_from(text.len()).unwrap_or(u64::MAX),
                    };
                    let text = text.into_owned();
                    let kind = Kind::Scalar(Rc::new(Scalar { text, style }));
                    self.spend(weight, span, checker)?;
                    let node = Node {
                        span,
                        defined: None,
                        tag,
                        kind,
                        weight,
                        height: 1,
                    };
                    self.finished(node, anchor, checker)?;
                }
                Event::SequenceStart(anchor, tag) => {
                    let tag = self.tag(tag.as_deref(), span, checker);
                    self.open(span, anchor, tag, Content::Sequence(Vec::new()), checker)?;
                }
                Event::MappingStart(anchor, tag) => {
                    let tag = self.tag(tag.as_deref(), span, checker);
                    self.open(span, anchor, tag, Content::Mapping(Pairs::default()), checker)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(span, checker)?,
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        Ok(())
    }

    fn span(&self, marks: Marks) -> Span {
        let start = self.source.position_of_character(marks.start.index());
        let end = self.source.position_of_character(marks.end.index());
        Span {
            start,
            end: end.max(start),
        }
    }

    /// A tag's text. Only YAML's own are known: to ignore another would be to guess what it does.
    fn tag(&self, tag: Option<&Tag>, span: Span, checker: &mut Checker<'_>) -> Option<Rc<str>> {
        const KNOWN: &[&str] = &["str", "int", "float", "bool", "null", "seq", "map", "merge"];
        let tag = tag?;
        let text = format!("{}{}", tag.handle, tag.suffix);
        let known = text == "!"
            || text
                .strip_prefix("tag:yaml.org,2002:")
                .is_some_and(|name| KNOWN.contains(&name));
        if !known {
            let message = format!("the tag {} is not supported", quote(&text));
            checker.report(Problem::error(Code::NotSupported, span, message));
        }
        Some(text.into())
    }

    /// Takes something out of the budget.
    fn spend(&mut self, weight: Weight, span: Span, checker: &mut Checker<'_>) -> Result<(), Hopeless> {
        self.spent = self.spent.plus(weight);
        if self.spent.is_too_much() {
            let most = Weight::MOST;
            let message = format!(
                "the config expands to too much here: at most {} values and {} MiB of text",
                most.nodes,
                most.bytes >> 20
            );
            checker.report(
                Problem::error(Code::TooLarge, span, message).suggest("use fewer aliases inside of anchors"),
            );
            return Err(Hopeless);
        }
        Ok(())
    }

    fn deep(&self, span: Span, height: usize, checker: &mut Checker<'_>) -> Result<(), Hopeless> {
        if self.frames.len() + height > DEEPEST {
            let message =
                format!("lists and mappings may lie {DEEPEST} levels deep in each other, no deeper");
            checker.report(Problem::error(Code::TooDeep, span, message));
            return Err(Hopeless);
        }
        Ok(())
    }

    fn open(
        &mut self,
        span: Span,
        anchor: usize,
        tag: Option<Rc<str>>,
        content: Content,
        checker: &mut Checker<'_>,
    ) -> Result<(), Hopeless> {
        self.deep(span, 1, checker)?;
        let own = Weight { nodes: 1, bytes: 0 };
        self.spend(own, span, checker)?;
        self.frames.push(Frame {
            span,
            tag,
            anchor,
            weight: own,
            height: 1,
            content,
        });
        Ok(())
    }

    fn close(&mut self, end: Span, checker: &mut Checker<'_>) -> Result<(), Hopeless> {
        let Some(mut frame) = self.frames.pop() else {
            return Ok(());
        };
        let kind = match frame.content {
            Content::Sequence(items) => Kind::Sequence(Rc::new(items)),
            Content::Mapping(mut pairs) => {
                let merged = merge(&mut pairs, checker);
                self.spend(merged, frame.span, checker)?;
                frame.weight = frame.weight.plus(merged);
                Kind::Mapping(Rc::new(pairs.entries))
            }
        };
        let node = Node {
            // A block's end event stands before the next token; its own end is the last thing in it.
            span: frame.span.until(end.end.max(frame.span.start)),
            defined: None,
            tag: frame.tag,
            kind,
            weight: frame.weight,
            height: frame.height,
        };
        self.finished(node, frame.anchor, checker)
    }

    fn alias(&mut self, id: usize, span: Span, checker: &mut Checker<'_>) -> Result<(), Hopeless> {
        let Some(target) = self.nodes.get(&id) else {
            // The parser refuses unknown names, so the anchor is one whose end has not come yet.
            let name = quote(self.source.slice(span));
            let message = format!("the alias {name} stands inside of what it names");
            let problem = Problem::error(Code::TooLarge, span, message);
            checker.report(problem.suggest("remove it, or let it name an anchor that ends above it"));
            return Err(Hopeless);
        };
        let node = Node {
            span,
            defined: Some(target.defined.unwrap_or(target.span)),
            ..target.clone()
        };
        self.aliases.push((id, span.start.offset));
        self.spend(node.weight, span, checker)?;
        self.deep(span, node.height, checker)?;
        self.finished(node, 0, checker)
    }

    /// A node is complete: it goes where it belongs.
    fn finished(&mut self, node: Node, anchor: usize, checker: &mut Checker<'_>) -> Result<(), Hopeless> {
        if anchor != 0 {
            self.anchored.push((anchor, node.span.start.offset));
            self.nodes.insert(anchor, node.clone());
        }
        let Some(frame) = self.frames.last_mut() else {
            return self.document(node, checker);
        };
        frame.weight = frame.weight.plus(node.weight);
        frame.height = frame.height.max(node.height + 1);
        match &mut frame.content {
            Content::Sequence(items) => items.push(node),
            Content::Mapping(pairs) => match pairs.key.take() {
                None => pairs.key = Some(key(&node, checker)),
                Some(Key::Wrong) => {}
                Some(Key::Merge(span)) => pairs.merges.push((span, node)),
                Some(Key::Text(key, key_span)) => {
                    let entry = Entry {
                        key,
                        key_span,
                        value: node,
                    };
                    pairs.add(entry, self.occurrence, &mut self.repeated, checker);
                }
            },
        }
        Ok(())
    }

    fn document(&mut self, node: Node, checker: &mut Checker<'_>) -> Result<(), Hopeless> {
        if self.documents <= 1 {
            self.root = Some(node);
            return Ok(());
        }
        // `---` at the end of a file opens a document in which nothing is.
        if node.is_nothing() {
            return Ok(());
        }
        let message = "a second YAML document starts here; a config is one document";
        let problem = Problem::error(Code::SeveralDocuments, node.span, message);
        checker
            .report(problem.suggest("remove the `---` above it, or move what follows to a file of its own"));
        Err(Hopeless)
    }
}

impl Pairs {
    fn add(
        &mut self,
        mut entry: Entry,
        occurrence: usize,
        repeated: &mut Repeated,
        checker: &mut Checker<'_>,
    ) {
        let Entry { key, key_span, value } = &mut entry;
        if value.is_nothing() && value.span.start == value.span.end {
            // Nothing can be marked there, so the key is.
            value.span = *key_span;
        }
        if let Some(place) = self.index.get_mut(key) {
            let first = place.first;
            let message = format!(
                "the key {} stands twice in one mapping; the first is at {}:{}",
                quote(key),
                first.start.line,
                first.start.column
            );
            checker.report(
                Problem::error(Code::DuplicateKey, *key_span, message)
                    .suggest("remove one of them, or rename it")
                    .related(first, "the first"),
            );
            place.count += 1;
            repeated.add(key, place.count);
            if place.count <= occurrence + 1 {
                self.entries[place.entry] = entry;
            }
            return;
        }
        let place = Place {
            entry: self.entries.len(),
            first: *key_span,
            count: 1,
        };
        self.index.insert(Rc::clone(key), place);
        self.entries.push(entry);
    }
}

fn key(node: &Node, checker: &mut Checker<'_>) -> Key {
    match &node.kind {
        Kind::Scalar(scalar) if scalar.text == "<<" && scalar.style == ScalarStyle::Plain => {
            Key::Merge(node.span)
        }
        Kind::Scalar(scalar) => Key::Text(scalar.text.as_str().into(), node.span),
        Kind::Sequence(_) | Kind::Mapping(_) => {
            let message = format!("a key must be text, but this is {}", node.what());
            let problem = Problem::error(Code::WrongType, node.span, message);
            checker.report(problem.suggest("put quotes around text that starts with `{` or `[`"));
            Key::Wrong
        }
    }
}

/// Adds what the merge keys name. A mapping's own keys win, then the earlier of two merges. Tells how much
/// came in.
fn merge(pairs: &mut Pairs, checker: &mut Checker<'_>) -> Weight {
    let mut added = Weight::default();
    for (span, value) in std::mem::take(&mut pairs.merges) {
        let sources: &[Node] = match &value.kind {
            Kind::Sequence(items) => items,
            Kind::Mapping(_) | Kind::Scalar(_) => std::slice::from_ref(&value),
        };
        for source in sources {
            let Kind::Mapping(entries) = &source.kind else {
                let message = format!(
                    "`<<` merges a mapping, or a list of mappings; this is {}",
                    source.what()
                );
                let at = if source.is_nothing() { span } else { source.span };
                let problem = Problem::error(Code::BadMerge, at, message);
                checker.report(problem.suggest("write `<<: *name`, where `&name` marks a mapping"));
                continue;
            };
            for entry in entries.iter() {
                if pairs.index.contains_key(&entry.key) {
                    continue;
                }
                let place = Place {
                    entry: pairs.entries.len(),
                    first: entry.key_span,
                    count: 1,
                };
                pairs.index.insert(Rc::clone(&entry.key), place);
                added = added.plus(entry.value.weight);
                pairs.entries.push(entry.clone());
            }
        }
    }
    added
}
