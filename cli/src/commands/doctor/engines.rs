//! Container engines and clusters. No driver of this version uses them; whoever has one wants to know that.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::{Finding, State};

/// How long an engine may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(3);
/// What follows from an engine.
const UNUSED: &str =
    "no driver of this version uses it: `image` is not looked at, and jobs with `services` are refused";
/// What follows where there is none.
const NOT_NEEDED: &str = "nothing follows: no driver of this version needs it";

/// Docker and Podman, each where it listens.
pub(super) async fn all() -> Vec<Finding> {
    let runtime = variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    let in_runtime = |name: &str| runtime.as_ref().map(|folder| folder.join(name));
    let docker = [
        docker_host(),
        in_runtime("docker.sock"),
        Some(PathBuf::from("/var/run/docker.sock")),
    ];
    let podman = [
        in_runtime("podman/podman.sock"),
        Some(PathBuf::from("/run/podman/podman.sock")),
    ];
    vec![
        engine("docker", docker.into_iter().flatten()).await,
        engine("podman", podman.into_iter().flatten()).await,
    ]
}

/// An environment variable that is set to something.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The socket that the environment names.
fn docker_host() -> Option<PathBuf> {
    let host = variable("DOCKER_HOST")?.into_string().ok()?;
    host.strip_prefix("unix://").map(PathBuf::from)
}

async fn engine(name: &'static str, sockets: impl Iterator<Item = PathBuf>) -> Finding {
    let mut refused = None;
    for socket in sockets.filter(|socket| socket.exists()) {
        let shown = socket.display();
        match ping(&socket).await {
            Ok(()) => return Finding::new(name, State::Limited, format!("answers at {shown}"), UNUSED),
            Err(why) => refused = refused.or(Some(format!("{shown} does not answer: {why}"))),
        }
    }
    match refused {
        Some(found) => Finding::new(name, State::Missing, found, UNUSED),
        None => Finding::new(name, State::Missing, "no socket of it here", NOT_NEEDED),
    }
}

/// Asks for a sign of life, as both engines' API has it.
async fn ping(socket: &Path) -> Result<(), String> {
    let ask = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream
            .write_all(b"GET /_ping HTTP/1.0\r\nHost: localhost\r\n\r\n")
            .await?;
        let mut answer = Vec::new();
        stream.take(1024).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match tokio::time::timeout(PATIENCE, ask).await {
        Err(_) => Err("it is silent".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(answer)) => {
            let answer = String::from_utf8_lossy(&answer).into_owned();
            match answer.split([' ', '\r']).nth(1) {
                Some("200") => Ok(()),
                status => Err(format!("its status is {}", status.unwrap_or("none"))),
            }
        }
    }
}

/// A Kubernetes cluster, as its own tools find one.
pub(super) fn cluster() -> Finding {
    let name = "cluster";
    let unused = "no driver of this version uses it";
    if Path::new("/var/run/secrets/kubernetes.io/serviceaccount/token").exists() {
        return Finding::new(
            name,
            State::Limited,
            "this is a pod with a service account",
            unused,
        );
    }
    let named = variable("KUBECONFIG").map(|list| std::env::split_paths(&list).collect::<Vec<_>>());
    let usual = variable("HOME").map(|home| vec![PathBuf::from(home).join(".kube/config")]);
    let files = named.or(usual).unwrap_or_default();
    let Some(file) = files.iter().find(|file| file.is_file()) else {
        return Finding::new(name, State::Missing, "no kubeconfig", NOT_NEEDED);
    };
    let shown = file.display();
    let context = std::fs::read_to_string(file).ok().and_then(|text| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("current-context:"))?;
        Some(line.trim().trim_matches('"').to_owned()).filter(|context| !context.is_empty())
    });
    let found = context.map_or_else(
        || format!("a kubeconfig without a context: {shown}"),
        |context| format!("context `{context}` in {shown}"),
    );
    Finding::new(name, State::Limited, found, unused)
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn an_engine_is_there_only_when_it_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let look = async || engine("docker", [socket.clone()].into_iter()).await;

        let nowhere = look().await;
        let listener = UnixListener::bind(&socket).unwrap();
        let serving = tokio::spawn(async move {
            for answer in ["HTTP/1.0 200 OK\r\n\r\nOK", "HTTP/1.0 403 Forbidden\r\n\r\n"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut call = [0; 256];
                let read = stream.read(&mut call).await.unwrap();
                assert!(call[..read].starts_with(b"GET /_ping "));
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let answers = look().await;
        let refuses = look().await;
        serving.await.unwrap();
        let gone = look().await;

        assert_eq!(nowhere.state, State::Missing);
        assert_eq!(answers.state, State::Limited, "{answers:?}");
        assert_eq!(refuses.state, State::Missing);
        assert!(refuses.found.contains("403"), "{refuses:?}");
        assert!(gone.found.contains("does not answer"), "{gone:?}");
    }
}
