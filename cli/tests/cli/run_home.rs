//! What jobs of `goatherd run` see of the home of whoever runs it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::program::Repository;
use crate::run_tree::seen;

const LOOK: &str = r#"
jobs:
  look:
    steps:
      - run:
          name: look
          command: |
            tool; other
            echo "HOME=$HOME PYENV_ROOT=$PYENV_ROOT"
            echo "$PATH" | tr : '\n'
            find "$THEIRS" | sort
            if (echo > "$THEIRS/.cargo/bin/made") 2>/dev/null; then echo wrote; fi
            if test -e "$THEIRS/wide"; then cat "$THEIRS/wide/open"; fi
"#;

/// A home with tools, and with all that must not be seen beside them.
fn home(repository: &Repository) -> String {
    let home = repository.top().join("../home");
    let secrets = [
        ".cargo/credentials.toml",
        ".cargo/config.toml",
        ".netrc",
        ".npmrc",
        ".git-credentials",
        ".ssh/id_ed25519",
        ".aws/credentials",
        ".docker/config.json",
        ".kube/config",
        ".config/gh/hosts.yml",
        ".local/share/keyrings/login.keyring",
        ".gnupg/private-keys-v1.d/key",
        "wide/open",
    ];
    for name in secrets {
        let path = home.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "a secret\n").unwrap();
    }
    for (folder, name) in [(".cargo/bin", "tool"), (".local/bin", "other")] {
        let program = home.join(folder).join(name);
        fs::create_dir_all(home.join(folder)).unwrap();
        fs::write(&program, format!("#!/bin/sh\necho {name} works\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::create_dir_all(home.join(".pyenv/shims")).unwrap();
    let home = home.canonicalize().unwrap();
    // Nobody but its owner may even enter it.
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    home.to_str().unwrap().to_owned()
}

#[test]
fn tools_are_found_and_nothing_else_of_the_home() {
    let repository = Repository::with(&[(".ci.yml", LOOK)]);
    let home = home(&repository);
    let output = repository
        .run(&["--json", "--env", &format!("THEIRS={home}")])
        .env("HOME", &home)
        .env("PATH", format!("{home}/.local/bin:/usr/bin:/bin"))
        .output()
        .unwrap();

    let seen = seen(&output);

    assert_eq!(seen[..2], ["tool works", "other works"]);
    assert_eq!(seen[2], format!("HOME=/home/goatherd PYENV_ROOT={home}/.pyenv"));
    assert_eq!(seen[3..5], [format!("{home}/.local/bin"), "/usr/bin".to_owned()]);
    let at = |name: &str| format!("{home}{name}");
    let found: Vec<&String> = seen.iter().skip_while(|line| **line != home).collect();
    assert_eq!(
        found,
        [
            &at(""),
            &at("/.cargo"),
            &at("/.cargo/bin"),
            &at("/.cargo/bin/tool"),
            &at("/.local"),
            &at("/.local/bin"),
            &at("/.local/bin/other"),
            &at("/.pyenv"),
            &at("/.pyenv/shims"),
        ]
    );
}

#[test]
fn what_is_exposed_by_name_is_seen_too() {
    let repository = Repository::with(&[(".ci.yml", LOOK)]);
    let home = home(&repository);
    let output = repository
        .run(&[
            "--json",
            "--env",
            &format!("THEIRS={home}"),
            "--expose",
            &format!("{home}/wide"),
        ])
        .env("HOME", &home)
        .output()
        .unwrap();

    let seen = seen(&output);

    assert_eq!(seen.last().unwrap(), "a secret");
    assert!(!seen.contains(&"wrote".to_owned()));
    assert!(
        !seen
            .iter()
            .any(|line| line.contains(".ssh") || line.contains("credentials")),
        "{seen:?}"
    );
}

#[test]
fn a_relative_path_and_a_single_file_are_exposed_and_credentials_are_warned_about() {
    let repository = Repository::with(&[(
        ".ci.yml",
        "jobs:\n  look:\n    steps:\n      - run: {name: look, command: 'cat \"$THEIRS/wide/open\"; ls -A \"$THEIRS\"'}\n",
    )]);
    let home = home(&repository);
    let run = |path: &str| {
        repository
            .run(&["--json", "--env", &format!("THEIRS={home}"), "--expose", path])
            .env("HOME", &home)
            .output()
            .unwrap()
    };

    let relative = run("../home/wide/open");
    let warned = run(&format!("{home}/wide/../wide"));
    let credentials = repository
        .run(&[
            "--expose",
            &format!("{home}/.aws"),
            "--env",
            &format!("THEIRS={home}"),
        ])
        .env("HOME", &home)
        .output()
        .unwrap();

    assert_eq!(seen(&relative)[0], "a secret");
    assert_eq!(seen(&warned)[0], "a secret");
    let said = crate::program::text(&credentials.stderr);
    assert!(
        said.contains(&format!("lets every job read credentials: {home}/.aws")),
        "{said}"
    );
    assert!(!crate::program::text(&relative.stderr).contains("credentials"));
}
