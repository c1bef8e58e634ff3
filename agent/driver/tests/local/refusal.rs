//! What is refused, and what is said about it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::Command;

use api::Cause;
use api::runner::claim::Service;
use driver::{Driver, DriverError};

use super::host::{Host, attempt, is_root, sandbox_program};

#[tokio::test]
async fn a_job_with_services_is_refused_with_certainty() {
    let host = Host::new("exit 0");
    let mut order = host.order();
    order.services.push(Service {
        name: "postgres".to_owned(),
        image: "postgres:16".to_owned(),
        environment: std::collections::BTreeMap::new(),
    });

    let refused = host.driver.start(&order, host.progress()).await.unwrap_err();

    let DriverError::Start {
        cause: Cause::Start { message, certain },
        ..
    } = refused
    else {
        panic!("{refused}")
    };
    assert!(certain && message.contains("postgres"), "{message}");
    assert!(!host.place().exists());
}

#[tokio::test]
async fn an_image_is_not_used_and_that_is_said_once() {
    let host = Host::new("exit 0");
    let mut order = host.order();
    order.image = Some("golang:1.24".to_owned());
    let (progress, mut told) = tokio::sync::mpsc::unbounded_channel();

    host.driver.start(&order, progress.clone()).await.unwrap();
    host.driver.start(&order, progress).await.unwrap();

    let exit = host.driver.wait(&attempt()).await.unwrap();
    assert_eq!(
        exit.log_tail.matches("image `golang:1.24` is not used").count(),
        1
    );
    // Each start says what it does; the server shows a phase's first detail.
    while let Some(progress) = told.recv().await {
        assert_eq!(progress.detail.matches("golang:1.24").count(), 1);
        assert_eq!(progress.detail.matches("shares the host's network").count(), 1);
    }
    host.close().await;
}

#[tokio::test]
async fn what_cannot_be_exposed_is_said() {
    let host = Host::new("exit 0");
    for (path, why) in [
        ("/", "/opt/circleci/bin"),
        ("/etc", "/etc/group"),
        ("/opt", "/opt/circleci/bin"),
        ("/proc/1", "/proc"),
        ("relative", "from / on"),
        ("/a/../etc", "from / on"),
    ] {
        let refused = host
            .driver_with(|settings| settings.expose = vec![path.into()])
            .unwrap_err();
        assert!(refused.to_string().contains(why), "{path}: {refused}");
    }
    let missing = host.exposed.join("missing");
    let driver = host
        .driver_with(|settings| settings.expose = vec![missing.clone()])
        .unwrap();

    let refused = driver.start(&host.order(), host.progress()).await.unwrap_err();

    assert!(
        refused.to_string().contains(missing.to_str().unwrap()),
        "{refused}"
    );
    driver.remove(&attempt()).await.unwrap();
    assert!(!host.place().exists());
}

#[tokio::test]
async fn a_goat_that_cannot_be_executed_is_a_failed_start() {
    let host = Host::new("");
    fs::write(host.bin.join("orchestrator"), "#!/no/such/interpreter\n").unwrap();

    let refused = host
        .driver
        .start(&host.order(), host.progress())
        .await
        .unwrap_err();

    assert!(
        refused.to_string().contains("/opt/circleci/bin/orchestrator"),
        "{refused}"
    );
    assert!(matches!(
        host.driver.wait(&attempt()).await,
        Err(DriverError::Lost { .. })
    ));
    // Nothing has run, so that it may be tried again.
    host.set_script("exit 0");
    assert_eq!(host.run().await.code, Some(0));
    host.close().await;
}

#[tokio::test]
async fn a_place_root_of_others_is_refused() {
    let host = Host::new("exit 0");
    fs::set_permissions(&host.places, fs::Permissions::from_mode(0o777)).unwrap();

    let refused = host.driver_with(|_| ()).unwrap_err();

    assert!(refused.to_string().contains("chmod go-w"), "{refused}");
    fs::set_permissions(&host.places, fs::Permissions::from_mode(0o700)).unwrap();
    if is_root() {
        chown(&host.places, Some(12_345), None).unwrap();
        let refused = host.driver_with(|_| ()).unwrap_err();
        assert!(refused.to_string().contains("belongs to user 12345"), "{refused}");
        chown(&host.places, Some(0), None).unwrap();
    }
    let nothing = host
        .driver_with(|settings| settings.bin_dir = "/no/such".into())
        .unwrap_err();
    assert!(nothing.to_string().contains("--bin-dir"), "{nothing}");
}

#[tokio::test]
async fn drivers_of_one_place_root_have_one_reach() {
    let host = Host::new("exit 0");
    let link = host.exposed.join("link");
    symlink(&host.places, &link).unwrap();

    let through_link = host
        .driver_with(|settings| settings.place_root = link.clone())
        .unwrap();

    assert_eq!(through_link.reach(), host.driver.reach());
}

#[test]
fn a_host_without_namespaces_says_what_to_change() {
    let output = Command::new("unshare")
        .args(["--user", "--map-user=1000", "--keep-caps", "sh", "-c"])
        .arg("echo 0 > /proc/sys/user/max_user_namespaces; exec \"$0\" sandbox --probe /tmp --bin /usr/bin")
        .arg(sandbox_program())
        .output()
        .unwrap();

    let text = String::from_utf8_lossy(&output.stdout);
    if text.is_empty() && std::env::var_os("CI").is_none() {
        println!(
            "skipped: unshare says {}",
            String::from_utf8_lossy(&output.stderr)
        );
        return;
    }
    assert!(text.contains("refused"), "{text}");
    assert!(
        text.contains("raise the sysctl user.max_user_namespaces"),
        "{text}"
    );
}
