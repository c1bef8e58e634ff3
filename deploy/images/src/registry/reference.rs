//! Where an image is pushed to: `REGISTRY/REPOSITORY:TAG`.

use std::net::IpAddr;
use std::str::FromStr;

/// An image's place in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) registry: String,
    pub(crate) repository: String,
    pub(crate) tag: String,
}

impl Reference {
    /// The URL of the registry. One on this machine is asked in clear text, as engines do, every other one by TLS.
    pub(crate) fn base(&self) -> String {
        let host = match self.registry.as_str() {
            "docker.io" => "registry-1.docker.io",
            other => other,
        };
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let local = name == "localhost"
            || name
                .trim_matches(['[', ']'])
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        format!("{}://{host}", if local { "http" } else { "https" })
    }
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str =
            "it is REGISTRY/REPOSITORY:TAG, such as registry.example.com/goatherd/runner-init:0.1.0";
        let (registry, rest) = text.split_once('/').ok_or(FORM)?;
        let (repository, tag) = rest.rsplit_once(':').ok_or(FORM)?;
        // By this a registry is told from a first folder: it has a dot or a port.
        let is_registry = registry.contains(['.', ':']) || registry == "localhost";
        // The distribution specification's grammar, in short.
        let is_name = |part: &str| {
            part.bytes()
                .next()
                .is_some_and(|byte| byte.is_ascii_alphanumeric())
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
        };
        let is_tag = (1..=128).contains(&tag.len())
            && !tag.starts_with(['.', '-'])
            && tag
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !is_registry || !repository.split('/').all(is_name) || !is_tag {
            return Err(FORM.to_owned());
        }
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            tag: tag.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_registry_on_this_machine_is_asked_in_clear_text() {
        for (text, base) in [
            ("localhost:5000/a:1", "http://localhost:5000"),
            ("127.0.0.1:5000/a/b:1", "http://127.0.0.1:5000"),
            ("ghcr.io/acme/runner-init:1.0", "https://ghcr.io"),
            ("10.0.0.1:5000/a:1", "https://10.0.0.1:5000"),
            ("docker.io/acme/a:1", "https://registry-1.docker.io"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().base(), base);
        }
    }

    #[test]
    fn what_names_no_registry_or_no_tag_is_refused() {
        for text in [
            "runner-init",
            "goatherd/runner-init:1",
            "localhost:5000/a",
            "localhost:5000/A:1",
            "localhost:5000/a:-1",
            "localhost:5000/../a:1",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
