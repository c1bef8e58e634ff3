//! A server and its agents in one process: `server --dev` and `run`. Jobs end with it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use api::people::TokenRequest;
use container_agent::{Agent, AgentConfig, PlaceLife, StateLife};
use driver::Driver;
use runtime::stop::Stops;
use server::App;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::config::{Places, host_name};
use crate::error::Failure;
use crate::installed::{self, Jobs};
use crate::output;
use crate::tools::Tools;

/// How long the parts get to end when all is to end at once.
const LETTING_GO: Duration = Duration::from_secs(2);

/// How long an agent that is to end at once may take to remove its places.
const CLEARING: Duration = Duration::from_secs(20);

/// How the agents are set up: where their state and places are, and one for each resource class.
#[derive(Debug)]
pub(crate) struct Agents {
    folder: PathBuf,
    classes: Vec<String>,
    slots: u32,
    driver: Arc<dyn Driver>,
    state: StateLife,
}

/// Where jobs will run, looked at but not used yet.
#[derive(Debug)]
pub(crate) struct Ground {
    folder: PathBuf,
    slots: u32,
    driver: Arc<dyn Driver>,
    notes: Vec<String>,
}

impl Ground {
    /// Sees to it that jobs can run here. They see this user's tools. Nothing is said yet.
    pub(crate) async fn prepare(folder: PathBuf, places: &Places) -> Result<Self, Failure> {
        let mut tools = Tools::of_this_user(&places.expose);
        let mut notes: Vec<_> = tools
            .notes
            .drain(..)
            .map(|note| format!("note: {note}"))
            .collect();
        let driver = installed::quiet_local_driver(places, &folder, Jobs::EndWithThis, tools).await?;
        notes.extend(driver.warning().map(|warning| format!("warning: {warning}")));
        Ok(Self {
            folder,
            slots: installed::slots(places),
            driver,
            notes,
        })
    }

    /// Agents for these resource classes. What is not promised to their jobs is told.
    pub(crate) fn agents(self, classes: Vec<String>, state: StateLife) -> Agents {
        self.notes.iter().for_each(|note| output::complain(note));
        Agents {
            folder: self.folder,
            classes,
            slots: self.slots,
            driver: self.driver,
            state,
        }
    }
}

impl Agents {
    /// Sees to it that jobs can run here, before anything is started.
    pub(crate) async fn prepare(
        folder: PathBuf,
        classes: Vec<String>,
        places: &Places,
        state: StateLife,
    ) -> Result<Self, Failure> {
        Ok(Ground::prepare(folder, places).await?.agents(classes, state))
    }
}

/// A server and its agents, running.
#[derive(Debug)]
pub(crate) struct Together {
    /// The server's URL.
    pub(crate) url: String,
    parts: JoinSet<Result<(), Failure>>,
    agents: usize,
    agent_stops: Stops,
    server_stop: CancellationToken,
}

impl Together {
    /// Starts both. The agents' tokens are made in this process and known to nobody else.
    pub(crate) async fn start(app: App, agents: Agents) -> Result<Self, Failure> {
        let url = format!("http://{}", app.address());
        let mut built = Vec::new();
        for class in &agents.classes {
            let request = TokenRequest {
                resource_class: class.clone(),
                description: "the agent in the server's own process".to_owned(),
            };
            let token = app
                .create_class_token(&request, "server")
                .await
                .context("cannot make a token")?;
            let agent = Agent::build(AgentConfig {
                server_url: url.clone(),
                token,
                state_dir: agents.folder.join("agents").join(folder_name(class)),
                slots: agents.slots,
                name: host_name(),
                driver: Arc::clone(&agents.driver),
                places: PlaceLife::EndWithAgent,
                state: agents.state,
            })?;
            built.push(agent);
        }

        let mut parts = JoinSet::new();
        let server_stop = CancellationToken::new();
        let agent_stops = Stops::default();
        let stop = server_stop.clone();
        parts.spawn(async move { Ok(app.run(stop).await.context("the server ended")?) });
        let agents = built.len();
        for agent in built {
            let stops = agent_stops.clone();
            parts.spawn(async move { Ok(agent.run(stops).await?) });
        }
        Ok(Self {
            url,
            parts,
            agents,
            agent_stops,
            server_stop,
        })
    }

    /// Returns when a part ends by itself, with why.
    pub(crate) async fn broken(&mut self) -> Failure {
        loop {
            match self.parts.join_next().await.map(flatten) {
                Some(Err(failure)) => return failure,
                // An agent that was told to.
                Some(Ok(())) if self.agent_stops.first.is_cancelled() && self.agents > 0 => self.agents -= 1,
                Some(Ok(())) => {
                    return anyhow::anyhow!("a part of this process ended without a reason").into();
                }
                None => std::future::pending().await,
            }
        }
    }

    /// What tells the agents to stop well: [`stop`](Self::stop) has less to wait for when it is set before.
    pub(crate) fn stop_of_agents(&self) -> CancellationToken {
        self.agent_stops.first.clone()
    }

    /// Stops the agents well, that is once their jobs have ended, and then the server; at once when
    /// `second` is set.
    pub(crate) async fn stop(mut self, second: &CancellationToken) -> Result<(), Failure> {
        self.agent_stops.first.cancel();
        let mut result = Ok(());
        for _ in 0..self.agents {
            let ended = tokio::select! {
                ended = self.parts.join_next() => ended,
                () = second.cancelled() => {
                    self.agent_stops.second.cancel();
                    match tokio::time::timeout(CLEARING, self.parts.join_next()).await {
                        Ok(ended) => ended,
                        // Its places end with this process.
                        Err(_) => break,
                    }
                }
            };
            result = result.and(ended.map_or(Ok(()), flatten));
        }
        self.server_stop.cancel();
        // Whoever is in a hurry waits a moment all the same: what still runs still writes.
        let hurry = async {
            second.cancelled().await;
            tokio::time::sleep(LETTING_GO).await;
        };
        let mut hurry = std::pin::pin!(hurry);
        loop {
            tokio::select! {
                ended = self.parts.join_next() => match ended {
                    Some(ended) => result = result.and(flatten(ended)),
                    None => return result,
                },
                () = &mut hurry => return result,
            }
        }
    }
}

fn flatten(ended: Result<Result<(), Failure>, JoinError>) -> Result<(), Failure> {
    match ended {
        Ok(result) => result,
        Err(error) => Err(anyhow::Error::new(error)
            .context("a part of this process failed")
            .into()),
    }
}

/// A folder for a resource class: its words, with what no folder's name holds replaced.
fn folder_name(class: &str) -> String {
    let plain = |found: char| found.is_ascii_alphanumeric() || found == '-' || found == '_';
    class
        .chars()
        .map(|found| {
            if plain(found) {
                found.to_string()
            } else {
                format!("%{:x}", u32::from(found))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_own_folder_and_none_leaves_it() {
        assert_eq!(folder_name("default"), "default");
        assert_eq!(folder_name("acme/large"), "acme%2flarge");
        assert_ne!(folder_name(".."), "..");
    }
}
