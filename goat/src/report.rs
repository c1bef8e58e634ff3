//! Telling the runner API what the task agent cannot tell itself.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use api::goat::GoatConfig;
use api::runner::report::{FailRequest, UnclaimRequest};
use api::{InstanceId, Secret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::{Client, ClientError, Effort};

use crate::build;
use crate::failure::Failure;
use crate::figures::Figures;

/// How long a call may take, repeats included.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long all calls together may take once this process was asked to end.
pub(crate) const HURRIED: Duration = Duration::from_secs(10);

/// How much of it giving back may take: the report must have time as well.
pub(crate) const UNCLAIM_HURRIED: Duration = Duration::from_secs(5);

/// How much time there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Haste {
    /// As much as the calls need.
    None,
    /// [`HURRIED`]: this process was asked to end.
    Interrupted,
}

impl Haste {
    /// For unclaim, and for fail.
    fn efforts(self) -> (Effort, Effort) {
        match self {
            Self::None => (Effort::Within(PATIENCE), Effort::Within(PATIENCE)),
            Self::Interrupted => (Effort::Within(UNCLAIM_HURRIED), Effort::Within(HURRIED)),
        }
    }
}

/// Whom to tell, and in whose name.
#[derive(Debug)]
pub(crate) struct Reporter {
    base_url: String,
    task_id: String,
    allocation: String,
    token: Secret,
    unsafe_retries: bool,
    instance: Option<InstanceId>,
    figures: Arc<Figures>,
}

impl Reporter {
    pub(crate) fn new(task: &GoatConfig, instance: Option<InstanceId>, figures: Arc<Figures>) -> Self {
        Self {
            base_url: task.runner_api_base_url.clone(),
            task_id: task.task_id.clone(),
            allocation: task.allocation.clone(),
            token: task.token.clone().unwrap_or_else(|| Secret::new("")),
            unsafe_retries: task.enable_unsafe_retries,
            instance,
            figures,
        }
    }

    /// Gives the task back where it may run elsewhere, else reports that it failed. Whether the runner API
    /// took it, or no longer cares. Once `enough` returns, no more time goes into giving back.
    pub(crate) async fn report(
        &self,
        failure: &Failure,
        haste: Haste,
        enough: impl Future<Output = ()>,
    ) -> bool {
        // Made only now: most tasks need none, and reading the machine's certificates takes time.
        let client = match self.client() {
            Ok(client) => client,
            Err(error) => {
                tracing::error!(error = %error.chain(), "the runner API cannot be called");
                return false;
            }
        };
        let (unclaim, fail) = haste.efforts();
        if failure.is_retryable() || self.unsafe_retries {
            let given_back = tokio::select! {
                given_back = self.unclaim(&client, unclaim) => given_back,
                () = enough => {
                    tracing::warn!("failed to retry task: the time for it is over");
                    false
                }
            };
            if given_back {
                return true;
            }
        }
        self.fail(&client, failure, fail).await
    }

    fn client(&self) -> Result<Client, ClientError> {
        Client::builder(&self.base_url)
            .token(self.token.clone())
            .user_agent(user_agent())
            .instance(self.instance.clone())
            .build()
    }

    async fn unclaim(&self, client: &Client, effort: Effort) -> bool {
        let request = UnclaimRequest {
            task_id: self.task_id.clone(),
            task_token: Some(self.token.clone()),
            attempt: None,
            holder: None,
            message: None,
        };
        let outcome = client.unclaim(&request, effort).await;
        self.figures.called(outcome.is_ok());
        match outcome {
            Ok(()) => {
                tracing::info!("the task was given back");
                true
            }
            Err(error) if error.is_gone() => is_over(),
            Err(error) if error.status() == Some(409) => {
                tracing::warn!("failed to retry task: exhausted all task retries");
                false
            }
            Err(error) => {
                tracing::warn!(error = %error.chain(), "failed to retry task");
                false
            }
        }
    }

    async fn fail(&self, client: &Client, failure: &Failure, effort: Effort) -> bool {
        let request = FailRequest {
            allocation: self.allocation.clone(),
            timestamp: unix_milliseconds(),
            message: encode(&failure.message()),
            holder: None,
        };
        let outcome = client.fail(&request, effort).await;
        self.figures.called(outcome.is_ok());
        match outcome {
            Ok(()) => {
                tracing::info!("the task's failure was reported");
                true
            }
            Err(error) if error.is_gone() => is_over(),
            Err(error) => {
                tracing::error!(error = %error.chain(), "the task's failure could not be reported");
                false
            }
        }
    }
}

fn is_over() -> bool {
    tracing::info!("the runner API says that the task is over");
    true
}

/// Base64 of the message without the characters that a page might take for markup.
fn encode(message: &[u8]) -> String {
    let plain: Vec<u8> = message
        .iter()
        .copied()
        .filter(|byte| !b"<>&'\"".contains(byte))
        .collect();
    STANDARD.encode(plain)
}

fn unix_milliseconds() -> i64 {
    let elapsed = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

fn user_agent() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let correlation = if host.starts_with("ccita-") {
        host.to_owned()
    } else {
        random_hex(8)
    };
    format!(
        "CircleCI-GOAT/{} ({}; {}; {correlation})",
        build::VERSION,
        std::env::consts::OS,
        go_architecture()
    )
}

/// The name that Go has for it.
fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// So many random bytes in hexadecimal digits.
pub(crate) fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    // Without randomness the clock has to do: it only has to tell two processes apart.
    if getrandom::fill(&mut random).is_err() {
        let now = SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap_or_default()
            .as_nanos()
            .to_ne_bytes();
        random
            .iter_mut()
            .zip(now.iter().cycle())
            .for_each(|(byte, &clock)| *byte = clock);
    }
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_encoded_without_markup() {
        assert_eq!(encode(b"a<b>&'\"c"), STANDARD.encode("abc"));
    }

    #[test]
    fn the_user_agent_names_system_architecture_and_a_correlation() {
        let agent = user_agent();

        let inner = agent.strip_prefix("CircleCI-GOAT/dev (linux; ").expect(&agent);
        let correlation = inner
            .trim_end_matches(')')
            .rsplit("; ")
            .next()
            .expect("three parts");
        assert!(correlation.len() >= 8, "{agent}");
    }
}
