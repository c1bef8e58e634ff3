//! Calling git: what it is told, what it may use, and what its words mean.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use api::runner::task::Source;

use super::run::{Running, StartError, start};
use super::{Current, Failure};
use crate::credential::{Credential, CredentialServer};
use crate::decide::Ending;
use crate::environment::Variables;
use crate::supervise::Watched;

/// Transports that a clone URL may use. `ext` and `fd` would run what a redirect or a config says.
const TRANSPORTS: &str = "file:git:http:https:ssh";

/// Settings for every call. Hooks and monitors of a folder that a step prepared do not run beside a token; a
/// transfer that stands still for a minute has failed.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "init.defaultBranch=main",
    "advice.detachedHead=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "safe.directory=*",
];

/// Where to fetch from, and how to log in there.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) url: String,
    credential: Option<Credential>,
}

impl Remote {
    /// The operator's URL, or the server's own, which takes a token that is good for nothing else: git runs
    /// beside the task's steps, and as their user.
    pub(super) fn of(source: &Source, base_url: &str) -> Self {
        match &source.clone_url {
            Some(url) => match Credential::out_of(url) {
                Some((url, credential)) => Self {
                    url,
                    credential: Some(credential),
                },
                None => Self {
                    url: url.clone(),
                    credential: None,
                },
            },
            None => {
                let suffix = if source.repository.ends_with(".git") {
                    ""
                } else {
                    ".git"
                };
                let url = format!("{base_url}/git/{}{suffix}", source.repository);
                let credential = source
                    .token
                    .clone()
                    .and_then(|token| Credential::new(&url, "goatherd", token));
                Self { url, credential }
            }
        }
    }
}

/// A call that git ended with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GitError {
    pub(super) code: i32,
    /// git's own words, in one line.
    pub(super) words: String,
}

/// git in one folder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Git<'task> {
    pub(super) current: Current<'task>,
    pub(super) folder: &'task Path,
}

impl Git<'_> {
    /// Calls git without any credential.
    pub(super) async fn call(&self, words: &[&str]) -> Result<Result<(), GitError>, Failure> {
        let mut running = self.start(&[], words).await?;
        let watched = self
            .current
            .context
            .supervisor
            .watch(&mut running.child, None)
            .await;
        self.judge(&running, watched).await
    }

    /// Calls git with what the remote needs. The credential is in no argument, variable or file: git's helper,
    /// which is this program, asks for it over a socket that answers only what runs below this very git.
    pub(super) async fn call_remote(
        &self,
        remote: &Remote,
        words: &[&str],
    ) -> Result<Result<(), GitError>, Failure> {
        let context = self.current.context;
        let Some(credential) = &remote.credential else {
            return self.call(words).await;
        };
        let server = match CredentialServer::open(context.private.join("git.socket")) {
            Ok(server) => server,
            Err(error) => {
                let message = format!("git's credential helper cannot be served: {error}");
                return Err(Failure::infrastructure(api::Cause::Internal { message }));
            }
        };
        let helper = format!(
            "credential.helper=!{} _internal git-credential {}",
            quoted(&context.program),
            quoted(server.path())
        );
        // The empty one first: helpers of the image are not asked.
        let mut running = self.start(&["credential.helper=", &helper], words).await?;
        let git = running.child.pid;
        let watched = tokio::select! {
            watched = context.supervisor.watch(&mut running.child, None) => watched,
            never = server.serve(credential, git) => match never {},
        };
        self.judge(&running, watched).await
    }

    async fn start(&self, settings: &[&str], words: &[&str]) -> Result<Running, Failure> {
        let mut argv = vec![PathBuf::from("git")];
        for setting in SETTINGS.iter().chain(settings) {
            argv.extend(["-c".into(), setting.into()]);
        }
        argv.extend(words.iter().map(PathBuf::from));
        match start(self.current, argv, self.variables(), self.folder) {
            Ok(running) => Ok(running),
            Err(StartError::Spawn(error)) => {
                let sentence = "git is not in this image, and a checkout needs it";
                tracing::debug!(%error, "git was not started");
                Err(self.current.fail(127, sentence).await)
            }
            Err(error @ StartError::Pipe(_)) => {
                let message = format!("no pipes for git: {error}");
                Err(Failure::infrastructure(api::Cause::Internal { message }))
            }
        }
    }

    fn variables(&self) -> Variables {
        let mut variables = self.current.context.base.clone();
        for name in [
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "GIT_ASKPASS",
            "SSH_ASKPASS",
        ] {
            variables.remove(&OsString::from(name));
        }
        // Words are matched, so they have to be the original ones.
        for (name, value) in [
            ("LC_ALL", "C"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ALLOW_PROTOCOL", TRANSPORTS),
        ] {
            variables.insert(name.into(), value.into());
        }
        variables
    }

    async fn judge(&self, running: &Running, watched: Watched) -> Result<Result<(), GitError>, Failure> {
        running.settle().await;
        let ending = match watched {
            Watched::Ended(end) => Ending::from(end),
            Watched::Silent(end) | Watched::Stopped(end) => {
                return Err(Failure::Stopped {
                    ending: end.map_or(Ending::KILLED, Ending::from),
                });
            }
        };
        if ending == Ending::SUCCESS {
            return Ok(Ok(()));
        }
        Ok(Err(GitError {
            code: ending.exit_code,
            words: words_of(&running.stderr.tail(), ending.exit_code),
        }))
    }
}

/// The lines that say what went wrong, in one line.
fn words_of(tail: &str, code: i32) -> String {
    let mut lines: Vec<&str> = tail
        .lines()
        .map(str::trim)
        .filter(|line| {
            ["fatal:", "error:", "remote:"]
                .iter()
                .any(|start| line.starts_with(start))
        })
        .collect();
    if lines.is_empty() {
        lines = tail
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        lines.drain(..lines.len().saturating_sub(2));
    }
    if lines.is_empty() {
        return format!("git exited with code {code}");
    }
    lines.join("; ").chars().take(500).collect()
}

/// Whether trying again cannot help: a refusal, not a failure.
pub(super) fn is_certain(words: &str) -> bool {
    const CERTAIN: &[&str] = &[
        "Authentication failed",
        "could not read Username",
        "could not read Password",
        "unable to get password from user",
        "The requested URL returned error: 401",
        "The requested URL returned error: 403",
        "The requested URL returned error: 404",
        "The requested URL returned error: 410",
        "not found",
        "does not appear to be a git repository",
        "does not exist",
        "couldn't find remote ref",
        "Permission denied (publickey",
        "Host key verification failed",
        "not allowed",
        "unsupported protocol",
        "Unable to find remote helper",
    ];
    CERTAIN.iter().any(|text| words.contains(text))
}

/// Whether a server does not give out single commits, or does not have this one.
pub(super) fn is_about_the_commit(words: &str) -> bool {
    [
        "not our ref",
        "unadvertised object",
        "no such remote ref",
        "couldn't find remote ref",
    ]
    .iter()
    .any(|text| words.contains(text))
}

/// A path as one word of a POSIX shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::Secret;

    #[test]
    fn the_words_are_the_lines_that_say_what_went_wrong() {
        let tail = "From http://x\nremote: no access\nfatal: Authentication failed for 'http://x/'\n";

        assert_eq!(
            words_of(tail, 128),
            "remote: no access; fatal: Authentication failed for 'http://x/'"
        );
        assert_eq!(words_of("a\nb\nc\n", 1), "b; c");
        assert_eq!(words_of("", 1), "git exited with code 1");
    }

    #[test]
    fn a_refusal_is_certain_and_a_broken_line_is_not() {
        for (words, certain) in [
            ("fatal: Authentication failed for 'https://x/'", true),
            ("fatal: repository 'https://x/' not found", true),
            (
                "fatal: unable to access 'https://x/': The requested URL returned error: 503",
                false,
            ),
            (
                "fatal: unable to access 'http://x/': Failed to connect to x port 80: Connection refused",
                false,
            ),
            (
                "fatal: unable to access 'https://x/': Could not resolve host: x",
                false,
            ),
            ("fatal: '/no/such' does not appear to be a git repository", true),
            (
                "error: RPC failed; curl 56 Recv failure: Connection reset by peer",
                false,
            ),
        ] {
            assert_eq!(is_certain(words), certain, "{words}");
        }
    }

    #[test]
    fn the_servers_own_url_takes_the_token_and_the_operators_does_not() {
        let mut source = Source {
            repository: "acme/app".to_owned(),
            clone_url: None,
            token: Some(Secret::new("token")),
            commit: "0".repeat(40),
            reference: "refs/heads/main".to_owned(),
        };
        let own = Remote::of(&source, "http://h:1");
        assert_eq!(own.url, "http://h:1/git/acme/app.git");
        assert!(own.credential.is_some());

        source.clone_url = Some("https://git.example.com/app.git".to_owned());
        let others = Remote::of(&source, "http://h:1");
        assert_eq!(others.url, "https://git.example.com/app.git");
        assert!(others.credential.is_none());

        source.clone_url = Some("https://bot:pw@git.example.com/app.git".to_owned());
        let logged_in = Remote::of(&source, "http://h:1");
        assert_eq!(logged_in.url, "https://git.example.com/app.git");
        assert!(logged_in.credential.is_some());
    }

    #[test]
    fn a_path_with_a_quote_stays_one_word() {
        assert_eq!(quoted(Path::new("/a'b c")), r"'/a'\''b c'");
    }
}
