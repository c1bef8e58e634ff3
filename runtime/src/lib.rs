//! What the long-running programs share: logs, signals as cancellation, build information.
//!
//! Each program still has its own configuration and errors; nothing here reads the environment.

pub mod build;
pub mod logs;
pub mod stop;
