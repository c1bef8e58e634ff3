//! The variables that every `run` step gets.
//!
//! | variable | what |
//! |---|---|
//! | `CI` | `true` |
//! | `CI_JOB`, `CIRCLE_JOB` | the job's name |
//! | `CI_COMMIT`, `CIRCLE_SHA1` | the commit, in full |
//! | `CI_REFERENCE` | the ref, such as `refs/heads/main` |
//! | `CI_BRANCH`, `CIRCLE_BRANCH` | the branch; absent for a tag |
//! | `CI_TAG`, `CIRCLE_TAG` | the tag; absent for a branch |
//! | `CI_REPOSITORY`, `CIRCLE_PROJECT_REPONAME` | the repository's name on the server |
//! | `CI_PIPELINE_ID`, `CIRCLE_PIPELINE_ID` | the pipeline |
//! | `CI_TASK_ID` | the task: the same over all attempts at the job |
//! | `CI_ATTEMPT`, `CIRCLE_BUILD_NUM` | the attempt's number, from 1 |
//! | `CI_WORKING_DIRECTORY`, `CIRCLE_WORKING_DIRECTORY` | where steps run |
//!
//! The job's own variables win over these.

use std::collections::BTreeMap;

use crate::input::FetchedTask;

/// Adds the built-in variables below the job's own.
pub(crate) fn add_built_in(task: &mut FetchedTask) {
    let attempt = task.attempt.number.to_string();
    let branch = task.reference.strip_prefix("refs/heads/");
    let tag = task.reference.strip_prefix("refs/tags/");
    let all: [(&[&str], Option<&str>); 11] = [
        (&["CI"], Some("true")),
        (&["CI_JOB", "CIRCLE_JOB"], Some(&task.job)),
        (&["CI_COMMIT", "CIRCLE_SHA1"], Some(&task.commit)),
        (&["CI_REFERENCE"], Some(&task.reference)),
        (&["CI_BRANCH", "CIRCLE_BRANCH"], branch),
        (&["CI_TAG", "CIRCLE_TAG"], tag),
        (
            &["CI_REPOSITORY", "CIRCLE_PROJECT_REPONAME"],
            Some(&task.repository),
        ),
        (
            &["CI_PIPELINE_ID", "CIRCLE_PIPELINE_ID"],
            Some(task.pipeline.as_str()),
        ),
        (&["CI_TASK_ID"], Some(task.attempt.task.as_str())),
        (&["CI_ATTEMPT", "CIRCLE_BUILD_NUM"], Some(&attempt)),
        (
            &["CI_WORKING_DIRECTORY", "CIRCLE_WORKING_DIRECTORY"],
            Some(&task.working_directory),
        ),
    ];
    let mut variables = BTreeMap::new();
    for (names, value) in all {
        let Some(value) = value else { continue };
        for name in names {
            variables.insert((*name).to_owned(), value.to_owned());
        }
    }
    variables.append(&mut task.environment);
    task.environment = variables;
}
