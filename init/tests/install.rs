//! What is in the folder afterwards, whatever happens meanwhile.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

fn source() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    put(folder.path(), "orchestrator", "the orchestrator", 0o755);
    put(folder.path(), "circleci-agent", "the agent", 0o751);
    folder
}

fn put(folder: &Path, name: &str, content: &str, mode: u32) {
    fs::write(folder.join(name), content).expect("it is written");
    fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).expect("it is ours");
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("it is a folder")
        .map(|entry| {
            entry
                .expect("it is listed")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

#[test]
fn contents_permission_bits_and_the_link_arrive() {
    let source = source();
    // More than any usual umask leaves.
    put(source.path(), "circleci-agent", "the agent", 0o4777);
    let destination = tempfile::tempdir().expect("a temporary folder");

    init::install(source.path(), destination.path()).expect("it installs");

    let at = |name: &str| destination.path().join(name);
    assert_eq!(
        names(destination.path()),
        ["circleci", "circleci-agent", "orchestrator"]
    );
    assert_eq!(
        fs::read_to_string(at("orchestrator")).expect("readable"),
        "the orchestrator"
    );
    assert_eq!(mode(&at("orchestrator")), 0o755);
    assert_eq!(mode(&at("circleci-agent")), 0o4777);
    assert_eq!(
        fs::read_link(at("circleci")).expect("a link"),
        at("circleci-agent")
    );
    assert_eq!(fs::read_to_string(at("circleci")).expect("readable"), "the agent");
}

#[test]
fn installing_twice_installs_the_newer_version() {
    let source = source();
    let destination = tempfile::tempdir().expect("a temporary folder");
    init::install(source.path(), destination.path()).expect("it installs");
    put(source.path(), "circleci-agent", "a newer agent", 0o700);

    init::install(source.path(), destination.path()).expect("it installs again");

    let agent = destination.path().join("circleci-agent");
    assert_eq!(fs::read_to_string(&agent).expect("readable"), "a newer agent");
    assert_eq!(mode(&agent), 0o700);
    assert_eq!(
        names(destination.path()),
        ["circleci", "circleci-agent", "orchestrator"]
    );
}

#[test]
fn a_link_that_points_elsewhere_is_put_right() {
    let source = source();
    let destination = tempfile::tempdir().expect("a temporary folder");
    std::os::unix::fs::symlink("/nowhere", destination.path().join("circleci")).expect("a link");

    init::install_as(source.path(), destination.path(), Path::new("/opt/circleci/bin")).expect("it installs");

    let link = fs::read_link(destination.path().join("circleci")).expect("a link");
    assert_eq!(link, Path::new("/opt/circleci/bin/circleci-agent"));
}

#[test]
fn many_at_a_time_leave_one_whole_set() {
    let source = source();
    let destination = tempfile::tempdir().expect("a temporary folder");

    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| init::install(source.path(), destination.path()).expect("it installs"));
        }
    });

    assert_eq!(
        names(destination.path()),
        ["circleci", "circleci-agent", "orchestrator"]
    );
}

#[test]
fn what_a_killed_process_left_is_removed() {
    let source = source();
    let destination = tempfile::tempdir().expect("a temporary folder");
    put(
        destination.path(),
        ".orchestrator.partial.1.2.3",
        "half of",
        0o600,
    );

    init::install(source.path(), destination.path()).expect("it installs");

    assert_eq!(
        names(destination.path()),
        ["circleci", "circleci-agent", "orchestrator"]
    );
}

#[test]
fn a_missing_binary_is_named_and_nothing_half_done_is_left() {
    let source = source();
    fs::remove_file(source.path().join("circleci-agent")).expect("it is ours");
    let destination = tempfile::tempdir().expect("a temporary folder");

    let error = init::install(source.path(), destination.path()).expect_err("one is missing");

    assert_eq!(
        error.to_string(),
        format!(
            "could not open {}",
            source.path().join("circleci-agent").display()
        )
    );
    let cause = std::error::Error::source(&error)
        .expect("it has a cause")
        .to_string();
    assert!(cause.contains("No such file"), "{cause}");
    assert_eq!(names(destination.path()), ["orchestrator"]);
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    let source = source();
    // Reading fails half-way, as writing does on a full disk: a folder opens, but does not read.
    fs::remove_file(source.path().join("orchestrator")).expect("it is ours");
    fs::create_dir(source.path().join("orchestrator")).expect("it is made");
    let destination = tempfile::tempdir().expect("a temporary folder");

    init::install(source.path(), destination.path()).expect_err("it cannot be copied");

    assert_eq!(names(destination.path()), Vec::<String>::new());
}

#[test]
fn a_missing_destination_is_named() {
    let source = source();

    let error = init::install(source.path(), Path::new("/no/such/folder")).expect_err("it is not there");

    assert_eq!(error.to_string(), "could not find /no/such/folder");
}
