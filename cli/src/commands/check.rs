//! `goatherd check`.

mod leading;

use std::io;
use std::path::Path;

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
    let bytes = match read(&arguments.file) {
        Ok(bytes) => bytes,
        Err(error) => {
            if arguments.json {
                let diagnostics = [Diagnostic::unreadable(&name, error.to_string())];
                output::line(&json::to_line(&Report {
                    ok: false,
                    diagnostics: &diagnostics,
                }));
            }
            return Err(anyhow::Error::new(error)
                .context(format!("cannot read {name}"))
                .into());
        }
    };
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

/// Reads a config as a run would: a link is followed within its repository.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    match leading::out_of_the_repository(file) {
        Some(target) => Err(io::Error::other(format!(
            "it is a symbolic link that leads out of the repository, to {}",
            target.display()
        ))),
        None => std::fs::read(file),
    }
}

/// Whether diagnostics are printed in colour there.
pub(crate) fn color(to: &impl std::io::IsTerminal) -> Color {
    if to.is_terminal() {
        Color::Always
    } else {
        Color::Never
    }
}
