//! `/cause`: a better cause for an infrastructure failure, or that the place is gone.

use api::{Cause, Outcome};

use crate::attempt::{After, Attempt, Closer, Teller};
use crate::event::{Effect, Reporter};
use crate::job::Job;
use crate::refusal::Refusal;
use crate::time::Time;

impl Job {
    /// Takes a cause, or that the place is gone, or both.
    ///
    /// On an open attempt a cause is kept for the failure that it announces, and a place that is gone *is* the
    /// failure. In the window a cause makes the failure's sharper, and the holder's word that the place is gone
    /// ends the window. Beyond it only that word is taken.
    pub(crate) fn tell_cause(
        &mut self,
        index: usize,
        by: &Reporter,
        cause: Option<Cause>,
        place_removed: bool,
        now: Time,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        if let Some(cause) = &cause
            && cause.outcome() != Outcome::InfraFailed
        {
            return Err(Refusal::Invalid(format!(
                "`{}` is no cause of an infrastructure failure",
                cause.kind()
            )));
        }
        let teller = self.teller(index, by)?;
        match (&teller, place_removed) {
            (Teller::Place(_), true) => Err(Refusal::Forbidden(
                "only the holder can say that a place is gone".to_owned(),
            )),
            (_, false) if cause.is_none() => Err(Refusal::Invalid(
                "neither a cause nor that the place is gone".to_owned(),
            )),
            (Teller::Agent(_), true) => self.place_removed(index, teller, cause, now, effects),
            (_, false) => self.told(index, by, cause, now, effects),
        }
    }

    fn told(
        &mut self,
        index: usize,
        by: &Reporter,
        cause: Option<Cause>,
        now: Time,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        if self.attempts[index].is_open() {
            if let Reporter::Place { instance } = by {
                self.hear_task_agent(index, instance.as_ref(), now, effects)?;
            }
            let attempt = &mut self.attempts[index];
            attempt.told = sharper(attempt.told.take(), cause);
            return Ok(());
        }
        match self.attempts[index].after() {
            Some(After::Window { .. }) => {
                self.attempts[index].sharpen(cause, effects);
                Ok(())
            }
            _ => Err(Refusal::Gone),
        }
    }

    fn place_removed(
        &mut self,
        index: usize,
        teller: Teller,
        cause: Option<Cause>,
        now: Time,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let last_word = cause.is_some();
        let attempt = &mut self.attempts[index];
        let news = attempt.place_gone.as_ref() != Some(&teller);
        let Teller::Agent(agent) = &teller else {
            return Err(Refusal::Gone);
        };
        let closer = Closer::PlaceRemoved(agent.clone());
        match attempt.after().cloned() {
            None => {
                attempt.place_gone = Some(teller);
                let cause = cause.unwrap_or(Cause::SupervisorLost { signal: None });
                self.close(index, Outcome::InfraFailed, Some(cause), closer, now, effects);
                // Nobody is left who could tell better.
                if last_word && matches!(self.attempts[index].after(), Some(After::Window { .. })) {
                    self.end_window(index, now, effects);
                }
                Ok(())
            }
            Some(After::Window { .. }) => {
                attempt.place_gone = Some(teller);
                attempt.sharpen(cause, effects);
                if news || last_word {
                    self.end_window(index, now, effects);
                }
                Ok(())
            }
            Some(After::Requeue { not_before, .. }) => {
                attempt.place_gone = Some(teller);
                if not_before <= now {
                    self.requeue(index, now, effects);
                }
                Ok(())
            }
            Some(After::Settled) if attempt.repeats(&closer) || attempt.failed_by_infrastructure() => Ok(()),
            Some(After::Settled) => Err(Refusal::Gone),
        }
    }
}

impl Attempt {
    /// The sharpest of a cause that closes it now and of what was told before.
    pub(crate) fn sharpest(&self, cause: Option<Cause>) -> Cause {
        sharper(cause, self.told.clone()).unwrap_or_else(|| Cause::Internal {
            message: "no cause was given".to_owned(),
        })
    }

    fn sharpen(&mut self, told: Option<Cause>, effects: &mut Vec<Effect>) {
        let Some(closed) = &mut self.closed else { return };
        let before = closed.cause.clone();
        closed.cause = sharper(before.clone(), told);
        if closed.cause != before
            && let Some(cause) = &closed.cause
        {
            effects.push(Effect::CauseTold {
                attempt: self.number,
                cause: cause.clone(),
            });
        }
    }

    pub(crate) fn after(&self) -> Option<&After> {
        self.closed.as_ref().map(|closed| &closed.after)
    }

    pub(crate) fn failed_by_infrastructure(&self) -> bool {
        self.closed
            .as_ref()
            .is_some_and(|closed| closed.outcome == Outcome::InfraFailed)
    }
}

/// What was told later, unless it says less than what was known.
fn sharper(known: Option<Cause>, told: Option<Cause>) -> Option<Cause> {
    match (known, told) {
        (Some(known), Some(told)) if sharpness(&told) < sharpness(&known) => Some(known),
        (_, Some(told)) => Some(told),
        (known, None) => known,
    }
}

/// How much a cause says.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sharpness {
    /// Something was not there any more, and nobody saw its end: what an agent tells that looks too late.
    Missed,
    /// Something was lost.
    Lost,
    /// Why.
    Why,
}

fn sharpness(cause: &Cause) -> Sharpness {
    match cause {
        Cause::SupervisorLost { signal: None } | Cause::AgentLost => Sharpness::Missed,
        cause if is_vague(cause) => Sharpness::Lost,
        _ => Sharpness::Why,
    }
}

/// Whether a cause says that something was lost, and not why.
pub(crate) fn is_vague(cause: &Cause) -> bool {
    match cause {
        Cause::SupervisorLost { .. }
        | Cause::TaskAgentLost { .. }
        | Cause::AgentLost
        | Cause::Internal { .. } => true,
        Cause::Deleted { by } => by == "unknown",
        _ => false,
    }
}
