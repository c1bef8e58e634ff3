//! The search: breadth first, so that the history that it shows is a shortest one.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use super::step::Step;
use super::world::World;

/// What a search found.
pub(super) struct Explored {
    pub(super) states: usize,
    pub(super) steps: usize,
    pub(super) violation: Option<Violation>,
}

/// A history that breaks a promise.
#[derive(Debug)]
pub(super) struct Violation {
    pub(super) broken: String,
    pub(super) history: Vec<Step>,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{} after", self.broken)?;
        for step in &self.history {
            writeln!(formatter, "  {step:?}")?;
        }
        Ok(())
    }
}

struct Seen {
    parent: usize,
    step: Option<Step>,
    good_end: bool,
}

/// Visits every state that can be reached, and then asks of each whether fair steps lead from it to an end.
pub(super) fn explore(first: World) -> Explored {
    let mut ids = HashMap::new();
    let mut seen = vec![Seen {
        parent: 0,
        step: None,
        good_end: first.is_good_end(),
    }];
    let mut fair_edges: Vec<(u32, u32)> = Vec::new();
    let mut steps = 0;
    ids.insert(first.key(), 0_usize);
    let mut todo = VecDeque::from([(0_usize, first)]);
    while let Some((from, world)) = todo.pop_front() {
        for step in world.steps() {
            steps += 1;
            let next = match world.after(step) {
                Ok(next) => next,
                Err(broken) => {
                    let violation = violation(&seen, from, Some(step), broken.to_owned());
                    return Explored {
                        states: seen.len(),
                        steps,
                        violation: Some(violation),
                    };
                }
            };
            let next_id = *ids.entry(next.key()).or_insert(seen.len());
            if next_id == seen.len() {
                seen.push(Seen {
                    parent: from,
                    step: Some(step),
                    good_end: next.is_good_end(),
                });
                todo.push_back((next_id, next));
            }
            if step.is_fair() && next_id != from {
                fair_edges.push((u32::try_from(next_id).unwrap(), u32::try_from(from).unwrap()));
            }
        }
    }
    let violation = stuck(&seen, fair_edges).map(|state| {
        violation(
            &seen,
            state,
            None,
            "the job is stuck: no fair step leads to an end".to_owned(),
        )
    });
    Explored {
        states: seen.len(),
        steps,
        violation,
    }
}

/// The first state from which no fair steps lead to an end.
fn stuck(seen: &[Seen], mut edges: Vec<(u32, u32)>) -> Option<usize> {
    edges.sort_unstable();
    let mut ends: Vec<bool> = seen.iter().map(|state| state.good_end).collect();
    let mut todo: Vec<u32> = (0..seen.len())
        .filter(|&state| ends[state])
        .map(|state| u32::try_from(state).unwrap())
        .collect();
    while let Some(state) = todo.pop() {
        let start = edges.partition_point(|edge| edge.0 < state);
        for &(_, before) in edges[start..].iter().take_while(|edge| edge.0 == state) {
            let reached = &mut ends[usize::try_from(before).unwrap()];
            if !*reached {
                *reached = true;
                todo.push(before);
            }
        }
    }
    ends.iter().position(|reached| !reached)
}

fn violation(seen: &[Seen], mut state: usize, last: Option<Step>, broken: String) -> Violation {
    let mut history: Vec<Step> = last.into_iter().collect();
    while let Some(step) = seen[state].step {
        history.push(step);
        state = seen[state].parent;
    }
    history.reverse();
    Violation { broken, history }
}
