//! What GoReleaser would release is what `images` assembles.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{Layout, Scene, stdout, workspace};

#[test]
fn the_dockerfile_and_its_labels_make_the_image_that_is_assembled() {
    let scene = Scene::new();
    stdout(&scene.assemble("out", &["--source=https://example.com"]));
    let layout = Layout(scene.path("out/oci"));
    let manifest = layout.json(&layout.manifests()[0]);
    let config = layout.json(&manifest["config"]);
    let dockerfile = fs::read_to_string(workspace().join("deploy/images/Dockerfile")).unwrap();
    let release = fs::read_to_string(workspace().join(".goreleaser/images.yaml")).unwrap();

    let made: Vec<_> = dockerfile
        .lines()
        .filter(|line| line.starts_with("COPY "))
        .map(|line| line.rsplit('/').next().unwrap().to_owned())
        .collect();
    let assembled: Vec<_> = manifest["layers"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|layer| layout.files(layer))
        .map(|file| file.0)
        .collect();
    assert_eq!(made, assembled);
    let entrypoint = dockerfile
        .lines()
        .find_map(|line| line.strip_prefix("ENTRYPOINT "))
        .unwrap();
    let entrypoint: serde_json::Value = serde_json::from_str(entrypoint).unwrap();
    assert_eq!(entrypoint, config["config"]["Entrypoint"]);
    let described: Vec<_> = release
        .lines()
        .skip_while(|line| !line.contains("labels: &labels"))
        .skip(1)
        .take_while(|line| line.starts_with("      "))
        .map(|line| line.trim().split_once(": ").unwrap().0)
        .collect();
    let mut labels: Vec<_> = config["config"]["Labels"].as_object().unwrap().keys().collect();
    let mut described_sorted = described.clone();
    described_sorted.sort_unstable();
    labels.sort_unstable();
    assert_eq!(described_sorted, labels);
}
