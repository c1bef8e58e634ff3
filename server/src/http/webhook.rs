//! Webhooks: whoever can sign with a hook's secret starts pipelines of repositories that the server knows.
//! Until a signature is found good, a body is bytes and nothing else.

use std::time::Duration;

use api::PipelineId;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Request, State as FromState};
use axum::http::{HeaderMap, StatusCode};
use forge::{Event, ForgeError, Push, Trigger};
use serde::Serialize;
use sha2::{Digest, Sha256};
use store::{Accepted, Delivery, NewPipeline, Origin};

use super::answer::{Answer, Failure};
use super::{Shared, State, body};
use crate::config::Hook;

const MEBIBYTE: usize = 1024 * 1024;
/// The largest delivery; GitHub's own limit.
const LARGEST: usize = 25 * MEBIBYTE;
/// The longest that a delivery waits for its turn; providers hang up after ten seconds.
const TURN: Duration = Duration::from_secs(5);

/// What a sender is told.
#[derive(Debug, Default, Serialize)]
pub(super) struct Told {
    /// The pipeline that this delivery started, or that its first copy did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<PipelineId>,
    /// It was here before.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeated: Option<bool>,
    /// Why it starts nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored: Option<String>,
}

type Reply = Answer<(StatusCode, Json<Told>)>;

/// A delivery to no hook in particular: every configured one is tried.
pub(super) async fn any(FromState(shared): State, request: Request) -> Reply {
    let hooks: Vec<&Hook> = shared.hooks.iter().collect();
    receive(&shared, &hooks, request).await
}

/// A delivery to one hook.
pub(super) async fn one(FromState(shared): State, Path(name): Path<String>, request: Request) -> Reply {
    let Some(hook) = shared.hooks.iter().find(|hook| hook.name == name) else {
        return Err(Failure::not_found("there is no such hook"));
    };
    receive(&shared, &[hook], request).await
}

async fn receive(shared: &Shared, hooks: &[&Hook], request: Request) -> Reply {
    let (parts, body) = request.into_parts();
    let space = shared.webhook_space.acquire_many(mebibytes(&parts.headers));
    let Ok(Ok(_space)) = tokio::time::timeout(TURN, space).await else {
        return Err(Failure::unavailable("too many deliveries at once"));
    };
    let body = body::read(&parts.headers, body, LARGEST).await?;
    let (hook, event) = recognise(hooks, &parts.headers, &body)?;
    match event.trigger.clone() {
        Trigger::Ping => Ok(ignored("ping".to_owned())),
        Trigger::Ignored { why } => {
            tracing::info!(hook.name, event.name, why, "webhook ignored");
            Ok(ignored(why))
        }
        Trigger::Push(push) => accept(shared, hook, event, push, body).await,
    }
}

/// How much of the space for bodies a delivery takes, in MiB.
fn mebibytes(headers: &HeaderMap) -> u32 {
    let most = LARGEST.div_ceil(MEBIBYTE);
    let length = body::announced(headers).map_or(most, |length| length.div_ceil(MEBIBYTE).clamp(1, most));
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Finds the hook whose secret signed the body, and only then reads it.
fn recognise<'a>(hooks: &[&'a Hook], headers: &HeaderMap, body: &[u8]) -> Answer<(&'a Hook, Event)> {
    let mut refusal = None;
    for hook in hooks {
        match hook.provider.verify(headers, body, &hook.secret) {
            Ok(verified) => {
                let event = hook.provider.decode(&verified).map_err(|error| {
                    tracing::warn!(hook.name, %error, "a signed webhook cannot be read");
                    Failure::invalid(error.to_string())
                })?;
                return Ok((hook, event));
            }
            Err(error) => refusal = Some(error),
        }
    }
    let refusal = refusal.map_or_else(
        || "no hook is configured".to_owned(),
        |error: ForgeError| error.to_string(),
    );
    tracing::warn!(bytes = body.len(), reason = refusal, "webhook refused");
    Err(Failure::unauthorised(refusal))
}

async fn accept(shared: &Shared, hook: &Hook, event: Event, push: Push, body: Bytes) -> Reply {
    let Some(repository) = shared.repository(&push.repository) else {
        tracing::warn!(
            hook.name,
            repository = push.repository,
            "webhook of an unknown repository"
        );
        return Err(Failure::not_found(format!(
            "the server does not know the repository `{}`",
            push.repository
        )));
    };
    shared.takes_work()?;
    let body_sha256 = hex::encode(Sha256::digest(&body));
    let delivery = Delivery {
        hook: hook.name.clone(),
        id: event.delivery.unwrap_or_else(|| format!("sha256:{body_sha256}")),
        body_sha256,
        event: event.name,
        body: body.into(),
    };
    let pipeline = NewPipeline {
        repository: repository.name().to_owned(),
        commit: push.commit,
        reference: push.reference,
        jobs: Vec::new(),
        actor: format!("webhook {}", hook.name),
        origin: Origin::Push,
    };
    match shared.store.accept_delivery(delivery, Some(pipeline)).await? {
        Accepted::New(pipeline) => {
            shared.wake.notify_one();
            let told = Told {
                pipeline,
                ..Told::default()
            };
            Ok((StatusCode::ACCEPTED, Json(told)))
        }
        Accepted::Repeated(pipeline) => {
            let told = Told {
                pipeline,
                repeated: Some(true),
                ..Told::default()
            };
            Ok((StatusCode::OK, Json(told)))
        }
    }
}

fn ignored(why: String) -> (StatusCode, Json<Told>) {
    let told = Told {
        ignored: Some(why),
        ..Told::default()
    };
    (StatusCode::OK, Json(told))
}
