//! `images push`, against a real registry on loopback.

#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stderr, reason = "a test that cannot run here says why")]

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Output;
use std::sync::mpsc::{Receiver, channel};

use internal_testing::Registry;
use internal_testing::registry::{Access, TOKEN};
use serde_json::Value;

use common::{Layout, Scene, stderr, stdout};

fn registry(access: &Access) -> Option<Registry> {
    let started = Registry::start(access);
    if started.is_none() {
        eprintln!("skipped: there is no docker-registry here; `./do test` brings it");
    }
    started
}

/// Pushes the layout `out/oci` as `NAME`.
fn push(scene: &Scene, registry: &Registry, name: &str, config: &str) -> Output {
    common::images()
        .env("DOCKER_CONFIG", scene.path(config))
        .arg("push")
        .arg(scene.path("out/oci"))
        .arg(format!("{}/{name}", registry.address()))
        .output()
        .unwrap()
}

/// `goat:hay`.
const GOAT_HAY: &str = "Z29hdDpoYXk=";

/// Makes a folder as `docker login` leaves it.
fn log_in(scene: &Scene, registry: &Registry, folder: &str, auth: &str) {
    fs::create_dir(scene.path(folder)).unwrap();
    let config = serde_json::json!({"auths": {registry.address(): {"auth": auth}}});
    fs::write(scene.path(folder).join("config.json"), config.to_string()).unwrap();
}

/// A token service that gives everyone the token; the receiver gets the head of each request.
fn token_service() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let realm = format!("http://{}/token", listener.local_addr().unwrap());
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte).unwrap() == 1 {
                head.extend(byte);
            }
            let body = serde_json::json!({"token": TOKEN}).to_string();
            write!(
                connection,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
            sender.send(String::from_utf8(head).unwrap()).unwrap();
        }
    });
    (realm, requests)
}

/// Gets something back, as it is.
fn pull(registry: &Registry, path: &str) -> Option<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let base = format!("http://{}", registry.address());
        let answer = client::http(&base, "test")
            .unwrap()
            .get(format!("{base}/v2/acme/runner-init/{path}"))
            .header(
                "Accept",
                "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json",
            )
            .send()
            .await
            .unwrap();
        let found = answer.status().is_success();
        let bytes = answer.bytes().await.unwrap().to_vec();
        found.then_some(bytes)
    })
}

#[test]
fn what_is_pushed_can_be_pulled() {
    let Some(registry) = registry(&Access::Anyone) else {
        return;
    };
    let scene = Scene::new();
    stdout(&scene.assemble("out", &[]));
    let layout = Layout(scene.path("out/oci"));
    let image = layout.image();

    let said = stdout(&push(&scene, &registry, "acme/runner-init:1.2.3", "none"));

    let digest = image["digest"].as_str().unwrap();
    assert_eq!(
        said,
        format!("{}/acme/runner-init:1.2.3@{digest}\n", registry.address())
    );
    assert_eq!(pull(&registry, "manifests/1.2.3").unwrap(), layout.blob(&image));
    for descriptor in layout.manifests() {
        let path = format!("manifests/{}", descriptor["digest"].as_str().unwrap());
        assert_eq!(pull(&registry, &path).unwrap(), layout.blob(&descriptor));
        let manifest = layout.json(&descriptor);
        for blob in manifest["layers"]
            .as_array()
            .unwrap()
            .iter()
            .chain([&manifest["config"]])
        {
            let path = format!("blobs/{}", blob["digest"].as_str().unwrap());
            assert_eq!(pull(&registry, &path).unwrap(), layout.blob(blob));
        }
    }
}

#[test]
fn a_bill_of_materials_is_found_by_its_image_and_once() {
    let Some(registry) = registry(&Access::Anyone) else {
        return;
    };
    let scene = Scene::new();
    stdout(&scene.assemble("out", &[]));
    let layout = Layout(scene.path("out/oci"));

    for _ in 0..2 {
        stdout(&push(&scene, &registry, "acme/runner-init:1.2.3", "none"));
    }

    for (at, descriptor) in layout.manifests().iter().enumerate() {
        // This registry has no list of referrers, so it is kept under the tag that the specification names.
        let tag = descriptor["digest"].as_str().unwrap().replace(':', "-");
        let list: Value =
            serde_json::from_slice(&pull(&registry, &format!("manifests/{tag}")).unwrap()).unwrap();
        let artifact = &layout.index()["manifests"][at + 1];
        assert_eq!(list["manifests"], serde_json::json!([artifact]));
        let bill = &layout.json(artifact)["layers"][0];
        let path = format!("blobs/{}", bill["digest"].as_str().unwrap());
        assert_eq!(pull(&registry, &path).unwrap(), layout.blob(bill));
    }
}

#[test]
fn a_registry_with_passwords_gets_the_one_that_docker_login_stored() {
    let Some(registry) = registry(&Access::Goat) else {
        return;
    };
    let scene = Scene::new();
    stdout(&scene.assemble("out", &[]));
    log_in(&scene, &registry, "right", GOAT_HAY);
    log_in(&scene, &registry, "wrong", "Z29hdDpzdHJhdw==");

    let nobody = push(&scene, &registry, "acme/runner-init:1.2.3", "none");
    let wrong = push(&scene, &registry, "acme/runner-init:1.2.3", "wrong");
    let right = push(&scene, &registry, "acme/runner-init:1.2.3", "right");

    assert!(!nobody.status.success());
    assert!(stderr(&nobody).contains("docker login"), "{}", stderr(&nobody));
    assert!(!wrong.status.success());
    assert!(stderr(&wrong).contains("401"), "{}", stderr(&wrong));
    assert!(
        !stderr(&wrong).contains("straw") && !stderr(&wrong).contains("Z29hd"),
        "{}",
        stderr(&wrong)
    );
    stdout(&right);
}

#[test]
fn a_registry_with_a_token_service_is_pushed_to_with_a_token() {
    let (realm, requests) = token_service();
    let Some(registry) = registry(&Access::Token { realm }) else {
        return;
    };
    let scene = Scene::new();
    stdout(&scene.assemble("out", &[]));
    log_in(&scene, &registry, "right", GOAT_HAY);

    stdout(&push(&scene, &registry, "acme/runner-init:1.2.3", "right"));
    let elsewhere = push(&scene, &registry, "acme/another:1.2.3", "right");

    let request = requests.recv().unwrap().to_ascii_lowercase();
    assert!(
        request.contains("scope=repository%3aacme%2frunner-init%3apull%2cpush"),
        "{request}"
    );
    assert!(request.contains("service=registry"), "{request}");
    assert!(
        request.contains(&format!("authorization: basic {}", GOAT_HAY.to_ascii_lowercase())),
        "{request}"
    );
    // The token is for one repository alone.
    assert!(!elsewhere.status.success());
    assert!(!stderr(&elsewhere).contains(TOKEN), "{}", stderr(&elsewhere));
}

#[test]
fn a_layout_that_was_changed_is_not_pushed() {
    let Some(registry) = registry(&Access::Anyone) else {
        return;
    };
    let scene = Scene::new();
    stdout(&scene.assemble("out", &[]));
    let layout = Layout(scene.path("out/oci"));
    let layer = layout.json(&layout.manifests()[1])["layers"][0]["digest"].clone();
    let path = scene
        .path("out/oci/blobs")
        .join(layer.as_str().unwrap().replace(':', "/"));
    fs::write(path, "another").unwrap();

    let output = push(&scene, &registry, "acme/runner-init:1.2.3", "none");

    assert!(!output.status.success());
    assert!(stderr(&output).contains("was changed"), "{}", stderr(&output));
    assert!(pull(&registry, "manifests/1.2.3").is_none());
}
