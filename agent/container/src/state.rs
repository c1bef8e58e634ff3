//! The agent's folder: what must outlive its process.
//!
//! | file | what |
//! |---|---|
//! | `lock` | held while a process uses the folder; says who that is |
//! | `identity.json` | the agent's id, drawn once, and the reach that it belongs to |
//! | `incarnation.json` | rises with each start; written before it is used |
//! | `nonce.json` | the claim nonce; written before it is sent |
//! | `held/ATTEMPT.json` | an attempt that is held; written before the next nonce is used |
//!
//! Each file is written under another name, synced, renamed, and its folder synced, so it is whole or not
//! there. Files are a few hundred bytes: writes go to the blocking pool, because a sync may take long.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::runner::Holder;
use api::{AgentId, AttemptRef, Reach, Terms};
use driver::Labels;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_util::task::TaskTracker;

use crate::{AgentError, StateLife};

/// An attempt that the agent holds, as it is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// What is written on its place.
    pub(crate) labels: Labels,
    /// Its terms.
    pub(crate) terms: Terms,
    /// The nonce that brought it; none where it was adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Identity {
    agent: AgentId,
    reach: Reach,
}

/// The agent's folder, locked for as long as it lives.
#[derive(Debug)]
pub(crate) struct State {
    folder: PathBuf,
    holder: Holder,
    life: StateLife,
    /// Writes that are under way; whoever waits for one may be gone.
    writes: TaskTracker,
    /// The lock ends with the descriptor.
    _lock: File,
}

/// What was found in the folder.
#[derive(Debug)]
pub(crate) struct Found {
    /// The attempts that are held.
    pub(crate) records: Vec<Record>,
    /// The last nonce that was used; 0 for none.
    pub(crate) nonce: u64,
}

impl State {
    /// Takes the folder, makes what is missing, and begins a new incarnation.
    pub(crate) fn open(
        folder: &Path,
        reach: &Reach,
        life: StateLife,
    ) -> Result<(Arc<Self>, Found), AgentError> {
        let held = folder.join("held");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&held)
            .map_err(|source| at(&held, source))?;
        let lock = lock(folder)?;

        let known: Option<Identity> = read(&folder.join("identity.json"))?;
        let (agent, mut found) = match known {
            Some(identity) if identity.reach == *reach => {
                let records = records(&held)?;
                let nonce = read(&folder.join("nonce.json"))?.unwrap_or(0);
                (identity.agent, Found { records, nonce })
            }
            other => {
                if let Some(old) = other {
                    // The places of that reach cannot be seen from here, and the server would refuse its id.
                    tracing::warn!(
                        agent.id = %old.agent, old = %old.reach, new = %reach,
                        "this folder belonged to an agent of another reach (the machine was started again, or the folder was copied): a new agent id is drawn"
                    );
                    fs::remove_dir_all(&held).map_err(|source| at(&held, source))?;
                    fs::create_dir(&held).map_err(|source| at(&held, source))?;
                }
                let agent = draw_id().map_err(|source| at(folder, source))?;
                let identity = Identity {
                    agent: agent.clone(),
                    reach: reach.clone(),
                };
                write(folder, life, "nonce.json", &0_u64)?;
                write(folder, life, "identity.json", &identity)?;
                (
                    agent,
                    Found {
                        records: Vec::new(),
                        nonce: 0,
                    },
                )
            }
        };
        let incarnation = read::<u64>(&folder.join("incarnation.json"))?.unwrap_or(0) + 1;
        write(folder, life, "incarnation.json", &incarnation)?;
        found
            .records
            .sort_by(|a, b| a.labels.attempt.cmp(&b.labels.attempt));

        let holder = Holder { agent, incarnation };
        let state = Self {
            folder: folder.to_owned(),
            holder,
            life,
            writes: TaskTracker::new(),
            _lock: lock,
        };
        Ok((Arc::new(state), found))
    }

    /// This process of this agent.
    pub(crate) fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Writes down a nonce that is about to be sent.
    pub(crate) async fn use_nonce(self: &Arc<Self>, nonce: u64) -> Result<(), AgentError> {
        self.on_disk(move |state| write(&state.folder, state.life, "nonce.json", &nonce))
            .await
    }

    /// Writes down an attempt that is held from now on.
    pub(crate) async fn hold(self: &Arc<Self>, record: Record) -> Result<(), AgentError> {
        self.on_disk(move |state| {
            let name = file_name(&record.labels.attempt);
            write(&state.folder.join("held"), state.life, &name, &record)
        })
        .await
    }

    /// Strikes out an attempt. One that is not there is no error.
    pub(crate) async fn forget(self: &Arc<Self>, attempt: AttemptRef) -> Result<(), AgentError> {
        self.on_disk(move |state| {
            let path = state.folder.join("held").join(file_name(&attempt));
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&path, error)),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Waits for the writes that are under way. After it, dropping the state frees the folder.
    pub(crate) async fn settle(&self) {
        self.writes.close();
        self.writes.wait().await;
    }

    async fn on_disk<F>(self: &Arc<Self>, act: F) -> Result<(), AgentError>
    where
        F: FnOnce(&Self) -> Result<(), AgentError> + Send + 'static,
    {
        let state = Arc::clone(self);
        match self.writes.spawn_blocking(move || act(&state)).await {
            Ok(done) => done,
            Err(error) => Err(at(&self.folder, io::Error::other(error))),
        }
    }
}

fn file_name(attempt: &AttemptRef) -> String {
    format!("{attempt}.json")
}

fn at(path: &Path, source: io::Error) -> AgentError {
    AgentError::State {
        path: path.to_owned(),
        source,
    }
}

/// Takes the folder's lock and writes down who has it.
fn lock(folder: &Path) -> Result<File, AgentError> {
    let path = folder.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|source| at(&path, source))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder)
                .map_err(|source| at(&path, source))?;
            return Err(AgentError::Held {
                folder: folder.to_owned(),
                holder: holder.trim().to_owned(),
            });
        }
        Err(TryLockError::Error(source)) => return Err(at(&path, source)),
    }
    let holder = format!("`goatherd` with process id {}\n", std::process::id());
    file.set_len(0)
        .and_then(|()| file.write_all(holder.as_bytes()))
        .map_err(|source| at(&path, source))?;
    Ok(file)
}

fn records(folder: &Path) -> Result<Vec<Record>, AgentError> {
    let mut records = Vec::new();
    for entry in fs::read_dir(folder).map_err(|source| at(folder, source))? {
        let path = entry.map_err(|source| at(folder, source))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            records.extend(read::<Record>(&path)?);
        }
    }
    Ok(records)
}

/// Reads a file; none where it does not exist.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, AgentError> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| at(path, io::Error::new(io::ErrorKind::InvalidData, error))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path, error)),
    }
}

/// Writes a file so that it is whole or, after a crash, what it was before: of the process, and where the state
/// is to last, of the machine.
fn write<T: Serialize>(folder: &Path, life: StateLife, name: &str, value: &T) -> Result<(), AgentError> {
    let path = folder.join(name);
    let new = folder.join(format!("{name}.new"));
    let written = serde_json::to_vec(value)
        .map_err(io::Error::other)
        .and_then(|bytes| {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(&bytes)?;
            match life {
                StateLife::Lasting => {
                    file.sync_all()?;
                    fs::rename(&new, &path)?;
                    File::open(folder)?.sync_all()
                }
                StateLife::Throwaway => {
                    // A name that is taken from another file makes some file systems write the new one out at once
                    // (`auto_da_alloc` in ext4(5)). Nobody reads this state after a crash.
                    match fs::remove_file(&path) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                        _ => fs::rename(&new, &path),
                    }
                }
            }
        });
    written.map_err(|source| at(&path, source))
}

fn draw_id() -> io::Result<AgentId> {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    AgentId::new(format!("agent-{}", hex::encode(bytes))).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use api::TaskId;

    use super::*;

    fn reach() -> Reach {
        Reach("boot-1:/places".to_owned())
    }

    fn record(holder: &Holder, number: u32) -> Record {
        Record {
            labels: Labels {
                installation: "i".to_owned(),
                attempt: AttemptRef::new(TaskId::new("t").unwrap(), number),
                agent: holder.agent.clone(),
                incarnation: holder.incarnation,
                job: "build".to_owned(),
            },
            terms: Terms::default(),
            nonce: Some(u64::from(number)),
        }
    }

    #[tokio::test]
    async fn a_second_start_is_the_same_agent_in_a_higher_incarnation_with_what_it_held() {
        let folder = tempfile::tempdir().unwrap();
        let (state, found) = State::open(folder.path(), &reach(), StateLife::Lasting).unwrap();
        assert!(found.records.is_empty());
        let holder = state.holder().clone();
        state.use_nonce(7).await.unwrap();
        state.hold(record(&holder, 1)).await.unwrap();
        state.hold(record(&holder, 2)).await.unwrap();
        state.forget(record(&holder, 1).labels.attempt).await.unwrap();
        drop(state);

        let (state, found) = State::open(folder.path(), &reach(), StateLife::Lasting).unwrap();

        assert_eq!(state.holder().agent, holder.agent);
        assert!(state.holder().incarnation > holder.incarnation);
        assert_eq!(found.nonce, 7);
        assert_eq!(found.records, [record(&holder, 2)]);
    }

    #[test]
    fn a_second_process_is_told_who_has_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let _first = State::open(folder.path(), &reach(), StateLife::Lasting).unwrap();

        let error = State::open(folder.path(), &reach(), StateLife::Lasting).expect_err("it is held");

        assert!(
            error
                .to_string()
                .contains(&format!("process id {}", std::process::id())),
            "{error}"
        );
    }

    #[tokio::test]
    async fn another_reach_makes_it_another_agent_that_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (state, _) = State::open(folder.path(), &reach(), StateLife::Lasting).unwrap();
        let holder = state.holder().clone();
        state.hold(record(&holder, 1)).await.unwrap();
        drop(state);

        let (state, found) = State::open(
            folder.path(),
            &Reach("boot-2:/places".to_owned()),
            StateLife::Lasting,
        )
        .unwrap();

        assert_ne!(state.holder().agent, holder.agent);
        assert!(found.records.is_empty());
    }

    #[test]
    fn a_folder_with_a_broken_file_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("identity.json"), "{").unwrap();

        let error = State::open(folder.path(), &reach(), StateLife::Lasting).expect_err("it is broken");

        assert!(error.to_string().contains("identity.json"), "{error}");
    }
}
