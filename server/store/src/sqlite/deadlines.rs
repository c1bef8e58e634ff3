//! Deadlines: what happens when nobody calls.

use api::TaskId;
use queue::{Event, Time};

use super::change::Change;
use super::{agents, jobs};
use crate::error::StoreError;

/// Lets everything happen that is due; answers when something is due next.
pub(crate) fn apply(change: &mut Change<'_>) -> Result<Option<Time>, StoreError> {
    let now = change.now;
    let mut due: Vec<(Time, TaskId)> = change
        .memory
        .jobs()
        .values()
        .filter_map(|kept| Some((kept.job.deadline()?, kept.job.task.clone())))
        .filter(|(deadline, _)| *deadline <= now)
        .collect();
    due.sort();
    for (_, task) in due {
        if let Some(kept) = jobs::find(change, &task)? {
            // Time is never refused.
            let _taken = jobs::apply(change, kept, Event::Tick, "server", "")?;
        }
    }
    agents::end_presence(change)?;
    let memory = &change.memory;
    let deadlines = memory.jobs().values().filter_map(|kept| kept.job.deadline());
    let presences = memory.agents().values().map(|kept| kept.agent.presence_ends);
    Ok(deadlines.chain(presences).min())
}
