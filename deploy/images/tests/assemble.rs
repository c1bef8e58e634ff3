//! What `images assemble` puts together: the same each time, and what engines and registries expect.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use internal_testing::binaries;
use serde_json::{Value, json};

use common::{Layout, Scene, elf, stderr, stdout};

#[test]
fn assembling_twice_gives_the_same_bytes() {
    let scene = Scene::new();
    // The same binaries as somebody else has them: elsewhere, of another time, with other permissions.
    let elsewhere = scene.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    for name in ["orchestrator", "circleci-agent"] {
        fs::copy(binaries::folder().join(name), elsewhere.join(name)).unwrap();
        fs::set_permissions(elsewhere.join(name), PermissionsExt::from_mode(0o600)).unwrap();
    }
    let from = |folder: &std::path::Path, out: &str| {
        let binaries = format!("amd64={}", folder.display());
        stdout(&common::assemble(&scene.path(out), &["--binaries", &binaries]))
    };

    let first = from(&binaries::folder(), "first");
    let second = from(&elsewhere, "second");

    assert_eq!(first, second);
    let (first, second) = (
        common::tree(&scene.path("first")),
        common::tree(&scene.path("second")),
    );
    assert!(first.len() > 8, "{} files", first.len());
    for (first, second) in first.iter().zip(&second) {
        assert!(
            first == second,
            "{} is not {}",
            first.0.display(),
            second.0.display()
        );
    }
    assert_eq!(first.len(), second.len());
}

#[test]
fn an_image_is_two_layers_with_a_program_each_and_fills_a_volume() {
    let scene = Scene::new();

    stdout(&scene.assemble("out", &[]));

    let layout = Layout(scene.path("out/oci"));
    let manifests = layout.manifests();
    let platforms: Vec<_> = manifests.iter().map(|manifest| &manifest["platform"]).collect();
    assert_eq!(
        platforms,
        [
            &json!({"architecture": "amd64", "os": "linux"}),
            &json!({"architecture": "arm64", "os": "linux"})
        ]
    );
    for descriptor in &manifests {
        let manifest = layout.json(descriptor);
        let config = layout.json(&manifest["config"]);
        assert_eq!(config["config"]["Entrypoint"], json!(["/orchestrator", "init"]));
        assert_eq!(config["architecture"], descriptor["platform"]["architecture"]);
        let architecture = config["architecture"].as_str().unwrap();
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 2);
        for (layer, name) in layers.iter().zip(["orchestrator", "circleci-agent"]) {
            let program = fs::read(scene.path(architecture).join(name)).unwrap();
            assert_eq!(layout.files(layer), [(name.to_owned(), 0o755, program)]);
        }
    }
}

#[test]
fn an_image_says_what_it_is() {
    let scene = Scene::new();

    stdout(&scene.assemble("out", &["--source=https://example.com/goatherd"]));

    let layout = Layout(scene.path("out/oci"));
    let manifest = layout.json(&layout.manifests()[0]);
    let labels = layout.json(&manifest["config"])["config"]["Labels"].clone();
    for (key, value) in [
        ("org.opencontainers.image.title", "runner-init"),
        ("org.opencontainers.image.version", "1.2.3"),
        ("org.opencontainers.image.revision", common::REVISION),
        ("org.opencontainers.image.created", "2026-03-01T00:00:00Z"),
        ("org.opencontainers.image.licenses", "MIT OR Apache-2.0"),
        ("org.opencontainers.image.source", "https://example.com/goatherd"),
        ("dev.goatherd.task-agent.version", "1.2.3"),
    ] {
        assert_eq!(labels[key], value, "{key}");
    }
    assert_eq!(manifest["annotations"], labels);
    assert_eq!(layout.json(&layout.image())["annotations"], labels);
}

#[test]
fn a_docker_archive_holds_the_same_image() {
    let scene = Scene::new();

    stdout(&scene.assemble("out", &[]));

    let layout = Layout(scene.path("out/oci"));
    let image = layout.json(&layout.manifests()[1]);
    let archive = fs::File::open(scene.path("out/runner-init-arm64.docker.tar")).unwrap();
    let files = common::files(archive);
    let file = |name: &str| &files.iter().find(|file| file.0 == name).unwrap().2;
    let manifest: Value = serde_json::from_slice(file("manifest.json")).unwrap();
    assert_eq!(manifest[0]["RepoTags"], json!(["goatherd/runner-init:1.2.3"]));
    let config = file(manifest[0]["Config"].as_str().unwrap());
    assert_eq!(config, &layout.blob(&image["config"]));
    let config: Value = serde_json::from_slice(config).unwrap();
    let layers = manifest[0]["Layers"].as_array().unwrap();
    let found: Vec<_> = layers
        .iter()
        .map(|name| json!(format!("sha256:{}", common::sha256(file(name.as_str().unwrap())))))
        .collect();
    assert_eq!(config["rootfs"]["diff_ids"], json!(found));
}

#[test]
fn what_is_in_the_image_runs_and_fills_a_folder() {
    let scene = Scene::new();
    let binaries = format!("amd64={}", binaries::folder().display());
    stdout(&common::assemble(&scene.path("out"), &["--binaries", &binaries]));
    let layout = Layout(scene.path("out/oci"));
    let manifest = layout.json(&layout.manifests()[0]);
    let (root, volume) = (scene.path("root"), scene.path("volume"));
    fs::create_dir(&volume).unwrap();
    for layer in manifest["layers"].as_array().unwrap() {
        let bytes = layout.blob(layer);
        tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()))
            .unpack(&root)
            .unwrap();
    }

    let output = Command::new(root.join("orchestrator"))
        .arg("init")
        .args([&root, &volume])
        .output();

    stdout(&output.unwrap());
    assert_eq!(
        fs::read_link(volume.join("circleci")).unwrap(),
        volume.join("circleci-agent")
    );
    for name in ["orchestrator", "circleci-agent"] {
        let output = Command::new(volume.join(name)).arg("--version").output().unwrap();
        assert!(!stdout(&output).is_empty(), "{name}");
    }
}

#[test]
fn a_task_agent_of_ones_own_takes_the_place_of_ours() {
    let scene = Scene::new();
    let agent = scene.path("my-agent");
    let agent = agent.to_str().unwrap();
    let in_image = |program: &[u8]| {
        fs::write(agent, program).unwrap();
        stdout(&scene.assemble("out", &["--task-agent", agent]));
        let layout = Layout(scene.path("out/oci"));
        let images = layout.manifests().into_iter().map(|descriptor| {
            let manifest = layout.json(&descriptor);
            let labels = layout.json(&manifest["config"])["config"]["Labels"].clone();
            assert_eq!(labels["dev.goatherd.task-agent.version"], "own");
            let files = layout.files(&manifest["layers"][1]);
            assert_eq!(files, [("circleci-agent".to_owned(), 0o755, program.to_vec())]);
            descriptor["platform"]["architecture"]
                .as_str()
                .unwrap()
                .to_owned()
        });
        images.collect::<Vec<_>>()
    };

    assert_eq!(in_image(&elf(0xb7, b"mine")), ["arm64"]);
    assert_eq!(in_image(b"#!/bin/sh\n"), ["amd64", "arm64"]);
}

#[test]
fn what_would_not_run_is_refused_and_changes_nothing() {
    let scene = Scene::new();
    stdout(&scene.assemble("out", &[]));
    let before = common::tree(&scene.path("out"));
    let riscv = scene.path("riscv");
    fs::write(&riscv, elf(0xf3, b"")).unwrap();

    let refused = scene.assemble("out", &["--task-agent", riscv.to_str().unwrap()]);
    assert!(
        stderr(&refused).contains("another machine"),
        "{}",
        stderr(&refused)
    );
    fs::copy(scene.path("arm64/orchestrator"), scene.path("amd64/orchestrator")).unwrap();
    let swapped = scene.assemble("out", &[]);
    assert!(
        stderr(&swapped).contains("is not for amd64"),
        "{}",
        stderr(&swapped)
    );

    assert!(!refused.status.success() && !swapped.status.success());
    assert!(common::tree(&scene.path("out")) == before);
}

#[test]
fn an_image_over_its_limit_is_refused() {
    let scene = Scene::new();
    fs::write(scene.path("amd64/orchestrator"), elf(0x3e, &[7; 20_000])).unwrap();

    let over = scene.assemble("out", &["--limit=20000"]);
    let under = scene.assemble("out", &["--limit=40000"]);

    assert!(!over.status.success());
    assert!(stderr(&over).contains("may have 20000"), "{}", stderr(&over));
    stdout(&under);
}

#[test]
fn the_bill_of_materials_lists_what_is_linked_and_refers_to_its_image() {
    let scene = Scene::new();

    stdout(&scene.assemble("out", &[]));

    let layout = Layout(scene.path("out/oci"));
    for (at, architecture) in ["amd64", "arm64"].into_iter().enumerate() {
        let artifact = layout.json(&layout.index()["manifests"][at + 1]);
        assert_eq!(artifact["subject"]["digest"], layout.manifests()[at]["digest"]);
        assert_eq!(artifact["artifactType"], "application/vnd.cyclonedx+json");
        let bill = layout.blob(&artifact["layers"][0]);
        let beside = fs::read(scene.path(&format!("out/runner-init-{architecture}.cdx.json"))).unwrap();
        assert!(beside == bill);
        let bill: Value = serde_json::from_slice(&bill).unwrap();
        let components = bill["components"].as_array().unwrap();
        let component = |name: &str| components.iter().find(|component| component["name"] == name);
        for name in ["orchestrator", "circleci-agent"] {
            let file = component(&format!("/{name}")).unwrap();
            let program = fs::read(scene.path(architecture).join(name)).unwrap();
            assert_eq!(file["hashes"][0]["content"], common::sha256(&program));
        }
        let ring = component("ring").unwrap();
        assert!(
            ring["hashes"][0]["content"].as_str().unwrap().len() == 64,
            "{ring}"
        );
        assert!(
            ring["purl"].as_str().unwrap().starts_with("pkg:cargo/ring@"),
            "{ring}"
        );
        assert!(ring["licenses"][0]["expression"].is_string(), "{ring}");
        // Neither what only runs at build time, nor what only other programs link.
        for absent in ["serde_derive", "cc", "clap", "rusqlite"] {
            assert!(component(absent).is_none(), "{absent}");
        }
    }
}
