//! What the writer keeps in memory: jobs that have not ended and agents that may still come back.
//!
//! Leases and presence are here alone: a heartbeat writes nothing. Every change is noted, so that what a
//! failed operation or transaction did is taken back here as it is in the file.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use api::{AgentId, PipelineId, TaskId};
use queue::{Agent, CommitStatus, Job, StepKind};

/// A job, with what the store knows around it.
#[derive(Debug, Clone)]
pub(crate) struct KeptJob {
    pub(crate) job: Job,
    /// What does not change.
    pub(crate) fixed: Arc<Fixed>,
    /// The JSON that the file has of the job.
    pub(crate) stored: Arc<str>,
    /// The status that was last written for the provider; none before the first.
    pub(crate) told: Option<CommitStatus>,
}

/// What of a job never changes.
#[derive(Debug)]
pub(crate) struct Fixed {
    /// The pipeline's row.
    pub(crate) pipeline: i64,
    pub(crate) pipeline_id: PipelineId,
    pub(crate) repository: String,
    /// The job's place in the plan.
    pub(crate) position: i64,
    pub(crate) has_services: bool,
    pub(crate) steps: Vec<FixedStep>,
}

/// What the store must know of a step.
#[derive(Debug)]
pub(crate) struct FixedStep {
    pub(crate) name: String,
    pub(crate) kind: StepKind,
}

/// An agent, with what it said about itself.
#[derive(Debug, Clone)]
pub(crate) struct KeptAgent {
    pub(crate) agent: Agent,
    pub(crate) resource_class: String,
    pub(crate) runs_services: bool,
    /// The JSON that the file has of the agent; empty for one that is new.
    pub(crate) stored: Arc<str>,
}

/// The memory.
#[derive(Debug)]
pub(crate) struct Memory {
    jobs: Table<TaskId, KeptJob>,
    agents: Table<AgentId, KeptAgent>,
    /// The jobs of each pipeline that has not ended, in the plan's order.
    pipelines: Table<i64, Arc<[TaskId]>>,
    /// The next cursor of events and output. One that a failed operation took is left out.
    pub(crate) next_cursor: u64,
}

/// A moment to go back to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mark {
    jobs: usize,
    agents: usize,
    pipelines: usize,
}

impl Memory {
    /// A memory that holds nothing yet.
    pub(crate) fn new(next_cursor: u64) -> Self {
        Self {
            jobs: Table::default(),
            agents: Table::default(),
            pipelines: Table::default(),
            next_cursor,
        }
    }

    /// The jobs of pipelines that have not ended, and those that wait for a deadline.
    pub(crate) fn jobs(&self) -> &HashMap<TaskId, KeptJob> {
        &self.jobs.rows
    }

    /// The agents whose presence has not ended.
    pub(crate) fn agents(&self) -> &HashMap<AgentId, KeptAgent> {
        &self.agents.rows
    }

    /// The jobs of a pipeline that has not ended.
    pub(crate) fn pipeline(&self, number: i64) -> Option<Arc<[TaskId]>> {
        self.pipelines.rows.get(&number).cloned()
    }

    /// Sets a job, or forgets it.
    pub(crate) fn set_job(&mut self, task: TaskId, job: Option<KeptJob>) {
        self.jobs.set(task, job);
    }

    /// Sets an agent, or forgets it.
    pub(crate) fn set_agent(&mut self, id: AgentId, agent: Option<KeptAgent>) {
        self.agents.set(id, agent);
    }

    /// Sets the jobs of a pipeline, or forgets that it runs.
    pub(crate) fn set_pipeline(&mut self, number: i64, jobs: Option<Arc<[TaskId]>>) {
        self.pipelines.set(number, jobs);
    }

    /// The next cursor, taken.
    pub(crate) fn take_cursor(&mut self) -> u64 {
        let cursor = self.next_cursor;
        self.next_cursor += 1;
        cursor
    }

    /// This moment.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            jobs: self.jobs.undo.len(),
            agents: self.agents.undo.len(),
            pipelines: self.pipelines.undo.len(),
        }
    }

    /// Takes back all changes since a moment; since the last [`keep`](Self::keep) with the default mark.
    pub(crate) fn undo_to(&mut self, mark: Mark) {
        self.jobs.undo_to(mark.jobs);
        self.agents.undo_to(mark.agents);
        self.pipelines.undo_to(mark.pipelines);
    }

    /// Makes all changes final. Marks from before are void.
    pub(crate) fn keep(&mut self) {
        self.jobs.undo.clear();
        self.agents.undo.clear();
        self.pipelines.undo.clear();
    }
}

/// A map that notes what its entries were before.
#[derive(Debug)]
struct Table<K, V> {
    rows: HashMap<K, V>,
    undo: Vec<(K, Option<V>)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            rows: HashMap::new(),
            undo: Vec::new(),
        }
    }
}

impl<K: Hash + Eq + Clone, V> Table<K, V> {
    fn set(&mut self, key: K, value: Option<V>) {
        let before = match value {
            Some(value) => self.rows.insert(key.clone(), value),
            None => self.rows.remove(&key),
        };
        self.undo.push((key, before));
    }

    fn undo_to(&mut self, length: usize) {
        while self.undo.len() > length {
            let Some((key, before)) = self.undo.pop() else {
                break;
            };
            match before {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undoing_goes_back_to_the_mark_and_no_further() {
        let mut table = Table::default();
        table.set("a", Some(1));
        let mark = table.undo.len();
        table.set("a", Some(2));
        table.set("a", None);
        table.set("b", Some(3));

        table.undo_to(mark);

        assert_eq!(table.rows, HashMap::from([("a", 1)]));
        table.undo_to(0);
        assert!(table.rows.is_empty());
    }
}
