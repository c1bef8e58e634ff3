//! Secrets from a program of the operator.

use std::ffi::OsString;
use std::process::Stdio;

use api::Secret;
use store::Scope;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::{LARGEST, SecretsError};
use crate::git::Group;

/// What a program wrote, which must end with 0. It sees an allow-list of the server's environment and who is
/// asking. What it says on standard error goes nowhere, because that may be anything.
pub(super) async fn output(
    words: &[String],
    environment: &[(&'static str, OsString)],
    scope: &Scope,
) -> Result<Secret, SecretsError> {
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| SecretsError("`secrets_command` is empty".to_owned()))?;
    let failed = |why: String| SecretsError(format!("`{program}` {why}"));
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env("GOATHERD_REPOSITORY", &scope.repository)
        .env("GOATHERD_REFERENCE", &scope.reference)
        .env("GOATHERD_JOB", &scope.job)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("could not be started: {error}")))?;
    // Dropped before its end, it and what it started are killed.
    let group = Group::of(&child);
    let stdout = child.stdout.take();
    let mut written = Vec::new();
    if let Some(stdout) = stdout {
        let most = u64::try_from(LARGEST * 2).unwrap_or(u64::MAX);
        let read = stdout.take(most + 1).read_to_end(&mut written).await;
        read.map_err(|error| failed(format!("could not be heard: {error}")))?;
    }
    if written.len() > LARGEST * 2 {
        return Err(failed(format!("wrote more than {} bytes", LARGEST * 2)));
    }
    let status = child.wait().await;
    group.ended();
    match status {
        Ok(status) if status.success() => String::from_utf8(written)
            .map(Secret::new)
            .map_err(|_| failed("wrote no UTF-8".to_owned())),
        Ok(status) => Err(failed(format!("ended with {status}"))),
        Err(error) => Err(failed(format!("could not be waited for: {error}"))),
    }
}
