//! The command line and the environment: this module alone reads them.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::InstanceId;
use api::goat::INSTANCE_VARIABLE;
use lexopt::Arg;

use crate::error::TaskAgentError;

/// What `--help` prints.
pub const USAGE: &str = "\
circleci-agent: runs the steps of one task. GOAT starts it; it is not meant to be called by hand.

circleci-agent _internal agent-runner --runnerAPIBaseURL=URL --allocation=ATTEMPT [--maxRunTime=DURATION]
    the task token comes on standard input
circleci-agent --version | --help
";

/// The variables that are GOAT's and this agent's own, and no step's.
const OWN_PREFIX: &str = "CIRCLECI_GOAT";

/// How the program was called.
#[derive(Debug)]
pub enum Invocation {
    /// As the task agent.
    Run(Box<Config>),
    /// By git, which wants to know how to log in.
    Credential {
        /// Where the task agent listens.
        socket: PathBuf,
        /// What git wants: `get`, `store` or `erase`.
        action: String,
    },
    /// As `circleci`.
    Helper,
    /// `--version`
    Version,
    /// `--help`
    Help,
}

/// What GOAT says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the runner API is.
    pub base_url: String,
    /// The attempt, as text.
    pub allocation: String,
    /// The longest that the task may run; none: what the task says.
    pub max_run_time: Option<Duration>,
    /// Whether to say everything.
    pub verbose: bool,
    /// Flags that this agent does not know.
    pub ignored: Vec<String>,
}

/// Takes the command line apart. The first word is the program's name.
///
/// # Errors
/// [`TaskAgentError::Usage`]
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Invocation, TaskAgentError> {
    let words: Vec<OsString> = words.into_iter().collect();
    let program = words.first().map(Path::new).and_then(Path::file_name);
    if program == Some(OsStr::new("circleci")) {
        return Ok(Invocation::Helper);
    }
    let mut parser = lexopt::Parser::from_iter(words);
    match parser.next().map_err(usage)? {
        Some(Arg::Long("version") | Arg::Short('v')) => Ok(Invocation::Version),
        None | Some(Arg::Long("help") | Arg::Short('h')) => Ok(Invocation::Help),
        Some(Arg::Value(word)) if word == "_internal" => internal(&mut parser),
        Some(other) => Err(usage(other.unexpected())),
    }
}

fn internal(parser: &mut lexopt::Parser) -> Result<Invocation, TaskAgentError> {
    let command = parser.value().map_err(usage)?;
    if command == "agent-runner" {
        return runner(parser).map(|config| Invocation::Run(Box::new(config)));
    }
    if command == "git-credential" {
        let socket = PathBuf::from(parser.value().map_err(usage)?);
        let action = text(parser.value().map_err(usage)?)?;
        return Ok(Invocation::Credential { socket, action });
    }
    Err(TaskAgentError::Usage(format!(
        "there is no internal command {}",
        command.display()
    )))
}

fn runner(parser: &mut lexopt::Parser) -> Result<Config, TaskAgentError> {
    let (mut base_url, mut allocation) = (None, None);
    let mut config = Config {
        base_url: String::new(),
        allocation: String::new(),
        max_run_time: None,
        verbose: false,
        ignored: Vec::new(),
    };
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            Arg::Long("runnerAPIBaseURL") => base_url = Some(text(parser.value().map_err(usage)?)?),
            Arg::Long("allocation") => allocation = Some(text(parser.value().map_err(usage)?)?),
            Arg::Long("maxRunTime") => {
                let value = text(parser.value().map_err(usage)?)?;
                let limit = go_duration(&value)
                    .ok_or_else(|| TaskAgentError::Usage(format!("`{value}` is no duration")))?;
                config.max_run_time = (!limit.is_zero()).then_some(limit);
            }
            Arg::Long("verbose") => config.verbose = true,
            // A newer GOAT may say more than this agent knows.
            Arg::Long(flag) => {
                config.ignored.push(flag.to_owned());
                let _ = parser.optional_value();
            }
            other => return Err(usage(other.unexpected())),
        }
    }
    config.base_url = base_url.ok_or_else(|| missing("--runnerAPIBaseURL"))?;
    config.allocation = allocation.ok_or_else(|| missing("--allocation"))?;
    Ok(config)
}

fn missing(flag: &str) -> TaskAgentError {
    TaskAgentError::Usage(format!("{flag} is missing"))
}

fn usage(error: lexopt::Error) -> TaskAgentError {
    TaskAgentError::Usage(error.to_string())
}

fn text(word: OsString) -> Result<String, TaskAgentError> {
    word.into_string()
        .map_err(|word| TaskAgentError::Usage(format!("{} is no text", word.display())))
}

/// A duration as Go prints it, such as `1h0m0.5s`. None below zero, and no bare number except 0.
fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * scale;
        rest = after;
    }
    if text.is_empty() {
        return None;
    }
    Duration::try_from_secs_f64(sum).ok()
}

/// What the environment says, and what of it steps may see.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// GOAT's instance, sent with each call.
    pub instance: Option<InstanceId>,
    /// The variables that steps start from.
    pub variables: Vec<(OsString, OsString)>,
}

impl Surroundings {
    /// Sorts the variables of the environment.
    #[must_use]
    pub fn sort(variables: Vec<(OsString, OsString)>) -> Self {
        let instance = variables
            .iter()
            .find(|(name, _)| name == INSTANCE_VARIABLE)
            .and_then(|(_, value)| InstanceId::new(value.to_str()?).ok());
        let variables = variables
            .into_iter()
            .filter(|(name, _)| is_for_steps(name))
            .collect();
        Self { instance, variables }
    }
}

/// Whether a variable of this process is one that steps may see.
#[must_use]
pub fn is_for_steps(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name != INSTANCE_VARIABLE && !name.starts_with(OWN_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn goats_command_line_is_understood_and_unknown_flags_are_ignored() {
        let line = "/opt/circleci/bin/circleci-agent _internal agent-runner --verbose \
            --runnerAPIBaseURL=http://h:1 --allocation=t.1 --disableSpinUpStep --disableIsolatedSSHDir \
            --maxRunTime=1m0s --sshAdvertiseAddr=1.2.3.4:5";

        let Ok(Invocation::Run(config)) = parse(words(line)) else {
            panic!("it is a command line");
        };

        assert_eq!(config.base_url, "http://h:1");
        assert_eq!(config.allocation, "t.1");
        assert_eq!(config.max_run_time, Some(Duration::from_secs(60)));
        assert!(config.verbose);
        assert_eq!(
            config.ignored,
            ["disableSpinUpStep", "disableIsolatedSSHDir", "sshAdvertiseAddr"]
        );
    }

    #[test]
    fn a_command_line_that_lacks_something_is_refused() {
        for line in [
            "circleci-agent _internal",
            "circleci-agent _internal nonsense",
            "circleci-agent _internal agent-runner --allocation=t.1",
            "circleci-agent _internal agent-runner --runnerAPIBaseURL=x --allocation=y --maxRunTime=1x",
            "circleci-agent something",
        ] {
            assert!(
                matches!(parse(words(line)), Err(TaskAgentError::Usage(_))),
                "{line}"
            );
        }
    }

    #[test]
    fn called_as_circleci_it_is_the_helper() {
        assert!(matches!(
            parse(words("/opt/circleci/bin/circleci step halt")),
            Ok(Invocation::Helper)
        ));
    }

    #[test]
    fn durations_read_as_go_prints_them() {
        for (text, seconds) in [
            ("0", 0.0),
            ("0s", 0.0),
            ("1m0s", 60.0),
            ("5h0m0s", 18000.0),
            ("1.5s", 1.5),
            ("300ms", 0.3),
        ] {
            assert_eq!(
                go_duration(text),
                Some(Duration::from_secs_f64(seconds)),
                "{text}"
            );
        }
        for text in ["", "5", "-1s", "1x", "s", "1..2s"] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_goats_is_not_for_steps() {
        let variables = [
            ("GOATHERD_INSTANCE", "i-1"),
            ("CIRCLECI_GOAT_CONFIG", "{}"),
            ("LANG", "C"),
        ];

        let found = Surroundings::sort(variables.map(|(n, v)| (n.into(), v.into())).to_vec());

        assert_eq!(found.instance, InstanceId::new("i-1").ok());
        assert_eq!(found.variables, [("LANG".into(), "C".into())]);
    }
}
