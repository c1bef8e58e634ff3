//! Starting children.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use sys::process::{Group, Pid, Signal, SpawnError, SpawnRequest, Stage, Stream, UserIds, spawn};

fn shell(script: &str) -> SpawnRequest<'static> {
    let mut request = SpawnRequest::new(["/bin/sh", "-c", script]);
    request.environment = vec![("PATH".into(), "/usr/bin:/bin".into())];
    request
}

fn pipe() -> (OwnedFd, OwnedFd) {
    nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).expect("a pipe")
}

/// Runs it to its end and gives what it wrote to its standard output.
fn output_of(mut request: SpawnRequest<'_>) -> String {
    let (reader, writer) = pipe();
    request.stdout = Stream::Descriptor(writer);
    let child = spawn(request).expect("it starts");
    let mut text = String::new();
    File::from(reader)
        .read_to_string(&mut text)
        .expect("it writes text");
    waitpid(child.pid, None).expect("it is our child");
    text
}

fn wait_with_deadline(pid: Pid) -> WaitStatus {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)).expect("it is our child") {
            WaitStatus::StillAlive if Instant::now() < deadline => std::thread::yield_now(),
            status => return status,
        }
    }
}

#[test]
fn a_child_gets_its_words_environment_folder_and_standard_input() {
    let (reader, writer) = pipe();
    let mut request = SpawnRequest::new(["sh", "-c", "pwd; echo \"$COLOUR $1\"; cat", "name", "two words"]);
    request.environment = vec![
        ("PATH".into(), "/nowhere:/bin".into()),
        ("COLOUR".into(), "blue".into()),
    ];
    request.folder = Some("/usr".into());
    request.stdin = Stream::Descriptor(reader);
    File::from(writer)
        .write_all(b"from outside")
        .expect("a pipe takes this much");

    assert_eq!(output_of(request), "/usr\nblue two words\nfrom outside");
}

#[test]
fn a_command_that_is_not_there_is_told_with_the_systems_error() {
    let Err(SpawnError::Child { stage, source, .. }) = spawn(SpawnRequest::new(["/no/such/command"])) else {
        panic!("it cannot have started");
    };

    assert_eq!(stage, Stage::Execute);
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_command_that_is_in_no_folder_of_the_path_is_told_and_leaves_no_zombie() {
    let mut request = SpawnRequest::new(["no-such-command"]);
    request.environment = vec![("PATH".into(), "/usr/bin:/bin".into())];

    let refused = spawn(request);

    assert!(
        matches!(
            refused,
            Err(SpawnError::Child {
                stage: Stage::Execute,
                ..
            })
        ),
        "{refused:?}"
    );
    for child in sys::process::descendants(nix::unistd::getpid()).expect("proc is mounted") {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        assert!(!stat.contains("(spawn") || !stat.contains(") Z "), "{stat}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_told_as_such() {
    let mut request = shell("true");
    request.folder = Some("/no/such/folder".into());

    assert!(matches!(
        spawn(request),
        Err(SpawnError::Child {
            stage: Stage::Folder,
            ..
        })
    ));
}

#[test]
fn words_with_a_zero_byte_and_empty_commands_are_refused() {
    assert!(matches!(
        spawn(SpawnRequest::new(["/bin/echo", "a\0b"])),
        Err(SpawnError::Request(_))
    ));
    assert!(matches!(
        spawn(SpawnRequest::new([""])),
        Err(SpawnError::Request(_))
    ));
    assert!(matches!(
        spawn(SpawnRequest::new(Vec::<String>::new())),
        Err(SpawnError::Request(_))
    ));
}

#[test]
fn signals_that_the_parent_blocks_or_ignores_work_in_the_child() {
    // The test program ignores SIGPIPE, as every Rust program does; block another one.
    nix::sys::signal::SigSet::all()
        .thread_block()
        .expect("a mask is set");

    let status = output_of(shell("grep -E '^Sig(Blk|Ign):' /proc/self/status"));

    assert_eq!(status.matches("0000000000000000").count(), 2, "{status}");
}

#[test]
fn a_new_group_and_a_new_session_belong_to_the_child() {
    let mut grouped = shell("cut -d' ' -f5,6 /proc/$$/stat; echo $$");
    grouped.group = Group::New;
    let mut session = shell("cut -d' ' -f5,6 /proc/$$/stat; echo $$");
    session.group = Group::NewSession;

    let grouped = output_of(grouped);
    let session = output_of(session);

    let words: Vec<&str> = grouped.split_whitespace().collect();
    assert_eq!(
        (words[0] == words[2], words[1] == words[2]),
        (true, false),
        "{grouped}"
    );
    let words: Vec<&str> = session.split_whitespace().collect();
    assert_eq!(
        (words[0] == words[2], words[1] == words[2]),
        (true, true),
        "{session}"
    );
}

#[test]
fn killing_a_group_reaches_what_the_child_started() {
    let (reader, writer) = pipe();
    let mut request = shell("sleep 600 & echo started; wait");
    request.group = Group::New;
    request.stdout = Stream::Descriptor(writer);
    let child = spawn(request).expect("it starts");
    let mut reader = File::from(reader);
    let mut started = [0; 8];
    reader.read_exact(&mut started).expect("it says so");

    assert!(sys::process::kill_group(child.pid, Signal::SIGKILL).expect("it is ours"));

    // The end of file comes when the last holder, the sleep, is gone.
    let mut rest = String::new();
    reader.read_to_string(&mut rest).expect("it reads");
    assert_eq!(
        wait_with_deadline(child.pid),
        WaitStatus::Signaled(child.pid, Signal::SIGKILL, false)
    );
}

#[test]
fn a_child_is_killed_when_the_thread_that_started_it_ends() {
    let child = std::thread::spawn(|| spawn(shell("exec sleep 600")).expect("it starts").pid)
        .join()
        .expect("the thread ends well");

    assert_eq!(
        wait_with_deadline(child),
        WaitStatus::Signaled(child, Signal::SIGKILL, false)
    );
}

#[test]
fn another_user_has_no_groups_and_still_the_parent_death_signal() {
    if !sys::process::is_root() {
        println!("skipped: needs root to become another user");
        return;
    }
    let user = Some(UserIds {
        uid: 65534,
        gid: 65533,
    });
    let mut request = shell("grep -E '^(Uid|Gid|Groups):' /proc/self/status");
    request.user = user;

    let status = output_of(request);

    assert!(status.contains("Uid:\t65534\t65534\t65534\t65534"), "{status}");
    assert!(status.contains("Gid:\t65533\t65533\t65533\t65533"), "{status}");
    assert!(
        status.lines().any(|line| line.trim_end() == "Groups:"),
        "{status}"
    );

    let child = std::thread::spawn(move || {
        let mut request = shell("exec sleep 600");
        request.user = user;
        spawn(request).expect("it starts").pid
    })
    .join()
    .expect("the thread ends well");
    assert_eq!(
        wait_with_deadline(child),
        WaitStatus::Signaled(child, Signal::SIGKILL, false)
    );
}

#[test]
fn descriptors_above_the_standard_ones_stay_behind() {
    let inherited = File::open("/dev/null").expect("it opens");
    // Without close-on-exec, as a descriptor that this program inherited would be.
    nix::fcntl::fcntl(
        &inherited,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
    )
    .expect("it is set");

    let listed = output_of(shell("ls /proc/self/fd"));

    // 3 is the folder that `ls` itself reads.
    assert_eq!(
        listed.split_whitespace().collect::<Vec<_>>(),
        ["0", "1", "2", "3"]
    );
}

#[test]
fn a_pidfd_signals_the_child_and_no_successor() {
    let child = spawn(shell("exec sleep 600")).expect("it starts");
    let Some(pidfd) = child.pidfd else {
        println!("skipped: this kernel or sandbox has no pidfds");
        nix::sys::signal::kill(child.pid, Signal::SIGKILL).expect("it is ours");
        return;
    };
    let send = || sys::process::pidfd_send_signal(std::os::fd::AsFd::as_fd(&pidfd), Signal::SIGTERM);

    assert!(send().expect("it is sent"));
    assert_eq!(
        wait_with_deadline(child.pid),
        WaitStatus::Signaled(child.pid, Signal::SIGTERM, false)
    );
    assert!(!send().expect("nothing is there any more"));
}

#[test]
fn a_child_with_a_limit_on_processes_has_it_and_cannot_raise_it() {
    let mut request = shell("grep '^Max processes' /proc/self/limits");
    request.process_limit = Some(1234);

    let limits = output_of(request);

    let numbers: Vec<_> = limits.split_whitespace().filter(|word| *word == "1234").collect();
    assert_eq!(numbers.len(), 2, "soft and hard: {limits}");
}

#[test]
fn a_program_that_is_still_being_written_is_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("program");
    std::fs::copy("/bin/true", &program).expect("copied");
    // Another process has it open for writing, long enough that the first tries fail.
    let mut writer = std::process::Command::new("/bin/sh")
        .args(["-c", "exec 3>>\"$0\"; echo open; sleep 0.2"])
        .arg(&program)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut word = [0; 4];
    let output = writer.stdout.as_mut().expect("it is piped");
    output.read_exact(&mut word).expect("it is open");

    let child = spawn(SpawnRequest::new([program])).expect("it starts once nobody writes to it");

    assert_eq!(wait_with_deadline(child.pid), WaitStatus::Exited(child.pid, 0));
    writer.wait().expect("it ends");
}
