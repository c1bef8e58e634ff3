//! Pushing an image to a registry, by the OCI distribution specification 1.1.
//!
//! Every blob goes before what names it, so that a push that was broken off has changed nothing that anyone sees;
//! the tag is written last. SBOMs go along as artifacts that refer to their images.

mod challenge;
mod credentials;
mod reference;
mod session;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use oci_spec::image::{Descriptor, ImageIndex, ImageIndexBuilder, ImageManifest, MediaType};

pub(crate) use self::reference::Reference;
use self::session::{Referrers, Session};
use crate::blob;
use crate::layout::{Layout, REF_NAME};

/// Pushes what the layout holds, and gives a summary for people.
pub(crate) fn push(layout: &Path, reference: &Reference) -> anyhow::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime
        .block_on(push_all(&Layout::open(layout), reference))
        .with_context(|| {
            let Reference {
                registry,
                repository,
                tag,
            } = reference;
            format!("could not push to {registry}/{repository}:{tag}")
        })
}

async fn push_all(layout: &Layout, reference: &Reference) -> anyhow::Result<String> {
    let top = layout.index()?;
    let (tagged, artifacts): (Vec<_>, Vec<_>) = top.manifests().iter().partition(|descriptor| {
        let names = descriptor.annotations().as_ref();
        names.is_some_and(|names| names.contains_key(REF_NAME))
    });
    let [image] = tagged.as_slice() else {
        anyhow::bail!("the layout names {} images, not one", tagged.len());
    };
    let session = Session::open(reference).await?;
    let index: ImageIndex = serde_json::from_slice(&layout.blob(image)?)?;
    for manifest in index.manifests() {
        push_manifest(&session, layout, manifest).await?;
    }
    for artifact in &artifacts {
        let subject = manifest_of(layout, artifact)?
            .subject()
            .clone()
            .context("an artifact refers to nothing")?;
        if push_manifest(&session, layout, artifact).await? == Referrers::Unlisted {
            list_referrer(&session, &subject, artifact).await?;
        }
    }
    session
        .push_manifest(&reference.tag, image.media_type().as_ref(), layout.blob(image)?)
        .await?;
    let mut text = String::new();
    let Reference {
        registry,
        repository,
        tag,
    } = reference;
    let _ = writeln!(text, "{registry}/{repository}:{tag}@{}", image.digest());
    Ok(text)
}

fn manifest_of(layout: &Layout, descriptor: &Descriptor) -> anyhow::Result<ImageManifest> {
    let bytes = layout.blob(descriptor)?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is no manifest", descriptor.digest()))
}

/// Pushes a manifest under its digest, after all that it names.
async fn push_manifest(
    session: &Session,
    layout: &Layout,
    descriptor: &Descriptor,
) -> anyhow::Result<Referrers> {
    let manifest = manifest_of(layout, descriptor)?;
    for blob in manifest.layers().iter().chain([manifest.config()]) {
        session
            .push_blob(blob.digest().as_ref(), layout.blob(blob)?)
            .await?;
    }
    let digest = descriptor.digest().to_string();
    session
        .push_manifest(
            &digest,
            descriptor.media_type().as_ref(),
            layout.blob(descriptor)?,
        )
        .await
}

/// Adds an artifact to the list of those that refer to `subject`, for a registry that keeps none: an index under a
/// tag that is made of the subject's digest, as the distribution specification says.
async fn list_referrer(session: &Session, subject: &Descriptor, artifact: &Descriptor) -> anyhow::Result<()> {
    let media_type = MediaType::ImageIndex;
    let tag = subject.digest().to_string().replace(':', "-");
    let known = match session.manifest(&tag, media_type.as_ref()).await? {
        Some(bytes) => {
            let index: ImageIndex = serde_json::from_slice(&bytes)
                .with_context(|| format!("`{tag}` is no list of what refers to an image"))?;
            index.manifests().clone()
        }
        None => Vec::new(),
    };
    let mut seen = BTreeSet::new();
    let manifests = known
        .into_iter()
        .chain([artifact.clone()])
        .filter(|descriptor| seen.insert(descriptor.digest().to_string()));
    let index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(media_type.clone())
        .manifests(manifests.collect::<Vec<_>>())
        .build()?;
    session
        .push_manifest(&tag, media_type.as_ref(), blob::canonical(&index)?)
        .await?;
    Ok(())
}
