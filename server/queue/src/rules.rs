//! Rules that a test can take away, one at a time, to see that each is needed.
//!
//! In the shipped code [`on`] is always true, and nothing of this remains.

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident,)*) => {
        /// A rule that the model check proves to be needed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Rule {
            $($(#[$doc])* $rule,)*
        }

        /// Every rule.
        #[cfg(test)]
        pub(crate) const ALL: &[Rule] = &[$(Rule::$rule),*];
    };
}

rules! {
    /// An agent id belongs to one reach.
    AgentHasOneReach,
    /// A call of an incarnation that is not the newest is refused.
    OlderIncarnationIsGone,
    /// A nonce lower than the newest is refused.
    LowerNonceIsGone,
    /// A repeated nonce gets the answer that it got.
    NonceRepeatsItsAnswer,
    /// A new nonce gives back a claim that never arrived.
    NewNonceGivesBack,
    /// A claim that its agent listed is not given back.
    ListedIsNotGivenBack,
    /// A claim that reached a phase or a first call is not given back.
    StartedIsNotGivenBack,
    /// Only the holder's reports are taken.
    OnlyHolderReports,
    /// Once bound, calls of another instance are refused.
    OnlyBoundInstanceCalls,
    /// A closed attempt takes no calls.
    ClosedTakesNoCalls,
    /// A repeat of the call that closed an attempt gets its first answer.
    ClosingCallRepeats,
    /// A phase never goes backwards.
    PhaseGoesForward,
    /// From the task agent's first call on it alone holds the task lease.
    TaskAgentHoldsLease,
    /// The end of the task lease closes an attempt.
    LeaseEnds,
    /// The server closes a cancelled attempt that nobody closes.
    ServerClosesCancelled,
    /// The server keeps the time limit when the task agent does not.
    ServerKeepsTimeLimit,
    /// Patience with `scheduling` and `pulling` ends.
    PatienceEnds,
    /// The window of an infrastructure failure ends.
    WindowEnds,
    /// No step begins once an attempt is being cancelled.
    CancellingRefusesBegan,
    /// An attempt that is being cancelled closes as cancelled, whatever closes it.
    CancellingClosesCancelled,
    /// A cancel in the window ends the job.
    CancelInWindowEndsJob,
    /// A finish waits for all output before it.
    FinishWaitsForOutput,
    /// An unclaim that cannot lead to another attempt is refused.
    UnclaimMayBeRefused,
    /// After *began* only a job with `retry: infra` is queued again.
    BeganNeedsRetryInfra,
    /// After *began* a job is queued again only once its place is known gone or its lease over.
    RequeueWaitsForPlace,
    /// What an agent gives up is not known to be gone.
    GivingUpIsNotGone,
    /// A cause decides whether it may be queued again.
    CauseDecides,
    /// Infrastructure gets so many attempts and no more.
    AttemptsAreCounted,
    /// A claim that reached nothing costs no attempt.
    NothingReachedCostsNothing,
    /// Only an attempt whose holder's presence has ended is adopted.
    AdoptNeedsAbsence,
    /// An adoption names the holder that the attempt has.
    AdoptComparesHolder,
    /// Only an agent of the same reach adopts.
    AdoptNeedsReach,
}

/// Whether a rule is in force.
#[cfg(not(test))]
pub(crate) const fn on(_rule: Rule) -> bool {
    true
}

#[cfg(test)]
pub(crate) use switch::{on, without};

#[cfg(test)]
mod switch {
    use std::cell::Cell;

    use super::Rule;

    thread_local! {
        static OFF: Cell<Option<Rule>> = const { Cell::new(None) };
    }

    /// Whether a rule is in force on this thread.
    pub(crate) fn on(rule: Rule) -> bool {
        OFF.get() != Some(rule)
    }

    /// Runs something without one rule.
    pub(crate) fn without<T>(rule: Rule, run: impl FnOnce() -> T) -> T {
        OFF.set(Some(rule));
        let result = run();
        OFF.set(None);
        result
    }
}
