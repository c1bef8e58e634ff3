//! Logging git in without showing the token: git asks its helper, which is this program, and the helper asks
//! the task agent over a socket.
//!
//! The task agent answers only what runs below the git that it started itself (the kernel tells who is at the
//! other end), and only for the server that git was sent to: a redirect or a config that a step wrote gets
//! nothing.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::Secret;
use sys::process::{Pid, descendants};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use crate::error::TaskAgentError;

/// The most that git may ask.
const LONGEST: u64 = 4096;
/// The longest that one question may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What git's helper does: passes git's question on, and the answer back.
///
/// # Errors
/// [`TaskAgentError::Credential`]
pub fn answer_git(socket: &Path, action: &str) -> Result<(), TaskAgentError> {
    if action != "get" {
        return Ok(());
    }
    // Before the answer is here: what runs beside git may not look into this process.
    sys::secrecy::become_undumpable()
        .and_then(|()| pass_on(socket))
        .map_err(TaskAgentError::Credential)
}

fn pass_on(socket: &Path) -> io::Result<()> {
    let mut question = Vec::new();
    io::stdin().take(LONGEST).read_to_end(&mut question)?;
    let short = ShortPath::of(socket)?;
    let mut stream = StdUnixStream::connect(&short.path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&question)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    io::stdout().write_all(&answer)
}

/// A user and password for one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    protocol: String,
    host: String,
    user: String,
    password: Secret,
}

impl Credential {
    /// A credential for the server of a URL; none where the URL has none.
    pub(crate) fn new(url: &str, user: &str, password: Secret) -> Option<Self> {
        let (protocol, _, host, _) = parts(url)?;
        Some(Self {
            protocol: protocol.to_owned(),
            host: host.to_owned(),
            user: user.to_owned(),
            password,
        })
    }

    /// Takes user and password out of an HTTP URL that holds both.
    pub(crate) fn out_of(url: &str) -> Option<(String, Self)> {
        let (protocol, user, host, path) = parts(url)?;
        let (user, password) = user?.split_once(':')?;
        if !matches!(protocol, "http" | "https") {
            return None;
        }
        let credential = Self {
            protocol: protocol.to_owned(),
            host: host.to_owned(),
            user: percent_decoded(user),
            password: Secret::new(percent_decoded(password)),
        };
        Some((format!("{protocol}://{host}{path}"), credential))
    }

    /// What git's helper answers to a question.
    fn answer(&self, question: &str) -> Option<String> {
        let asked = |name: &str| {
            question
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        };
        let is_ours = asked("protocol") == Some(&self.protocol) && asked("host") == Some(&self.host);
        is_ours.then(|| format!("username={}\npassword={}\n", self.user, self.password.expose()))
    }
}

/// Protocol, user part, host with port, and path of a URL.
fn parts(url: &str) -> Option<(&str, Option<&str>, &str, &str)> {
    let (protocol, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    (!host.is_empty()).then_some((protocol, user, host, path))
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) if byte == b'%' => {
                out.push(decoded);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A way to a socket that fits its address, which is 108 bytes long (`unix(7)`): through its folder, opened.
struct ShortPath {
    path: PathBuf,
    _folder: File,
}

impl ShortPath {
    fn of(socket: &Path) -> io::Result<Self> {
        let (Some(folder), Some(name)) = (socket.parent(), socket.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let folder = File::open(folder)?;
        Ok(Self {
            path: Path::new("/proc/self/fd")
                .join(folder.as_raw_fd().to_string())
                .join(name),
            _folder: folder,
        })
    }
}

/// The task agent's end of the socket.
#[derive(Debug)]
pub(crate) struct CredentialServer {
    listener: UnixListener,
    path: PathBuf,
}

impl CredentialServer {
    /// Listens at a path.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&ShortPath::of(&path)?.path)?;
        Ok(Self { listener, path })
    }

    /// Where it listens.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Answers what runs below `git`, until this is dropped.
    pub(crate) async fn serve(&self, credential: &Credential, git: Pid) -> Infallible {
        loop {
            let result = match self.listener.accept().await {
                Ok((stream, _)) => {
                    let answered = tokio::time::timeout(PATIENCE, answer(stream, credential, git)).await;
                    answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                }
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                tracing::warn!(%error, "a question for git's credential was not answered");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

impl Drop for CredentialServer {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn answer(mut stream: UnixStream, credential: &Credential, git: Pid) -> io::Result<()> {
    let peer = stream.peer_cred()?.pid().map(Pid::from_raw);
    let below = descendants(git)?;
    if !peer.is_some_and(|peer| below.contains(&peer)) {
        return Err(io::Error::other("a process that is not git's asked for it"));
    }
    let mut question = String::new();
    (&mut stream).take(LONGEST).read_to_string(&mut question).await?;
    match credential.answer(&question) {
        Some(answer) => stream.write_all(answer.as_bytes()).await,
        None => Err(io::Error::other("git asked for another server")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential() -> Credential {
        Credential::new("http://127.0.0.1:80/git/x.git", "goatherd", Secret::new("pw")).expect("a URL")
    }

    #[test]
    fn only_the_server_that_was_meant_gets_the_token() {
        let credential = credential();

        assert_eq!(
            credential
                .answer("protocol=http\nhost=127.0.0.1:80\n\n")
                .as_deref(),
            Some("username=goatherd\npassword=pw\n")
        );
        for question in [
            "protocol=https\nhost=127.0.0.1:80\n",
            "protocol=http\nhost=evil.example\n",
            "protocol=http\nhost=127.0.0.1:80.evil.example\n",
            "",
        ] {
            assert_eq!(credential.answer(question), None, "{question}");
        }
    }

    #[tokio::test]
    async fn a_socket_in_a_deep_folder_is_reached() {
        let top = tempfile::tempdir().expect("a folder");
        let folder = top.path().join("deep".repeat(50));
        std::fs::create_dir(&folder).expect("made");
        let socket = folder.join("git");

        let _server = CredentialServer::open(socket.clone()).expect("it listens");

        let short = ShortPath::of(&socket).expect("a way");
        StdUnixStream::connect(&short.path).expect("it is reached");
    }

    #[test]
    fn a_password_in_a_url_is_taken_out_of_it() {
        let (url, credential) = Credential::out_of("https://b%40t:p%3Aw@h:8443/a.git").expect("it has one");

        assert_eq!(url, "https://h:8443/a.git");
        assert_eq!(credential.user, "b@t");
        assert_eq!(credential.password.expose(), "p:w");
        for url in [
            "https://h/a.git",
            "https://git@h/a.git",
            "ssh://a:b@h/a",
            "/srv/a.git",
        ] {
            assert!(Credential::out_of(url).is_none(), "{url}");
        }
    }

    #[test]
    fn a_process_that_is_not_gits_is_told_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");

        let answer = runtime.block_on(async {
            let server = CredentialServer::open(folder.path().join("s")).expect("it listens");
            let ask = async {
                let mut stream = UnixStream::connect(server.path()).await.expect("connected");
                let _ = stream.write_all(b"protocol=http\nhost=127.0.0.1:80\n").await;
                let _ = stream.shutdown().await;
                let mut answer = String::new();
                let _ = stream.read_to_string(&mut answer).await;
                answer
            };
            let credential = credential();
            tokio::select! {
                answer = ask => answer,
                // This very process is not below itself.
                never = server.serve(&credential, Pid::this()) => match never {},
            }
        });

        assert_eq!(answer, "");
    }
}
