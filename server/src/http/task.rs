//! What the task agent asks: the task, heartbeat, output, steps, the terminal record.

use api::runner::task::{
    FinishRequest, HeartbeatRequest, HeartbeatResponse, OutputRequest, OutputResponse, Source, StepRequest,
    Task,
};
use api::{Cause, Outcome};
use axum::Json;
use axum::extract::State as FromState;
use store::{FetchedTask, Refusal};

use super::answer::{Answer, Failure};
use super::body::{Decoded, OUTPUT};
use super::caller::Place;
use super::reports::Done;
use super::{Shared, State, poll};
use crate::secrets::{Patience, SecretsError, Values};

/// The task. The first caller's instance binds the attempt, but not before its secrets are there: until then
/// the agent holds its lease.
pub(super) async fn fetch(FromState(shared): State, place: Place) -> Answer<Json<Task>> {
    let secrets = secrets(&shared, &place).await?;
    let fetched = shared.store.task(&place.attempt, place.instance).await??;
    Ok(Json(task(&shared, fetched, secrets)))
}

/// The secrets of the attempt's repository, and those that were given for all jobs, which are nearer. None for a
/// fork, and none for an attempt that is over: who fetches its task hears that.
async fn secrets(shared: &Shared, place: &Place) -> Answer<Values> {
    let scope = shared.store.scope(&place.attempt).await?;
    let Some(scope) = scope.filter(|scope| scope.origin.is_trusted()) else {
        return Ok(Values::new());
    };
    let repository = shared.repository(&scope.repository);
    let mut values = match repository.and_then(|repository| repository.secrets()) {
        None => Values::new(),
        Some(source) => match shared.secrets.read(source, &scope).await {
            Ok(values) => {
                shared.secrets.note(&place.attempt, true);
                values
            }
            Err(error) => return Err(without_secrets(shared, place, error).await?),
        },
    };
    values.extend(shared.extra_secrets.clone());
    Ok(values)
}

/// What a task hears that cannot have its secrets: for some time that it may ask again; then that it is over.
async fn without_secrets(shared: &Shared, place: &Place, error: SecretsError) -> Answer<Failure> {
    tracing::warn!(task.attempt = %place.attempt, %error, "a task's secrets could not be read");
    if shared.secrets.note(&place.attempt, false) == Patience::Left {
        let message = format!("the task's secrets could not be read: {error}");
        return Ok(Failure::unavailable(message));
    }
    let record = FinishRequest {
        outcome: Outcome::InfraFailed,
        cause: Some(Cause::Secrets {
            message: error.to_string(),
        }),
        steps: Vec::new(),
        last_sequence: 0,
    };
    let instance = place.instance.clone();
    shared.store.finish(&place.attempt, instance, &record).await??;
    Ok(Refusal::Gone.into())
}

fn task(shared: &Shared, fetched: FetchedTask, secrets: Values) -> Task {
    let repository = shared.repository(&fetched.repository);
    let clone_url = repository
        .and_then(|repository| repository.clone_url())
        .map(str::to_owned);
    Task {
        pipeline: fetched.pipeline,
        job: fetched.job,
        source: Source {
            repository: fetched.repository,
            token: clone_url
                .is_none()
                .then(|| shared.store.git_token(&fetched.attempt)),
            clone_url,
            commit: fetched.commit,
            reference: fetched.reference,
        },
        attempt: fetched.attempt,
        steps: fetched.steps,
        environment: {
            let mut environment = fetched.environment;
            environment.extend(shared.extra_environment.clone());
            environment
        },
        secrets,
        working_directory: fetched.working_directory,
        shell: fetched.shell,
        time_limit: fetched.time_limit,
        time_used: fetched.time_used,
        terms: fetched.terms,
        stored: fetched.stored,
    }
}

/// Renews the task lease, and answers early when the task is to be stopped.
pub(super) async fn heartbeat(
    FromState(shared): State,
    place: Place,
    Decoded(request): Decoded<HeartbeatRequest>,
) -> Answer<Json<HeartbeatResponse>> {
    let ask = || async {
        let cancel = shared
            .store
            .heartbeat(&place.attempt, place.instance.clone())
            .await??;
        Ok(HeartbeatResponse { cancel })
    };
    let is_news = |response: &HeartbeatResponse| response.cancel.is_some() && !request.cancel_seen;
    poll::until_news(&shared, request.wait, ask, is_news)
        .await
        .map(Json)
}

/// Stores output.
pub(super) async fn output(
    FromState(shared): State,
    place: Place,
    Decoded(request): Decoded<OutputRequest, OUTPUT>,
) -> Answer<Json<OutputResponse>> {
    let stored = shared
        .store
        .output(&place.attempt, place.instance, request.chunks)
        .await??;
    Ok(Json(OutputResponse { stored }))
}

/// A step began or ended.
pub(super) async fn step(
    FromState(shared): State,
    place: Place,
    Decoded(request): Decoded<StepRequest>,
) -> Answer<Json<Done>> {
    shared
        .store
        .step(&place.attempt, place.instance, &request)
        .await??;
    Ok(Json(Done {}))
}

/// Takes the terminal record.
pub(super) async fn finish(
    FromState(shared): State,
    place: Place,
    Decoded(request): Decoded<FinishRequest>,
) -> Answer<Json<Done>> {
    shared
        .store
        .finish(&place.attempt, place.instance, &request)
        .await??;
    Ok(Json(Done {}))
}
