//! `init`: the binaries where a task's container finds them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::place::{binaries_in, command, orchestrator, output};
use crate::starters::is_root;

fn source() -> TempDir {
    let source = tempfile::tempdir().expect("a folder");
    binaries_in(source.path());
    let agent = source.path().join("circleci-agent");
    fs::set_permissions(agent, fs::Permissions::from_mode(0o751)).expect("it is ours");
    source
}

fn assert_installed(destination: &Path) {
    for (name, mode) in [("orchestrator", 0o755), ("circleci-agent", 0o751)] {
        let path = destination.join(name);
        assert_eq!(fs::read_to_string(&path).expect("it is there"), name);
        let permissions = fs::metadata(&path).expect("it is there").permissions();
        assert_eq!(permissions.mode() & 0o7777, mode, "{name}");
    }
    let link = fs::read_link(destination.join("circleci")).expect("a link");
    assert_eq!(link, destination.join("circleci-agent"));
}

#[test]
fn both_binaries_and_the_link_are_where_the_arguments_say() {
    let (source, destination) = (source(), tempfile::tempdir().expect("a folder"));
    let mut command = command(&["init"]);
    command.arg(source.path()).arg(destination.path());

    assert_eq!(output(&mut command).0, 0);

    assert_installed(destination.path());
}

#[test]
fn relative_folders_are_meant_from_where_it_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let destination = folder.path().join("to");
    fs::rename(source().keep(), folder.path().join("from")).expect("both are temporary");
    fs::create_dir(&destination).expect("it is made");
    let mut command = command(&["init", "from", "to"]);

    assert_eq!(output(command.current_dir(folder.path())).0, 0);

    assert_installed(&destination);
}

#[test]
fn it_is_what_runs_without_a_command_and_the_variables_have_no_prefix() {
    let (source, destination) = (source(), tempfile::tempdir().expect("a folder"));
    let mut command = command(&[]);
    command
        .env("SOURCE", source.path())
        .env("DESTINATION", destination.path());

    assert_eq!(output(&mut command).0, 0);

    assert_installed(destination.path());
}

#[test]
fn without_arguments_it_copies_from_the_root_into_opt() {
    if !is_root("change the root folder") {
        return;
    }
    let root = tempfile::tempdir().expect("a folder");
    let bin = root.path().join("opt/circleci/bin");
    fs::create_dir_all(&bin).expect("it is made");
    fs::copy(orchestrator(), root.path().join("orchestrator")).expect("it is copied");
    fs::write(root.path().join("circleci-agent"), "an agent").expect("it is written");

    let mut inside = Command::new("/usr/sbin/chroot");
    let (code, _, error) = output(inside.arg(root.path()).arg("/orchestrator").env_clear());

    assert_eq!(code, 0, "{error}");
    assert_eq!(
        fs::read(bin.join("orchestrator")).expect("it is there"),
        fs::read(orchestrator()).expect("it is there")
    );
    assert_eq!(
        fs::read_link(bin.join("circleci")).expect("a link"),
        Path::new("/opt/circleci/bin/circleci-agent")
    );
}

#[test]
fn a_failure_names_the_path_and_the_systems_error() {
    let source = tempfile::tempdir().expect("a folder");

    let (code, _, error) = output(command(&["init"]).arg(source.path()).arg("/no/such/folder"));

    assert_eq!(code, 1);
    let path = source.path().join("orchestrator").display().to_string();
    assert!(error.contains(&path), "{error}");
    // As C says it, or as Go does.
    assert!(
        error.to_lowercase().contains("no such file or directory"),
        "{error}"
    );
}
