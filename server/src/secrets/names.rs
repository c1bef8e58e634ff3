//! Which names a secret may have.

use crate::variables::is_name;

/// Variables that every task has, and those that decide what its programs are: a secret there would be
/// overwritten unseen, or break every step.
const TAKEN: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PWD",
    "OLDPWD",
    "TMPDIR",
    "TERM",
    "IFS",
    "ENV",
    "BASH_ENV",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "CI",
    "CIRCLECI",
    "GOATHERD",
    "CI_JOB",
    "CI_COMMIT",
    "CI_REFERENCE",
    "CI_BRANCH",
    "CI_TAG",
    "CI_REPOSITORY",
    "CI_PIPELINE_ID",
    "CI_TASK_ID",
    "CI_ATTEMPT",
    "CI_WORKING_DIRECTORY",
    "CIRCLE_JOB",
    "CIRCLE_SHA1",
    "CIRCLE_BRANCH",
    "CIRCLE_TAG",
    "CIRCLE_PROJECT_REPONAME",
    "CIRCLE_PIPELINE_ID",
    "CIRCLE_BUILD_NUM",
    "CIRCLE_WORKING_DIRECTORY",
];

/// Refuses a name that no variable can have, or that is taken.
pub(super) fn check(name: &str) -> Result<(), String> {
    if !is_name(name) {
        // It may be a value in the wrong place.
        return Err("a name is letters, digits and `_`, and does not begin with a digit".to_owned());
    }
    if TAKEN.contains(&name) {
        return Err(format!(
            "`{name}` is a variable that every task has already; give the secret another name"
        ));
    }
    Ok(())
}
