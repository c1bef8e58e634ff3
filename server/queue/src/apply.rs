//! Where every event comes in.

use crate::call::GivingUp;
use crate::event::{Call, Effect, Event};
use crate::job::Job;
use crate::refusal::Refusal;
use crate::time::Time;

impl Job {
    /// Lets an event happen, and says what came of it.
    ///
    /// Every call may be repeated: a repeat of the call that closed an attempt gets its first answer.
    ///
    /// # Errors
    /// When the call is not taken. Then nothing has changed but perhaps a lease.
    pub fn apply(&mut self, event: Event, now: Time) -> Result<Vec<Effect>, Refusal> {
        let mut effects = Vec::new();
        match event {
            Event::Cancel(order) => self.cancel(order, now, &mut effects),
            Event::Tick => self.tick(now, &mut effects),
            Event::Call { attempt, call } => {
                let index = self.index(attempt)?;
                self.call(index, call, now, &mut effects)?;
            }
        }
        Ok(effects)
    }

    fn call(
        &mut self,
        index: usize,
        call: Call,
        now: Time,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        match call {
            Call::Unclaim { by, message } => {
                self.give_up(index, GivingUp::Unclaim, &by, message, now, effects)
            }
            Call::Fail { by, message } => self.give_up(index, GivingUp::Fail, &by, message, now, effects),
            Call::Phase { by, phase } => self.report_phase(index, &by, phase, now, effects),
            Call::Cause {
                by,
                cause,
                place_removed,
            } => self.tell_cause(index, &by, cause, place_removed, now, effects),
            Call::Fetch { instance } | Call::StepEnded { instance } | Call::Upload { instance } => {
                self.hear_task_agent(index, instance.as_ref(), now, effects)
            }
            Call::Heartbeat { instance } => self.heartbeat(index, instance.as_ref(), now, effects),
            Call::Output { instance, last } => self.output(index, instance.as_ref(), last, now, effects),
            Call::StepBegan { instance, kind } => {
                self.step_began(index, instance.as_ref(), kind, now, effects)
            }
            Call::Finish {
                instance,
                record,
                stored,
            } => self.finish(index, instance, record, stored, now, effects),
        }
    }

    pub(crate) fn index(&self, number: u32) -> Result<usize, Refusal> {
        self.attempts
            .iter()
            .position(|attempt| attempt.number == number)
            .ok_or(Refusal::NotFound)
    }
}
