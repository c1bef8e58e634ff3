//! What any compatible orchestrator does. Nothing here may need a key, flag or answer that is ours alone.

mod calls;
mod command_line;
mod entrypoint;
mod failures;
mod health;
mod init;
mod interruption;
mod overriding;
mod readiness;
mod task_agent;
