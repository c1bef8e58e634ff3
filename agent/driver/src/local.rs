//! The local driver: tasks in namespaces on this host, without an engine; where these are refused and that is
//! allowed, as plain processes ([`Isolation`]).
//!
//! A place is a folder below the place root and a process around GOAT, [`sandbox`], that outlives the agent.
//! The folder says everything (`folder`), so that an agent that starts again, or another one with the same
//! place root, finds every place, however its maker ended. This process's memory has one thing more: the sandboxes
//! that are its children (`children`).

mod cgroup;
mod checks;
mod children;
mod folder;
mod isolation;
mod listing;
mod lock;
mod making;
mod process;
mod refusal;
mod removal;
pub mod sandbox;
mod sweep;
mod traces;
mod user;
mod watching;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{AttemptRef, Cause, Millis, Phase, Reach};
use async_trait::async_trait;
use sys::namespace::inheritance::detach_with;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use crate::{Driver, DriverError, Exit, Order, Place, Progress};
pub use checks::may_be_exposed;
use children::Children;
use folder::Folder;
pub use isolation::Isolation;
use isolation::Making;
use lock::Lock;
use making::Claim;
use sandbox::Report;
pub use sweep::sweep;

/// How long a sandbox may take to start, and a place to be let go of by whoever has it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often something is looked at that lasts moments and that nobody announces.
const MOMENT: Duration = Duration::from_millis(20);
const NAME: &str = "local";

/// What the local driver needs to know.
#[derive(Debug, Clone)]
pub struct LocalSettings {
    /// Where places are. One for each installation and user.
    pub place_root: PathBuf,
    /// Where `orchestrator` and `circleci-agent` are.
    pub bin_dir: PathBuf,
    /// The `goatherd` executable, which is executed as `goatherd sandbox`.
    pub sandbox_program: PathBuf,
    /// What tasks are kept apart with.
    pub isolation: Isolation,
    /// Whether all places that this driver makes end with this process.
    pub lifeline: bool,
    /// Paths of the host that tasks see, read-only, besides the usual ones.
    pub expose: Vec<PathBuf>,
    /// Variables that tasks start with, over the usual ones, such as a `PATH` that leads to what is exposed.
    pub environment: BTreeMap<String, String>,
}

/// How long a place stays after GOAT's end if nobody collects it.
#[derive(Debug, Clone, Copy)]
struct Linger(Millis);

/// The local driver.
#[derive(Debug)]
pub struct LocalDriver {
    settings: Arc<LocalSettings>,
    making: Arc<Making>,
    reach: Reach,
    linger: Linger,
    lifeline: Option<Lifeline>,
    children: Children,
}

/// A pipe whose reading end all sandboxes inherit. It ends for them when this process does.
#[derive(Debug)]
struct Lifeline {
    reader: OwnedFd,
    _writer: OwnedFd,
}

impl LocalDriver {
    /// Makes the driver, and the place root where it is missing, and looks whether this host allows sandboxes.
    ///
    /// # Errors
    /// [`DriverError::Unusable`] with a sentence that says what to change.
    pub fn new(mut settings: LocalSettings) -> Result<Self, DriverError> {
        settings.place_root = checks::own_place_root(&settings.place_root)?;
        for name in init::BINARIES {
            if !settings.bin_dir.join(name).is_file() {
                let folder = settings.bin_dir.display();
                return Err(unusable(format!(
                    "there is no `{name}` in {folder}; name its folder with --bin-dir"
                )));
            }
        }
        settings
            .expose
            .iter()
            .try_for_each(|path| checks::may_be_exposed(path))?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map_err(|error| unusable(format!("/proc/sys/kernel/random/boot_id cannot be read: {error}")))?;
        let making = Arc::new(isolation::decide(&settings)?);
        let lifeline = settings.lifeline.then(Lifeline::new).transpose()?;
        Ok(Self {
            reach: Reach(format!("{}:{}", boot.trim(), settings.place_root.display())),
            settings: Arc::new(settings),
            making,
            linger: Linger(Millis::seconds(600)),
            lifeline,
            children: Children::default(),
        })
    }

    /// Changes how long a place stays after GOAT's end if nobody collects it: 10 minutes unless told
    /// otherwise. Without meaning for places with a lifeline.
    #[must_use]
    pub fn with_linger(mut self, linger: Duration) -> Self {
        self.linger = Linger(Millis::from_duration(linger));
        self
    }

    fn folder(&self, attempt: &AttemptRef) -> Folder {
        Folder::new(&self.settings.place_root, attempt)
    }

    /// Takes the place and makes its folder. None where it was started before.
    async fn make(&self, order: &Order) -> io::Result<Option<Lock>> {
        let until = Instant::now() + PATIENCE;
        let folder = self.folder(&order.labels.attempt);
        loop {
            let (settings, how, linger) = (Arc::clone(&self.settings), Arc::clone(&self.making), self.linger);
            let (folder, order) = (folder.clone(), order.clone());
            let claim = blocking(move || {
                let claim = making::claim(&folder)?;
                if let Claim::Ours(_) = &claim {
                    making::make(&settings, &how, linger, &folder, &order)?;
                }
                Ok(claim)
            });
            match claim.await? {
                Claim::Ours(lock) => return Ok(Some(lock)),
                Claim::Started => return Ok(None),
                Claim::Busy if Instant::now() > until => {
                    return Err(io::Error::other("somebody else makes or removes this place"));
                }
                Claim::Busy => tokio::time::sleep(MOMENT).await,
            }
        }
    }

    /// Starts the sandbox of a place that is made, and hands the place's lock to it.
    async fn launch(&self, attempt: &AttemptRef, lock: Lock) -> io::Result<Report> {
        let folder = self.folder(attempt);
        let lock = lock.into_descriptor();
        let mut command = Command::new(&self.settings.sandbox_program);
        command
            .arg("sandbox")
            .arg("--place")
            .arg(folder.path())
            .arg("--lock")
            .arg(lock.as_raw_fd().to_string());
        let mut inherited = vec![lock];
        if let Some(lifeline) = &self.lifeline {
            let reader = lifeline.reader.as_fd().try_clone_to_owned()?;
            command.arg("--lifeline").arg(reader.as_raw_fd().to_string());
            inherited.push(reader);
        }
        command
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(folder.open_log()?);
        detach_with(&mut command, inherited);
        let mut command = tokio::process::Command::from(command);
        let mut child = command.spawn()?;
        // With it goes this process's copy of the lock.
        drop(command);
        let mut output = child.stdout.take().expect("standard output is a pipe");
        let mut text = Vec::new();
        let read = tokio::time::timeout(PATIENCE, output.read_to_end(&mut text)).await;
        if read.is_err() {
            child.kill().await?;
            return Err(io::Error::other("the sandbox did not start in time"));
        }
        let report = serde_json::from_slice(&text).map_err(|_| {
            io::Error::other("the sandbox ended without a word; its place's log may say more")
        })?;
        if report == Report::Started {
            self.children.keep(attempt.clone(), child);
        }
        Ok(report)
    }
}

#[async_trait]
impl Driver for LocalDriver {
    fn name(&self) -> &'static str {
        NAME
    }

    fn reach(&self) -> Reach {
        self.reach.clone()
    }

    fn warning(&self) -> Option<&str> {
        self.making.warning.as_deref()
    }

    async fn start(
        &self,
        order: &Order,
        progress: mpsc::UnboundedSender<Progress>,
    ) -> Result<(), DriverError> {
        let refused = |cause| DriverError::Start {
            attempt: order.labels.attempt.clone(),
            cause,
        };
        if let Some(message) = services_sentence(order) {
            return Err(refused(Cause::Start {
                message,
                certain: true,
            }));
        }
        let say = |detail: String| {
            // Whoever listened may have gone.
            let _ = progress.send(Progress {
                phase: Phase::Starting,
                detail,
            });
        };
        let failed = |tried: &'static str| {
            let root = &self.settings.place_root;
            move |error: io::Error| refused(start_cause(tried, &error, root))
        };
        // In one detail: the server shows the first of each phase.
        let details = ["making the sandbox".to_owned()].into_iter();
        let details = details
            .chain(self.making.note.clone())
            .chain(making::notices(order));
        say(details.collect::<Vec<_>>().join("; "));
        let Some(lock) = self.make(order).await.map_err(failed("make the place"))? else {
            return Ok(());
        };
        match self
            .launch(&order.labels.attempt, lock)
            .await
            .map_err(failed("start the sandbox"))?
        {
            Report::Started | Report::Possible { .. } => Ok(()),
            Report::Refused { message, .. } => Err(refused(Cause::Start {
                message,
                certain: false,
            })),
        }
    }

    async fn wait(&self, attempt: &AttemptRef) -> Result<Exit, DriverError> {
        let folder = self.folder(attempt);
        let exit = watching::exit(&folder).await;
        if let Some(exit) = exit.map_err(host("wait for a place"))? {
            return Ok(exit);
        }
        // An agent that dies while it makes a place leaves one that never had a supervisor.
        let was_made = !folder.exists().map_err(host("look at a place"))?
            || folder.has_started().map_err(host("look at a place"))?;
        Err(DriverError::Lost {
            attempt: attempt.clone(),
            cause: if was_made {
                let signal = self.children.killed_by(attempt).await;
                Cause::SupervisorLost { signal }
            } else {
                Cause::AgentLost
            },
        })
    }

    async fn stop(&self, attempt: &AttemptRef, grace: Duration) -> Result<(), DriverError> {
        watching::stop(&self.folder(attempt), grace)
            .await
            .map_err(host("stop a place"))
    }

    async fn remove(&self, attempt: &AttemptRef) -> Result<(), DriverError> {
        let folder = self.folder(attempt);
        let until = Instant::now() + PATIENCE;
        let removed = async {
            while folder.exists()? {
                watching::kill(&folder).await?;
                let there = folder.clone();
                if blocking(move || remove_unless_held(&there)).await? {
                    continue;
                }
                if Instant::now() > until {
                    return Err(io::Error::other("somebody holds it, and cannot be ended"));
                }
                tokio::time::sleep(MOMENT).await;
            }
            Ok(())
        };
        removed.await.map_err(|source| DriverError::Host {
            what: format!("could not remove {}", folder.path().display()),
            source,
        })?;
        self.children.forget(attempt);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Place>, DriverError> {
        let root = self.settings.place_root.clone();
        blocking(move || listing::list(&root))
            .await
            .map_err(host("list the places"))
    }
}

/// Whether this process had the lock, and so removed all that there was.
fn remove_unless_held(folder: &Folder) -> io::Result<bool> {
    let lock = match Lock::try_take(&folder.lock()) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    let Some(_held) = lock else {
        return Ok(false);
    };
    match removal::remove(folder) {
        // Somebody made the lock's file anew in the moment in which there was none.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        other => other.map(|()| true),
    }
}

fn services_sentence(order: &Order) -> Option<String> {
    if order.services.is_empty() {
        return None;
    }
    let names: Vec<_> = order
        .services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    Some(format!(
        "the local driver has no containers and so cannot run the job's services ({}): \
         use an agent with another driver",
        names.join(", ")
    ))
}

fn start_cause(tried: &str, error: &io::Error, root: &Path) -> Cause {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Cause::DiskFull {
            r#where: root.display().to_string(),
        },
        _ => Cause::Start {
            message: format!("could not {tried}: {error}"),
            certain: false,
        },
    }
}

impl Lifeline {
    fn new() -> Result<Self, DriverError> {
        let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
            .map_err(|errno| unusable(format!("a pipe cannot be made: {errno}")))?;
        Ok(Self {
            reader,
            _writer: writer,
        })
    }
}

fn unusable(why: String) -> DriverError {
    DriverError::Unusable { driver: NAME, why }
}

fn host(tried: &'static str) -> impl Fn(io::Error) -> DriverError {
    move |source| DriverError::Host {
        what: format!("could not {tried}"),
        source,
    }
}

/// Runs file work, which ends by itself, off the runtime's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}
