//! Hosts of private repositories: a web server that asks for a password before git's own `http-backend`, and
//! OpenSSH's server with one deploy key.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Daemon, wait};

/// The longest that a host may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves a folder of repositories over HTTP to whoever knows the password.
#[derive(Debug)]
pub struct HttpHost {
    address: SocketAddr,
    /// The header that lets one in.
    wanted: Arc<Mutex<String>>,
    ended: Arc<AtomicBool>,
}

impl HttpHost {
    /// Serves the repositories under `root`.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn start(root: &Path, user: &str, password: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        let ended = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ended);
        let wanted = Arc::new(Mutex::new(basic(user, password)));
        let now = Arc::clone(&wanted);
        let root = root.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (root, wanted) = (root.clone(), now.lock().expect("no thread panics").clone());
                // A client that hangs up has its reasons.
                std::thread::spawn(move || stream.and_then(|stream| serve(stream, &root, &wanted)).ok());
            }
        });
        Self {
            address,
            wanted,
            ended,
        }
    }

    /// From now on only this password is good.
    ///
    /// # Panics
    /// When a thread of the host has panicked.
    pub fn change_password(&self, user: &str, password: &str) {
        *self.wanted.lock().expect("no thread panics") = basic(user, password);
    }

    /// The URL of a repository.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }
}

impl Drop for HttpHost {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes it up.
        TcpStream::connect(self.address).ok();
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Answers one request, and closes.
fn serve(mut stream: TcpStream, root: &Path, wanted: &str) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = headers(&mut reader)?;
    let header = |name: &str| headers.get(name).map_or("", String::as_str);
    if header("authorization") != wanted {
        // A careless host: it repeats what it was told.
        let told = header("authorization")
            .rsplit(' ')
            .next()
            .and_then(|word| STANDARD.decode(word).ok());
        let body = format!(
            "refused: {}\n",
            String::from_utf8_lossy(&told.unwrap_or_default())
        );
        return write!(
            stream,
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"private\"\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    }
    let mut body = Vec::new();
    if header("transfer-encoding").eq_ignore_ascii_case("chunked") {
        read_chunks(&mut reader, &mut body)?;
    } else {
        let length = header("content-length").parse().unwrap_or(0);
        reader.take(length).read_to_end(&mut body)?;
    }
    let mut git = Command::new("git")
        .args(["-c", "safe.directory=*", "http-backend"])
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = git.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let feeding = std::thread::spawn(move || stdin.write_all(&body));
    let output = git.wait_with_output()?;
    feeding.join().ok();
    let text = String::from_utf8_lossy(&output.stdout);
    let status = text.strip_prefix("Status: ").and_then(|rest| rest.lines().next());
    write!(
        stream,
        "HTTP/1.1 {}\r\nConnection: close\r\n",
        status.unwrap_or("200 OK")
    )?;
    stream.write_all(&output.stdout)
}

/// By their names in lower case.
fn headers(reader: &mut impl io::BufRead) -> io::Result<BTreeMap<String, String>> {
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok(headers);
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}

fn read_chunks(reader: &mut impl io::BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        reader.take(length).read_to_end(body)?;
        reader.read_line(&mut String::new())?;
        if length == 0 {
            return Ok(());
        }
    }
}

/// OpenSSH's server on a port of its own, for one key.
#[derive(Debug)]
pub struct SshHost {
    _server: Daemon,
    folder: PathBuf,
    port: u16,
}

impl SshHost {
    /// Where the program is; none on a machine that has none.
    #[must_use]
    pub fn program() -> Option<&'static Path> {
        ["/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd"]
            .map(Path::new)
            .into_iter()
            .find(|path| path.is_file())
    }

    /// Starts it in a folder. Its keys, and one that nobody lets in, are there afterwards.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(program: &Path, folder: &Path) -> Self {
        for name in ["host", "deploy", "stranger"] {
            let path = folder.join(name);
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
                .arg(path)
                .status();
            assert!(made.expect("ssh-keygen runs").success(), "a key is made");
        }
        // Free a moment ago: sshd takes no port 0.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port is free")
            .port();
        fs::copy(folder.join("deploy.pub"), folder.join("authorized")).expect("copied");
        fs::set_permissions(folder.join("authorized"), fs::Permissions::from_mode(0o600)).expect("ours");
        let here = folder.display();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {here}/host\nAuthorizedKeysFile {here}/authorized\n\
             PidFile none\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\nUsePAM no\nLogLevel VERBOSE\n"
        );
        fs::write(folder.join("sshd_config"), config).expect("written");
        if fs::metadata("/run/sshd").is_err() {
            // sshd as root separates privileges in there, and ends without it.
            fs::create_dir("/run/sshd").ok();
        }
        let mut command = Command::new(program);
        command.args(["-D", "-e", "-f"]).arg(folder.join("sshd_config"));
        let mut server = Daemon::start("sshd", command, folder);
        wait::until("sshd to listen", PATIENCE, || {
            assert!(server.ended().is_none(), "sshd ended: {}", server.log());
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        let host = fs::read_to_string(folder.join("host.pub")).expect("a public key");
        fs::write(folder.join("known_hosts"), format!("[127.0.0.1]:{port} {host}")).expect("written");
        let wrong = fs::read_to_string(folder.join("stranger.pub")).expect("a public key");
        fs::write(folder.join("wrong_hosts"), format!("[127.0.0.1]:{port} {wrong}")).expect("written");
        Self {
            _server: server,
            folder: folder.to_owned(),
            port,
        }
    }

    /// The URL of a repository at a path, for the user of this process.
    ///
    /// # Panics
    /// When the user has no name.
    #[must_use]
    pub fn url(&self, path: &Path) -> String {
        let name = Command::new("id").arg("-un").output().expect("id runs").stdout;
        let user = String::from_utf8(name).expect("a name");
        format!("ssh://{}@127.0.0.1:{}{}", user.trim(), self.port, path.display())
    }

    /// A file of it: `deploy`, `stranger`, `known_hosts`, `wrong_hosts`.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}
