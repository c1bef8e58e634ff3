//! A started GOAT with a task: its folders, its configuration, its streams.

use std::fs::{self, File};
use std::io::{self, PipeReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::Context as _;
use internal_testing::binaries;
use internal_testing::processes::Pid;
use serde_json::json;

use super::ground::Ground;
use super::marked;
use super::plan::{Output, Plan, Position, Readiness, Start};
use super::runner_api::RunnerApi;
use super::script;

/// What makes GOAT the init of a PID namespace.
const UNSHARE: [&str; 6] = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--"];

/// One task's GOAT.
pub(super) struct Place {
    /// Marks, and what the harness and the task agent tell each other.
    pub(super) folder: PathBuf,
    /// A small disk, which a task may fill.
    pub(super) disk: PathBuf,
    pub(super) mark: String,
    pub(super) token: String,
    child: Child,
    position: Position,
    output: Option<PipeReader>,
}

impl Place {
    pub(super) fn start(plan: &Plan, ground: &Ground, api: &RunnerApi) -> anyhow::Result<Self> {
        let folder = ground.root.join(format!("task-{}", plan.number));
        fs::create_dir(&folder)?;
        ground.clear_disk()?;
        let disk = ground.disk.clone();
        let mark = ground.mark(plan);
        let token = token(plan)?;
        let agent = folder.join("agent");
        fs::write(&agent, script::agent(plan))?;
        let agent = match plan.start {
            Start::Runs => format!("/bin/sh {}", agent.display()),
            Start::Missing => "/no/such/agent".to_owned(),
            Start::NotExecutable => agent.display().to_string(),
        };
        let mut config = json!({
            "task_id": format!("task-{}", plan.number),
            "token": token,
            "task_agent_path": agent,
            "runner_api_base_url": api.url(),
            "allocation": format!("allocation-{}", plan.number),
            "max_run_time": 60_000_000_000_i64,
            "termination_message_path": disk.join("termination"),
            "notify_task_agent": plan.notify,
            "share_instance": plan.share_instance,
            "enable_unsafe_retries": plan.unsafe_retries,
            "cmd": plan.entrypoint.map(script::entrypoint).unwrap_or_default(),
        });
        if let Some(readiness) = plan.readiness {
            let file = folder.join("ready");
            config["readiness_file_path"] = json!(file);
            if readiness == Readiness::There {
                fs::write(&file, "")?;
            }
        }
        let mut command = command(plan, &mark);
        command.env("PLACE", &folder).env("DISK", &disk);
        if plan.config_file {
            let file = disk.join("config.json");
            fs::write(&file, config.to_string())?;
            command.env("CIRCLECI_GOAT_CONFIG_FILE", &file);
        } else {
            command.env("CIRCLECI_GOAT_CONFIG", config.to_string());
        }
        let output = streams(&mut command, plan, &folder, &disk)?;
        let child = command.spawn().context("GOAT cannot be started")?;
        Ok(Self {
            folder,
            disk,
            mark,
            token,
            child,
            position: plan.position,
            output,
        })
    }

    /// The process that this program started: GOAT, or what holds its namespace.
    pub(super) fn holder(&self) -> Pid {
        self.child.id()
    }

    /// GOAT, once it is there.
    pub(super) fn goat(&self) -> Option<Pid> {
        match self.position {
            Position::Child => Some(self.child.id()),
            Position::Init => marked::children(self.child.id()).first().copied(),
        }
    }

    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// What GOAT and the task agent wrote, if they wrote into files.
    pub(super) fn log(&self) -> String {
        let read = |path: PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        [self.folder.join("log"), self.disk.join("log")]
            .map(read)
            .concat()
    }

    /// The reading end of the pipe that both streams are, where they are one.
    pub(super) fn take_output(&mut self) -> Option<PipeReader> {
        self.output.take()
    }

    /// What the task has said of itself.
    pub(super) fn marks(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join("marks")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // It has ended long ago where all is well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(plan: &Plan, mark: &str) -> Command {
    let orchestrator = binaries::folder().join("orchestrator");
    let mut command = match plan.position {
        Position::Child => {
            let mut command = Command::new(orchestrator);
            command.env_clear();
            command.env(marked::VARIABLE, mark);
            command
        }
        Position::Init => {
            let mut command = Command::new(UNSHARE[0]);
            command.env_clear();
            // What holds the namespace is no part of the task, so it has no mark.
            let variable = format!("{}={mark}", marked::VARIABLE);
            command
                .args(&UNSHARE[1..])
                .arg("env")
                .arg(variable)
                .arg(orchestrator);
            command
        }
    };
    command
        .arg("run-task")
        .arg("--health-check-addr=127.0.0.1:0")
        .arg(format!("--termination-grace-period={}ms", plan.grace))
        .arg(format!("--shutdown-delay={}ms", plan.delay))
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null());
    command
}

fn streams(
    command: &mut Command,
    plan: &Plan,
    folder: &Path,
    disk: &Path,
) -> anyhow::Result<Option<PipeReader>> {
    let log = match plan.output {
        Output::File => folder.join("log"),
        Output::Disk => disk.join("log"),
        Output::Pipe(_) | Output::Stuck => {
            let (reader, writer) = io::pipe()?;
            command.stdout(writer.try_clone()?).stderr(writer);
            return Ok(Some(reader));
        }
    };
    let file = File::options().create(true).append(true).open(log)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    command.stdout(file.try_clone()?).stderr(file);
    Ok(None)
}

/// Nobody can guess it, and it is nowhere else.
fn token(plan: &Plan) -> anyhow::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).context("the system has no randomness")?;
    let part = hex::encode(random);
    let length = usize::try_from(plan.token)?;
    Ok(part.chars().cycle().take(length).collect())
}
