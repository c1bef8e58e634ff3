//! The command line, and the variables that stand for its flags.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg::{Long, Short, Value};

use super::{Command, Settings};
use crate::{build, go_duration};

/// A command line, or a variable that stands for a flag, that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

const HELP: &str = "\
Supervises a task inside its container.

Usage: orchestrator [COMMAND] [FLAGS]

Commands:
  init [SOURCE [DESTINATION]]  copy the binaries from SOURCE (/) to DESTINATION (/opt/circleci/bin); the default
  run-task                     run the task that CIRCLECI_GOAT_CONFIG, or the file that
                               CIRCLECI_GOAT_CONFIG_FILE names, describes
  override                     become the entrypoint, which then executes run-task
  probe [ADDR]                 ask the health check API of run-task whether it is live

Flags (each one also by the variable CIRCLECI_GOAT_ and its name, such as CIRCLECI_GOAT_SHUTDOWN_DELAY):
  --shutdown-delay=DURATION            wait after TERM, before the grace period starts (0s)
  --termination-grace-period=DURATION  how long the task agent may then take to end (10s)
  --health-check-addr=ADDR             where the health check API listens (:7623)
  --entrypoint=WORD,...                the command that override becomes
  -v, --version                        print the version
  -h, --help                           print this help";

/// The flags, by name.
const SHUTDOWN_DELAY: &str = "shutdown-delay";
const GRACE_PERIOD: &str = "termination-grace-period";
const HEALTH_CHECK_ADDR: &str = "health-check-addr";
const ENTRYPOINT: &str = "entrypoint";

/// Looks a variable up.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The command line, not yet completed by variables and defaults.
#[derive(Debug, Default)]
pub(super) struct Words {
    version: bool,
    help: bool,
    words: Vec<String>,
    flags: Vec<(&'static str, String)>,
}

impl Words {
    pub(super) fn read(mut parser: lexopt::Parser) -> Result<Self, UsageError> {
        let mut read = Self::default();
        while let Some(argument) = parser.next().map_err(usage)? {
            let flag = match argument {
                Short('v') | Long("version") => {
                    read.version = true;
                    continue;
                }
                Short('h') | Long("help") => {
                    read.help = true;
                    continue;
                }
                Value(word) => {
                    read.words.push(text(word)?);
                    continue;
                }
                Long(SHUTDOWN_DELAY) => SHUTDOWN_DELAY,
                Long(GRACE_PERIOD) => GRACE_PERIOD,
                Long(HEALTH_CHECK_ADDR) => HEALTH_CHECK_ADDR,
                Long(ENTRYPOINT) => ENTRYPOINT,
                other => return Err(usage(other.unexpected())),
            };
            let value = text(parser.value().map_err(usage)?)?;
            read.flags.push((flag, value));
        }
        read.check()?;
        Ok(read)
    }

    /// The command's name.
    pub(super) fn command(&self) -> &str {
        match self.words.first() {
            _ if self.help => "help",
            _ if self.version => "version",
            Some(word) => word,
            None => "init",
        }
    }

    fn check(&self) -> Result<(), UsageError> {
        let (longest, flags): (usize, &[&str]) = match self.command() {
            "help" | "version" => return Ok(()),
            "init" => (2, &[SHUTDOWN_DELAY]),
            "run-task" => (0, &[SHUTDOWN_DELAY, GRACE_PERIOD, HEALTH_CHECK_ADDR]),
            "override" => (0, &[SHUTDOWN_DELAY, GRACE_PERIOD, HEALTH_CHECK_ADDR, ENTRYPOINT]),
            "probe" => (1, &[SHUTDOWN_DELAY]),
            other => return Err(UsageError(format!("there is no command `{other}`"))),
        };
        if let Some(word) = self.words.get(longest + 1) {
            return Err(UsageError(format!(
                "`{}` does not take the argument `{word}`",
                self.command()
            )));
        }
        match self.flags.iter().find(|(flag, _)| !flags.contains(flag)) {
            Some((flag, _)) => Err(UsageError(format!("`{}` does not take --{flag}", self.command()))),
            None => Ok(()),
        }
    }

    /// The command with all it needs, except for `run-task`, which needs more than a lookup.
    pub(super) fn complete(&self, lookup: Lookup<'_>) -> Result<Command, UsageError> {
        match self.command() {
            "help" => Ok(Command::Print(HELP.to_owned())),
            "version" => {
                let (version, date) = (build::VERSION, build::DATE);
                Ok(Command::Print(format!(
                    "runner-init version {version} (built {date})"
                )))
            }
            "override" => self.override_command(lookup),
            "probe" => self.probe_command(lookup),
            _ => {
                self.settings(lookup)?;
                Ok(Command::Init {
                    source: self.path(1, lookup, "SOURCE", "/"),
                    destination: self.path(2, lookup, "DESTINATION", "/opt/circleci/bin"),
                })
            }
        }
    }

    /// The flags of `run-task`.
    pub(super) fn settings(&self, lookup: Lookup<'_>) -> Result<Settings, UsageError> {
        Ok(Settings {
            shutdown_delay: self.duration(lookup, SHUTDOWN_DELAY, Duration::ZERO)?,
            grace_period: self.duration(lookup, GRACE_PERIOD, Duration::from_secs(10))?,
            health_check_addr: self
                .flag(lookup, HEALTH_CHECK_ADDR)?
                .unwrap_or_else(|| ":7623".to_owned()),
        })
    }

    fn override_command(&self, lookup: Lookup<'_>) -> Result<Command, UsageError> {
        self.settings(lookup)?;
        let mut entrypoint: Vec<String> = self.given(ENTRYPOINT).flat_map(split).collect();
        if entrypoint.is_empty() {
            entrypoint = split(&self.flag(lookup, ENTRYPOINT)?.unwrap_or_default());
        }
        if entrypoint.first().is_none_or(String::is_empty) {
            return Err(UsageError(
                "`override` needs an entrypoint: --entrypoint=WORD,...".to_owned(),
            ));
        }
        // What was said on this command line holds for the `run-task` that the entrypoint executes, too.
        let variables = self
            .flags
            .iter()
            .filter(|(flag, _)| *flag != ENTRYPOINT)
            .map(|(flag, value)| (variable(flag), value.clone()))
            .collect();
        Ok(Command::Override {
            entrypoint,
            variables,
        })
    }

    fn probe_command(&self, lookup: Lookup<'_>) -> Result<Command, UsageError> {
        if let Some(address) = self.words.get(1) {
            return Ok(Command::Probe {
                address: address.clone(),
            });
        }
        let address = self
            .flag(lookup, HEALTH_CHECK_ADDR)?
            .unwrap_or_else(|| ":7623".to_owned());
        if address.ends_with(":0") {
            return Err(UsageError(format!(
                "`probe` needs an address: {address} does not tell the port"
            )));
        }
        Ok(Command::Probe { address })
    }

    /// Absolute, because a link is made to it, and a relative one would be meant from the link's own folder.
    fn path(&self, index: usize, lookup: Lookup<'_>, name: &str, default: &str) -> PathBuf {
        let given = self
            .words
            .get(index)
            .filter(|word| !word.is_empty())
            .map(OsString::from);
        let path: PathBuf = given
            .or_else(|| present(lookup, name))
            .unwrap_or_else(|| default.into())
            .into();
        std::path::absolute(&path).unwrap_or(path)
    }

    fn given(&self, flag: &str) -> impl Iterator<Item = &str> {
        self.flags
            .iter()
            .filter(move |(name, _)| *name == flag)
            .map(|(_, value)| value.as_str())
    }

    /// The last one of the command line, else the variable.
    fn flag(&self, lookup: Lookup<'_>, flag: &str) -> Result<Option<String>, UsageError> {
        match self.given(flag).last() {
            Some(value) => Ok(Some(value.to_owned())),
            None => present(lookup, &variable(flag)).map(text).transpose(),
        }
    }

    fn duration(&self, lookup: Lookup<'_>, flag: &str, default: Duration) -> Result<Duration, UsageError> {
        let Some(value) = self.flag(lookup, flag)? else {
            return Ok(default);
        };
        let nanoseconds = go_duration::parse(&value).map_err(|error| usage(format!("--{flag}: {error}")))?;
        u64::try_from(nanoseconds)
            .map(Duration::from_nanos)
            .map_err(|_| UsageError(format!("--{flag}: `{value}` is negative")))
    }
}

/// Splits at commas as the parser of the public one does (`SplitEscaped` of Go's `kong`): `\,` is a comma of the word,
/// and an empty last word is none.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.next_if_eq(&',').is_some() => word.push(','),
            ',' => words.push(std::mem::take(&mut word)),
            other => word.push(other),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// `shutdown-delay` is `CIRCLECI_GOAT_SHUTDOWN_DELAY`.
fn variable(flag: &str) -> String {
    format!("CIRCLECI_GOAT_{}", flag.replace('-', "_").to_ascii_uppercase())
}

/// An empty variable counts as none.
fn present(lookup: Lookup<'_>, name: &str) -> Option<OsString> {
    lookup(name).filter(|value| !value.is_empty())
}

fn usage(error: impl ToString) -> UsageError {
    UsageError(error.to_string())
}

fn text(word: OsString) -> Result<String, UsageError> {
    word.into_string()
        .map_err(|word| UsageError(format!("{word:?} is not UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Words, UsageError> {
        Words::read(lexopt::Parser::from_args(words))
    }

    fn complete(words: &[&str], variables: &[(&str, &str)]) -> Result<Command, UsageError> {
        read(words)?.complete(&lookup(variables))
    }

    fn lookup(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
        move |name| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.into())
        }
    }

    #[test]
    fn no_command_is_init_with_its_defaults() {
        let Ok(Command::Init { source, destination }) = complete(&[], &[]) else {
            panic!("no init")
        };

        assert_eq!((source, destination), ("/".into(), "/opt/circleci/bin".into()));
    }

    #[test]
    fn the_folders_of_init_come_from_arguments_and_then_from_variables() {
        let variables = [("SOURCE", "/from"), ("DESTINATION", "/to")];

        let Ok(Command::Init { source, destination }) = complete(&["init", "/given"], &variables) else {
            panic!("no init")
        };

        assert_eq!((source, destination), ("/given".into(), "/to".into()));
    }

    #[test]
    fn a_flag_wins_over_its_variable() {
        let variables = [
            ("CIRCLECI_GOAT_SHUTDOWN_DELAY", "1s"),
            ("CIRCLECI_GOAT_TERMINATION_GRACE_PERIOD", "1m30s"),
        ];

        let settings = read(&["run-task", "--shutdown-delay=2s"])
            .expect("well-formed")
            .settings(&lookup(&variables));

        let settings = settings.expect("all are durations");
        assert_eq!(settings.shutdown_delay, Duration::from_secs(2));
        assert_eq!(settings.grace_period, Duration::from_secs(90));
        assert_eq!(settings.health_check_addr, ":7623");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_sentence() {
        for (words, part) in [
            (&["fly"][..], "no command `fly`"),
            (&["run-task", "now"], "does not take the argument `now`"),
            (&["init", "--entrypoint=a"], "does not take --entrypoint"),
            (&["run-task", "--colour"], "--colour"),
            (&["override"], "needs an entrypoint"),
            (&["override", "--entrypoint="], "needs an entrypoint"),
            (&["init", "--shutdown-delay=soon"], "`soon` is no duration"),
            (&["init", "--shutdown-delay=-1s"], "is negative"),
            (&["probe", "--shutdown-delay"], "missing argument"),
        ] {
            let error = complete(words, &[]).expect_err("it makes no sense").to_string();

            assert!(error.contains(part), "{words:?}: {error}");
        }
    }

    #[test]
    fn an_entrypoint_is_split_at_commas_and_flags_are_handed_on() {
        let given = complete(
            &["override", "--entrypoint=/init,a b", "--shutdown-delay=2s"],
            &[],
        );
        let Ok(Command::Override {
            entrypoint,
            variables,
        }) = given
        else {
            panic!("{given:?}")
        };

        assert_eq!(entrypoint, ["/init", "a b"]);
        assert_eq!(
            variables,
            [("CIRCLECI_GOAT_SHUTDOWN_DELAY".to_owned(), "2s".to_owned())]
        );
    }

    #[test]
    fn an_entrypoint_may_hold_commas() {
        for (text, expected) in [
            (r"a\,b,c", &["a,b", "c"][..]),
            ("a,", &["a"]),
            ("a,,b", &["a", "", "b"]),
            (r"a\b\", &[r"a\b\"]),
            (r"a\\,b", &[r"a\,b"]),
            ("", &[]),
        ] {
            assert_eq!(split(text), expected, "{text}");
        }
    }

    #[test]
    fn a_probe_without_a_known_port_is_refused() {
        let unknown = [("CIRCLECI_GOAT_HEALTH_CHECK_ADDR", "127.0.0.1:0")];

        assert!(complete(&["probe"], &unknown).is_err());
        for (words, variables, expected) in [
            (&["probe", "127.0.0.1:80"][..], &unknown[..], "127.0.0.1:80"),
            (&["probe"], &[("CIRCLECI_GOAT_HEALTH_CHECK_ADDR", ":80")], ":80"),
            (&["probe"], &[], ":7623"),
        ] {
            let Ok(Command::Probe { address }) = complete(words, variables) else {
                panic!("no probe")
            };
            assert_eq!(address, expected);
        }
    }
}

#[cfg(test)]
mod hostile;
