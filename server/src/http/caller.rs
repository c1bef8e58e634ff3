//! Who calls. These extractors come before the body, so that nothing of a stranger's body is read.

use std::sync::Arc;

use api::goat::INSTANCE_HEADER;
use api::{AttemptRef, InstanceId, Secret};
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use store::Reporter;

use super::Shared;
use super::answer::{Answer, Failure};
use crate::auth::Runner;

/// An admin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Admin;

impl Admin {
    /// Its name in the audit log.
    pub(super) const NAME: &'static str = "admin";
}

impl FromRequestParts<Arc<Shared>> for Admin {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Answer<Self> {
        let token = bearer(parts)?;
        if shared.auth.is_admin(&token).await? {
            Ok(Self)
        } else {
            Err(Failure::unauthorised("this token is no admin's"))
        }
    }
}

/// A container agent.
#[derive(Debug, Clone)]
pub(super) struct Agent {
    /// The resource class of its token.
    pub(super) class: String,
}

impl FromRequestParts<Arc<Shared>> for Agent {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Answer<Self> {
        match shared.auth.runner(&bearer(parts)?).await? {
            Some(Runner::Agent { class }) => Ok(Self { class }),
            Some(Runner::Place { .. }) => Err(Failure::forbidden("a task token is not for this call")),
            None => Err(Failure::unauthorised("this token is no resource class's")),
        }
    }
}

/// GOAT or the task agent of an attempt.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The attempt.
    pub(super) attempt: AttemptRef,
    /// Which start of GOAT, where it says so.
    pub(super) instance: Option<InstanceId>,
}

impl FromRequestParts<Arc<Shared>> for Place {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Answer<Self> {
        let Some(attempt) = shared.auth.attempt(&bearer(parts)?) else {
            return Err(Failure::unauthorised("this token is no task's"));
        };
        Ok(Self {
            attempt,
            instance: instance(parts)?,
        })
    }
}

/// Either of them, where both may report.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) runner: Runner,
    pub(super) instance: Option<InstanceId>,
}

impl Caller {
    /// Who reports about an attempt: an agent names itself, a place speaks for its own attempt only.
    pub(super) fn reporter(
        self,
        attempt: &AttemptRef,
        holder: Option<api::runner::Holder>,
    ) -> Answer<Reporter> {
        match self.runner {
            Runner::Agent { class } => match holder {
                Some(holder) => Ok(Reporter::Agent { class, holder }),
                None => Err(Failure::invalid("an agent must name itself in `holder`")),
            },
            Runner::Place { attempt: own } if own == *attempt => Ok(Reporter::Place {
                instance: self.instance,
            }),
            Runner::Place { .. } => Err(Failure::forbidden("this task token is for another attempt")),
        }
    }
}

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Answer<Self> {
        match shared.auth.runner(&bearer(parts)?).await? {
            Some(runner) => Ok(Self {
                runner,
                instance: instance(parts)?,
            }),
            None => Err(Failure::unauthorised(
                "this token is neither a resource class's nor a task's",
            )),
        }
    }
}

fn bearer(parts: &Parts) -> Answer<Secret> {
    let missing = || Failure::unauthorised("the call needs an `Authorization: Bearer` header");
    let value = parts.headers.get(AUTHORIZATION).ok_or_else(missing)?;
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(missing());
    }
    Ok(Secret::new(token.trim()))
}

fn instance(parts: &Parts) -> Answer<Option<InstanceId>> {
    let Some(value) = parts.headers.get(INSTANCE_HEADER) else {
        return Ok(None);
    };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    id.map(Some)
        .ok_or_else(|| Failure::invalid(format!("the `{INSTANCE_HEADER}` header is no instance id")))
}
