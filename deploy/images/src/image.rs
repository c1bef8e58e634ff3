//! An image for one architecture: layers, config, manifest, and its SBOM as an artifact that refers to it.

use std::collections::{BTreeMap, HashMap};

use oci_spec::image::{
    ConfigBuilder, Descriptor, HistoryBuilder, ImageConfigurationBuilder, ImageIndexBuilder,
    ImageManifestBuilder, MediaType, Os, PlatformBuilder, RootFsBuilder,
};

use crate::binary::Architecture;
use crate::blob::Blob;
use crate::layer::Layer;
use crate::moment;

/// What the image does when it is started without words: fill a volume.
const ENTRYPOINT: [&str; 2] = ["/orchestrator", "init"];
/// The media type of an SBOM.
const SBOM: &str = "application/vnd.cyclonedx+json";

/// An image for one architecture.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) architecture: Architecture,
    pub(crate) layers: Vec<Layer>,
    pub(crate) config: Blob,
    pub(crate) manifest: Blob,
    pub(crate) sbom: Artifact,
}

/// An artifact that refers to an image.
#[derive(Debug)]
pub(crate) struct Artifact {
    pub(crate) contents: Blob,
    pub(crate) config: Blob,
    pub(crate) manifest: Blob,
}

impl Image {
    /// Puts an image together. `time` is in seconds since 1970.
    pub(crate) fn new(
        architecture: Architecture,
        layers: Vec<Layer>,
        labels: &BTreeMap<String, String>,
        time: u64,
        sbom: Vec<u8>,
    ) -> anyhow::Result<Self> {
        let config = config(architecture, &layers, labels, time)?;
        let manifest = ImageManifestBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageManifest)
            .config(config.descriptor.clone())
            .layers(
                layers
                    .iter()
                    .map(|layer| layer.blob.descriptor.clone())
                    .collect::<Vec<_>>(),
            )
            .annotations(annotations(labels))
            .build()?;
        let manifest = Blob::json(MediaType::ImageManifest, &manifest)?;
        let sbom = Artifact::referring_to(&manifest.descriptor, sbom, time)?;
        Ok(Self {
            architecture,
            layers,
            config,
            manifest,
            sbom,
        })
    }

    /// The size of all that a registry sends, in bytes.
    pub(crate) fn packed(&self) -> u64 {
        let layers = self.layers.iter().map(|layer| layer.blob.descriptor.size());
        layers.sum::<u64>() + self.config.descriptor.size() + self.manifest.descriptor.size()
    }

    /// The size of its layers where they are unpacked, in bytes.
    pub(crate) fn unpacked(&self) -> u64 {
        let layers = self.layers.iter().map(|layer| u64::try_from(layer.tar.len()));
        layers.map(|size| size.unwrap_or(u64::MAX)).sum()
    }

    /// Every blob that the manifest names, and the manifest.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = &Blob> {
        self.layers
            .iter()
            .map(|layer| &layer.blob)
            .chain([&self.config, &self.manifest])
            .chain([&self.sbom.contents, &self.sbom.config, &self.sbom.manifest])
    }
}

impl Artifact {
    fn referring_to(image: &Descriptor, sbom: Vec<u8>, time: u64) -> anyhow::Result<Self> {
        let contents = Blob::new(MediaType::Other(SBOM.to_owned()), sbom)?;
        // The specification's empty config, for artifacts that need none.
        let config = Blob::new(MediaType::EmptyJSON, b"{}".to_vec())?;
        let created = [(
            "org.opencontainers.image.created".to_owned(),
            moment::rfc3339(time),
        )];
        let manifest = ImageManifestBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageManifest)
            .artifact_type(MediaType::Other(SBOM.to_owned()))
            .config(config.descriptor.clone())
            .layers(vec![contents.descriptor.clone()])
            .subject(image.clone())
            .annotations(HashMap::from(created))
            .build()?;
        let mut manifest = Blob::json(MediaType::ImageManifest, &manifest)?;
        manifest
            .descriptor
            .set_artifact_type(Some(MediaType::Other(SBOM.to_owned())));
        Ok(Self {
            contents,
            config,
            manifest,
        })
    }
}

fn config(
    architecture: Architecture,
    layers: &[Layer],
    labels: &BTreeMap<String, String>,
    time: u64,
) -> anyhow::Result<Blob> {
    let created = moment::rfc3339(time);
    let history = layers.iter().map(|layer| {
        HistoryBuilder::default()
            .created(created.clone())
            .created_by(format!("{} by ./do images", layer.path))
            .build()
    });
    let config = ImageConfigurationBuilder::default()
        .created(created.clone())
        .architecture(architecture.oci())
        .os(Os::Linux)
        .config(
            ConfigBuilder::default()
                .entrypoint(ENTRYPOINT.map(str::to_owned))
                .labels(annotations(labels))
                .build()?,
        )
        .rootfs(
            RootFsBuilder::default()
                .typ("layers".to_owned())
                .diff_ids(layers.iter().map(Layer::diff_id).collect::<Vec<_>>())
                .build()?,
        )
        .history(history.collect::<Result<Vec<_>, _>>()?)
        .build()?;
    Blob::json(MediaType::ImageConfig, &config)
}

/// The index of the images of all architectures.
pub(crate) fn index(images: &[Image], labels: &BTreeMap<String, String>) -> anyhow::Result<Blob> {
    let manifests = images.iter().map(|image| {
        let mut descriptor = image.manifest.descriptor.clone();
        let platform = PlatformBuilder::default()
            .architecture(image.architecture.oci())
            .os(Os::Linux)
            .build()?;
        descriptor.set_platform(Some(platform));
        Ok::<_, anyhow::Error>(descriptor)
    });
    let index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageIndex)
        .manifests(manifests.collect::<Result<Vec<_>, _>>()?)
        .annotations(annotations(labels))
        .build()?;
    Blob::json(MediaType::ImageIndex, &index)
}

fn annotations(labels: &BTreeMap<String, String>) -> HashMap<String, String> {
    labels.clone().into_iter().collect()
}
