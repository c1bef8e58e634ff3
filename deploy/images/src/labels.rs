//! The labels of an image: the keys that the OCI image specification predefines, and one of ours.

use std::collections::BTreeMap;

use crate::arguments::Assemble;
use crate::moment;

/// Which task agent the image carries.
const TASK_AGENT_VERSION: &str = "dev.goatherd.task-agent.version";

/// The labels of an image. They are its annotations too, so that registries show them without its config.
pub(crate) fn labels(wanted: &Assemble) -> BTreeMap<String, String> {
    let title = wanted.name.rsplit('/').next().unwrap_or(&wanted.name);
    let mut labels = BTreeMap::from(
        [
            ("title", title),
            (
                "description",
                "The supervisor and the task agent of Goatherd, and what puts them where a task container finds them.",
            ),
            ("version", &wanted.version),
            ("revision", &wanted.revision),
            ("created", &moment::rfc3339(wanted.created)),
            ("licenses", "MIT OR Apache-2.0"),
            ("vendor", "Goatherd"),
        ]
        .map(|(key, value)| (format!("org.opencontainers.image.{key}"), value.to_owned())),
    );
    if let Some(source) = &wanted.source {
        labels.insert("org.opencontainers.image.source".to_owned(), source.clone());
    }
    let agent = match &wanted.task_agent_version {
        Some(version) => version.as_str(),
        None if wanted.task_agents.is_empty() => &wanted.version,
        None => "own",
    };
    labels.insert(TASK_AGENT_VERSION.to_owned(), agent.to_owned());
    labels
}
