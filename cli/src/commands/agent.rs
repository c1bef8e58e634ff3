//! `goatherd agent`.

use container_agent::{AgentConfig, PlaceLife};
use runtime::stop::Stops;

use crate::config::{AGENT_TOKEN, Agent, host_name, token, user_state};
use crate::error::{Ending, Failure};
use crate::installed::{self, Jobs};
use crate::tools::Tools;

/// Runs an agent until it is stopped.
pub(crate) async fn run(arguments: Agent, stops: Stops) -> Result<Ending, Failure> {
    let token = token(arguments.token_file.as_deref(), AGENT_TOKEN, "--token-file")?;
    let state_dir = match arguments.state {
        Some(folder) => folder,
        None => user_state()?.join("agent"),
    };
    let driver =
        installed::local_driver(&arguments.places, &state_dir, Jobs::Survive, Tools::default()).await?;
    let agent = container_agent::Agent::build(AgentConfig {
        server_url: arguments.server,
        token,
        state_dir,
        slots: installed::slots(&arguments.places),
        name: arguments.name.unwrap_or_else(host_name),
        driver,
        places: PlaceLife::Survive,
        state: container_agent::StateLife::Lasting,
    })?;
    agent.run(stops).await?;
    Ok(Ending::Succeeded)
}
