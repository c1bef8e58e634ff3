//! What the task agent asks: the task, heartbeat, output, steps, the terminal record.

use api::runner::task::{
    FinishRequest, HeartbeatRequest, HeartbeatResponse, OutputRequest, OutputResponse, Source, StepRequest,
    Task,
};
use axum::Json;
use axum::extract::State as FromState;
use store::FetchedTask;

use super::answer::Answer;
use super::body::{Decoded, OUTPUT};
use super::caller::Place;
use super::reports::Done;
use super::{Shared, State, poll};

/// The task. The first caller's instance binds the attempt.
pub(super) async fn fetch(FromState(shared): State, place: Place) -> Answer<Json<Task>> {
    let fetched = shared.store.task(&place.attempt, place.instance).await??;
    Ok(Json(task(&shared, fetched)))
}

fn task(shared: &Shared, fetched: FetchedTask) -> Task {
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
        secrets: shared.extra_secrets.clone(),
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
