//! Which names variables and secrets may have that are given to jobs from outside of their configs.

use super::is_name;

/// What says whose job it is and where. Something else there would be a lie that programs believe, or be overwritten
/// unseen.
const SAYING: &[&str] = &[
    "HOME",
    "CIRCLECI",
    "GOATHERD",
    "GOATHERD_PLACE",
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
/// What changes every shell before its first command, and with the loader every program.
const SHELL: &[&str] = &[
    "PWD",
    "OLDPWD",
    "IFS",
    "ENV",
    "BASH_ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "LD_PRELOAD",
];
/// What every task has already, and may well be chosen by whoever runs it; only a secret is out of place there.
const CHOSEN: &[&str] = &[
    "PATH",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "TERM",
    "LD_LIBRARY_PATH",
    "CI",
];

/// Refuses a name that no variable can have, that says what a job is, or that changes what every step's shell does.
///
/// # Errors
/// A sentence that says which of these it is.
pub fn check_variable(name: &str) -> Result<(), String> {
    check_form(name)?;
    if SAYING.contains(&name) {
        return Err(format!(
            "`{name}` says what the job is and where it runs, and is set by goatherd; give the variable another name"
        ));
    }
    if SHELL.contains(&name) {
        return Err(format!(
            "`{name}` would change what the shell of every step does; set it in the `environment` of the step that \
             needs it"
        ));
    }
    Ok(())
}

/// Refuses a name that no variable can have, and those of variables that every task has, or that decide what its
/// programs are: a secret there would be overwritten unseen, or break every step.
///
/// # Errors
/// A sentence that says which of these it is.
pub fn check_secret(name: &str) -> Result<(), String> {
    check_form(name)?;
    if [SAYING, SHELL, CHOSEN].iter().any(|names| names.contains(&name)) {
        return Err(format!(
            "`{name}` is a variable that every task has already; give the secret another name"
        ));
    }
    Ok(())
}

fn check_form(name: &str) -> Result<(), String> {
    if is_name(name) {
        Ok(())
    } else {
        // It may be a value in the wrong place.
        Err("a name is letters, digits and `_`, and does not begin with a digit".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_may_choose_programs_and_a_secret_may_not() {
        for (name, variable, secret) in [
            ("TOKEN", true, true),
            ("CIRCLE_TOKEN", true, true),
            ("PATH", true, false),
            ("CI", true, false),
            ("HOME", false, false),
            ("CI_COMMIT", false, false),
            ("CIRCLE_SHA1", false, false),
            ("BASH_ENV", false, false),
            ("LD_PRELOAD", false, false),
            ("GOATHERD_PLACE", false, false),
            ("1A", false, false),
            ("", false, false),
        ] {
            assert_eq!(check_variable(name).is_ok(), variable, "{name}");
            assert_eq!(check_secret(name).is_ok(), secret, "{name}");
        }
    }
}
