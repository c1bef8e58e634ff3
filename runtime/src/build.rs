//! What was built.

/// The version, such as `0.1.0`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// When it was built, as the build was told by `GOATHERD_BUILD_DATE`; empty where it was not.
pub const DATE: &str = match option_env!("GOATHERD_BUILD_DATE") {
    Some(date) => date,
    None => "",
};
