//! What the environment gives.

use std::ffi::OsString;

/// The variables that programs which the server starts may see: where things are, who one is, proxies,
/// roots, and the ssh agent. Everything else stays here, webhook secrets above all.
const INHERITED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "GIT_EXEC_PATH",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// The environment of programs that the server starts.
pub(crate) fn inherited() -> Vec<(&'static str, OsString)> {
    let set = |name: &&'static str| std::env::var_os(name).map(|value| (*name, value));
    INHERITED.iter().filter_map(set).collect()
}

/// A variable that must be there and be text.
pub(super) fn variable(name: &str) -> Result<String, String> {
    match std::env::var(name) {
        Ok(value) => Ok(value),
        Err(std::env::VarError::NotPresent) => Err(format!("the environment has no variable `{name}`")),
        Err(std::env::VarError::NotUnicode(_)) => Err(format!("the variable `{name}` is no UTF-8")),
    }
}
