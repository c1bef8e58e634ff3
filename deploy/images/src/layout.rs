//! The OCI image layout: a folder of blobs by digest, and `index.json`, which names the image by its tag and the
//! SBOMs that refer to it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use oci_spec::image::{Descriptor, ImageIndex, ImageIndexBuilder, MediaType};

use crate::blob::{self, Blob};
use crate::image::Image;

/// The key by which a layout's index names an image.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A layout's folder.
#[derive(Debug)]
pub(crate) struct Layout {
    folder: PathBuf,
}

impl Layout {
    /// Writes the images and their index into `folder`, which does not exist yet.
    pub(crate) fn write(folder: &Path, images: &[Image], index: &Blob, tag: &str) -> anyhow::Result<()> {
        let blobs = folder.join("blobs/sha256");
        let written = || -> anyhow::Result<()> {
            fs::create_dir_all(&blobs)?;
            for blob in images.iter().flat_map(Image::blobs).chain([index]) {
                fs::write(blobs.join(blob.hex()), &blob.bytes)?;
            }
            let mut tagged = index.descriptor.clone();
            tagged.set_annotations(Some([(REF_NAME.to_owned(), tag.to_owned())].into()));
            let sboms = images.iter().map(|image| image.sbom.manifest.descriptor.clone());
            let top = ImageIndexBuilder::default()
                .schema_version(2_u32)
                .media_type(MediaType::ImageIndex)
                .manifests([tagged].into_iter().chain(sboms).collect::<Vec<_>>())
                .build()?;
            fs::write(folder.join("index.json"), blob::canonical(&top)?)?;
            fs::write(folder.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
            Ok(())
        };
        written().with_context(|| format!("could not write the OCI layout {}", folder.display()))
    }

    /// Opens a layout.
    pub(crate) fn open(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// What `index.json` names.
    pub(crate) fn index(&self) -> anyhow::Result<ImageIndex> {
        let path = self.folder.join("index.json");
        let bytes = fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} is no OCI index", path.display()))
    }

    /// The bytes of a blob.
    ///
    /// # Errors
    /// When they cannot be read, or are not those that the descriptor names.
    pub(crate) fn blob(&self, descriptor: &Descriptor) -> anyhow::Result<Vec<u8>> {
        let digest = descriptor.digest();
        let path = self.folder.join("blobs").join("sha256").join(digest.digest());
        let bytes = fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
        anyhow::ensure!(
            blob::sha256_hex(&bytes) == digest.digest(),
            "{} was changed: its contents are not {digest}",
            path.display()
        );
        Ok(bytes)
    }
}
