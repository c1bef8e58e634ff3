//! The terminal record.

use api::runner::task::FinishRequest;
use api::{Cause, InstanceId, Outcome};

use crate::attempt::{Closer, Record, Teller};
use crate::event::Effect;
use crate::job::Job;
use crate::refusal::Refusal;
use crate::rules::{Rule, on};
use crate::time::Time;

impl Job {
    /// Takes the terminal record: the only way to a job that succeeded.
    pub(crate) fn finish(
        &mut self,
        index: usize,
        instance: Option<InstanceId>,
        record: FinishRequest,
        stored: u64,
        now: Time,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let record = checked(record)?;
        let closer = Closer::Finish {
            instance: instance.clone(),
            record: record.clone(),
        };
        if self.attempts[index].repeats(&closer) {
            return Ok(());
        }
        self.hear_task_agent(index, instance.as_ref(), now, effects)?;
        if record.last_sequence > stored && on(Rule::FinishWaitsForOutput) {
            return Err(Refusal::OutputMissing {
                first: stored.saturating_add(1),
            });
        }
        if record.outcome == Outcome::InfraFailed && instance.is_some() {
            // It has killed its steps first.
            self.attempts[index].place_gone = Some(Teller::Place(instance));
        }
        self.close(index, record.outcome, record.cause, closer, now, effects);
        Ok(())
    }
}

/// Refuses a record that contradicts itself.
fn checked(record: FinishRequest) -> Result<Record, Refusal> {
    let FinishRequest {
        outcome,
        cause,
        last_sequence,
        ..
    } = record;
    let invalid = |text: String| Err(Refusal::Invalid(text));
    match (outcome, &cause) {
        (Outcome::Skipped, _) => invalid("an attempt is never skipped".to_owned()),
        (Outcome::Succeeded, Some(cause)) => invalid(format!(
            "an attempt that succeeded has no cause, but this one `{}`",
            cause.kind()
        )),
        (_, Some(cause)) if cause.outcome() != outcome => invalid(format!(
            "cause `{}` does not belong to outcome `{outcome}`",
            cause.kind()
        )),
        (Outcome::InfraFailed, None) => {
            let cause = Cause::Internal {
                message: "the task agent gave no cause".to_owned(),
            };
            Ok(Record {
                outcome,
                cause: Some(cause),
                last_sequence,
            })
        }
        (_, _) => Ok(Record {
            outcome,
            cause,
            last_sequence,
        }),
    }
}
