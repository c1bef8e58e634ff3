//! GitHub: <https://docs.github.com/en/webhooks/webhook-events-and-payloads>.

mod statuses;

use api::Secret;
use http::HeaderMap;
use serde::Deserialize;

use crate::{
    Event, Forge, ForgeError, Push, Response, Status, StatusRequest, Trigger, Verdict, Verified, signature,
    single,
};

/// The only header that counts. `X-Hub-Signature` (SHA-1) comes beside it and is never looked at: who
/// could choose the weaker one would.
const SIGNATURE: &str = "X-Hub-Signature-256";
const EVENT: &str = "X-GitHub-Event";
const DELIVERY: &str = "X-GitHub-Delivery";

/// GitHub, and GitHub Enterprise Server.
#[derive(Debug, Clone, Copy)]
pub struct GitHub;

impl Forge for GitHub {
    fn name(&self) -> &'static str {
        "github"
    }

    fn verify<'a>(
        &self,
        headers: &'a HeaderMap,
        body: &'a [u8],
        secret: &Secret,
    ) -> Result<Verified<'a>, ForgeError> {
        let Some(value) = single(headers, SIGNATURE) else {
            return Err(ForgeError::Unsigned { header: SIGNATURE });
        };
        let good = value
            .as_bytes()
            .strip_prefix(b"sha256=")
            .is_some_and(|digits| signature::is_good(secret, body, digits));
        if good {
            Ok(Verified { headers, body })
        } else {
            Err(ForgeError::WrongSignature { header: SIGNATURE })
        }
    }

    fn decode(&self, delivery: &Verified<'_>) -> Result<Event, ForgeError> {
        let Some(name) = delivery.header(EVENT) else {
            return Err(ForgeError::Malformed(format!(
                "the delivery has no `{EVENT}` header"
            )));
        };
        let payload: Payload = serde_json::from_slice(delivery.body)
            .map_err(|error| ForgeError::Malformed(malformed(delivery, &error)))?;
        let trigger = match name {
            "push" => payload.push()?,
            "ping" => Trigger::Ping,
            other => Trigger::Ignored {
                why: format!("`{other}` events start nothing"),
            },
        };
        Ok(Event {
            delivery: delivery.header(DELIVERY).map(str::to_owned),
            name: name.to_owned(),
            trigger,
        })
    }

    fn api_url(&self) -> &'static str {
        "https://api.github.com"
    }

    fn status(&self, api_url: &str, repository: &str, commit: &str, status: &Status<'_>) -> StatusRequest {
        statuses::request(api_url, repository, commit, status)
    }

    fn verdict(&self, response: &Response<'_>) -> Verdict {
        statuses::verdict(response)
    }
}

fn malformed(delivery: &Verified<'_>, error: &serde_json::Error) -> String {
    if delivery.body.starts_with(b"payload=") {
        "the delivery is form-encoded: set the hook's content type to application/json".to_owned()
    } else {
        format!("the delivery is no JSON as GitHub sends it: {error}")
    }
}

/// What is read of any payload. Everything is optional, because most events have none of it.
#[derive(Debug, Deserialize)]
struct Payload {
    #[serde(default, rename = "ref")]
    reference: Option<String>,
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    head_commit: Option<Commit>,
    #[serde(default)]
    repository: Option<Repository>,
    #[serde(default)]
    pusher: Option<Pusher>,
}

#[derive(Debug, Deserialize)]
struct Commit {
    id: String,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Deserialize)]
struct Repository {
    full_name: String,
}

#[derive(Debug, Deserialize)]
struct Pusher {
    #[serde(default)]
    name: Option<String>,
}

impl Payload {
    fn push(self) -> Result<Trigger, ForgeError> {
        let missing = |what: &str| ForgeError::Malformed(format!("the push has no `{what}`"));
        let reference = self.reference.ok_or_else(|| missing("ref"))?;
        let after = self.after.ok_or_else(|| missing("after"))?;
        let repository = self.repository.ok_or_else(|| missing("repository"))?.full_name;
        if self.deleted || after.bytes().all(|digit| digit == b'0') {
            return Ok(Trigger::Ignored {
                why: format!("{reference} was deleted"),
            });
        }
        if let Some(word) = self
            .head_commit
            .as_ref()
            .and_then(|commit| skip_word(&commit.message))
        {
            return Ok(Trigger::Ignored {
                why: format!("the head commit says {word}"),
            });
        }
        // After an annotated tag, `after` names the tag and the head commit names what it points to.
        let commit = self.head_commit.map_or(after, |commit| commit.id);
        if !is_commit(&commit) {
            return Err(ForgeError::Malformed(
                "the push names no commit in full".to_owned(),
            ));
        }
        if !is_reference(&reference) {
            return Err(ForgeError::Malformed(
                "the push names no branch and no tag".to_owned(),
            ));
        }
        Ok(Trigger::Push(Push {
            repository,
            commit,
            reference,
            pusher: self.pusher.and_then(|pusher| pusher.name),
        }))
    }
}

fn skip_word(message: &str) -> Option<&'static str> {
    ["[skip ci]", "[ci skip]"]
        .into_iter()
        .find(|word| message.contains(word))
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_reference(text: &str) -> bool {
    let named = ["refs/heads/", "refs/tags/"]
        .iter()
        .any(|prefix| text.strip_prefix(prefix).is_some_and(|name| !name.is_empty()));
    named && text.len() <= 1024 && !text.contains("..") && !text.chars().any(|c| c.is_control() || c == ' ')
}

#[cfg(test)]
mod tests;
