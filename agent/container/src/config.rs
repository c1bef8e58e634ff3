//! What an agent is told when it is made.

use std::path::PathBuf;
use std::sync::Arc;

use api::Secret;
use driver::Driver;

/// How an agent is set up.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The server's URL, such as `https://ci.example.com`; places reach the server by it too.
    pub server_url: String,
    /// The resource-class token.
    pub token: Secret,
    /// The agent's own folder; it is made where it does not exist.
    pub state_dir: PathBuf,
    /// How many attempts it may hold at once, 1 at least.
    pub slots: u32,
    /// The machine's name, for people.
    pub name: String,
    /// Where tasks run.
    pub driver: Arc<dyn Driver>,
    /// What becomes of places when the agent ends.
    pub places: PlaceLife,
    /// What becomes of the agent's folder.
    pub state: StateLife,
}

/// What becomes of the agent's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateLife {
    /// A later start reads it, after a power cut too.
    Lasting,
    /// It is removed with the process that made it, so nothing waits for the disk.
    Throwaway,
}

/// What becomes of places when the agent ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceLife {
    /// They go on: the agent's next start resumes them, or another agent of the same reach adopts them.
    Survive,
    /// They end with it (a lifeline): so a stop waits for what runs, and what a killed agent held is lost.
    EndWithAgent,
}
