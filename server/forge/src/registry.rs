//! The providers that there are.

use crate::{Forge, GitHub};

/// Every provider. One that is not in this list does not exist.
pub const FORGES: &[&dyn Forge] = &[&GitHub];

/// The provider of this name in the configuration.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Forge> {
    FORGES.iter().copied().find(|forge| forge.name() == name)
}

/// The names of all providers, for messages: `github, ...`.
#[must_use]
pub fn names() -> String {
    let names: Vec<_> = FORGES.iter().map(|forge| forge.name()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_is_found_by_its_own_name() {
        for forge in FORGES {
            assert_eq!(find(forge.name()).map(Forge::name), Some(forge.name()));
        }
        assert!(find("nobody").is_none());
    }
}
