//! The promises, checked one after the other once all pipelines have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use anyhow::Context as _;
use api::people::{AuditEntry, JobView, PipelineView};
use api::{Cause, Outcome, PipelineOutcome};
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};

use crate::afterwards;
use crate::kinds::{JobSpec, Kind};
use crate::ledger::Ledger;
use crate::load::{Load, Pushed};
use crate::schedule::Target;
use crate::story::Story;
use crate::witness::{Execution, Witness};

/// Most attempts that infrastructure may cost a job.
const ATTEMPTS: usize = 3;

/// What the checks of one pipeline look at.
struct Case<'a> {
    pushed: &'a Pushed,
    view: &'a PipelineView,
    story: &'a Story,
    audit: &'a Audit,
    executions: &'a BTreeMap<String, Execution>,
    ledger: &'a Ledger,
}

/// Checks everything that the server and the witness can tell.
pub(crate) async fn check(
    load: &Load,
    all: &[Pushed],
    witness: &Witness,
    ledger: &Ledger,
) -> anyhow::Result<()> {
    let audit = Audit::read(load).await?;
    let executions = witness.executions.lock().expect("nobody panics with it").clone();
    for (id, execution) in &executions {
        if execution.open {
            ledger.broken(format!("a process of {id} outlives its job: {execution:?}"));
        }
    }
    let ids: BTreeSet<String> = all.iter().map(|one| one.id.to_string()).collect();
    for (id, count) in &audit.accepted {
        if *count != 1 || !ids.contains(id) {
            ledger.broken(format!(
                "pipeline {id} was accepted {count} times, or was never pushed"
            ));
        }
    }
    for pushed in all {
        let view = load.shown(&pushed.id).await?;
        let story = load.told(&pushed.id).await?;
        let case = Case {
            pushed,
            view: &view,
            story: &story,
            audit: &audit,
            executions: &executions,
            ledger,
        };
        case.check();
        case.artifacts(load).await?;
    }
    Ok(())
}

/// How often each outcome was seen, in words.
pub(crate) fn outcomes(all: &[Pushed]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for outcome in all.iter().filter_map(|one| one.story.outcome) {
        *counts.entry(outcome.to_string()).or_default() += 1;
    }
    let words: Vec<String> = counts
        .iter()
        .map(|(outcome, count)| format!("{count} {outcome}"))
        .collect();
    words.join(", ")
}

impl Case<'_> {
    fn broken(&self, text: &str) {
        let Pushed { id, spec, .. } = self.pushed;
        self.ledger.broken(format!(
            "pipeline {id} (push {}, {:?}): {text}",
            spec.number, spec.kind
        ));
    }

    fn check(&self) {
        let Pushed { spec, cancelled, .. } = self.pushed;
        for wrong in afterwards::changes(&self.pushed.story, &self.pushed.shown, self.story, self.view) {
            self.broken(&wrong);
        }
        if let Some(wrong) = &self.pushed.story.wrong {
            self.broken(wrong);
        }
        let outcome = self.view.summary.outcome;
        if outcome.is_none() || outcome != self.story.outcome {
            self.broken(&format!(
                "its outcome is {outcome:?}, its last event said {:?}",
                self.story.outcome
            ));
        }
        if spec.kind == Kind::Broken {
            let told = matches!(self.view.summary.cause, Some(Cause::Config { .. }));
            if outcome != Some(PipelineOutcome::Failed) || !told {
                self.broken(&format!(
                    "a broken config ended as {outcome:?}, {:?}",
                    self.view.summary.cause
                ));
            }
            return;
        }
        if self.view.jobs.is_empty() {
            if !(*cancelled && outcome == Some(PipelineOutcome::Cancelled)) {
                self.broken(&format!(
                    "it has no jobs: {outcome:?}, {:?}",
                    self.view.summary.cause
                ));
            }
            return;
        }
        for job in &spec.jobs {
            match self.view.jobs.iter().find(|view| view.name == job.name) {
                Some(view) => self.job(job, view),
                None => self.broken(&format!("job {} is lost", job.name)),
            }
        }
        let good = |job: &JobView| matches!(job.outcome, Some(Outcome::Succeeded | Outcome::Skipped));
        if outcome == Some(PipelineOutcome::Succeeded) && !self.view.jobs.iter().all(good) {
            self.broken("it is green, and a job of it is not");
        }
    }

    fn job(&self, job: &JobSpec, view: &JobView) {
        let Some(outcome) = view.outcome else {
            return self.broken(&format!("job {} has not ended: {view:?}", job.name));
        };
        if let Err(why) = self.fits(job, view, outcome) {
            self.broken(&format!("job {} ended {outcome}: {why}: {view:#?}", job.name));
        }
        self.executed(job, view, outcome);
    }

    /// Whether the outcome is its own, or fits what was done to it.
    fn fits(&self, job: &JobSpec, view: &JobView, outcome: Outcome) -> Result<(), &'static str> {
        if let Some((need, as_needed)) = job.needs {
            let of_need = self.view.jobs.iter().find(|view| view.name == need);
            let satisfied = of_need.and_then(|need| need.outcome) == Some(as_needed);
            if !satisfied {
                let fits =
                    outcome == Outcome::Skipped || (outcome == Outcome::Cancelled && self.pushed.cancelled);
                return fits.then_some(()).ok_or("what it needs did not end as required");
            }
        }
        let last = view.attempts.last();
        let hits = last.map_or_else(Vec::new, |last| self.ledger.hits(&last.attempt.to_string()));
        let killed = |targets: &[Target]| targets.iter().any(|target| hits.contains(target));
        match (outcome, &view.cause) {
            (Outcome::Succeeded, _) if job.own == Outcome::Succeeded => self.has_record(view, outcome),
            (Outcome::Succeeded, _) => Err("it is green and could not be"),
            (Outcome::Failed, Some(Cause::Exit { code: 3 })) if job.own == Outcome::Failed => {
                self.has_record(view, outcome)
            }
            (Outcome::Failed, Some(Cause::Signal { n: 9 })) => killed(&[Target::Step])
                .then_some(())
                .ok_or("no step of it was killed"),
            (Outcome::TimedOut, _) if job.own == Outcome::TimedOut => Ok(()),
            (Outcome::Cancelled, _) => self.pushed.cancelled.then_some(()).ok_or("nobody cancelled it"),
            (Outcome::InfraFailed, Some(cause)) => self.infrastructure(job, view, cause, &killed),
            _ => Err("that is neither its own end nor that of anything that was killed"),
        }
    }

    fn infrastructure(
        &self,
        job: &JobSpec,
        view: &JobView,
        cause: &Cause,
        killed: &dyn Fn(&[Target]) -> bool,
    ) -> Result<(), &'static str> {
        let began = view.attempts.last().is_some_and(|last| !last.steps.is_empty());
        if (!began || job.retry) && view.attempts.len() < ATTEMPTS {
            return Err("infrastructure failed it before its third attempt, and it may run again");
        }
        let happened = |targets: &[Target]| {
            self.ledger
                .killed_between(targets, self.pushed.from, self.pushed.to)
        };
        let agents = [Target::Agent, Target::AgentForGood, Target::Everything];
        let supervisors = [Target::Goat, Target::Sandbox, Target::TaskAgent];
        let fits = match cause {
            Cause::SupervisorLost { .. } => {
                // An agent that died between its claim and the first folder left no trace of a place.
                killed(&[Target::Goat, Target::Sandbox]) || (!began && happened(&agents))
            }
            Cause::TaskAgentLost { .. } => killed(&supervisors),
            // GOAT said so, and no agent was there to say it better while the window was open.
            Cause::Internal { message } => {
                killed(&[Target::TaskAgent]) && happened(&agents) && message.contains("signal: killed")
            }
            Cause::ContactLost { .. } => happened(&[
                Target::Server,
                Target::StartingServer,
                Target::ServerForLong,
                Target::Everything,
            ]),
            Cause::AgentLost => happened(&agents),
            Cause::Clone { .. } => killed(&[Target::Step]),
            _ => false,
        };
        fits.then_some(()).ok_or("its cause does not fit what was killed")
    }

    /// What ended by itself was closed by the record of its task agent.
    fn has_record(&self, view: &JobView, outcome: Outcome) -> Result<(), &'static str> {
        let last = view.attempts.last().ok_or("it has no attempt")?;
        let name = last.attempt.to_string();
        match self.audit.closed.get(&name).map(Vec::as_slice) {
            Some([entry]) if entry.actor == format!("task {name}") && last.outcome == Some(outcome) => Ok(()),
            Some([_]) => Err("it was not closed by its task agent's record"),
            Some(_) => Err("an attempt was closed more than once"),
            None => Err("nobody closed it"),
        }
    }

    /// What the witness saw, and the lines that those executions wrote.
    fn executed(&self, job: &JobSpec, view: &JobView, outcome: Outcome) {
        let name = format!("{}/{}", self.pushed.spec.number, job.name);
        let of_job: Vec<_> = self
            .executions
            .iter()
            .filter(|(_, execution)| execution.job == name)
            .collect();
        let places: BTreeSet<&str> = of_job.iter().map(|(_, one)| one.place.as_str()).collect();
        let allowed = if job.retry { ATTEMPTS } else { 1 };
        if places.len() > allowed {
            self.broken(&format!("job {} executed in {} places", job.name, places.len()));
        }
        let last = view.attempts.last();
        let disturbed = last.is_some_and(|last| !self.ledger.hits(&last.attempt.to_string()).is_empty());
        for step in &job.steps {
            let of_step: Vec<_> = of_job.iter().filter(|(_, one)| one.step == step.name).collect();
            if of_step.len() > places.len() {
                self.broken(&format!(
                    "step {} of job {} executed twice in one place",
                    step.name, job.name
                ));
            }
            let ended = of_step.iter().any(|(_, one)| one.ended);
            if outcome == Outcome::Succeeded && !ended {
                self.broken(&format!(
                    "job {} is green, and step {} never came to its end",
                    job.name, step.name
                ));
            }
            let own = outcome == job.own && outcome != Outcome::TimedOut;
            for (id, execution) in &of_step {
                let lines = self.story.lines.get(*id).cloned().unwrap_or_default();
                if let Some(gap) = lines.gap {
                    self.broken(&format!(
                        "step {} of job {} ({id}): line {gap} follows line {}",
                        step.name, job.name, lines.last
                    ));
                }
                let alone = places.len() == 1 && !disturbed;
                if own && alone && execution.ended && lines.last != step.lines {
                    self.broken(&format!(
                        "step {} of job {} ({id}): {} of {} lines are there",
                        step.name, job.name, lines.last, step.lines
                    ));
                }
            }
        }
    }

    /// Every artifact is whole, and is what the step said that it made.
    async fn artifacts(&self, load: &Load) -> anyhow::Result<()> {
        for job in &self.pushed.spec.jobs {
            let Some(view) = self.view.jobs.iter().find(|view| view.name == job.name) else {
                continue;
            };
            for artifact in &view.artifacts {
                let mut pieces = pin!(load.client.artifact(&view.task, &artifact.name).await?);
                let mut sum = Sha256::new();
                while let Some(piece) = pieces.next().await {
                    sum.update(piece?);
                }
                let sum = hex::encode(sum.finalize());
                let said = self.story.sums.get(&(job.name.to_owned(), artifact.name.clone()));
                // The line that says it may be among those that a killed task agent never sent.
                if sum != artifact.sha256 || said.is_some_and(|said| *said != sum) {
                    self.broken(&format!(
                        "artifact {} is {sum}, its step said {said:?}: {artifact:?}",
                        artifact.name
                    ));
                }
            }
            let missing = job
                .artifact
                .filter(|name| !view.artifacts.iter().any(|artifact| artifact.name == **name));
            if let (Some(name), Some(Outcome::Succeeded)) = (missing, view.outcome) {
                self.broken(&format!(
                    "job {} is green, and artifact {name} is not there",
                    job.name
                ));
            }
        }
        Ok(())
    }
}

/// What the audit log says.
struct Audit {
    /// How often each pipeline was accepted.
    accepted: BTreeMap<String, usize>,
    /// Who closed each attempt.
    closed: BTreeMap<String, Vec<AuditEntry>>,
}

impl Audit {
    async fn read(load: &Load) -> anyhow::Result<Self> {
        let mut audit = Self {
            accepted: BTreeMap::new(),
            closed: BTreeMap::new(),
        };
        let mut after = 0;
        loop {
            let page = load.client.audit(after).await.context("no audit log")?;
            let Some(last) = page.last() else {
                return Ok(audit);
            };
            after = last.number;
            for entry in page {
                match entry.action.as_str() {
                    "webhook.accepted" => *audit.accepted.entry(entry.subject).or_default() += 1,
                    "attempt.closed" => audit.closed.entry(entry.subject.clone()).or_default().push(entry),
                    _ => {}
                }
            }
        }
    }
}
