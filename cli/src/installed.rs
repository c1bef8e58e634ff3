//! What is installed beside this program, and the local driver that uses it.

mod expose;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use driver::Driver;
use driver::local::LocalSettings;
use driver::registry::DriverSettings;

use crate::config::{Isolation, Places};
use crate::error::Failure;
use crate::output;
use crate::tools::Tools;

/// Where places are in the folder for data, unless told otherwise.
pub(crate) const PLACES: &str = "places";
/// What goes into a task's place.
const BINARIES: [&str; 2] = ["orchestrator", "circleci-agent"];

/// Whether jobs end with this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Jobs {
    /// They do: somebody sits in front of it, and runs what is their own.
    EndWithThis,
    /// They go on, and may be anybody's.
    Survive,
}

/// Makes the local driver. What is not promised here is told.
pub(crate) async fn local_driver(
    places: &Places,
    folder: &Path,
    jobs: Jobs,
    tools: Tools,
) -> Result<Arc<dyn Driver>, Failure> {
    let driver = quiet_local_driver(places, folder, jobs, tools).await?;
    if let Some(warning) = driver.warning() {
        output::complain(&format!("warning: {warning}"));
    }
    Ok(driver)
}

/// Makes the local driver, on a thread that may block: it asks the host whether it allows sandboxes. Places
/// are in `folder` unless told otherwise.
pub(crate) async fn quiet_local_driver(
    places: &Places,
    folder: &Path,
    jobs: Jobs,
    tools: Tools,
) -> Result<Arc<dyn Driver>, Failure> {
    let isolation = match (places.isolation, jobs) {
        (Some(Isolation::Namespaces), _) | (None, Jobs::Survive) => driver::local::Isolation::Namespaces,
        (Some(Isolation::Plain), _) => driver::local::Isolation::Plain,
        (Some(Isolation::Auto), _) | (None, Jobs::EndWithThis) => driver::local::Isolation::Auto,
    };
    let exposed = expose::paths(&places.expose)?;
    let program = std::env::current_exe().context("cannot find out where this program is")?;
    let settings = LocalSettings {
        place_root: places.place_root.clone().unwrap_or_else(|| folder.join(PLACES)),
        bin_dir: bin_dir(places.bin_dir.as_deref(), &program)?,
        sandbox_program: program,
        isolation,
        lifeline: jobs == Jobs::EndWithThis,
        // What was named wins over what lies around it.
        expose: tools.expose.into_iter().chain(exposed).collect(),
        environment: tools.environment,
    };
    let built = tokio::task::spawn_blocking(|| driver::registry::build(DriverSettings::Local(settings)));
    Ok(built
        .await
        .context("the driver ended")?
        .context("cannot run jobs here")?)
}

/// How many jobs may run at once.
pub(crate) fn slots(places: &Places) -> u32 {
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    places
        .slots
        .map_or_else(|| u32::try_from(processors()).unwrap_or(u32::MAX), u32::from)
}

fn bin_dir(asked: Option<&Path>, program: &Path) -> Result<PathBuf, Failure> {
    let folder = asked.or_else(|| program.parent()).unwrap_or(Path::new("/"));
    for name in BINARIES {
        if !folder.join(name).is_file() {
            let beside = if asked.is_some() {
                "in"
            } else {
                "beside goatherd, in"
            };
            return Err(Failure::usage(format!(
                "there is no `{name}` {beside} {}: jobs need it; name its folder with --bin-dir",
                folder.display()
            )));
        }
    }
    // Tasks' places outlive the folder that this process was started in.
    let folder = std::path::absolute(folder).context("cannot tell where --bin-dir is")?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_binary_is_named_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("orchestrator"), "").unwrap();
        let program = folder.path().join("goatherd");

        let error = bin_dir(None, &program).expect_err("one is missing").to_string();

        assert!(
            error.contains("`circleci-agent`") && error.contains("--bin-dir"),
            "{error}"
        );
    }

    #[test]
    fn the_binaries_are_found_beside_the_program() {
        let folder = tempfile::tempdir().unwrap();
        for name in BINARIES {
            std::fs::write(folder.path().join(name), "").unwrap();
        }

        assert_eq!(
            bin_dir(None, &folder.path().join("goatherd")).unwrap(),
            folder.path()
        );
    }
}
