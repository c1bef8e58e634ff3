//! `goatherd check`.

mod leading;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
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

/// More than that is not read: it is no config, and may have no end.
const MOST: u64 = 64 << 20;

/// Reads a config as a run would: a link is followed within its repository.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    if let Some(target) = leading::out_of_the_repository(file) {
        return Err(io::Error::other(format!(
            "it is a symbolic link that leads out of the repository, to {}",
            target.display()
        )));
    }
    if may_never_end(file)? {
        return Err(io::Error::other("it is no regular file, so it is no config"));
    }
    let mut bytes = Vec::new();
    File::open(file)?.take(MOST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MOST) {
        let message = format!("it is more than {} MiB long, so it is no config", MOST >> 20);
        return Err(io::Error::other(message));
    }
    Ok(bytes)
}

/// Whether to open or read it may take for ever: a named pipe waits for a writer, a device for whatever it likes. A pipe
/// without a name (standard input, a shell's `<(...)`) has its writer; no path but a descriptor's leads there.
fn may_never_end(file: &Path) -> io::Result<bool> {
    let kind = file.metadata()?.file_type();
    Ok(if kind.is_fifo() {
        file.canonicalize().is_ok()
    } else {
        // Opening a folder fails, in words of its own.
        !kind.is_file() && !kind.is_dir()
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
