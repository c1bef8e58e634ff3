//! `goatherd check`.

use anyhow::Context as _;
use pipeline::{Color, Diagnostic};
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
    let bytes = std::fs::read(&arguments.file).with_context(|| format!("cannot read {name}"))?;
    let source = match text(&name, bytes) {
        Ok(source) => source,
        Err(error) => {
            output::complain(&format!("error: {error}"));
            return Ok(Ending::ConfigInvalid);
        }
    };
    let compiled = pipeline::compile(&name, &source);
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

/// A config's text, or where it is none.
pub(crate) fn text(name: &str, bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("{name}:{line}: this is no text in UTF-8")
    })
}

/// Whether diagnostics are printed in colour there.
pub(crate) fn color(to: &impl std::io::IsTerminal) -> Color {
    if to.is_terminal() {
        Color::Always
    } else {
        Color::Never
    }
}
