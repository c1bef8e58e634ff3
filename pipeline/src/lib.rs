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
use crate::diagnostic::Problem;
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

/// The largest config, in bytes.
pub const LARGEST: usize = 1 << 20;
/// Of a key that stands more often than this in one mapping, the others are reported but not looked into.
const OCCURRENCES: usize = 4;

/// Compiles a config file's text.
///
/// `file_name` goes into the diagnostics, and decides what an unknown key is: an error, but in
/// `.circleci/config.yml` a warning. Repeats exactly: the same text gives the same answer.
#[must_use]
pub fn compile(file_name: &str, source: &str) -> Compiled {
    let length = source.len();
    // Of what is too large not even the lines are counted.
    let source = Source::new(file_name, if length > LARGEST { "" } else { source });
    let mut checker = Checker::new(&source, UnknownKeys::of_file(file_name));
    let plan = if length > LARGEST {
        let message = format!("the config is {length} bytes long; at most {LARGEST} are read");
        checker.report(Problem::error(Code::TooLarge, source.start(), message));
        None
    } else {
        plan(&mut checker)
    };
    let diagnostics = checker.finish();
    let plan = plan.filter(|_| diagnostics.iter().all(|one| one.severity != Severity::Error));
    Compiled { plan, diagnostics }
}

/// Reads the config; and where a key stands twice in a mapping, which is an error, once more for each further
/// entry, so that what is wrong inside of each is told at once.
fn plan(checker: &mut Checker<'_>) -> Option<Plan> {
    let mut plan = None;
    for occurrence in 0..OCCURRENCES {
        let tree = tree::read(occurrence, checker)?;
        let config = config::read(&tree, checker);
        if let Some(config) = config
            && !tree.repeated.names
        {
            plan = graph::plan(&config, checker);
        }
        if occurrence + 1 >= tree.repeated.most || !checker.has_room() {
            break;
        }
    }
    plan
}
