//! What was built, as the build was told by two variables.

/// The version; `dev` where the build set none.
pub(crate) const VERSION: &str = match option_env!("GOATHERD_BUILD_VERSION") {
    Some(version) => version,
    None => "dev",
};

/// When it was built; empty where the build did not say.
pub(crate) const DATE: &str = match option_env!("GOATHERD_BUILD_DATE") {
    Some(date) => date,
    None => "",
};
