//! A job on its way, for tests that say what happens next.

use api::plan::{Need, PlannedJob};
use api::runner::Holder;
use api::runner::presence::CancelOrder;
use api::runner::task::FinishRequest;
use api::{AgentId, Cause, InstanceId, Millis, Outcome, Phase, Reach, TaskId, Terms};

use crate::{
    Attempt, Call, Effect, Event, Job, JobDefaults, JobState, Refusal, Reporter, StepKind, Time, settle,
};

/// The resource class of every test.
pub(super) const CLASS: &str = "class";
/// When every test begins.
pub(super) const START: Time = Time(1_000_000);

/// A job and its time.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) job: Job,
    pub(super) now: Time,
}

pub(super) fn holder(agent: &str, incarnation: u64) -> Holder {
    Holder {
        agent: AgentId::new(agent).unwrap(),
        incarnation,
    }
}

pub(super) fn reach() -> Reach {
    Reach("here".to_owned())
}

pub(super) fn instance(name: &str) -> Option<InstanceId> {
    Some(InstanceId::new(name).unwrap())
}

pub(super) fn agent(name: &str) -> Reporter {
    Reporter::Agent {
        class: CLASS.to_owned(),
        holder: holder(name, 1),
    }
}

pub(super) fn place(name: &str) -> Reporter {
    Reporter::Place {
        instance: instance(name),
    }
}

pub(super) fn planned(name: &str, needs: &[(&str, &[Outcome])]) -> PlannedJob {
    PlannedJob {
        name: name.to_owned(),
        image: None,
        services: Vec::new(),
        resource_class: None,
        environment: std::collections::BTreeMap::new(),
        steps: Vec::new(),
        needs: needs
            .iter()
            .map(|(job, outcomes)| Need {
                job: (*job).to_owned(),
                outcomes: outcomes.to_vec(),
            })
            .collect(),
        shell: None,
        working_directory: None,
        retry_infra: false,
        time_limit: None,
    }
}

pub(super) fn job(name: &str, needs: &[(&str, &[Outcome])]) -> Job {
    let defaults = JobDefaults {
        resource_class: CLASS.to_owned(),
        time_limit: Millis::seconds(3600),
    };
    Job::planned(
        TaskId::new(format!("task-{name}")).unwrap(),
        &planned(name, needs),
        &defaults,
    )
}

pub(super) fn record(outcome: Outcome, cause: Option<Cause>, last_sequence: u64) -> FinishRequest {
    FinishRequest {
        outcome,
        cause,
        steps: Vec::new(),
        last_sequence,
    }
}

pub(super) fn finish(outcome: Outcome, cause: Option<Cause>) -> Call {
    Call::Finish {
        instance: instance("one"),
        record: record(outcome, cause, 0),
        stored: 0,
    }
}

pub(super) fn succeed() -> Call {
    finish(Outcome::Succeeded, None)
}

pub(super) fn heartbeat() -> Call {
    Call::Heartbeat {
        instance: instance("one"),
    }
}

pub(super) fn began() -> Call {
    Call::StepBegan {
        instance: instance("one"),
        kind: StepKind::Run,
    }
}

pub(super) fn unclaim(by: Reporter) -> Call {
    Call::Unclaim {
        by,
        message: "given back".to_owned(),
    }
}

pub(super) fn fail(by: Reporter) -> Call {
    Call::Fail {
        by,
        message: "broken".to_owned(),
    }
}

pub(super) fn told(cause: Cause) -> Call {
    Call::Cause {
        by: agent("a"),
        cause: Some(cause),
        place_removed: false,
    }
}

pub(super) fn removed(cause: Option<Cause>) -> Call {
    Call::Cause {
        by: agent("a"),
        cause,
        place_removed: true,
    }
}

pub(super) fn internal(message: &str) -> Cause {
    Cause::Internal {
        message: message.to_owned(),
    }
}

pub(super) fn order() -> CancelOrder {
    CancelOrder {
        by: "ann".to_owned(),
        why: "not needed".to_owned(),
    }
}

pub(super) fn cancelled() -> Cause {
    Cause::Cancelled {
        by: "ann".to_owned(),
        why: "not needed".to_owned(),
    }
}

impl Case {
    /// Waits for an agent.
    pub(super) fn queued() -> Self {
        let mut jobs = [job("j", &[])];
        settle(&mut jobs, START);
        let [job] = jobs;
        Self { job, now: START }
    }

    /// The same, with `retry: infra`.
    pub(super) fn retrying() -> Self {
        let mut case = Self::queued();
        case.job.retry_infra = true;
        case
    }

    /// Agent `a` has claimed it.
    pub(super) fn claimed(mut self) -> Self {
        self.job
            .claim(&holder("a", 1), &reach(), &Terms::default(), self.now)
            .unwrap();
        self
    }

    /// Agent `a` has reported that phase.
    pub(super) fn at(self, phase: Phase) -> Self {
        let mut case = self.claimed();
        case.call(Call::Phase {
            by: agent("a"),
            phase,
        })
        .unwrap();
        case
    }

    /// The task agent of start `one` has its task.
    pub(super) fn fetched(self) -> Self {
        let mut case = self.at(Phase::Starting);
        case.call(Call::Fetch {
            instance: instance("one"),
        })
        .unwrap();
        case
    }

    /// Its first `run` operation began.
    pub(super) fn begun(self) -> Self {
        let mut case = self.fetched();
        case.call(began()).unwrap();
        case
    }

    pub(super) fn call(&mut self, call: Call) -> Result<Vec<Effect>, Refusal> {
        let attempt = self.job.attempts.last().unwrap().number;
        self.call_of(attempt, call)
    }

    pub(super) fn call_of(&mut self, attempt: u32, call: Call) -> Result<Vec<Effect>, Refusal> {
        self.job.apply(Event::Call { attempt, call }, self.now)
    }

    pub(super) fn cancel(&mut self) -> Vec<Effect> {
        self.job.apply(Event::Cancel(order()), self.now).unwrap()
    }

    /// Lets time pass, and what is due by then happen.
    pub(super) fn pass(&mut self, duration: Millis) -> Vec<Effect> {
        self.now = self.now.after(duration);
        self.job.apply(Event::Tick, self.now).unwrap()
    }

    /// Lets time pass while somebody calls every ten seconds.
    pub(super) fn pass_with(&mut self, duration: Millis, call: impl Fn() -> Call) {
        let end = self.now.after(duration);
        while self.now < end {
            self.pass(Millis::seconds(10).min(end.since(self.now)));
            if self.job.open_attempt().is_some() {
                self.call(call()).unwrap();
            }
        }
    }

    pub(super) fn last(&self) -> &Attempt {
        self.job.attempts.last().unwrap()
    }

    /// How the job ended, and why.
    pub(super) fn end(&self) -> Option<(Outcome, Option<Cause>)> {
        self.job.ended().map(|ended| (ended.outcome, ended.cause.clone()))
    }

    /// How the last attempt closed, and why.
    pub(super) fn closed(&self) -> Option<(Outcome, Option<Cause>)> {
        self.last()
            .closed
            .as_ref()
            .map(|closed| (closed.outcome, closed.cause.clone()))
    }

    pub(super) fn is_queued(&self) -> bool {
        matches!(self.job.state, JobState::Queued { .. })
    }

    pub(super) fn is_running(&self) -> bool {
        self.job.state == JobState::Running
    }
}

/// The window of the default terms.
pub(super) fn window() -> Millis {
    Terms::default().window
}
