//! A container agent: its incarnation, its nonce, its reach and its presence.

use api::runner::Holder;
use api::{AgentId, AttemptRef, Millis, Reach};
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;
use crate::rules::{Rule, on};
use crate::time::Time;

/// A container agent, as the server knows it. Its fields are to be read; only the rules change them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// What its driver can see and remove; an id belongs to one reach for ever.
    pub reach: Reach,
    /// Its newest incarnation.
    pub incarnation: u64,
    /// The highest nonce it sent; 0 for none.
    pub nonce: u64,
    /// What that nonce got.
    pub answer: NonceAnswer,
    /// When it counts as absent. In memory only: a restart gives it a full term.
    #[serde(skip)]
    pub presence_ends: Time,
}

/// What an agent's newest nonce got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NonceAnswer {
    /// Nothing yet: it is open.
    Open,
    /// 204: it is closed.
    Nothing,
    /// That attempt.
    Claim(AttemptRef),
}

/// Whether an agent's call was its process's first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// This process was heard before.
    Known,
    /// A newer process: the older one's presence has ended, and this one has what it held.
    NewIncarnation,
}

/// What to do with a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// The nonce was answered with that attempt: give it again if [`Job::reclaim`](crate::Job::reclaim) says
    /// so.
    Again(AttemptRef),
    /// The nonce was closed without a claim: 204 again.
    Nothing,
    /// Look for a job. With a new nonce: first [`give_back`](crate::Job::give_back) every open attempt that the
    /// agent holds.
    Search(NonceAge),
}

/// Whether a nonce was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NonceAge {
    /// For the first time.
    New,
    /// Before; it is still open.
    Seen,
}

impl Agent {
    /// An agent that was never heard before.
    #[must_use]
    pub fn new(holder: &Holder, reach: &Reach, presence: Millis, now: Time) -> Self {
        Self {
            id: holder.agent.clone(),
            reach: reach.clone(),
            incarnation: holder.incarnation,
            nonce: 0,
            answer: NonceAnswer::Nothing,
            presence_ends: now.after(presence),
        }
    }

    /// Hears a call of an agent: every one of its calls comes here first. Renews its presence.
    ///
    /// # Errors
    /// [`Refusal::Gone`] for an older incarnation; [`Refusal::Forbidden`] from another reach.
    pub fn hear(
        &mut self,
        holder: &Holder,
        reach: Option<&Reach>,
        presence: Millis,
        now: Time,
    ) -> Result<Arrival, Refusal> {
        if on(Rule::AgentHasOneReach) && reach.is_some_and(|reach| *reach != self.reach) {
            return Err(Refusal::Forbidden(format!(
                "agent {} belongs to {}; an agent elsewhere needs an id of its own",
                self.id, self.reach
            )));
        }
        if on(Rule::OlderIncarnationIsGone) && holder.incarnation < self.incarnation {
            return Err(Refusal::Gone);
        }
        let arrival = if holder.incarnation > self.incarnation {
            Arrival::NewIncarnation
        } else {
            Arrival::Known
        };
        self.incarnation = self.incarnation.max(holder.incarnation);
        self.presence_ends = now.after(presence);
        Ok(arrival)
    }

    /// Whether it counts as alive.
    #[must_use]
    pub fn is_present(&self, now: Time) -> bool {
        now < self.presence_ends
    }

    /// Gives its presence a full term: after a start of the store, when nobody could renew it.
    pub fn after_restart(&mut self, presence: Millis, now: Time) {
        self.presence_ends = now.after(presence);
    }

    /// Takes a claim's nonce. Comes after [`hear`](Self::hear).
    ///
    /// # Errors
    /// [`Refusal::Gone`] for a nonce lower than the newest.
    pub fn ask(&mut self, nonce: u64) -> Result<Ask, Refusal> {
        if on(Rule::LowerNonceIsGone) && nonce < self.nonce {
            return Err(Refusal::Gone);
        }
        if nonce == self.nonce && on(Rule::NonceRepeatsItsAnswer) {
            return Ok(match &self.answer {
                NonceAnswer::Claim(attempt) => Ask::Again(attempt.clone()),
                NonceAnswer::Nothing => Ask::Nothing,
                NonceAnswer::Open => Ask::Search(NonceAge::Seen),
            });
        }
        self.nonce = nonce;
        self.answer = NonceAnswer::Open;
        Ok(Ask::Search(NonceAge::New))
    }

    /// Notes what the newest nonce got.
    pub fn claimed(&mut self, attempt: AttemptRef) {
        self.answer = NonceAnswer::Claim(attempt);
    }

    /// Closes the newest nonce if it is still open: the long poll ended, and the answer is 204.
    pub fn close_nonce(&mut self) {
        if self.answer == NonceAnswer::Open {
            self.answer = NonceAnswer::Nothing;
        }
    }
}
