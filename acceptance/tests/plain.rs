//! Jobs on a machine that refuses namespaces, with the shipped binaries under a filter that refuses them as default
//! containers do; as root and as an ordinary user.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use api::{Cause, Outcome};
use internal_testing::installation::{PATIENCE, only_job};
use internal_testing::{Daemon, Installation, Options, Repository, binaries, processes, wait};
use tempfile::TempDir;

const CONTAINED: &str = env!("CARGO_BIN_EXE_contained");
const ORDINARY: u32 = 54_322;

/// A folder with a repository in it, for somebody.
struct Desk {
    folder: TempDir,
    user: Option<u32>,
}

impl Desk {
    /// The desks of all who can try it here: whoever this is, and as root an ordinary user too.
    fn all(config: &str) -> Vec<Self> {
        let ordinary = is_root().then_some(Some(ORDINARY));
        [None]
            .into_iter()
            .chain(ordinary)
            .map(|user| Self::new(config, user))
            .collect()
    }

    fn new(config: &str, user: Option<u32>) -> Self {
        let folder = TempDir::with_prefix("goatherd-test-").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Repository::new(&folder.path().join("app")).commit(".ci.yml", config);
        fs::create_dir(folder.path().join("scratch")).unwrap();
        fs::set_permissions(folder.path().join("scratch"), fs::Permissions::from_mode(0o711)).unwrap();
        // Where an ordinary user can execute them.
        fs::create_dir(folder.path().join("bin")).unwrap();
        for name in ["goatherd", "orchestrator", "circleci-agent"] {
            fs::copy(
                binaries::folder().join(name),
                folder.path().join("bin").join(name),
            )
            .unwrap();
        }
        fs::copy(CONTAINED, folder.path().join("bin/contained")).unwrap();
        if let Some(user) = user {
            let owned = Command::new("chown")
                .arg("-R")
                .arg(user.to_string())
                .arg(folder.path())
                .status();
            assert!(owned.unwrap().success());
        }
        Self { folder, user }
    }

    fn command(&self) -> Command {
        let at = |name: &str| self.folder.path().join(name);
        let mut command = Command::new(at("bin/contained"));
        command
            .arg(at("bin/goatherd"))
            .arg("run")
            .current_dir(at("app"))
            .env("TMPDIR", self.scratch())
            .env("HOME", self.folder.path())
            .env_remove("XDG_STATE_HOME");
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    fn scratch(&self) -> PathBuf {
        self.folder.path().join("scratch")
    }

    fn run(&self) -> Said {
        let output = self.command().output().unwrap();
        assert_eq!(
            fs::read_dir(self.scratch()).unwrap().count(),
            0,
            "something was left behind"
        );
        Said::of(&output)
    }
}

#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn is_root() -> bool {
    fs::read_to_string("/proc/self/status")
        .unwrap()
        .contains("\nUid:\t0\t0\t")
}

/// A number of seconds that nothing else on this machine sleeps.
fn mark(name: &str) -> String {
    let letters: u32 = name.bytes().map(u32::from).sum();
    format!("8{}{letters:05}", std::process::id())
}

fn sleeping(mark: &str) -> Vec<i32> {
    let line = format!("sleep\0{mark}\0");
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|found| found == line.as_bytes()))
        .collect()
}

fn job(command: &str) -> String {
    let indented = command.trim().replace('\n', "\n          ");
    format!("jobs:\n  work:\n    steps:\n      - checkout\n      - run: |\n          {indented}\n")
}

#[test]
fn green_is_green_red_is_red_and_what_is_not_promised_is_said() {
    for (command, code) in [("test -e .ci.yml; echo made > $TMPDIR/x", 0), ("exit 3", 1)] {
        for desk in Desk::all(&job(command)) {
            let said = desk.run();

            assert_eq!(said.code, Some(code), "{said:#?}");
            assert!(
                said.err.contains("warning: jobs are not isolated here"),
                "{said:#?}"
            );
            assert!(
                said.out.contains("not isolated: "),
                "the job says it too: {said:#?}"
            );
        }
    }
}

#[test]
fn what_a_step_left_behind_is_gone_with_the_job() {
    let mark = mark("left");
    let command = format!(
        "sleep {mark} > /dev/null 2>&1 &
(setsid sleep {mark} > /dev/null 2>&1 &)
setsid sh -c '(sleep {mark} &) ; (env -i sleep {mark} &)' > /dev/null 2>&1
until [ $(grep -lzsx 'x*{mark}' /proc/[0-9]*/cmdline | wc -l) = 4 ]; do sleep 0.02; done; echo all four"
    );
    for desk in Desk::all(&job(&command)) {
        let said = desk.run();

        assert_eq!(said.code, Some(0), "{said:#?}");
        assert_eq!(sleeping(&mark), Vec::<i32>::new(), "{said:#?}");
    }
}

#[test]
fn a_step_cannot_read_the_task_token() {
    // Opened, not read: the first byte of a process's memory is never there.
    let command = "for pid in $PPID $(sed -n 's/^PPid:\t//p' /proc/$PPID/status); do
  for file in environ mem maps; do
    (exec 3< /proc/$pid/$file) 2> /dev/null && echo \"readable: $file\"
  done
done
ls $GOATHERD_PLACE/goat/config.json 2> /dev/null && echo 'the configuration is there'
env | grep -iE 'token|GOATHERD_INSTANCE|CIRCLECI_GOAT' && echo 'in the environment'
echo 'lo'oked";
    for desk in Desk::all(&job(command)) {
        let said = desk.run();

        assert!(said.out.contains("] looked"), "{said:#?}");
        for bad in [
            "] readable: ",
            "] the configuration is there",
            "] in the environment",
        ] {
            assert!(!said.out.contains(bad), "{said:#?}");
        }
    }
}

/// A run whose job has three processes, two of them out of its session.
fn running(desk: &Desk, mark: &str) -> Daemon {
    let run = Daemon::start("run", desk.command(), desk.folder.path());
    wait::until("the job to run", PATIENCE, || {
        (sleeping(mark).len() == 3).then_some(())
    });
    run
}

fn sleeping_job(mark: &str) -> String {
    job(&format!(
        "(setsid sleep {mark} > /dev/null 2>&1 &)\n(setsid env -i sleep {mark} > /dev/null 2>&1 &)\nsleep {mark}"
    ))
}

#[test]
fn killing_goatherd_run_leaves_nothing_of_its_jobs() {
    let mark = mark("run");
    for desk in Desk::all(&sleeping_job(&mark)) {
        let run = running(&desk, &mark);

        run.kill();

        wait::until("the job to be gone", PATIENCE, || {
            sleeping(&mark).is_empty().then_some(())
        });
        wait::until("the sandboxes to be gone", PATIENCE, || {
            processes::sandboxes(&desk.scratch()).is_empty().then_some(())
        });
        for entry in fs::read_dir(desk.scratch()).unwrap().flatten() {
            let places = entry.path().join("data/places");
            let left: Vec<_> = fs::read_dir(places)
                .unwrap()
                .flatten()
                .map(|place| place.file_name())
                .collect();
            assert!(
                left.iter().all(|name| name.to_string_lossy().starts_with('.')),
                "{left:?}"
            );
        }
    }
}

#[test]
fn killing_the_sandbox_ends_the_job_as_lost_and_leaves_nothing() {
    let mark = mark("sandbox");
    for desk in Desk::all(&sleeping_job(&mark)) {
        let mut run = running(&desk, &mark);
        let place = processes::place(&desk.scratch()).unwrap();

        processes::kill(place.sandbox);

        wait::until("the job to be gone", PATIENCE, || {
            sleeping(&mark).is_empty().then_some(())
        });
        assert_eq!(run.wait(PATIENCE).code(), Some(1), "{}", run.output());
        assert_eq!(
            fs::read_dir(desk.scratch()).unwrap().count(),
            0,
            "something was left behind"
        );
    }
}

#[tokio::test]
async fn an_agent_runs_nothing_without_namespaces_unless_it_is_told_to() {
    let installation = Installation::start(&Options::default());
    let mut refused = installation.agent_through("refused", &[CONTAINED]);
    let code = refused.wait(PATIENCE).code();
    assert!(
        code != Some(0) && refused.log().contains("`--isolation plain`"),
        "{}",
        refused.log()
    );

    let agent = installation.agent_through_with("one", &[CONTAINED], &["--isolation", "plain"]);
    let pipeline = installation.push(&job("echo ran")).await;

    let view = installation.ended(&pipeline).await;
    assert_eq!(only_job(&view).outcome, Some(Outcome::Succeeded), "{view:#?}");
    assert!(
        agent.log().contains("warning: jobs are not isolated here"),
        "{}",
        agent.log()
    );
    installation.places_gone();
}

#[tokio::test]
async fn an_agent_that_is_killed_and_started_again_takes_its_plain_places_up() {
    let installation = Installation::start(&Options::default());
    let start = || installation.agent_through_with("one", &[CONTAINED], &["--isolation", "plain"]);
    let agent = start();
    let waiting = format!("printf 'be%s\\n' gun\n{}", installation.wait_at_gate("go"));
    let pipeline = installation.push(&job(&waiting)).await;
    installation.logged(&pipeline, "begun").await;

    agent.kill();
    let _again = start();
    installation.open_gate("go");

    let view = installation.ended(&pipeline).await;
    let job = only_job(&view);
    assert_eq!(
        (job.outcome, job.attempts.len()),
        (Some(Outcome::Succeeded), 1),
        "{job:#?}"
    );
    installation.places_gone();
}

#[tokio::test]
async fn a_killed_sandbox_is_told_as_a_lost_supervisor() {
    let installation = Installation::start(&Options::default());
    let _agent = installation.agent_through_with("one", &[CONTAINED], &["--isolation", "plain"]);
    let mark = mark("lost");
    let pipeline = installation.push(&sleeping_job(&mark)).await;
    wait::until("the job to run", PATIENCE, || {
        (sleeping(&mark).len() == 3).then_some(())
    });
    let place = place_of(&installation.place_root());

    processes::kill(place.sandbox);

    let view = installation.ended(&pipeline).await;
    let job = only_job(&view);
    assert!(
        matches!(job.cause, Some(Cause::SupervisorLost { .. })),
        "{job:#?}"
    );
    assert_eq!(sleeping(&mark), Vec::<i32>::new());
    installation.places_gone();
}

fn place_of(root: &Path) -> processes::Place {
    wait::until("a place with all its processes", PATIENCE, || {
        processes::place(root)
    })
}
