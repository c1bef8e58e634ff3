//! Many patterns at once: the automaton of Aho and Corasick. Each byte of output costs about one step, however
//! many secrets there are.

use std::collections::VecDeque;

/// Where the automaton stands: the longest end of the input so far that starts a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State(usize);

impl State {
    pub(super) const START: Self = Self(0);
}

#[derive(Debug, Default)]
struct Node {
    /// Few enough to be searched one by one; the start's are also in `first`.
    edges: Vec<(u8, usize)>,
    /// The node of the longest proper end of this one's text.
    fallback: usize,
    /// The length of this node's text.
    depth: usize,
    /// The length of the longest pattern that ends here; 0 for none.
    length: usize,
}

/// The automaton.
#[derive(Debug)]
pub(super) struct Automaton {
    nodes: Vec<Node>,
    /// The start's edges by byte, because nearly all output is there.
    first: [usize; 256],
}

impl Automaton {
    /// Knows these patterns; empty ones are left out.
    pub(super) fn new(patterns: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut automaton = Self {
            nodes: vec![Node::default()],
            first: [0; 256],
        };
        for pattern in patterns {
            automaton.add(&pattern);
        }
        automaton.link();
        automaton
    }

    fn add(&mut self, pattern: &[u8]) {
        let mut at = 0;
        for &byte in pattern {
            at = match self.edge(at, byte) {
                Some(next) => next,
                None => {
                    let next = self.nodes.len();
                    let depth = self.nodes[at].depth + 1;
                    self.nodes.push(Node {
                        depth,
                        ..Node::default()
                    });
                    self.nodes[at].edges.push((byte, next));
                    next
                }
            };
        }
        self.nodes[at].length = pattern.len();
    }

    /// Sets the fallbacks, shallow nodes first, so that those of shorter texts are known.
    fn link(&mut self) {
        let mut open = VecDeque::new();
        for (byte, next) in self.nodes[0].edges.clone() {
            self.first[usize::from(byte)] = next;
            open.push_back(next);
        }
        while let Some(at) = open.pop_front() {
            for (byte, next) in self.nodes[at].edges.clone() {
                let fallback = self.step(State(self.nodes[at].fallback), byte).0;
                let inherited = self.nodes[fallback].length;
                let node = &mut self.nodes[next];
                node.fallback = fallback;
                node.length = node.length.max(inherited);
                open.push_back(next);
            }
        }
    }

    fn edge(&self, at: usize, byte: u8) -> Option<usize> {
        let edges = &self.nodes[at].edges;
        edges
            .iter()
            .find(|(label, _)| *label == byte)
            .map(|(_, next)| *next)
    }

    /// Takes a byte.
    pub(super) fn step(&self, state: State, byte: u8) -> State {
        let mut at = state.0;
        while at != 0 {
            if let Some(next) = self.edge(at, byte) {
                return State(next);
            }
            at = self.nodes[at].fallback;
        }
        State(self.first[usize::from(byte)])
    }

    /// The length of the longest pattern that ends here; 0 for none.
    pub(super) fn match_length(&self, state: State) -> usize {
        self.nodes[state.0].length
    }

    /// How many of the last bytes may still be the start of a pattern.
    pub(super) fn depth(&self, state: State) -> usize {
        self.nodes[state.0].depth
    }
}
