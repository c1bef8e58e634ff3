//! Logs of our own programs: lines on standard error, for people and for collectors.

use std::io::IsTerminal as _;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

/// Libraries that tell of every call they make: more than even a verbose log wants.
const TALKATIVE: [&str; 5] = ["hyper", "hyper_util", "reqwest", "rustls", "h2"];

/// How much to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verbosity {
    /// Errors and warnings.
    Quiet,
    /// Life cycles too.
    #[default]
    Normal,
    /// Everything of our own.
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
    let level = LevelFilter::from(verbosity);
    let quieter = TALKATIVE.map(|target| (target, level.min(LevelFilter::INFO)));
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // A closed standard error must not end the program.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let subscriber = tracing_subscriber::registry()
        .with(Targets::new().with_default(level).with_targets(quieter))
        .with(lines);
    // An error means that a subscriber is set already, which is what is wanted then.
    tracing::subscriber::set_global_default(subscriber).ok();
}
