//! In containers of a Docker engine: without any file but the binaries, beside glibc, and beside musl.

use std::fs;
use std::time::Duration;

use internal_testing::engine::{Container, Engine};
use internal_testing::runner_api::FAIL;
use internal_testing::wait;

use crate::task::{TOKEN, Task};

const PATIENCE: Duration = Duration::from_secs(60);
/// No privilege, nothing to write to, seccomp's default profile, and the network that the runner API is in.
const LOCKED_DOWN: [&str; 7] = [
    "--read-only",
    "--user=65534:65534",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--network=host",
    "--stop-signal=TERM",
    "--pull=never",
];
const RUN_TASK: [&str; 3] = ["/orchestrator", "run-task", "--health-check-addr=127.0.0.1:0"];

/// An image that holds the two binaries and no other file. It goes with its test.
struct Scratch {
    engine: Engine,
    name: String,
}

impl Scratch {
    fn of(engine: &Engine, task: &Task) -> Self {
        let name = format!("goatherd-test/scratch:{}", std::process::id());
        engine.import(&name, &task.root(), &[]);
        Self {
            engine: engine.clone(),
            name,
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The containers of the test are gone by now; what is left goes with the engine.
        self.engine
            .docker()
            .args(["image", "rm", "--force", &self.name])
            .output()
            .ok();
    }
}

fn start(engine: &Engine, task: &Task, options: &[&str], image: &str) -> Container {
    let config = format!("--env=CIRCLECI_GOAT_CONFIG={}", task.config);
    let mut all = LOCKED_DOWN.to_vec();
    all.push(&config);
    all.extend(options);
    engine.start(&all, image, &RUN_TASK)
}

/// The binaries of the task, as volumes of an image that does not hold them.
fn volumes(task: &Task) -> Vec<String> {
    let root = task.root();
    ["orchestrator", "circleci-agent"]
        .map(|name| format!("--volume={}:/{name}:ro", root.join(name).display()))
        .to_vec()
}

/// What is promised in every image.
fn assert_runs(engine: &Engine, options: &[&str], image: &str, task: &Task) {
    let container = start(engine, task, options, image);

    let code = container.wait(PATIENCE);

    let output = container.output();
    assert_eq!(code, 0, "{output}");
    let record: serde_json::Value = output
        .lines()
        .find_map(|line| serde_json::from_str(line).ok())
        .unwrap_or_else(|| panic!("no record: {output}"));
    assert_eq!((&record["parent"], &record["uid"]), (&1.into(), &65534.into()));
    assert_eq!(record["stdin"], TOKEN);
    assert_eq!(record["capabilities"], "0000000000000000");
    assert_eq!(record["oom_score_adj"], 100);
    assert_eq!(record["oom_score_adj_of_parent"], 0);
    assert_eq!(task.api.paths(), [FAIL]);
}

#[test]
fn it_runs_in_an_image_without_any_other_file() {
    let Some(engine) = Engine::find() else { return };
    let task = Task::in_root("record=- orphans=5 exit=7");
    let image = Scratch::of(&engine, &task);

    assert_runs(&engine, &[], &image.name, &task);
}

#[test]
fn it_runs_beside_glibc() {
    let Some(engine) = Engine::find() else { return };
    let task = Task::in_root("record=- orphans=5 exit=7");
    let (image, mut options) = engine.host_programs();
    options.extend(volumes(&task));
    let options: Vec<&str> = options.iter().map(String::as_str).collect();

    assert_runs(&engine, &options, image, &task);
}

#[test]
fn it_runs_beside_musl() {
    let Some(engine) = Engine::find() else { return };
    let loader = "/lib/ld-musl-x86_64.so.1";
    assert!(
        fs::metadata(loader).is_ok(),
        "{loader} is missing: Debian's musl has it, which musl-tools brings"
    );
    let task = Task::in_root("record=- orphans=5 exit=7");
    let image = engine.busybox();
    let mut options = volumes(&task);
    let library = fs::canonicalize(loader).unwrap();
    options.push(format!("--volume={}:{loader}:ro", library.display()));
    let options: Vec<&str> = options.iter().map(String::as_str).collect();

    assert_runs(&engine, &options, image, &task);
}

#[test]
fn stopping_a_container_lets_the_task_agent_end_and_leaves_nothing() {
    let Some(engine) = Engine::find() else { return };
    let mut task =
        Task::in_root("on=TERM,say=heard,exit=0 orphan=session,ignore=TERM,say=beside,sleep say=up sleep");
    task.config["notify_task_agent"] = true.into();
    let image = Scratch::of(&engine, &task);
    let container = start(&engine, &task, &[], &image.name);
    wait::until("the task", PATIENCE, || {
        let output = container.output();
        (output.contains("up\n") && output.contains("beside\n")).then_some(())
    });

    container.signal("TERM");

    assert_eq!(container.wait(PATIENCE), 0, "{}", container.output());
    let output = container.output();
    assert!(
        output.contains("heard\n") && output.contains("interrupted by SIGTERM from outside the container"),
        "{output}"
    );
    assert!(task.api.calls().is_empty());
}

#[test]
fn a_task_that_takes_too_much_memory_is_told_from_within_its_container() {
    let Some(engine) = Engine::find() else { return };
    let task = Task::in_root("allocate=200000000 sleep");
    let image = Scratch::of(&engine, &task);

    let container = start(
        &engine,
        &task,
        &["--memory=64m", "--memory-swap=64m"],
        &image.name,
    );

    assert_eq!(container.wait(PATIENCE), 0, "{}", container.output());
    let output = container.output();
    assert!(
        output.contains("(ended by SIGKILL, by the kernel's OOM killer, at a limit of 67108864 bytes"),
        "{output}"
    );
    assert_eq!(task.api.paths(), [FAIL]);
}

#[test]
fn an_engine_can_ask_for_its_health_without_another_program() {
    let Some(engine) = Engine::find() else { return };
    let task = Task::in_root("say=up sleep");
    let image = Scratch::of(&engine, &task);
    let container = start(&engine, &task, &[], &image.name);
    let address = wait::until("the address", PATIENCE, || {
        let output = container.output();
        let (_, rest) = output.split_once("app.address=")?;
        rest.split_whitespace().next().map(str::to_owned)
    });

    let asked = container.exec(&["/orchestrator", "probe", &address]);

    assert!(asked.status.success(), "{asked:?}");
}
