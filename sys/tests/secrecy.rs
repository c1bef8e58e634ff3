//! Tests that need a process with a single thread. Each one runs in a process of its own: this program, started
//! again. It understands as much of the test harness's command line as test runners need.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is its own test harness"
)]

use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::process::{Command, ExitCode};

use sys::secrecy::{OomScore, become_undumpable, scrub_environment};

type Outcome = Result<(), Box<dyn Error>>;

type Test = (&'static str, fn() -> Outcome);

const TESTS: &[Test] = &[
    (
        "a_scrubbed_environment_is_gone_from_proc_but_kept_for_the_program",
        scrubbed,
    ),
    ("an_undumpable_process_is_not_read_by_its_own_user", undumpable),
    (
        "children_get_the_raised_oom_score_and_this_process_keeps_its_own",
        oom_score,
    ),
];

const CHILD: &str = "GOATHERD_TEST_CHILD";
const SECRET: &str = "a-secret-that-nobody-may-see";

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(CHILD) {
        return run_child(&name);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--list") {
        if !has("--ignored") {
            TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let mut failed = false;
    for (name, _) in TESTS
        .iter()
        .filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter.as_str())))
    {
        let passed = Command::new("/proc/self/exe")
            .env(CHILD, name)
            .env("SECRET", SECRET)
            .env("PLAIN", "plain")
            .status()
            .is_ok_and(|status| status.success());
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed |= !passed;
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn run_child(name: &str) -> ExitCode {
    match TESTS
        .iter()
        .find(|(test, _)| *test == name)
        .map(|(_, test)| test())
    {
        Some(Ok(())) => ExitCode::SUCCESS,
        other => {
            eprintln!("{name}: {other:?}");
            ExitCode::FAILURE
        }
    }
}

fn ensure(condition: bool, what: &str) -> Outcome {
    if condition { Ok(()) } else { Err(what.into()) }
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle.as_bytes())
}

fn scrubbed() -> Outcome {
    ensure(
        contains(&fs::read("/proc/self/environ")?, SECRET),
        "the secret is there before",
    )?;

    let taken = scrub_environment(|name| name != OsStr::new("SECRET"))?;

    let block = fs::read("/proc/self/environ")?;
    ensure(
        block.iter().all(|&byte| byte == 0),
        "the block is not overwritten",
    )?;
    ensure(
        taken.iter().any(|(_, value)| value == SECRET),
        "the copy lacks the secret",
    )?;
    ensure(
        std::env::var_os("SECRET").is_none(),
        "the secret is still in the environment",
    )?;
    ensure(
        std::env::var("PLAIN").as_deref() == Ok("plain"),
        "what was to be kept is gone",
    )?;
    let child = Command::new("/usr/bin/env").output()?.stdout;
    ensure(contains(&child, "PLAIN=plain"), "a child lacks what was kept")?;
    ensure(!contains(&child, SECRET), "a child has the secret")
}

fn undumpable() -> Outcome {
    if !sys::process::is_root() {
        println!("skipped: needs root to become another user");
        return Ok(());
    }
    nix::unistd::setgroups(&[])?;
    nix::unistd::setgid(65534.into())?;
    nix::unistd::setuid(65534.into())?;
    // A change of user makes a process undumpable already, so start from the other side.
    nix::sys::prctl::set_dumpable(true)?;
    let path = format!("/proc/{}/environ", std::process::id());
    let readable = || {
        Command::new("/bin/cat")
            .arg(&path)
            .output()
            .map(|output| output.status.success())
    };
    ensure(readable()?, "readable before")?;

    become_undumpable()?;

    ensure(!readable()?, "still readable by the same user")
}

fn oom_score() -> Outcome {
    let score = OomScore::open()?;
    let own = || fs::read_to_string("/proc/self/oom_score_adj");
    let before = own()?;
    if sys::process::is_root() {
        nix::unistd::setgid(65534.into())?;
        nix::unistd::setuid(65534.into())?;
    }
    become_undumpable()?;
    let (reader, writer) = nix::unistd::pipe()?;
    let mut request = sys::process::SpawnRequest::new(["/bin/cat", "/proc/self/oom_score_adj"]);
    request.stdout = sys::process::Stream::Descriptor(writer);
    request.oom_score = Some(&score);

    let child = sys::process::spawn(request)?;

    let mut text = String::new();
    std::io::Read::read_to_string(&mut fs::File::from(reader), &mut text)?;
    nix::sys::wait::waitpid(child.pid, None)?;
    ensure(
        text.trim() == score.of_children().to_string(),
        &format!("the child has {text}"),
    )?;
    ensure(
        score.of_children() > score.own() || score.own() == 1000,
        "children are not more likely",
    )?;
    ensure(own()? == before, "this process has not got its own score back")
}
