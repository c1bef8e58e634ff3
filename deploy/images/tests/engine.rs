//! What a real engine makes of the archive.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use internal_testing::binaries;
use internal_testing::engine::Engine;

use common::{Layout, Scene, stdout};

/// How long a container may take that only copies two files.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn an_engine_loads_the_archive_and_its_container_fills_a_volume() {
    let Some(engine) = Engine::find() else { return };
    let scene = Scene::new();
    let binaries = format!("amd64={}", binaries::folder().display());
    // A name of this process's own: the engine is shared with other tests.
    let name = format!("goatherd-test/runner-init-{}", std::process::id());
    let words = ["--binaries", &binaries, "--name", &name];
    stdout(&common::assemble(&scene.path("out"), &words));
    let archive = scene
        .path("out")
        .join(format!("{}-amd64.docker.tar", name.rsplit('/').next().unwrap()));
    let tagged = format!("{name}:1.2.3");

    stdout(
        &engine
            .docker()
            .args(["load", "--input"])
            .arg(&archive)
            .output()
            .unwrap(),
    );

    let layout = Layout(scene.path("out/oci"));
    let manifest = layout.json(&layout.manifests()[0]);
    let inspected = engine
        .docker()
        .args([
            "image",
            "inspect",
            "--format",
            "{{.Id}} {{len .RootFS.Layers}} {{.Architecture}}",
            &tagged,
        ])
        .output()
        .unwrap();
    let id = manifest["config"]["digest"].as_str().unwrap();
    assert_eq!(stdout(&inspected).trim(), format!("{id} 2 amd64"));
    let volume = scene.path("volume");
    std::fs::create_dir(&volume).unwrap();
    let mounted = format!("{}:/opt/circleci/bin", volume.display());
    let options = ["--rm", "--network=none", "--read-only", "--volume", &mounted];
    stdout(&engine.run(LIMIT, &options, &tagged, &[]));
    let removed = engine.docker().args(["image", "rm", "--force", &tagged]).output();
    stdout(&removed.unwrap());
    for name in ["orchestrator", "circleci-agent"] {
        let ours = std::fs::read(binaries::folder().join(name)).unwrap();
        assert!(std::fs::read(volume.join(name)).unwrap() == ours, "{name}");
    }
}
