//! `goatherd audit`.

use anyhow::Context as _;
use api::people::AuditEntry;

use crate::config::Audit;
use crate::error::{Ending, Failure};
use crate::output::{self, json, time};

/// Prints the audit log, oldest first.
pub(crate) async fn run(arguments: &Audit) -> Result<Ending, Failure> {
    let client = arguments.remote.client()?;
    let mut after = arguments.after;
    loop {
        let entries = client.audit(after).await.context("cannot get the audit log")?;
        let Some(last) = entries
            .iter()
            .map(|entry| entry.number)
            .max()
            .filter(|last| *last > after)
        else {
            return Ok(Ending::Succeeded);
        };
        after = last;
        for entry in &entries {
            output::line(&if arguments.json {
                json::to_line(entry)
            } else {
                text(entry)
            });
        }
    }
}

fn text(entry: &AuditEntry) -> String {
    let AuditEntry {
        number,
        time,
        actor,
        action,
        subject,
        detail,
    } = entry;
    let line = format!(
        "{number:>5}  {}  {actor}  {action}  {subject}  {detail}",
        time::moment(*time)
    );
    line.trim_end().replace('\n', " ")
}
