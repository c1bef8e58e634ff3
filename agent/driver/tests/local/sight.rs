//! What a task sees, and who it is.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use driver::{Driver, Exit};

use super::host::{Host, attempt, eventually, is_root};

fn lines(exit: &Exit) -> Vec<&str> {
    exit.log_tail.lines().collect()
}

#[tokio::test]
async fn a_task_sees_the_allow_list_and_nothing_else() {
    let host = Host::new(
        "for path in /root /run /var /sys /srv /mnt /etc/shadow /etc/ssh $0.secret /home/*/.ssh; do
             test -e $path && echo sees $path; done
         for path in /usr/made /bin/made /etc/made /made /dev/made /opt/circleci/bin/made /home/made; do
             (: > $path) 2>/dev/null && echo wrote $path; done
         for path in ~/made /tmp/made /dev/shm/made /opt/circleci/goat/made; do
             (: > $path) 2>/dev/null || echo no $path; done
         ls -A / /etc | tr '\\n' ' '; echo
         echo | cat > /dev/null && head -c 1 /dev/urandom | wc -c
         cat /etc/passwd | grep -c goatherd
         ls /usr/bin | head -1 | wc -l
         cat /etc/hosts | grep -c `hostname`",
    );

    let exit = host.run().await;

    let seen = lines(&exit);
    assert!(
        !exit.log_tail.contains("sees ") && !exit.log_tail.contains("wrote "),
        "{seen:?}"
    );
    assert!(!exit.log_tail.contains("no "), "{seen:?}");
    assert_eq!(&seen[seen.len() - 4..], ["1", "1", "1", "1"], "{seen:?}");
    for absent in ["work", "media", "boot", "shadow"] {
        assert!(
            !exit.log_tail.split_whitespace().any(|word| word == absent),
            "{seen:?}"
        );
    }
    host.close().await;
}

#[tokio::test]
async fn a_task_does_not_see_the_place_root_or_its_own_place() {
    let host = Host::new("ls -d $0 / && cat /proc/self/mountinfo");
    let places = host.places.display().to_string();

    let exit = host.run().await;

    let has_root = exit
        .log_tail
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .any(|mounted_at| mounted_at.starts_with(&places));
    assert!(!has_root, "{}", exit.log_tail);
    host.close().await;
}

#[tokio::test]
async fn a_task_has_no_privileges_and_sees_its_own_processes_only() {
    let host = Host::new(
        "id -u; id -g; id -un; id -G; hostname; echo $$; echo $HOME; pwd
         grep -E '^(Cap|NoNewPrivs)' /proc/self/status | cut -f2 | sort -u | tr '\\n' ' '; echo
         for process in /proc/[0-9]*; do echo $process; done | wc -l
         mount -t tmpfs none /tmp 2>/dev/null && echo mounted
         env | sort | cut -d= -f1 | tr '\\n' ' '",
    );

    let exit = host.run().await;

    let seen = lines(&exit);
    let groups = if is_root() { "1000" } else { seen[4] };
    assert_eq!(
        seen[1..],
        [
            "1000",
            "1000",
            "goatherd",
            groups,
            "t-1",
            "1",
            "/home/goatherd",
            "/home/goatherd",
            "0000000000000000 1 ",
            // The shell, its copy that lists, and perhaps `wc`.
            seen[10],
            "CI CIRCLECI_GOAT_CONFIG_FILE HOME LANG LOGNAME PATH PWD USER ",
        ],
    );
    assert!(seen[10].parse::<u32>().unwrap() <= 3, "{seen:?}");
    host.close().await;
}

#[tokio::test]
async fn outside_a_task_is_a_user_that_nobody_else_is() {
    let host = Host::new("sleep $MARK");
    host.start().await;
    eventually("it runs", || host.running().len() == 1).await;

    let status = fs::read_to_string(format!("/proc/{}/status", host.running()[0])).unwrap();
    let uids = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
    let groups = status.lines().find(|line| line.starts_with("Groups:")).unwrap();

    let uid = host.place().join("home").metadata().unwrap().uid();
    assert_eq!(uids, format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}"));
    if is_root() {
        assert!(uid > 1_000_000_000);
        assert_eq!(groups.trim(), "Groups:");
    } else {
        assert_eq!(uid, host.place().metadata().unwrap().uid());
    }
    assert_eq!(
        host.places.metadata().unwrap().permissions().mode() & 0o777,
        0o700
    );
    host.close().await;
}

#[tokio::test]
async fn goat_gets_its_configuration_by_a_file_that_is_its_own() {
    let host = Host::new(
        "stat -c '%a %u' $CIRCLECI_GOAT_CONFIG_FILE; cat $CIRCLECI_GOAT_CONFIG_FILE; echo
         rm $CIRCLECI_GOAT_CONFIG_FILE && echo removed; echo \"$@\"; readlink /opt/circleci/bin/circleci
         echo '{\"kind\": \"interrupted\", \"message\": \"word\"}' > /opt/circleci/goat/termination.json; exit 5",
    );

    let exit = host.run().await;

    let seen = lines(&exit);
    assert_eq!(seen[1], "600 1000");
    let configuration: api::goat::GoatConfig = serde_json::from_str(seen[2]).unwrap();
    assert_eq!(configuration.token.unwrap().expose(), "the-token");
    assert_eq!(configuration.allocation, "t.1");
    assert_eq!(configuration.max_run_time, 60_000_000_000);
    assert!(configuration.notify_task_agent && configuration.share_instance);
    assert_eq!(
        configuration.termination_message_path,
        "/opt/circleci/goat/termination.json"
    );
    assert_eq!(seen[3], "removed");
    assert_eq!(
        seen[4],
        "run-task --health-check-addr=127.0.0.1:0 --termination-grace-period=13000ms --shutdown-delay=0ms"
    );
    assert_eq!(seen[5], "/opt/circleci/bin/circleci-agent");
    assert_eq!((exit.code, exit.signal), (Some(5), None));
    assert_eq!(exit.termination.unwrap().message, "word");
    host.close().await;
}

#[tokio::test]
async fn the_binaries_are_the_installed_ones_or_copies_where_those_cannot_be_executed() {
    const LOOK: &str = "cd /opt/circleci/bin; for name in orchestrator circleci-agent; do
         stat -c %i $name; test -x $name && echo executable; touch $name 2>/dev/null || echo read-only
         done; exit 5";
    let host = Host::new(LOOK);
    let inode = |name: &str| host.bin.join(name).metadata().unwrap().ino().to_string();
    let installed = ["orchestrator", "circleci-agent"].map(inode);

    let shown = host.run().await;
    host.driver.remove(&attempt()).await.unwrap();
    fs::set_permissions(host.bin.join("circleci-agent"), fs::Permissions::from_mode(0o600)).unwrap();
    let driver = host.another_driver(false);
    driver.start(&host.order(), host.progress()).await.unwrap();
    let copied = driver.wait(&attempt()).await.unwrap();

    let [goat, agent] = &installed;
    let may = ["executable", "read-only"];
    assert_eq!(lines(&shown)[1..], [goat, may[0], may[1], agent, may[0], may[1]]);
    let copied = lines(&copied);
    assert_eq!(
        [copied[2], copied[3], copied[5], copied[6]],
        [may, may].concat()[..]
    );
    assert!(copied[1] != goat && copied[4] != agent, "{copied:?}");
    host.close().await;
}

#[tokio::test]
async fn nothing_reaches_the_hosts_mount_table() {
    let table = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = table();
    let host = Host::new("sleep $MARK");

    host.start().await;

    assert_eq!(table(), before);
    host.close().await;
    assert_eq!(table(), before);
}

#[tokio::test]
async fn what_is_exposed_is_seen_and_not_written() {
    let host =
        Host::new("cat $EXPOSED/folder/file $EXPOSED/file; : > $EXPOSED/folder/made; : > $EXPOSED/file");
    let exposed = host.exposed.clone();
    fs::create_dir_all(exposed.join("folder")).unwrap();
    fs::write(exposed.join("folder/file"), "one\n").unwrap();
    fs::write(exposed.join("file"), "two\n").unwrap();
    let driver = host
        .driver_with(|settings| settings.expose = vec![exposed.join("folder"), exposed.join("file")])
        .unwrap();

    driver.start(&host.order(), host.progress()).await.unwrap();

    let exit = driver.wait(&attempt()).await.unwrap();
    assert!(exit.log_tail.contains("\none\ntwo\n"), "{}", exit.log_tail);
    assert!(!exposed.join("folder/made").exists());
    assert_eq!(fs::read_to_string(exposed.join("file")).unwrap(), "two\n");
    host.close().await;
}

#[tokio::test]
async fn goat_inherits_no_descriptor() {
    let host = Host::new("exec sleep $MARK");
    host.start().await;
    eventually("it runs", || host.running().len() == 1).await;

    let open = fs::read_dir(format!("/proc/{}/fd", host.running()[0])).unwrap();

    let mut open: Vec<_> = open.map(|entry| entry.unwrap().file_name()).collect();
    open.sort();
    assert_eq!(open, ["0", "1", "2"]);
    host.close().await;
}

#[tokio::test]
async fn a_task_has_terminals_and_a_session_of_its_own() {
    let host = Host::new(
        "test -c /dev/ptmx && echo terminals; readlink /proc/1/fd/0; cut -d' ' -f5,6,7 /proc/1/stat",
    );

    let exit = host.run().await;

    assert_eq!(lines(&exit)[1..], ["terminals", "/dev/null", "1 1 0"]);
    host.close().await;
}
