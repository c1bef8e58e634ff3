//! What git says, and what it means.

/// What git says when trying again cannot help. All in lower case.
const REFUSALS: &[&str] = &[
    "repository not found",
    "does not appear to be a git repository",
    "does not exist",
    "not found",
    "authentication failed",
    "could not read username",
    "could not read password",
    // Since git 2.46, where `credential.interactive` is off.
    "unable to get password from user",
    "permission denied",
    "access denied",
    "host key verification failed",
    "invalid credentials",
    "the requested url returned error: 401",
    "the requested url returned error: 403",
    "not allowed",
    "unable to find remote helper",
    "not our ref",
    "does not allow request for unadvertised object",
    "couldn't find remote ref",
    "no such remote ref",
    "unsafe repository",
    "detected dubious ownership",
];

/// What git says of failures that pass, even where a refusal's words are near. All in lower case.
const PASSING: &[&str] = &[
    "could not resolve host",
    "connection refused",
    "connection reset",
    "timed out",
    "the requested url returned error: 5",
    "the requested url returned error: 429",
    "early eof",
];

/// Whether git's words say that trying again cannot help.
pub(super) fn is_refusal(words: &str) -> bool {
    let words = words.to_lowercase();
    let says = |list: &[&str]| list.iter().any(|phrase| words.contains(phrase));
    says(REFUSALS) && !says(PASSING)
}

/// The longest message that is kept.
const LONGEST: usize = 2000;

/// git's own words for people: without credentials, without control characters, not too long.
pub(super) fn clean(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let mut lines = Vec::new();
    for line in text.lines() {
        let line: String = line.chars().filter(|c| !c.is_control()).collect();
        if !line.trim().is_empty() {
            lines.push(without_credentials(line.trim_end()));
        }
    }
    let mut message = lines.join("\n");
    if message.len() > LONGEST {
        let end = (0..=LONGEST)
            .rev()
            .find(|at| message.is_char_boundary(*at))
            .unwrap_or(0);
        message.truncate(end);
        message.push_str(" ...");
    }
    message
}

/// Replaces what stands between `://` and `@` of a URL.
fn without_credentials(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let end = after
            .find(|c: char| c == '/' || c.is_whitespace() || c == '\'' || c == '"')
            .unwrap_or(after.len());
        let (authority, following) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                clean.push_str("***@");
                clean.push_str(host);
            }
            None => clean.push_str(authority),
        }
        rest = following;
    }
    clean.push_str(rest);
    clean
}

/// Whether a text names a commit in full.
pub(crate) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_pass_is_told_from_what_may() {
        for words in [
            "remote: Repository not found.\nfatal: repository 'https://github.com/a/b/' not found",
            "fatal: '/nope' does not appear to be a git repository\nfatal: Could not read from remote repository.",
            "fatal: Authentication failed for 'https://example.com/a/'",
            "fatal: could not read Username for 'https://example.com': terminal prompts disabled",
            "fatal: unable to get password from user",
            "git@example.com: Permission denied (publickey).",
            "fatal: transport 'ext' not allowed",
            "fatal: remote error: upload-pack: not our ref 0123",
        ] {
            assert!(is_refusal(words), "{words}");
        }
        for words in [
            "fatal: unable to access 'http://h/': Could not resolve host: not found",
            "fatal: unable to access 'http://127.0.0.1:1/': Failed to connect: Connection refused",
            "fatal: unable to access 'https://h/a/': The requested URL returned error: 503",
            "fatal: early EOF",
            "ssh: connect to host h port 22: Connection timed out",
            "git took longer than 300 s",
        ] {
            assert!(!is_refusal(words), "{words}");
        }
    }

    #[test]
    fn credentials_in_urls_are_not_repeated() {
        let said = b"fatal: Authentication failed for 'https://ann:hunter2@example.com/a@b/'\n\x1b[31mred\n";

        let message = clean(said);

        assert_eq!(
            message,
            "fatal: Authentication failed for 'https://***@example.com/a@b/'\n[31mred"
        );
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let message = clean("ä".repeat(5000).as_bytes());

        assert!(message.len() <= LONGEST + 4 && message.ends_with(" ..."));
    }
}
