//! Where a secret is while a job runs, and afterwards: in the environment of `run` steps, and nowhere else.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::PipelineOutcome;
use internal_testing::installation::only_job;
use internal_testing::{HttpHost, Installation, Options, processes};

/// What jobs get.
const PASSWORD: &str = "correct-horse/battery+staple?";
const KEY: [&str; 3] = [
    "-----BEGIN GOAT KEY-----",
    "bW9yZSBzZWNyZXQgdGhhbiBhIGdvYXQ=",
    "-----END GOAT KEY-----",
];
/// What only the server has.
const TOKEN: &str = "ghp_0123456789abcdefHunter2";
/// `bot:` and the token, as HTTP carries it; and the password, as `base64` writes it.
const ENCODED: [&str; 2] = [
    "Ym90OmdocF8wMTIzNDU2Nzg5YWJjZGVmSHVudGVyMg==",
    "Y29ycmVjdC1ob3JzZS9iYXR0ZXJ5K3N0YXBsZT8",
];

fn needles() -> Vec<&'static str> {
    [PASSWORD, KEY[1], TOKEN].into_iter().chain(ENCODED).collect()
}

/// The needles that are in these bytes.
fn found(bytes: &[u8]) -> Vec<&'static str> {
    let holds = |needle: &&str| {
        bytes
            .windows(needle.len())
            .any(|window| window == needle.as_bytes())
    };
    needles().into_iter().filter(holds).collect()
}

/// Every file below a folder that holds a needle.
fn files_with(folder: &Path, except: &[PathBuf]) -> Vec<(PathBuf, Vec<&'static str>)> {
    let mut open = vec![folder.to_owned()];
    let mut with = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() && !except.contains(&path) {
                let needles = found(&fs::read(&path).unwrap_or_default());
                if !needles.is_empty() {
                    with.push((path, needles));
                }
            }
        }
    }
    with
}

/// Looks at all processes of the machine, again and again.
struct Lookout {
    over: Arc<AtomicBool>,
    looking: std::thread::JoinHandle<Sight>,
}

/// What was seen, as command lines.
#[derive(Debug, Default)]
struct Sight {
    rounds: u64,
    in_arguments: BTreeSet<String>,
    in_environments: BTreeSet<String>,
}

impl Lookout {
    fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let looking = std::thread::spawn(move || {
            let mut sight = Sight::default();
            while !until.load(Ordering::Relaxed) {
                for pid in processes::all() {
                    // First the environment: what has a step's is a step from then on.
                    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                    let line = processes::command_line(pid);
                    if !found(line.as_bytes()).is_empty() {
                        sight.in_arguments.insert(line.clone());
                    }
                    if !found(&environment).is_empty() {
                        sight.in_environments.insert(line);
                    }
                }
                sight.rounds += 1;
            }
            sight
        });
        Self { over, looking }
    }

    fn end(self) -> Sight {
        self.over.store(true, Ordering::Relaxed);
        self.looking.join().unwrap()
    }
}

/// An installation whose repository is private and has secrets; with the files that hold them.
fn installation() -> (Installation, HttpHost, Vec<PathBuf>) {
    let mut installation = Installation::start(&Options::default());
    let host = HttpHost::start(installation.repository.folder(), "bot", TOKEN);
    let place = installation.folder().join("operator");
    fs::create_dir(&place).unwrap();
    let files = vec![place.join("secrets"), place.join("token")];
    let secrets = format!("PASSWORD='{PASSWORD}'\nKEY=\"{}\"\nPIN=123\n", KEY.join("\n"));
    for (file, text) in files.iter().zip([secrets.as_str(), TOKEN]) {
        fs::write(file, text).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let config = installation.folder().join("goatherd.toml");
    let text = fs::read_to_string(&config).unwrap();
    let source = format!("source = \"{}\"", installation.repository.folder().display());
    let private = format!(
        "source = \"{}\"\ntoken_file = \"operator/token\"\ntoken_user = \"bot\"\nsecrets_file = \"operator/secrets\"",
        host.url(".git")
    );
    assert!(text.contains(&source), "{text}");
    fs::write(&config, text.replace(&source, &private)).unwrap();
    installation.kill_server();
    installation.start_server();
    (installation, host, files)
}

fn config(installation: &Installation) -> String {
    let wait = installation.wait_at_gate("go");
    let say = [
        "set -x; test ${#PASSWORD} = 29; set +x",
        "echo \"plain $PASSWORD\"",
        "echo \"$KEY\"",
        "printf %s \"$PASSWORD\" | base64",
        "printf 'x:%s' \"$PASSWORD\" | base64",
        "for letter in $(echo \"$PASSWORD\" | fold -w1); do printf %s \"$letter\"; sleep 0.01; done; echo",
        "echo \"error $PASSWORD\" >&2",
        "cat .git/config",
        "env | sort",
        "echo ready",
        &wait,
    ];
    let lines: String = say.iter().map(|line| format!("          {line}\n")).collect();
    format!(
        "jobs:\n  look:\n    steps:\n      - checkout\n      - run: |\n{lines}      - upload: {{source: .ci.yml}}\n"
    )
}

#[tokio::test]
async fn a_secret_is_in_the_environment_of_run_steps_and_nowhere_else() {
    let (installation, _host, files) = installation();
    let lookout = Lookout::start();
    let _agent = installation.agent("one");
    let pipeline = installation.push(&config(&installation)).await;
    installation.logged(&pipeline, "\nready").await;
    let meanwhile = files_with(installation.folder(), &files);
    installation.open_gate("go");
    let view = installation.ended(&pipeline).await;
    let sight = lookout.end();

    let output = installation.output(&pipeline).await;
    assert_eq!(view.summary.outcome, Some(PipelineOutcome::Succeeded), "{output}");
    for line in [
        "plain ****",
        "error ****",
        "PASSWORD=****",
        "PIN=123",
        "not masked",
        "`PIN`",
    ] {
        assert!(output.contains(line), "{line}: {output}");
    }
    let origin = format!("url = {}/git/acme/app.git\n", installation.url());
    assert!(output.contains(&origin), "tasks clone from the server: {output}");
    assert_eq!(found(output.as_bytes()), [""; 0], "{output}");
    assert!(!output.contains(&PASSWORD[..12]), "{output}");

    assert!(sight.rounds > 3, "the lookout saw too little");
    assert_eq!(sight.in_arguments, BTreeSet::new());
    assert!(!sight.in_environments.is_empty(), "the step had its secrets");
    let steps = [
        "/bin/bash",
        "sleep",
        "base64",
        "fold",
        "env",
        "cat",
        "sort",
        "printf",
    ];
    for line in &sight.in_environments {
        let program = line.split(' ').next().unwrap_or_default();
        assert!(program.is_empty() || steps.contains(&program), "{line}");
    }

    assert_eq!(meanwhile, []);
    assert_eq!(files_with(installation.folder(), &files), []);
    let task = &only_job(&view).task;
    for path in [
        "api/v1/audit".to_owned(),
        "api/v1/repositories".to_owned(),
        format!("api/v1/pipelines/{pipeline}"),
        format!("api/v1/pipelines/{pipeline}/events"),
        format!("api/v1/jobs/{task}/log"),
    ] {
        let answer = installation.answer(&path).await;
        assert!(answer.len() > 2, "{path} says something");
        assert_eq!(found(&answer), [""; 0], "{path}");
    }
}

#[tokio::test]
async fn a_wrong_token_and_a_file_for_everybody_are_told_without_what_they_hold() {
    let (mut installation, host, files) = installation();
    host.change_password("bot", "a newer token");

    let pipeline = installation
        .push("jobs: {look: {steps: [{run: 'true'}]}}\n")
        .await;
    let view = installation.ended(&pipeline).await;
    installation.kill_server();
    fs::set_permissions(&files[0], fs::Permissions::from_mode(0o644)).unwrap();
    let refused = installation.try_server();

    assert_eq!(view.summary.outcome, Some(PipelineOutcome::InfraFailed));
    let cause = view.summary.cause.unwrap().sentence();
    assert!(
        cause.contains("Authentication failed") && cause.contains("bot:***"),
        "{cause}"
    );
    assert!(
        refused.contains("is open to everybody on this machine (mode 0644)"),
        "{refused}"
    );
    assert_eq!(found(refused.as_bytes()), [""; 0]);
    assert_eq!(files_with(installation.folder(), &files), []);
}
