//! Places without namespaces: what a task is then, what is said about it, and that nothing of it is left.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use api::Cause;
use driver::local::Isolation;
use driver::{Driver, DriverError};

use super::host::{CONTAINED, Host, SANDBOX, attempt, eventually, is_root};

/// A host that refuses namespaces.
fn contained(script: &str) -> Host {
    let copied = std::env::var_os(SANDBOX).map(|path| Path::new(&path).with_file_name("contained"));
    let program = copied.filter(|path| path.exists());
    Host::with_sandbox(script, program.as_deref().unwrap_or(Path::new(CONTAINED)))
}

#[tokio::test]
async fn a_task_has_its_own_home_and_temporary_folder_and_no_way_to_more_rights() {
    let host = contained(
        "echo in `pwd`; echo $HOME $TMPDIR; : > $TMPDIR/made; id -u; grep NoNewPrivs /proc/self/status
         cat $0 > /dev/null; ls -d $CIRCLECI_GOAT_CONFIG_FILE; echo $GOATHERD_PLACE",
    );
    let place = host.place().display().to_string();

    let exit = host.run().await;

    let seen: Vec<_> = exit.log_tail.lines().rev().take(6).collect();
    assert_eq!(
        [seen[5], seen[4], seen[2], seen[1], seen[0]],
        [
            format!("in {place}/home").as_str(),
            &format!("{place}/home {place}/tmp"),
            "NoNewPrivs:\t1",
            &format!("{place}/goat/config.json"),
            &place
        ],
        "{}",
        exit.log_tail
    );
    let uid: u32 = seen[3].parse().unwrap();
    assert_eq!(
        uid >= 1_900_000_000,
        is_root(),
        "root's tasks are users of their own"
    );
    host.close().await;
}

#[tokio::test]
async fn what_is_not_promised_is_said_to_the_operator_in_the_log_and_to_the_job() {
    let host = contained("exit 0");
    let (progress, mut told) = tokio::sync::mpsc::unbounded_channel();

    host.driver.start(&host.order(), progress).await.unwrap();

    let exit = host.driver.wait(&attempt()).await.unwrap();
    let warning = host.driver.warning().unwrap();
    assert!(
        warning.contains("not isolated") && warning.contains("seccomp filter"),
        "{warning}"
    );
    assert!(exit.log_tail.contains(warning), "{}", exit.log_tail);
    let detail = told.recv().await.unwrap().detail;
    assert!(detail.contains("not isolated"), "{detail}");
    host.close().await;
}

#[tokio::test]
async fn without_a_word_for_it_nothing_runs_where_namespaces_are_refused() {
    let host = contained("exit 0");

    let refused = host
        .driver_with(|settings| settings.isolation = Isolation::Namespaces)
        .unwrap_err()
        .to_string();

    assert!(
        refused.contains("cannot make user, PID, mount, IPC and UTS namespaces")
            && refused.contains("`--isolation plain`"),
        "{refused}"
    );
}

#[tokio::test]
async fn another_failure_than_a_refusal_stays_one() {
    let host = Host::new("exit 0");

    let refused = host
        .driver_with(|settings| settings.sandbox_program = "/bin/false".into())
        .unwrap_err();

    assert!(matches!(refused, DriverError::Unusable { .. }), "{refused}");
    assert!(refused.to_string().contains("does not work"), "{refused}");
}

#[tokio::test]
async fn daemons_are_gone_with_their_task_whatever_they_did_to_hide() {
    let host = contained(
        "(setsid sleep $MARK &)
         (setsid env -i sh -c \"sleep $MARK & sleep $MARK\" > /dev/null 2>&1 &)
         setsid setsid sleep $MARK &
         until [ `grep -lzsx \"x*$MARK\" /proc/[0-9]*/cmdline | wc -l` = 4 ]; do sleep 0.01; done; exit 6",
    );

    let exit = host.run().await;

    assert_eq!(exit.code, Some(6), "{}", exit.log_tail);
    assert_eq!(host.running(), Vec::<i32>::new());
    host.close().await;
}

#[tokio::test]
async fn an_agent_that_comes_later_ends_what_outlived_everything_around_it() {
    let host = contained("setsid sleep $MARK & sleep $MARK");
    host.start().await;
    eventually("it runs", || host.running().len() == 2).await;

    // The keeper first, or it would do this test's work.
    let sandbox = host.process("sandbox");
    let status = fs::read_to_string(format!("/proc/{sandbox}/status")).unwrap();
    let keeper = status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:\t"))
        .unwrap();
    let killed = std::process::Command::new("kill")
        .args(["-9", keeper])
        .status()
        .unwrap();
    assert!(killed.success());
    host.kill("sandbox", "KILL");
    let lost = host.driver.wait(&attempt()).await.unwrap_err();
    assert!(
        matches!(
            &lost,
            DriverError::Lost {
                cause: Cause::SupervisorLost { .. },
                ..
            }
        ),
        "{lost}"
    );

    host.close().await;
}

#[tokio::test]
async fn the_control_group_goes_with_the_place() {
    let host = contained("cat /proc/self/cgroup; sleep $MARK");
    host.start().await;
    eventually("it runs", || host.running().len() == 1).await;
    let Ok(group) = fs::read_to_string(host.place().join("cgroup")) else {
        println!("skipped: no control group can be made here");
        host.close().await;
        return;
    };
    assert!(Path::new(&group).is_dir(), "{group}");

    host.driver.remove(&attempt()).await.unwrap();

    assert!(!Path::new(&group).exists(), "{group}");
    host.close().await;
}

#[tokio::test]
async fn a_place_root_that_roots_tasks_cannot_reach_is_refused_with_the_way_out() {
    if !is_root() {
        return;
    }
    let host = contained("exit 0");
    let closed = host.exposed.join("closed");
    DirBuilder::new().mode(0o700).create(&closed).unwrap();

    let refused = host
        .driver_with(|settings| settings.place_root = closed.join("places"))
        .unwrap_err()
        .to_string();

    assert!(
        refused.contains(&format!("`chmod o+x {}`", closed.display())),
        "{refused}"
    );
}
