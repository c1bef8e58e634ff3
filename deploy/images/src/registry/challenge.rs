//! What a registry asks for when it does not know who calls: `WWW-Authenticate`, RFC 9110.

use std::collections::BTreeMap;

/// How a registry wants to be told who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// By name and password, with each call.
    Basic,
    /// By a token, which the address `realm` gives for name and password.
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    /// Reads the header's value.
    pub(crate) fn read(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut parameters = parameters(rest);
        Some(Self::Bearer {
            realm: parameters.remove("realm")?,
            service: parameters.remove("service"),
        })
    }
}

/// `name="value", ...`; a value may hold a comma, and `\` before a character stands for that character.
fn parameters(mut text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    while let Some((name, rest)) = text.split_once('=') {
        let mut value = String::new();
        let (quoted, body) = match rest.strip_prefix('"') {
            Some(body) => (true, body),
            None => (false, rest),
        };
        let mut characters = body.char_indices();
        let mut end = body.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' if quoted => {
                    end = at + 1;
                    break;
                }
                ',' if !quoted => {
                    end = at;
                    break;
                }
                '\\' if quoted => value.extend(characters.next().map(|(_, next)| next)),
                other => value.push(other),
            }
        }
        let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
        found.insert(name, value.trim_end().to_owned());
        text = body.get(end..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realm_and_service_are_read() {
        let header = r#"Bearer realm="https://auth.example.com/token?a=b,c",service="r.example.com",scope="repository:a:pull,push""#;

        let bearer = Challenge::Bearer {
            realm: "https://auth.example.com/token?a=b,c".to_owned(),
            service: Some("r.example.com".to_owned()),
        };
        assert_eq!(Challenge::read(header), Some(bearer));
        assert_eq!(
            Challenge::read("bearer service=x, realm=https://a"),
            Some(Challenge::Bearer {
                realm: "https://a".to_owned(),
                service: Some("x".to_owned())
            })
        );
        assert_eq!(Challenge::read(r#"Basic realm="R""#), Some(Challenge::Basic));
    }

    #[test]
    fn what_cannot_be_answered_is_none() {
        for header in [
            "",
            "Negotiate",
            "Bearer",
            r#"Bearer service="x""#,
            r#"Bearer realm"#,
        ] {
            assert_eq!(Challenge::read(header), None, "{header}");
        }
    }
}
