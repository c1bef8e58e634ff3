//! Many patterns at once: the automaton of Aho and Corasick. Each byte of output costs about one step, however
//! many secrets there are.
//!
//! States are numbered breadth first, so the shallow ones, where nearly all output is, come first: they have a
//! complete row in a table, as many of them as its bound allows. The deeper ones have their few edges only,
//! and fall back.

use std::ops::Range;

/// Where the automaton stands: the longest end of the input so far that starts a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State(u32);

impl State {
    pub(super) const START: Self = Self(0);
}

/// The most cells of the table: 1 MiB.
const CELLS: usize = 256 * 1024;

/// The automaton.
#[derive(Debug)]
pub(super) struct Automaton {
    /// The column of each byte in the table; 0 for bytes that are in no pattern.
    columns: [u16; 256],
    /// How many columns there are.
    width: usize,
    /// The next state by state and column, of the first states.
    table: Vec<u32>,
    /// How many states have a row.
    rows: u32,
    nodes: Vec<Node>,
}

/// A state's text is the start of at least one pattern.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// The last byte of its text.
    byte: u8,
    /// Its children are numbered one after the other, from here.
    first_child: u32,
    children: u16,
    /// The length of its text.
    depth: u16,
    /// The length of the longest pattern that ends here; 0 for none.
    length: u16,
    /// The state of the longest proper end of its text.
    fallback: u32,
}

impl Automaton {
    /// Knows these patterns; empty ones are left out, and longer ones than 65535 bytes cut.
    pub(super) fn new(patterns: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut patterns: Vec<Vec<u8>> = patterns.into_iter().filter(|one| !one.is_empty()).collect();
        for pattern in &mut patterns {
            pattern.truncate(usize::from(u16::MAX));
        }
        patterns.sort();
        patterns.dedup();
        let mut automaton = Self {
            columns: [0; 256],
            width: 1,
            table: Vec::new(),
            rows: 0,
            nodes: Vec::new(),
        };
        automaton.grow(&patterns);
        automaton.link();
        automaton.tabulate(&patterns);
        automaton
    }

    /// Makes the states: each stands for the patterns, neighbours in their order, that start with its text.
    fn grow(&mut self, patterns: &[Vec<u8>]) {
        let root = Node {
            byte: 0,
            first_child: 0,
            children: 0,
            depth: 0,
            length: 0,
            fallback: 0,
        };
        self.nodes.push(root);
        let mut spans = Vec::new();
        spans.push(0..patterns.len());
        let mut at = 0;
        while let (Some(node), Some(span)) = (self.nodes.get(at).copied(), spans.get(at).cloned()) {
            let depth = usize::from(node.depth);
            let first_child = number(self.nodes.len());
            let mut children = 0;
            let mut from = span.start;
            while let Some(pattern) = patterns.get(from).filter(|_| from < span.end) {
                let Some(&byte) = pattern.get(depth) else {
                    // The shortest comes first: the pattern that is this very text.
                    from += 1;
                    continue;
                };
                let rest = patterns.get(from..span.end).unwrap_or_default();
                let same = rest.partition_point(|other| other.get(depth) == Some(&byte));
                let is_whole = pattern.len() == depth + 1;
                self.nodes.push(Node {
                    byte,
                    depth: node.depth + 1,
                    length: if is_whole { node.depth + 1 } else { 0 },
                    ..root
                });
                spans.push(from..from + same);
                children += 1;
                from += same;
            }
            self.nodes[at].first_child = first_child;
            self.nodes[at].children = children;
            at += 1;
        }
    }

    /// Sets the fallbacks, shallow states first, so that those of shorter texts are known.
    fn link(&mut self) {
        for at in 0..self.nodes.len() {
            let node = self.nodes[at];
            for child in node.children() {
                let fallback = if at == 0 {
                    0
                } else {
                    self.search(node.fallback, self.nodes[child].byte)
                };
                let inherited = self.nodes[index(fallback)].length;
                let child = &mut self.nodes[child];
                child.fallback = fallback;
                child.length = child.length.max(inherited);
            }
        }
    }

    /// Fills the table. A row is its fallback's, which is an earlier one, but for the state's own children.
    fn tabulate(&mut self, patterns: &[Vec<u8>]) {
        for &byte in patterns.iter().flatten() {
            self.columns[usize::from(byte)] = 1;
        }
        let used = self.columns.iter_mut().filter(|column| **column > 0);
        for (column, place) in (1..).zip(used) {
            *place = column;
            self.width = usize::from(column) + 1;
        }
        let rows = self.nodes.len().min(CELLS / self.width).max(1);
        self.table = vec![0; rows * self.width];
        for at in 0..rows {
            let node = self.nodes[at];
            let row = at * self.width;
            let fallback = index(node.fallback) * self.width;
            if at > 0 {
                self.table.copy_within(fallback..fallback + self.width, row);
            }
            for child in node.children() {
                let column = self.columns[usize::from(self.nodes[child].byte)];
                self.table[row + usize::from(column)] = number(child);
            }
        }
        self.rows = number(rows);
    }

    /// The next state by the edges alone.
    fn search(&self, from: u32, byte: u8) -> u32 {
        let mut at = from;
        loop {
            let node = self.nodes[index(at)];
            if let Some(child) = node.children().find(|child| self.nodes[*child].byte == byte) {
                return number(child);
            }
            if at == 0 {
                return 0;
            }
            at = node.fallback;
        }
    }

    /// Takes a byte.
    #[inline]
    pub(super) fn step(&self, state: State, byte: u8) -> State {
        let column = usize::from(self.columns[usize::from(byte)]);
        if column == 0 {
            return State::START;
        }
        let mut at = state.0;
        while at >= self.rows {
            let node = self.nodes[index(at)];
            if let Some(child) = node.children().find(|child| self.nodes[*child].byte == byte) {
                return State(number(child));
            }
            at = node.fallback;
        }
        State(self.table[index(at) * self.width + column])
    }

    /// How many of the first bytes leave the automaton at its start.
    #[inline]
    pub(super) fn indifferent(&self, bytes: &[u8]) -> usize {
        let first = |byte: &u8| self.table[usize::from(self.columns[usize::from(*byte)])] != 0;
        bytes.iter().position(first).unwrap_or(bytes.len())
    }

    /// The length of the longest pattern that ends here; 0 for none.
    #[inline]
    pub(super) fn match_length(&self, state: State) -> usize {
        usize::from(self.nodes[index(state.0)].length)
    }

    /// How many of the last bytes may still be the start of a pattern.
    pub(super) fn depth(&self, state: State) -> usize {
        usize::from(self.nodes[index(state.0)].depth)
    }
}

impl Node {
    fn children(&self) -> Range<usize> {
        let first = index(self.first_child);
        first..first + usize::from(self.children)
    }
}

/// What the server lets a task have is far smaller than this.
fn number(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than 2^32 states")
}

fn index(number: u32) -> usize {
    usize::try_from(number).expect("a pointer has 32 bits at least")
}
