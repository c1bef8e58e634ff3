//! Logs of our own programs: lines on standard error, for people and for collectors.

use std::io::IsTerminal as _;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// How much to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verbosity {
    /// Errors and warnings.
    Quiet,
    /// Life cycles too.
    #[default]
    Normal,
    /// Everything.
    Verbose,
}

impl From<Verbosity> for LevelFilter {
    fn from(verbosity: Verbosity) -> Self {
        match verbosity {
            Verbosity::Quiet => Self::WARN,
            Verbosity::Normal => Self::INFO,
            Verbosity::Verbose => Self::DEBUG,
        }
    }
}

/// Sends the program's log to standard error: with colours on a terminal, without elsewhere. Where something
/// else collects it already (a test), nothing changes.
pub fn start(verbosity: Verbosity) {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::from(verbosity))
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // A closed standard error must not end the program.
        .log_internal_errors(false)
        .with_writer(BoxMakeWriter::new(std::io::stderr))
        .finish();
    // An error means that a subscriber is set already, which is what is wanted then.
    tracing::subscriber::set_global_default(subscriber).ok();
}
