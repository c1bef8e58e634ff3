//! `goatherd run` in real containers of a Docker engine: what its seccomp filter, its masked `/proc` and fewer
//! capabilities leave of isolation, whether the warning says so, and that nothing is left of a job.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use acceptance::desk::{Desk, ORDINARY, Said, is_root, job, mark, sleeping};
use internal_testing::{Engine, processes, wait};
use tempfile::TempDir;

/// How long a container may take with one small job in it.
const LIMIT: Duration = Duration::from_secs(120);
/// What the container says to processes that outlived their job.
const OUTLIVED: i32 = 99;

/// A desk in a container.
struct Contained {
    engine: Engine,
    desk: Desk,
    mark: String,
}

impl Contained {
    /// As root or as an ordinary user. None where that cannot be tried here; the reason was printed.
    fn new(name: &str, user: Option<u32>) -> Option<Self> {
        let engine = Engine::find()?;
        if !is_root() {
            assert!(std::env::var_os("CI").is_none(), "in CI this test runs as root");
            println!("skipped: only root can have files of root and of others");
            return None;
        }
        let mark = mark(name);
        // What a job leaves in the background is to go with it.
        let command = format!(
            "test -e .ci.yml; echo made > ${{TMPDIR:-/tmp}}/x
(setsid sleep {mark} > /dev/null 2>&1 &)
until grep -lzsx 'x*{mark}' /proc/[0-9]*/cmdline; do sleep 0.02; done; echo ran"
        );
        let desk = Desk::new(&job(&command), user, &[]);
        Some(Self { engine, desk, mark })
    }

    /// Runs it with `options` for the container and `arguments` for `goatherd run`.
    fn run(&self, user: Option<u32>, options: &[&str], arguments: &[&str]) -> Said {
        // Not process 1, with which all of a container ends: what outlives its job would never be seen.
        let script = "\"$@\"; code=$?
for process in /proc/[0-9]*; do tr '\\0' ' ' 2> /dev/null < $process/cmdline; echo; done |
    grep -qx \"sleep $MARK \" && exit 99
exit $code";
        self.execute(user, options, &["bash", "-c", script, "bash"], arguments)
    }

    fn execute(&self, user: Option<u32>, options: &[&str], shell: &[&str], arguments: &[&str]) -> Said {
        let (image, programs) = self.engine.host_programs();
        let at = |name: &str| self.desk.path().join(name).display().to_string();
        let here = self.desk.path().display();
        let user = user.unwrap_or(0);
        let mut all = vec![
            "--network=none".to_owned(),
            format!("--user={user}:{user}"),
            format!("--volume={here}:{here}"),
            format!("--workdir={}", at("app")),
            format!("--env=TMPDIR={}", at("scratch")),
            format!("--env=HOME={here}"),
            format!("--env=MARK={}", self.mark),
        ];
        all.extend(programs);
        let mut words: Vec<&str> = all.iter().map(String::as_str).collect();
        words.extend(options);
        let goatherd = at("bin/goatherd");
        let command: Vec<&str> = [shell, &[&goatherd, "run"], arguments].concat();
        let said = Said::of(&self.engine.run(LIMIT, &words, image, &command));
        self.desk.nothing_left();
        assert_ne!(
            said.code,
            Some(OUTLIVED),
            "what the job started outlived it: {said:#?}"
        );
        said
    }
}

/// The warning to whoever runs it, if there was one.
fn warning(said: &Said) -> Option<&str> {
    let mut lines = said.err.lines();
    lines.find(|line| line.starts_with("warning: jobs are not isolated here"))
}

fn is_green(said: &Said) {
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.out.contains("] ran"), "{said:#?}");
}

/// What is said where the filter of a default container refuses namespaces.
const FILTERED: &str = "because no namespaces are used (cannot make user, PID, mount, IPC and UTS namespaces: Operation \
                        not permitted (os error 1); a seccomp filter or a container around goatherd refuses namespaces \
                        and mounts: run it outside, or allow them there). ";

#[test]
fn root_in_a_default_container_runs_jobs_as_users_of_their_own() {
    let Some(contained) = Contained::new("root", None) else {
        return;
    };
    for options in [&[][..], &["--read-only"]] {
        let said = contained.run(None, options, &[]);

        is_green(&said);
        let warning = warning(&said).unwrap();
        assert!(
            warning.contains(FILTERED) && warning.contains("Each job is a user of its own"),
            "{said:#?}"
        );
    }
}

#[test]
fn an_ordinary_user_in_a_default_container_runs_jobs_as_itself() {
    let user = Some(ORDINARY);
    let Some(contained) = Contained::new("user", user) else {
        return;
    };
    for options in [&[][..], &["--read-only"], &["--cap-drop=ALL"]] {
        let said = contained.run(user, options, &[]);

        is_green(&said);
        let warning = warning(&said).unwrap();
        assert!(
            warning.contains(FILTERED) && warning.contains(&format!("Jobs are user {ORDINARY}: ")),
            "{said:#?}"
        );
    }
}

#[test]
fn root_without_capabilities_runs_jobs_as_itself() {
    let Some(contained) = Contained::new("bare", None) else {
        return;
    };

    let said = contained.run(None, &["--cap-drop=ALL"], &[]);

    is_green(&said);
    let warning = warning(&said).unwrap();
    assert!(
        warning.contains(FILTERED) && warning.contains("Jobs are user `root`: "),
        "{said:#?}"
    );
}

/// `--privileged`, or what it comes to here where this machine's root lacks a capability of all that it would give.
fn privileged() -> &'static [&'static str] {
    let read = |name: &str| fs::read_to_string(name).unwrap();
    let last: u32 = read("/proc/sys/kernel/cap_last_cap").trim().parse().unwrap();
    let all = format!("CapBnd:\t{:016x}", (1_u64 << (last + 1)) - 1);
    if read("/proc/self/status").lines().any(|line| line == all) {
        return &["--privileged"];
    }
    println!(
        "root lacks a capability here, so that no container can be `--privileged`: it gets all else of that"
    );
    &[
        "--cap-add=SYS_ADMIN",
        "--security-opt=seccomp=unconfined",
        "--security-opt=apparmor=unconfined",
        "--security-opt=systempaths=unconfined",
    ]
}

#[test]
fn a_privileged_container_has_sandboxes() {
    for user in [None, Some(ORDINARY)] {
        let Some(contained) = Contained::new("privileged", user) else {
            return;
        };

        let said = contained.run(user, privileged(), &[]);

        is_green(&said);
        assert_eq!(warning(&said), None, "{said:#?}");
    }
}

#[test]
fn without_its_filter_a_container_still_masks_proc_and_that_is_said() {
    let user = Some(ORDINARY);
    let Some(contained) = Contained::new("masked", user) else {
        return;
    };
    let unfiltered = "--security-opt=seccomp=unconfined";

    let masked = contained.run(user, &[unfiltered], &[]);
    let whole = contained.run(user, &[unfiltered, "--security-opt=systempaths=unconfined"], &[]);

    is_green(&masked);
    assert!(
        warning(&masked)
            .unwrap()
            .contains("parts of /proc are covered here"),
        "{masked:#?}"
    );
    is_green(&whole);
    assert_eq!(
        warning(&whole),
        None,
        "what the warning said to do helps: {whole:#?}"
    );
}

#[test]
fn a_default_container_is_refused_where_namespaces_are_asked_for() {
    let Some(contained) = Contained::new("strict", None) else {
        return;
    };

    let said = contained.run(None, &[], &["--isolation", "namespaces"]);

    assert_ne!(said.code, Some(0), "{said:#?}");
    assert!(
        !said.out.contains("] ran") && said.err.contains("seccomp filter"),
        "{said:#?}"
    );
}

#[test]
fn goatherd_may_be_the_first_process_of_a_container() {
    let Some(contained) = Contained::new("first", None) else {
        return;
    };

    let said = contained.execute(None, &[], &[], &[]);

    is_green(&said);
}

/// An engine of its own, in a folder that looks like a clone of this repository.
struct OwnEngine(TempDir);

impl OwnEngine {
    fn new() -> Self {
        let clone = TempDir::with_prefix("goatherd-test-").unwrap();
        fs::create_dir(clone.path().join("demo")).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../demo/engine.sh");
        fs::copy(script, clone.path().join("demo/engine.sh")).unwrap();
        fs::write(clone.path().join("do"), "").unwrap();
        Self(clone)
    }

    fn script(&self, word: &str) -> Output {
        let script = self.0.path().join("demo/engine.sh");
        Command::new(script).arg(word).output().unwrap()
    }

    fn socket(&self) -> String {
        let said = self.script("socket");
        String::from_utf8_lossy(&said.stdout).trim().to_owned()
    }

    fn start(&self) -> Engine {
        let said = self.script("start");
        assert!(said.status.success(), "{said:?}");
        Engine::at(Path::new(&self.socket()))
    }

    /// Its processes, which all name its folder, but for those of containers.
    fn processes(&self) -> Vec<processes::Pid> {
        let folder = self.socket().trim_end_matches("/docker.sock").to_owned();
        let mut all = processes::all();
        all.retain(|pid| processes::command_line(*pid).contains(&folder));
        all
    }

    fn called(&self, name: &str) -> Vec<processes::Pid> {
        let mut all = self.processes();
        all.retain(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
        });
        all
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        self.script("stop");
    }
}

#[test]
fn an_engine_that_was_killed_leaves_nothing_that_runs_and_starts_again() {
    if Engine::find().is_none() {
        return;
    }
    if !is_root() {
        println!("skipped: needs root");
        return;
    }
    let own = OwnEngine::new();
    for victim in ["dockerd", "docker-init", "all of it"] {
        let engine = own.start();
        let mark = mark(victim);
        let image = engine.busybox();
        let container = engine.start(&["--network=none"], image, &["sleep", &mark]);
        wait::until("the container to run", LIMIT, || {
            (!sleeping(&mark).is_empty()).then_some(())
        });

        let victims = match victim {
            "all of it" => own.processes(),
            name => own.called(name),
        };
        assert!(!victims.is_empty(), "no {victim}");
        victims.into_iter().for_each(processes::kill);

        wait::until("all of it to be gone", LIMIT, || {
            (own.processes().is_empty() && sleeping(&mark).is_empty()).then_some(())
        });
        let again = own.start();
        let all = again.docker().args(["ps", "--all", "--quiet"]).output().unwrap();
        assert!(all.status.success() && all.stdout.is_empty(), "{all:?}");
        drop(container);
    }
}
