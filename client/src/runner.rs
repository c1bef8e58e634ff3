//! The runner API, a method a call. Every call can be repeated; see `api::runner`.

use api::runner::claim::{Claim, ClaimRequest};
use api::runner::presence::{
    AdoptRequest, AdoptResponse, PresenceRequest, PresenceResponse, StatusRequest, StatusResponse,
};
use api::runner::report::{CauseRequest, FailRequest, PhaseRequest, UnclaimRequest};
use api::runner::task::{
    FinishRequest, HeartbeatRequest, HeartbeatResponse, OutputRequest, OutputResponse, StepRequest, Task,
};
use api::runner::{ErrorCode, path};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Client, ClientError, Effort};

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident: $path:ident($request:ty) -> $answer:ty = $how:ident;)*) => {
        impl Client {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// See [`ClientError`].
                pub async fn $name(&self, request: &$request, effort: Effort) -> Result<$answer, ClientError> {
                    self.$how(path::$path, request, effort).await
                }
            )*
        }
    };
}

calls! {
    /// Asks for a task (container agent); none where there is none, which closes the nonce.
    claim: CLAIM(ClaimRequest) -> Option<Claim> = post;
    /// Says that the agent is alive and what it holds.
    presence: PRESENCE(PresenceRequest) -> PresenceResponse = ask;
    /// Takes over places whose holder's presence has ended.
    adopt: ADOPT(AdoptRequest) -> AdoptResponse = ask;
    /// Asks which attempts live.
    attempts_status: ATTEMPTS_STATUS(StatusRequest) -> StatusResponse = ask;
    /// Gives an attempt back (container agent, GOAT).
    unclaim: UNCLAIM(UnclaimRequest) -> () = tell;
    /// Reports an infrastructure failure (container agent, GOAT).
    fail: FAIL(FailRequest) -> () = tell;
    /// Reports a phase.
    phase: PHASE(PhaseRequest) -> () = tell;
    /// Tells the cause of an infrastructure failure, that the place is gone, or both.
    cause: CAUSE(CauseRequest) -> () = tell;
    /// Renews the task lease (task agent).
    heartbeat: HEARTBEAT(HeartbeatRequest) -> HeartbeatResponse = ask;
    /// Sends output (task agent).
    output: OUTPUT(OutputRequest) -> OutputResponse = ask;
    /// Says that a step began or ended (task agent).
    step: STEP(StepRequest) -> () = tell;
    /// Sends the terminal record (task agent).
    finish: FINISH(FinishRequest) -> () = tell;
}

impl Client {
    /// Fetches the task (task agent); the first instance that does binds the attempt.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn task(&self, effort: Effort) -> Result<Task, ClientError> {
        self.get(path::TASK, effort).await?.ok_or_else(empty)
    }

    /// Sends a JSON body and reads a JSON answer that must be there.
    pub(crate) async fn ask<B, T>(&self, path: &str, body: &B, effort: Effort) -> Result<T, ClientError>
    where
        B: Serialize + Sync + ?Sized,
        T: DeserializeOwned,
    {
        self.post(path, body, effort).await?.ok_or_else(empty)
    }
}

/// An answer without a body where the API says that there is one.
pub(crate) fn empty() -> ClientError {
    ClientError::Refused {
        status: 204,
        error: api::runner::ApiError {
            code: ErrorCode::Invalid,
            message: "the answer is empty".to_owned(),
            first_missing: None,
        },
    }
}
