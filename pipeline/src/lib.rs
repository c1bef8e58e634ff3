//! Config file to plan, without I/O.
//!
//! [`compile`] reads the text of a config file and gives an [`api::Plan`], or everything that is wrong with
//! the text at once, each with its place. Text becomes a tree of spanned nodes (`tree`), the tree a typed
//! config (`config`, `steps`), and that a plan (`graph`). Nothing here reads files, a clock or the
//! environment, and no text makes it panic.

mod check;
mod config;
mod diagnostic;
#[cfg(test)]
mod documented;
mod graph;
mod render;
mod select;
mod source;
mod steps;
mod suggest;
mod tree;

use api::{Cause, Plan};

pub use crate::diagnostic::{Code, Diagnostic, Severity};
pub use crate::render::{Color, render_all};
pub use crate::select::{SelectError, select};

use crate::check::{Checker, UnknownKeys};
use crate::source::Source;

/// Where a config may lie in a repository; the first that exists is the config.
pub const CONFIG_FILES: &[&str] = &[".ci.yml", ".custom-ci.yml", ".circleci/config.yml"];

/// What a config file compiles to.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The plan; none exactly when a diagnostic is an error.
    pub plan: Option<Plan>,
    /// Errors and warnings in the order of their places.
    pub diagnostics: Vec<Diagnostic>,
}

impl Compiled {
    /// Why there is no plan: the first error, with how many more there are. None where there is a plan.
    #[must_use]
    pub fn to_cause(&self) -> Option<Cause> {
        let mut errors = self
            .diagnostics
            .iter()
            .filter(|one| one.severity == Severity::Error);
        let first = errors.next()?;
        Some(first.to_cause_with_more(errors.count()))
    }
}

/// A config file's text.
///
/// # Errors
/// The place after which the bytes are no text in UTF-8.
pub fn decode(file_name: &str, bytes: Vec<u8>) -> Result<String, Box<Diagnostic>> {
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..good]);
        Box::new(Diagnostic::no_text(file_name, &before))
    })
}

/// Compiles a config file's text.
///
/// `file_name` goes into the diagnostics, and decides what an unknown key is: an error, but in
/// `.circleci/config.yml` a warning. Repeats exactly: the same text gives the same answer.
#[must_use]
pub fn compile(file_name: &str, source: &str) -> Compiled {
    let source = Source::new(file_name, source);
    let mut checker = Checker::new(&source, UnknownKeys::of_file(file_name));
    let plan = tree::read(&mut checker)
        .and_then(|tree| config::read(&tree, &mut checker))
        .and_then(|config| graph::plan(&config, &mut checker));
    let diagnostics = checker.finish();
    let plan = plan.filter(|_| diagnostics.iter().all(|one| one.severity != Severity::Error));
    Compiled { plan, diagnostics }
}
