//! `goatherd check`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use pipeline::{Color, Compiled, Diagnostic};
use serde::Serialize;

use crate::config::Check;
use crate::error::{Ending, Failure};
use crate::output::{self, json};

#[derive(Debug, Serialize)]
struct Report<'a> {
    ok: bool,
    diagnostics: &'a [Diagnostic],
}

/// Compiles a config file and prints what is wrong with it on standard output.
pub(crate) fn run(arguments: &Check) -> Result<Ending, Failure> {
    let name = arguments.file.to_string_lossy();
    let bytes = read(&arguments.file).with_context(|| format!("cannot read {name}"))?;
    let (source, compiled) = match pipeline::decode(&name, bytes) {
        Ok(source) => {
            let compiled = pipeline::compile(&name, &source);
            (source, compiled)
        }
        Err(diagnostic) => {
            let diagnostics = vec![*diagnostic];
            (
                String::new(),
                Compiled {
                    plan: None,
                    diagnostics,
                },
            )
        }
    };
    let ok = compiled.plan.is_some();
    if arguments.json {
        output::line(&json::to_line(&Report {
            ok,
            diagnostics: &compiled.diagnostics,
        }));
    } else {
        let rendered = pipeline::render_all(&compiled.diagnostics, &source, color(&std::io::stdout()));
        if !rendered.is_empty() {
            output::line(rendered.trim_end());
        }
        if let Some(plan) = &compiled.plan {
            let jobs = plan.jobs.len();
            output::line(&format!(
                "{name}: ok, {jobs} {}",
                if jobs == 1 { "job" } else { "jobs" }
            ));
        }
    }
    Ok(if ok {
        Ending::Succeeded
    } else {
        Ending::ConfigInvalid
    })
}

/// More than that is not read: it is no config, and may have no end.
const MOST: u64 = 64 << 20;

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(MOST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MOST) {
        let message = format!("it is more than {} MiB long, so it is no config", MOST >> 20);
        return Err(std::io::Error::other(message));
    }
    Ok(bytes)
}

/// Whether diagnostics are printed in colour there.
pub(crate) fn color(to: &impl std::io::IsTerminal) -> Color {
    if to.is_terminal() {
        Color::Always
    } else {
        Color::Never
    }
}
