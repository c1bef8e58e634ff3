//! YAML as a tree in which every node knows where it was written.
//!
//! Aliases and merge keys are resolved, within a budget. Scalars keep their text: nothing here turns `3.10`
//! into a number. What a key means is not known here.

mod build;
mod hint;
pub(crate) mod number;

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::ScalarStyle;

pub(crate) use build::read;

use crate::source::Span;

/// A document.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Its root.
    pub(crate) root: Node,
    /// The anchors that are used, in the order of their places.
    anchors: Vec<Anchor>,
    /// The keys that stand several times in one mapping.
    pub(crate) repeated: Repeated,
}

/// The keys that stand several times in one mapping, which was reported.
#[derive(Debug, Default)]
pub(crate) struct Repeated {
    /// How often the most frequent one stands in its mapping; 0 where there is none.
    pub(crate) most: usize,
    /// Whether one of them gives names to what other parts of the config name: which of the names are meant
    /// is then unclear.
    pub(crate) names: bool,
}

impl Repeated {
    /// Takes a key that stood in its mapping so often.
    fn add(&mut self, key: &str, count: usize) {
        self.most = self.most.max(count);
        self.names |= matches!(key, "jobs" | "name" | "commands" | "orbs");
    }
}

/// An anchor with aliases, by offsets.
#[derive(Debug)]
struct Anchor {
    /// Where it stands.
    at: usize,
    /// Its first alias.
    first: usize,
    /// Its last alias.
    last: usize,
}

impl Tree {
    /// From where anchors are defined, and where aliases are used: the parser's id and the offset of each.
    fn new(root: Node, anchors: &[(usize, usize)], aliases: &[(usize, usize)], repeated: Repeated) -> Self {
        let mut used: HashMap<usize, (usize, usize)> = HashMap::new();
        for (id, offset) in aliases {
            let (first, last) = used.entry(*id).or_insert((*offset, *offset));
            *first = (*first).min(*offset);
            *last = (*last).max(*offset);
        }
        let anchors = anchors.iter().filter_map(|(id, at)| {
            let (first, last) = *used.get(id)?;
            Some(Anchor { at: *at, first, last })
        });
        let mut anchors: Vec<Anchor> = anchors.collect();
        anchors.sort_by_key(|anchor| anchor.at);
        Self {
            root,
            anchors,
            repeated,
        }
    }

    /// Whether something between two offsets is anchored there and used elsewhere.
    pub(crate) fn is_stash(&self, start: usize, end: usize) -> bool {
        let from = self.anchors.partition_point(|anchor| anchor.at < start);
        self.anchors
            .iter()
            .skip(from)
            .take_while(|anchor| anchor.at < end)
            .any(|anchor| anchor.first < start || anchor.last >= end)
    }
}

/// One value.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Where it stands; for an alias where the alias stands.
    pub(crate) span: Span,
    /// For an alias: where the anchor stands.
    pub(crate) defined: Option<Span>,
    /// Its tag, where it has one.
    pub(crate) tag: Option<Rc<str>>,
    /// What it is.
    pub(crate) kind: Kind,
    /// How much there is of it.
    pub(crate) weight: Weight,
    /// How many levels it has.
    height: usize,
}

/// What a node is. Contents are shared, so that an alias costs nothing.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Text.
    Scalar(Rc<Scalar>),
    /// A list.
    Sequence(Rc<Vec<Node>>),
    /// A mapping, with merged entries after its own.
    Mapping(Rc<Vec<Entry>>),
}

/// Text.
#[derive(Debug)]
pub(crate) struct Scalar {
    /// As written, unquoted and unfolded.
    pub(crate) text: String,
    /// How it was written.
    pub(crate) style: ScalarStyle,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The key's text.
    pub(crate) key: Rc<str>,
    /// Where the key stands.
    pub(crate) key_span: Span,
    /// The value.
    pub(crate) value: Node,
}

/// How much there is of something, with aliases counted as often as they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Weight {
    /// Nodes.
    pub(crate) nodes: u64,
    /// Bytes of text.
    pub(crate) bytes: u64,
}

impl Weight {
    /// The most that a config may expand to.
    pub(crate) const MOST: Self = Self {
        nodes: 400_000,
        bytes: 10 << 20,
    };

    /// Both together.
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            nodes: self.nodes.saturating_add(other.nodes),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// Whether it is more than a config may be.
    pub(crate) const fn is_too_much(self) -> bool {
        self.nodes > Self::MOST.nodes || self.bytes > Self::MOST.bytes
    }
}

impl Node {
    /// Its text, where it is a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// Whether nothing is written there.
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar)
            if scalar.text.is_empty() && scalar.style == ScalarStyle::Plain && self.tag.is_none())
    }

    /// Its plain text, where it is a scalar without quotes and tag: text that a YAML loader would interpret.
    pub(crate) fn plain(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(scalar) if scalar.style == ScalarStyle::Plain && self.tag.is_none() => {
                Some(&scalar.text)
            }
            _ => None,
        }
    }

    /// What it is, for people.
    pub(crate) fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(_) if self.is_nothing() => "empty",
            Kind::Scalar(_) => "text",
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a mapping",
        }
    }
}
