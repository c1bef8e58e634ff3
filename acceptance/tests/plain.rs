//! Jobs on a machine that refuses namespaces, with the shipped binaries under a filter that refuses them as default
//! containers do; as root and as an ordinary user.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use acceptance::desk::{Desk, Said, job, mark, sleeping};
use api::{Cause, Outcome};
use internal_testing::installation::{PATIENCE, only_job};
use internal_testing::{Daemon, Installation, Options, processes, wait};

const CONTAINED: &str = env!("CARGO_BIN_EXE_contained");

/// The desks of all who can try it here, with the filter.
fn desks(config: &str) -> Vec<Desk> {
    Desk::all(config, &[CONTAINED])
}

/// `goatherd run` under the filter.
fn command(desk: &Desk) -> Command {
    desk.command(&["contained"])
}

#[test]
fn green_is_green_red_is_red_and_what_is_not_promised_is_said() {
    for (command, code) in [("test -e .ci.yml; echo made > $TMPDIR/x", 0), ("exit 3", 1)] {
        for desk in desks(&job(command)) {
            let said = desk.run(&["contained"]);

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
    for desk in desks(&job(&command)) {
        let said = desk.run(&["contained"]);

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
    for desk in desks(&job(command)) {
        let said = desk.run(&["contained"]);

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
    let run = Daemon::start("run", command(desk), desk.path());
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
    for desk in desks(&sleeping_job(&mark)) {
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
    for desk in desks(&sleeping_job(&mark)) {
        let mut run = running(&desk, &mark);
        let place = processes::place(&desk.scratch()).unwrap();

        processes::kill(place.sandbox);

        wait::until("the job to be gone", PATIENCE, || {
            sleeping(&mark).is_empty().then_some(())
        });
        assert_eq!(run.wait(PATIENCE).code(), Some(1), "{}", run.output());
        desk.nothing_left();
    }
}

fn name(pid: processes::Pid) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

/// What `kill -9` does to many at once: none of them sees another one go. Returns when all are gone, with their locks.
fn kill_together(pids: &[processes::Pid]) {
    for signal in ["STOP", "KILL"] {
        let killed = Command::new("/bin/kill")
            .args(["-s", signal])
            .args(pids.iter().map(ToString::to_string))
            .status();
        assert!(killed.unwrap().success());
    }
    for &pid in pids {
        wait::until("a killed process to be gone", PATIENCE, || {
            has_let_go(pid).then_some(())
        });
    }
}

/// Whether a process holds no file and no lock any more: it is gone, or a zombie without any other thread.
fn has_let_go(pid: processes::Pid) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
        return true;
    };
    let is = |name: &str, value: &str| {
        let mut lines = status.lines().filter_map(|line| line.strip_prefix(name));
        lines
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with(value))
    };
    is("State:", "Z") && status.lines().any(|line| line == "Threads:\t1")
}

#[test]
fn killing_all_that_are_called_goatherd_leaves_nothing_of_their_jobs() {
    let mark = mark("name");
    for desk in desks(&sleeping_job(&mark)) {
        let run = running(&desk, &mark);
        let mut victims = processes::sandboxes(&desk.scratch());
        victims.push(run.pid());
        victims.retain(|pid| name(*pid).contains("goatherd"));
        assert_eq!(victims.len(), 2, "the run and the sandbox, and not what keeps it");

        kill_together(&victims);

        wait::until("the job to be gone", PATIENCE, || {
            (sleeping(&mark).is_empty() && processes::sandboxes(&desk.scratch()).is_empty()).then_some(())
        });
    }
}

/// A job whose processes have nobody above them once all of Goatherd's are killed.
fn orphaning_job(mark: &str) -> String {
    job(&format!(
        "(setsid sleep {mark} > /dev/null 2>&1 &)\nsetsid -w sleep {mark}"
    ))
}

/// Kills all of Goatherd's processes of a place root, and whoever started them, at once.
fn kill_all(place_root: &Path, agent: processes::Pid) {
    let place = wait::until("a place with all its processes", PATIENCE, || {
        processes::place(place_root)
    });
    let mut all = processes::sandboxes(place_root);
    all.extend([agent, place.goat, place.task_agent]);
    kill_together(&all);
}

#[test]
fn the_next_run_with_the_same_data_ends_what_outlived_all_of_goatherd() {
    let mark = mark("data");
    for desk in desks(&orphaning_job(&mark)) {
        // Which jobs of root, that are others, can get to.
        let places = desk.scratch().join("places");
        let with_data = || {
            let mut command = command(&desk);
            command.arg("--data").arg(desk.scratch().join("data"));
            command.arg("--place-root").arg(&places);
            command
        };
        let run = Daemon::start("run", with_data(), desk.path());
        wait::until("the job to run", PATIENCE, || {
            (sleeping(&mark).len() == 2).then_some(())
        });
        kill_all(&places, run.pid());
        desk.set_config(&job("true"));

        let said = Said::of(&with_data().output().unwrap());

        assert_eq!(said.code, Some(0), "{said:#?}");
        assert_eq!(sleeping(&mark), Vec::<i32>::new(), "{said:#?}");
        let left = fs::read_dir(&places).unwrap().flatten();
        let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
        assert!(
            left.iter().all(|name| name.to_string_lossy().starts_with('.')),
            "{left:?}"
        );
    }
}

#[tokio::test]
async fn the_next_agent_ends_what_outlived_all_of_goatherd() {
    let installation = Installation::start(&Options::default());
    let start = || installation.agent_through_with("one", &[CONTAINED], &["--isolation", "plain"]);
    let agent = start();
    let mark = mark("all");
    let pipeline = installation.push(&orphaning_job(&mark)).await;
    wait::until("the job to run", PATIENCE, || {
        (sleeping(&mark).len() == 2).then_some(())
    });
    kill_all(&installation.place_root(), agent.pid());

    let _again = start();

    let view = installation.ended(&pipeline).await;
    let job = only_job(&view);
    assert!(
        matches!(job.cause, Some(Cause::SupervisorLost { .. })),
        "{job:#?}"
    );
    assert_eq!(sleeping(&mark), Vec::<i32>::new());
    installation.places_gone();
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
