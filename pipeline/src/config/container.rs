//! A job's image and services, in either of two forms: `image` and `services`, or `docker`.

use std::collections::BTreeMap;

use api::runner::claim::Service;

use crate::check::{Checker, Fields, Schema};
use crate::diagnostic::{Code, Problem, quote};
use crate::source::{Span, Spanned};
use crate::tree::{Entry, Node};

pub(super) const CONTAINER: Schema = Schema {
    what: "a container",
    keys: &["image", "name", "environment"],
    later: &["auth", "aws_auth", "command", "entrypoint", "ports", "user"],
};

/// The longest name of a service: it is a host name's label.
const LONGEST_NAME: usize = 63;

/// What a job runs in.
#[derive(Debug, Default)]
pub(super) struct Containers {
    /// Its own image.
    pub(super) image: Option<String>,
    /// The others.
    pub(super) services: Vec<Service>,
    /// Variables that the image's entry sets.
    pub(super) environment: BTreeMap<String, String>,
}

/// Reads `image`, `docker` and `services` of a job.
pub(super) fn read(fields: &Fields<'_>, checker: &mut Checker<'_>) -> Containers {
    let mut containers = Containers::default();
    let mut names = BTreeMap::new();
    let (image, docker) = (fields.entry("image"), fields.entry("docker"));
    if let (Some(image), Some(docker)) = (image, docker) {
        let message = "a job has `image` or `docker`, not both";
        checker.report(
            Problem::error(Code::Conflict, docker.key_span, message)
                .suggest("keep one; the first entry of `docker` is the job's image")
                .related(image.key_span, "`image`"),
        );
    }
    if let Some(entry) = image {
        containers.image = image_name(&entry.value, checker);
    }
    if let Some(entry) = docker {
        read_docker(entry, &mut containers, &mut names, checker);
    }
    if let Some(node) = fields.get("services").filter(|node| !node.is_nothing()) {
        for item in checker.list(node, "`services`").unwrap_or_default() {
            if let Some(container) = read_container(item, checker) {
                containers
                    .services
                    .extend(service(container, &mut names, checker));
            }
        }
    }
    containers
}

fn read_docker(
    entry: &Entry,
    containers: &mut Containers,
    names: &mut BTreeMap<String, Span>,
    checker: &mut Checker<'_>,
) {
    let Some(items) = checker.list(&entry.value, "`docker`") else {
        return;
    };
    if items.is_empty() {
        checker.report(
            Problem::error(Code::Empty, entry.key_span, "`docker` names no image")
                .suggest("its first entry is the job's image: `docker: [{image: NAME}]`"),
        );
    }
    for (number, item) in items.iter().enumerate() {
        let Some(container) = read_container(item, checker) else {
            continue;
        };
        if number > 0 {
            containers.services.extend(service(container, names, checker));
            continue;
        }
        if let Some(name) = container.name {
            let message = "the first image is the job's own; its `name` changes nothing";
            checker.report(Problem::warning(Code::NoEffect, name.span, message));
        }
        containers.image = container.image;
        containers.environment = container.environment;
    }
}

struct Container {
    image: Option<String>,
    name: Option<Spanned<String>>,
    environment: BTreeMap<String, String>,
    span: Span,
}

fn read_container(node: &Node, checker: &mut Checker<'_>) -> Option<Container> {
    if let Some(text) = node.text().filter(|_| !node.is_nothing()) {
        let hint = format!("write `image: {}`", text.trim());
        checker.wrong_type(node, CONTAINER.what, "a mapping", Some(&hint));
        return None;
    }
    let fields = checker.fields(node, &CONTAINER)?;
    if fields.lacks("image") {
        checker.missing(node.span, CONTAINER.what, "image", "write `image: NAME`");
    }
    let image = fields.get("image").and_then(|node| image_name(node, checker));
    let name = fields.get("name").and_then(|node| service_name(node, checker));
    let environment = fields
        .get("environment")
        .map(|node| checker.environment(node))
        .unwrap_or_default();
    Some(Container {
        image,
        name,
        environment,
        span: node.span,
    })
}

fn image_name(node: &Node, checker: &mut Checker<'_>) -> Option<String> {
    let text = checker.line(node, "`image`")?;
    let starts = text
        .value
        .starts_with(|first: char| first.is_ascii_alphanumeric());
    let allowed = |found: char| found.is_ascii_alphanumeric() || "._-/:@".contains(found);
    if starts && text.value.chars().all(allowed) {
        return Some(text.value);
    }
    let message = format!("{} is no image's name", quote(&text.value));
    let problem = Problem::error(Code::BadValue, node.span, message);
    checker.report(problem.suggest("write it as `golang:1.24` or `registry.example.org/team/image:tag`"));
    None
}

/// The name by which a service is reached: a host name's label.
fn service_name(node: &Node, checker: &mut Checker<'_>) -> Option<Spanned<String>> {
    let text = checker.line(node, "`name`")?;
    if is_label(&text.value) {
        return Some(text);
    }
    let message = format!(
        "{} cannot be a service's name: it is used as a host name",
        quote(&text.value)
    );
    let problem = Problem::error(Code::BadValue, node.span, message);
    checker.report(problem.suggest("use small letters, digits, `-` and `.`, at most 63 of them"));
    None
}

fn is_label(name: &str) -> bool {
    let edge = |found: char| found.is_ascii_lowercase() || found.is_ascii_digit();
    name.len() <= LONGEST_NAME
        && name.starts_with(edge)
        && name.ends_with(edge)
        && name
            .chars()
            .all(|found| edge(found) || found == '-' || found == '.')
}

fn service(
    container: Container,
    names: &mut BTreeMap<String, Span>,
    checker: &mut Checker<'_>,
) -> Option<Service> {
    let image = container.image?;
    let name = match container.name {
        Some(name) => {
            if let Some(first) = names.get(&name.value) {
                let message = format!("two services have the name {}", quote(&name.value));
                let problem = Problem::error(Code::Conflict, name.span, message);
                checker.report(problem.related(*first, "the first"));
            }
            names.insert(name.value.clone(), name.span);
            name.value
        }
        None => {
            let name = free_name(&default_name(&image), names);
            names.insert(name.clone(), container.span);
            name
        }
    };
    Some(Service {
        name,
        image,
        environment: container.environment,
    })
}

/// `postgres` for `docker.io/library/postgres:16`.
fn default_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    let bare = last.split([':', '@']).next().unwrap_or(last).to_ascii_lowercase();
    let label: String = bare
        .chars()
        .map(|found| if found == '_' { '-' } else { found })
        .collect();
    let short: String = label.chars().take(LONGEST_NAME - 8).collect();
    let trimmed = short.trim_matches(['-', '.']);
    if trimmed.is_empty() {
        "service".to_owned()
    } else {
        trimmed.to_owned()
    }
}

/// The name itself, or with the first number from 2 that makes it free.
fn free_name(name: &str, taken: &BTreeMap<String, Span>) -> String {
    let numbered = (2_u32..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.to_owned())
        .chain(numbered)
        .find(|candidate| !taken.contains_key(candidate))
        .expect("there are more numbers than services")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_named_after_its_image() {
        for (image, name) in [
            ("postgres:16", "postgres"),
            ("docker.io/library/redis@sha256:abc", "redis"),
            ("localhost:5000/My_DB", "my-db"),
            ("a/_", "service"),
        ] {
            assert_eq!(default_name(image), name);
            assert!(is_label(&default_name(image)));
        }
    }

    #[test]
    fn the_second_service_of_an_image_gets_a_number() {
        let taken = BTreeMap::from([("redis".to_owned(), Span::default())]);

        assert_eq!(free_name("redis", &taken), "redis-2");
    }
}
