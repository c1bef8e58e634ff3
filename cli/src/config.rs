//! The command line and the environment: the only place that reads either.
//!
//! A token is never an argument, because arguments are visible to everybody on the machine: it comes from a
//! file or from the environment.

mod verbs;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use api::{Millis, Secret};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::error::Failure;
use crate::output;

pub(crate) use verbs::{
    ArtifactGet, Artifacts, ArtifactsCommand, Cancel, Doctor, Follow, Logs, Pipeline, PipelineShow,
    Pipelines, Rerun,
};

/// The environment variable with the token for the people's API.
pub(crate) const TOKEN: &str = "GOATHERD_TOKEN";
/// The environment variable with an agent's resource-class token.
pub(crate) const AGENT_TOKEN: &str = "GOATHERD_AGENT_TOKEN";

/// Runs every job of your pipelines in a place of its own, on your own machines.
#[derive(Debug, Parser)]
#[command(name = "goatherd", version = runtime::build::VERSION, after_help = EXIT_CODES)]
pub(crate) struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Log more, on standard error.
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
}

const EXIT_CODES: &str = "Exit codes: 0 succeeded, 1 failed, 2 wrong command line, 5 another process took over \
                          (agent), 6 cancelled, 7 config invalid, 8 timed out.";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server.
    Server(Server),
    /// Run an agent: it takes jobs from a server and runs them on this machine.
    Agent(Agent),
    /// Run the jobs of this git repository's working tree, here and now; no server needed.
    Run(Run),
    /// Check a config file and show all that is wrong with it.
    Check(Check),
    /// Make tokens.
    #[command(subcommand)]
    Token(Token),
    /// Follow a pipeline's log until it ends, and end as it does.
    Follow(Follow),
    /// List the newest pipelines.
    Pipelines(Pipelines),
    /// Look at one pipeline.
    #[command(subcommand)]
    Pipeline(Pipeline),
    /// Show what the jobs of a pipeline wrote.
    Logs(Logs),
    /// Cancel a pipeline.
    Cancel(Cancel),
    /// Run a pipeline's commit again, as a new pipeline.
    Rerun(Rerun),
    /// List a pipeline's artifacts, or get one.
    #[command(alias = "artifact")]
    Artifacts(Artifacts),
    /// Show the audit log.
    Audit(Audit),
    /// Send webhooks, as a Git provider does.
    #[command(subcommand)]
    Webhook(Webhook),
    /// Say what this machine can and cannot do, and what follows.
    Doctor(Doctor),
}

/// `goatherd server`.
#[derive(Debug, Args)]
pub(crate) struct Server {
    /// The configuration file, in TOML.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["data", "dev"])]
    pub(crate) config: Option<PathBuf>,
    /// The data folder, over the configuration's.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The address to listen on, over the configuration's; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// A repository to know, besides the configuration's: a name, and a path or URL to clone from.
    #[arg(long, value_name = "NAME=SOURCE", value_parser = name_and_source)]
    pub(crate) repository: Vec<(String, String)>,
    /// Take GitHub's webhooks at /webhook/github, signed with the secret in this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) hook_secret_file: Option<PathBuf>,
    /// Write the address here once the server listens.
    #[arg(long, value_name = "FILE")]
    pub(crate) address_file: Option<PathBuf>,
    /// Write the admin token here, instead of printing it, when it is made at the first start.
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,
    /// Run an agent in the same process, for this machine only: listens on loopback, and jobs end with it.
    #[arg(long)]
    pub(crate) dev: bool,
    /// A further resource class that the agent of --dev takes jobs of.
    #[arg(long, value_name = "CLASS", requires = "dev")]
    pub(crate) class: Vec<String>,
    /// How the agent of --dev runs jobs.
    #[command(flatten)]
    pub(crate) places: Places,
}

/// `goatherd agent`.
#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// The server's URL.
    #[arg(long, value_name = "URL", env = "GOATHERD_URL")]
    pub(crate) server: String,
    /// The file with the resource-class token; else it is in GOATHERD_AGENT_TOKEN.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The agent's own folder; a second agent on one machine needs another one [default: in the user's state].
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// The machine's name, for people [default: the host's].
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// How it runs jobs.
    #[command(flatten)]
    pub(crate) places: Places,
}

/// How jobs run on this machine.
#[derive(Debug, Clone, Args)]
pub(crate) struct Places {
    /// The folder with `orchestrator` and `circleci-agent` [default: that of goatherd itself].
    #[arg(long, value_name = "DIR")]
    pub(crate) bin_dir: Option<PathBuf>,
    /// Where jobs run; agents with the same one adopt each other's jobs [default: places in --state or --data].
    #[arg(long, value_name = "DIR")]
    pub(crate) place_root: Option<PathBuf>,
    /// How many jobs may run at once [default: the number of processors].
    #[arg(long, value_name = "N")]
    pub(crate) slots: Option<NonZeroU32>,
    /// A path of this machine that jobs see, read-only, besides the system's.
    #[arg(long, value_name = "PATH")]
    pub(crate) expose: Vec<PathBuf>,
    /// What keeps jobs apart; `auto` is `namespaces`, and `plain` where this machine refuses them. In `plain` a job
    /// can reach far more [default: namespaces; auto for `run` and `server --dev`].
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) isolation: Option<Isolation>,
}

/// What keeps jobs apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Isolation {
    /// Namespaces, or no job runs.
    Namespaces,
    /// Nothing but a folder: plain processes.
    Plain,
    /// Namespaces, and nothing where this machine refuses them.
    Auto,
}

/// `goatherd run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Only these jobs, and those that they require.
    #[arg(value_name = "JOB")]
    pub(crate) jobs: Vec<String>,
    /// Print one JSON object a line instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// Run the commit that is checked out instead of the working tree.
    #[arg(long)]
    pub(crate) committed: bool,
    /// A variable for every job, over the config's job; NAME alone takes it from this environment.
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// A file with variables, one NAME=VALUE a line.
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// A file with secrets, one NAME=VALUE a line: for `run` steps only, and masked in what they write.
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets_file: Vec<PathBuf>,
    /// The time limit of each job, over the config's: `90s`, `1h30m`.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) job_timeout: Option<Millis>,
    /// Keep server, agent and places in this folder; a temporary one that is removed at the end otherwise.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where artifacts go [default: a folder for each run, in --data or the user's state].
    #[arg(long, value_name = "DIR")]
    pub(crate) artifacts: Option<PathBuf>,
    /// How jobs run.
    #[command(flatten)]
    pub(crate) places: Places,
}

/// `goatherd check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The config file.
    pub(crate) file: PathBuf,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `goatherd token`.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token for the agents of a resource class, and print it alone.
    Create(TokenCreate),
}

/// `goatherd token create`.
#[derive(Debug, Args)]
pub(crate) struct TokenCreate {
    /// The resource class.
    #[arg(long)]
    pub(crate) class: String,
    /// What it is for, for people.
    #[arg(long, default_value = "")]
    pub(crate) description: String,
    /// Work on the data folder of a server that does not run, instead of asking one that does.
    /// It goes before GOATHERD_URL.
    #[arg(long, value_name = "DIR", conflicts_with = "token_file")]
    pub(crate) data: Option<PathBuf>,
    /// Which server to ask.
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// Which server, and with whose right.
#[derive(Debug, Clone, Args)]
pub(crate) struct Remote {
    /// The server's URL.
    #[arg(long, value_name = "URL", env = "GOATHERD_URL")]
    pub(crate) server: Option<String>,
    /// The file with the admin token; else it is in GOATHERD_TOKEN.
    #[arg(long, alias = "admin-token-file", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// `goatherd audit`.
#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// Only what came after this entry.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) after: u64,
    /// Print one JSON object a line instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// Which server to ask.
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// `goatherd webhook`.
#[derive(Debug, Subcommand)]
pub(crate) enum Webhook {
    /// Sign a body with HMAC-SHA256 and deliver it, as GitHub does; prints the server's answer.
    Send(WebhookSend),
}

/// `goatherd webhook send`.
#[derive(Debug, Args)]
pub(crate) struct WebhookSend {
    /// The hook's name on the server.
    #[arg(long, default_value = "github")]
    pub(crate) hook: String,
    /// The file with the hook's secret.
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: PathBuf,
    /// The event, in GitHub's words.
    #[arg(long, default_value = "push")]
    pub(crate) event: String,
    /// The delivery's id [default: a new one].
    #[arg(long, value_name = "ID")]
    pub(crate) delivery: Option<String>,
    /// The server's URL.
    #[arg(long, value_name = "URL", env = "GOATHERD_URL")]
    pub(crate) server: String,
    /// The file with the body.
    pub(crate) body: PathBuf,
}

impl Remote {
    /// A client of the server, with the right to ask.
    pub(crate) fn client(&self) -> Result<client::Client, Failure> {
        let server = self
            .server
            .as_deref()
            .ok_or_else(|| Failure::usage("which server? Give its URL with --server or in GOATHERD_URL"))?;
        let token = token(self.token_file.as_deref(), TOKEN, "--token-file")?;
        Ok(client::Client::builder(server)
            .token(token)
            .attended(|waiting| output::complain(&waiting.to_string()))
            .build()
            .context("cannot ask the server")?)
    }
}

/// The token in a file or, without one, in an environment variable.
pub(crate) fn token(file: Option<&Path>, variable: &str, flag: &str) -> Result<Secret, Failure> {
    if let Some(file) = file {
        return secret_in(file);
    }
    match std::env::var(variable) {
        Ok(text) if !text.trim().is_empty() => Ok(Secret::new(text.trim())),
        _ => Err(Failure::usage(format!(
            "no token: give a file with {flag}, or the token in {variable}"
        ))),
    }
}

/// A secret in a file, without the white space around it.
pub(crate) fn secret_in(file: &Path) -> Result<Secret, Failure> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    match text.trim() {
        "" => Err(Failure::usage(format!(
            "{} holds no secret: it is empty",
            file.display()
        ))),
        secret => Ok(Secret::new(secret)),
    }
}

/// Where this user's programs keep what outlives them: `/var/lib/goatherd` for root, else
/// `$XDG_STATE_HOME/goatherd` or `~/.local/state/goatherd`.
pub(crate) fn user_state() -> Result<PathBuf, Failure> {
    let variable = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    // Root's home may be anybody's under sudo, and a system's state has its own place.
    if std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        return Ok(PathBuf::from("/var/lib/goatherd"));
    }
    variable("XDG_STATE_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("goatherd"))
        .ok_or_else(|| Failure::usage("there is no home folder here: say where with --data or --state"))
}

/// The host's name, for people.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unnamed".to_owned(),
        name => name.to_owned(),
    }
}

fn duration(text: &str) -> Result<Millis, String> {
    server::config::parse_duration(text)
        .filter(|duration| duration.0 > 0)
        .ok_or_else(|| "expected whole numbers with units, such as 300ms, 90s or 1h30m".to_owned())
}

fn name_and_source(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, source)) if !name.is_empty() && !source.is_empty() => {
            Ok((name.to_owned(), source.to_owned()))
        }
        _ => Err("expected NAME=SOURCE, such as acme/app=/srv/git/app".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_repository_is_a_name_and_a_source() {
        assert_eq!(
            name_and_source("a/b=/c=d"),
            Ok(("a/b".to_owned(), "/c=d".to_owned()))
        );
        for text in ["", "a", "a=", "=b"] {
            assert!(name_and_source(text).is_err(), "{text}");
        }
    }
}
