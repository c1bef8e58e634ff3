//! The runner API's calls. What the rules refuse is the inner error.

use api::runner::claim::{Claim, ClaimRequest};
use api::runner::presence::{
    AdoptRequest, AdoptResponse, CancelOrder, PresenceRequest, PresenceResponse, StatusRequest,
    StatusResponse,
};
use api::runner::task::{Chunk, FinishRequest, StepRequest};
use api::{AgentId, AttemptRef, Cause, InstanceId, Phase};
use queue::{Refusal, Reporter, Time};

use super::Store;
use crate::error::StoreError;
use crate::input::{FetchedTask, Scope};
use crate::sqlite::{adoption, agents, artifacts, claim, deadlines, origin, output, reports, task};

/// What a call of the runner API gets: the store's failure outside, the rules' refusal inside.
type Ruled<T> = Result<Result<T, Refusal>, StoreError>;

impl Store {
    /// Tries once to claim a task for an agent, and remembers its open nonce. Where there is none, the caller
    /// waits on [`changes`](Store::changes) and tries again.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn claim(&self, class: &str, request: &ClaimRequest) -> Ruled<Option<Claim>> {
        self.try_claim(class, request, claim::WhenNone::KeepNonce).await
    }

    /// Tries a last time, at the end of the long poll: `None` closes the nonce.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn close_nonce(&self, class: &str, request: &ClaimRequest) -> Ruled<Option<Claim>> {
        self.try_claim(class, request, claim::WhenNone::CloseNonce).await
    }

    async fn try_claim(
        &self,
        class: &str,
        request: &ClaimRequest,
        none: claim::WhenNone,
    ) -> Ruled<Option<Claim>> {
        let (class, request) = (class.to_owned(), request.clone());
        self.write(move |change| claim::claim(change, &class, &request, none))
            .await
    }

    /// Renews an agent's presence and the leases that it holds. Answers at once.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn presence(&self, class: &str, request: &PresenceRequest) -> Ruled<PresenceResponse> {
        let (class, request) = (class.to_owned(), request.clone());
        self.write(move |change| agents::presence(change, &class, &request))
            .await
    }

    /// Gives an agent the attempts whose holder's presence has ended.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn adopt(&self, class: &str, request: &AdoptRequest) -> Ruled<AdoptResponse> {
        let (class, request) = (class.to_owned(), request.clone());
        self.write(move |change| adoption::adopt(change, &class, &request))
            .await
    }

    /// Which of these attempts live. An agent of any class may ask: the answer says nothing about the job.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn attempts_status(&self, _class: &str, request: &StatusRequest) -> Ruled<StatusResponse> {
        let request = request.clone();
        self.write(move |change| adoption::status(change, &request)).await
    }

    /// Takes a word that an agent is gone for good and nothing of it can come back: its presence ends now.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn holder_gone(&self, agent: &AgentId) -> Result<(), StoreError> {
        let agent = agent.clone();
        self.write(move |change| agents::gone(change, &agent)).await
    }

    /// Gives an attempt back.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn unclaim(&self, from: Reporter, attempt: &AttemptRef, message: String) -> Ruled<()> {
        let attempt = attempt.clone();
        self.write(move |change| reports::unclaim(change, &from, &attempt, message))
            .await
    }

    /// Reports an infrastructure failure.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn fail(&self, from: Reporter, attempt: &AttemptRef, message: String) -> Ruled<()> {
        let attempt = attempt.clone();
        self.write(move |change| reports::fail(change, &from, &attempt, message))
            .await
    }

    /// Reports how far an attempt is.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn phase(
        &self,
        from: Reporter,
        attempt: &AttemptRef,
        phase: Phase,
        detail: String,
    ) -> Ruled<()> {
        let attempt = attempt.clone();
        self.write(move |change| reports::phase(change, &from, &attempt, phase, &detail))
            .await
    }

    /// Reports the cause of an infrastructure failure, that the place is gone, or both.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn cause(
        &self,
        from: Reporter,
        attempt: &AttemptRef,
        cause: Option<Cause>,
        place_removed: bool,
    ) -> Ruled<()> {
        let attempt = attempt.clone();
        self.write(move |change| reports::cause(change, &from, &attempt, cause, place_removed))
            .await
    }

    /// Hands out the task. The first caller's instance binds the attempt.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn task(&self, attempt: &AttemptRef, instance: Option<InstanceId>) -> Ruled<FetchedTask> {
        let attempt = attempt.clone();
        self.write(move |change| task::fetch(change, &attempt, instance))
            .await
    }

    /// What decides which secrets an attempt may have; none where the attempt is not open. It is asked before
    /// the task is handed out, and changes nothing.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn scope(&self, attempt: &AttemptRef) -> Result<Option<Scope>, StoreError> {
        let attempt = attempt.clone();
        self.read(move |sql| origin::scope(sql, &attempt)).await
    }

    /// Renews the task lease; answers the order to stop where there is one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn heartbeat(
        &self,
        attempt: &AttemptRef,
        instance: Option<InstanceId>,
    ) -> Ruled<Option<CancelOrder>> {
        let attempt = attempt.clone();
        self.write(move |change| task::heartbeat(change, &attempt, instance))
            .await
    }

    /// Stores output, in any order and any number of times; the first content of a number stays. Answers the
    /// highest number up to which all are stored.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn output(
        &self,
        attempt: &AttemptRef,
        instance: Option<InstanceId>,
        chunks: Vec<Chunk>,
    ) -> Ruled<u64> {
        let attempt = attempt.clone();
        self.write(move |change| output::take(change, &attempt, instance, &chunks))
            .await
    }

    /// A step began or ended.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn step(
        &self,
        attempt: &AttemptRef,
        instance: Option<InstanceId>,
        request: &StepRequest,
    ) -> Ruled<()> {
        let (attempt, request) = (attempt.clone(), request.clone());
        self.write(move |change| task::step(change, &attempt, instance, &request))
            .await
    }

    /// Notes an artifact whose bytes the server has on disk. A repeat, or a newer one of the same name and
    /// attempt, takes the place of the older.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn add_artifact(
        &self,
        attempt: &AttemptRef,
        instance: Option<InstanceId>,
        name: &str,
        size: u64,
        sha256: &str,
    ) -> Ruled<()> {
        let (attempt, name, sha256) = (attempt.clone(), name.to_owned(), sha256.to_owned());
        self.write(move |change| artifacts::add(change, &attempt, instance, &name, size, &sha256))
            .await
    }

    /// Takes the terminal record.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn finish(
        &self,
        attempt: &AttemptRef,
        instance: Option<InstanceId>,
        request: &FinishRequest,
    ) -> Ruled<()> {
        let (attempt, request) = (attempt.clone(), request.clone());
        self.write(move |change| task::finish(change, &attempt, instance, &request))
            .await
    }

    /// Applies all deadlines that have passed; answers the next one. To be called then, and after
    /// [`changes`](Store::changes).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn tick(&self) -> Result<Option<Time>, StoreError> {
        self.write(deadlines::apply).await
    }
}
