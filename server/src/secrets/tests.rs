//! Reading secrets, with real files and programs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant as Clock;

use store::Origin;
use tempfile::TempDir;

use super::*;

fn scope() -> Scope {
    Scope {
        repository: "acme/app".to_owned(),
        reference: "refs/heads/main".to_owned(),
        job: "deploy".to_owned(),
        origin: Origin::Push,
    }
}

fn secrets(timeout: u64) -> Secrets {
    Secrets::new(SecretsSettings {
        timeout: Millis(timeout),
        ..SecretsSettings::default()
    })
}

fn file(text: &str, mode: u32) -> (TempDir, SecretsSource) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    (folder, SecretsSource::File(path))
}

fn shell(script: &str) -> SecretsSource {
    SecretsSource::Command(["/bin/sh", "-c", script].map(str::to_owned).to_vec())
}

async fn read(source: &SecretsSource) -> Result<Values, String> {
    let read = secrets(10_000).read(source, &scope()).await;
    read.map_err(|error| error.to_string())
}

fn pairs(values: &Values) -> Vec<(&str, &str)> {
    values
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose()))
        .collect()
}

#[tokio::test]
async fn a_file_holds_names_and_values() {
    let text = "# for deploys\nexport TOKEN=abc=d#e # f\nKEY='-----BEGIN\n$x \"y\"\n-----END' # g\nJ=\"a\\n\\\"b\\\" \\$c \\d\"\n\nE=\n";
    let (_folder, source) = file(text, 0o640);

    let values = read(&source).await.unwrap();

    assert_eq!(
        pairs(&values),
        [
            ("E", ""),
            ("J", "a\n\"b\" $c \\d"),
            ("KEY", "-----BEGIN\n$x \"y\"\n-----END"),
            ("TOKEN", "abc=d#e"),
        ]
    );
}

#[tokio::test]
async fn what_is_wrong_is_told_in_a_sentence_without_any_value() {
    for (text, why) in [
        ("A=1\nhunter2\n", "line 2: it is no NAME=VALUE"),
        ("1A=hunter2", "line 1: what is before `=`"),
        ("A='hunter2", "line 1: there is no closing `'`"),
        ("\nA=\"hunter2\\", "line 2: there is no closing `\"`"),
        ("A='a'hunter2", "line 1: there is something after"),
        ("A=hunter2\nA=b", "line 2: this name was there before"),
        ("A=hunter2\0", "`A` holds a NUL"),
        ("PATH=hunter2", "`PATH` is a variable that every task has already"),
        ("{\"A\": [\"hunter2\"]}", "no JSON object of texts (line 1,"),
        ("{\"A\": \"hunter2\"", "no JSON object of texts (line 1,"),
        ("{\"hunter2=\": \"x\"}", "a name is letters, digits and `_`"),
    ] {
        let (_folder, source) = file(text, 0o600);

        let error = read(&source).await.unwrap_err();

        assert!(error.contains(why), "{text:?}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_everybody_may_read_is_refused_and_so_is_what_is_no_file() {
    for mode in [0o604, 0o644, 0o602] {
        let (folder, source) = file("A=hunter2", mode);

        let error = read(&source).await.unwrap_err();

        let path = folder.path().join("secrets");
        assert!(
            error.contains(&format!("(mode {mode:04o}): `chmod o= {}`", path.display())),
            "{error}"
        );
    }
    let error = read(&SecretsSource::File("/dev/null".into())).await.unwrap_err();
    assert_eq!(error, "/dev/null is no file");
    let error = read(&SecretsSource::File("/nonexistent".into()))
        .await
        .unwrap_err();
    assert!(error.starts_with("cannot read /nonexistent: "), "{error}");
}

#[tokio::test]
async fn more_than_a_task_can_look_for_is_refused() {
    let (_folder, source) = file(&format!("A={}", "x".repeat(LARGEST + 1)), 0o600);
    let endless = shell("while :; do echo A=hunter2hunter2; done");

    assert!(
        read(&source)
            .await
            .unwrap_err()
            .contains("at most 65536 are taken")
    );
    assert!(read(&endless).await.unwrap_err().contains("wrote more than"));
}

#[tokio::test]
async fn a_program_writes_lines_or_json_and_knows_who_asks() {
    let lines = shell("echo WHO=$GOATHERD_REPOSITORY:$GOATHERD_REFERENCE:$GOATHERD_JOB");
    let json = shell("printf '\\n {\"A\": \"b\\\\nc\"}'");

    assert_eq!(
        pairs(&read(&lines).await.unwrap()),
        [("WHO", "acme/app:refs/heads/main:deploy")]
    );
    assert_eq!(pairs(&read(&json).await.unwrap()), [("A", "b\nc")]);
}

#[tokio::test]
async fn a_program_sees_an_allow_list_of_the_servers_environment() {
    let values = read(&shell("env | sed -n 's/^\\([A-Za-z_]*\\)=.*/S_\\1=x/p'"))
        .await
        .unwrap();

    let known: Vec<String> = inherited().iter().map(|(name, _)| format!("S_{name}")).collect();
    for name in values.keys() {
        let own = ["S_GOATHERD_REPOSITORY", "S_GOATHERD_REFERENCE", "S_GOATHERD_JOB"];
        // A shell sets these itself.
        let shells = ["S_PWD", "S_OLDPWD", "S_SHLVL", "S__"];
        assert!(
            known.contains(name) || own.contains(&name.as_str()) || shells.contains(&name.as_str()),
            "{name}"
        );
    }
    assert!(values.contains_key("S_PATH") && values.contains_key("S_GOATHERD_JOB"));
}

#[tokio::test]
async fn a_program_that_fails_says_how_and_not_what() {
    let failing = shell("echo A=hunter2; echo hunter2 >&2; exit 3");
    let missing = SecretsSource::Command(vec!["/no/such/program".to_owned(), "hunter2".to_owned()]);
    let binary = shell("printf '\\377'");

    let failed = read(&failing).await.unwrap_err();
    let absent = read(&missing).await.unwrap_err();

    assert_eq!(failed, "`/bin/sh` ended with exit status: 3");
    assert!(
        absent.starts_with("`/no/such/program` could not be started: "),
        "{absent}"
    );
    assert!(!absent.contains("hunter2"));
    assert_eq!(read(&binary).await.unwrap_err(), "`/bin/sh` wrote no UTF-8");
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_killed_with_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let alive = folder.path().join("alive");
    std::process::Command::new("mkfifo").arg(&alive).status().unwrap();
    // Whoever holds the pipe open for writing is alive.
    let script = format!("exec 3<>{}; (sleep 600) & sleep 600", alive.display());
    let begin = Clock::now();

    let error = secrets(300).read(&shell(&script), &scope()).await.unwrap_err();

    assert_eq!(error.to_string(), "they were not there within 0.3 s");
    assert!(begin.elapsed() < Duration::from_secs(30));
    let reading = tokio::task::spawn_blocking(move || {
        use std::os::unix::fs::OpenOptionsExt as _;
        // O_NONBLOCK: the end of file is there at once when there is no writer.
        let mut pipe = fs::File::options()
            .read(true)
            .custom_flags(0o4000)
            .open(alive)
            .unwrap();
        loop {
            match std::io::Read::read(&mut pipe, &mut [0; 1]) {
                Ok(0) => return,
                _ => std::thread::yield_now(),
            }
        }
    });
    tokio::time::timeout(Duration::from_secs(30), reading)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_attempt_asks_for_as_long_as_the_patience_and_starts_anew_after_it_got_them() {
    let secrets = secrets(1000);
    let attempt: AttemptRef = "t-1.1".parse().unwrap();
    let other: AttemptRef = "t-1.2".parse().unwrap();

    assert_eq!(secrets.note(&attempt, false), Patience::Left);
    tokio::time::advance(Duration::from_secs(119)).await;
    assert_eq!(secrets.note(&attempt, false), Patience::Left);
    assert_eq!(secrets.note(&other, false), Patience::Left);
    secrets.note(&attempt, true);
    assert_eq!(secrets.note(&attempt, false), Patience::Left);
    tokio::time::advance(Duration::from_secs(120)).await;
    assert_eq!(secrets.note(&attempt, false), Patience::Over);
    assert_eq!(secrets.note(&other, false), Patience::Over);
}
