//! The docker-archive: what `docker load` and `podman load` read. It holds one architecture.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use crate::blob;
use crate::image::Image;
use crate::layer::{self, Mode};

/// Writes the image, named `name` (with its tag), as an archive.
pub(crate) fn write(path: &Path, image: &Image, name: &str, time: u64) -> anyhow::Result<()> {
    let written = || -> anyhow::Result<()> {
        let mut tar = tar::Builder::new(BufWriter::new(File::create(path)?));
        let mut names = Vec::new();
        for layer in &image.layers {
            let name = format!("{}.tar", layer.hex);
            layer::append(&mut tar, &name, &layer.tar, Mode::Plain, time)?;
            names.push(name);
        }
        let config = format!("{}.json", image.config.hex());
        layer::append(&mut tar, &config, &image.config.bytes, Mode::Plain, time)?;
        let manifest = blob::canonical(&json!([{"Config": config, "RepoTags": [name], "Layers": names}]))?;
        layer::append(&mut tar, "manifest.json", &manifest, Mode::Plain, time)?;
        tar.into_inner()?
            .into_inner()
            .map_err(|error| error.into_error())?;
        Ok(())
    };
    written().with_context(|| format!("could not write {}", path.display()))
}
