//! TERM and INT as cancellation: the first asks a program to end well, the second to end at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What the signals set. Tokens that nobody listens to do no harm.
#[derive(Debug, Clone, Default)]
pub struct Stops {
    /// Set by the first TERM or INT: end well.
    pub first: CancellationToken,
    /// Set by the second: end at once.
    pub second: CancellationToken,
}

/// Watches TERM and INT from now on, for as long as the runtime lives.
///
/// # Errors
/// Where a handler cannot be installed.
pub fn watch() -> io::Result<Stops> {
    let stops = Stops::default();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let watched = stops.clone();
    // It ends with the runtime: a signal may come until then.
    tokio::spawn(async move {
        for token in [&watched.first, &watched.second] {
            let name = either(&mut terminate, &mut interrupt).await;
            // First of all: nobody may read the log.
            token.cancel();
            tracing::info!(signal = name, "asked to stop");
        }
    });
    Ok(stops)
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "TERM",
        _ = interrupt.recv() => "INT",
    }
}
