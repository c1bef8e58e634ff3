//! Repositories of the rarer kinds, from a signed push to the job's end.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use api::PipelineOutcome;
use internal_testing::installation::{Installation, Options};

const LOOK: &str = "\
jobs:
  look:
    steps:
      - checkout
      - run: {name: look, command: 'git rev-parse HEAD --show-object-format; git status --short; echo \"told $CI_COMMIT\"'}
";

#[tokio::test]
async fn a_repository_with_sha_256_and_a_linked_config_runs_from_a_push() {
    let installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");
    let repository = &installation.repository;
    std::fs::remove_dir_all(repository.folder().join(".git")).unwrap();
    repository.git(&[
        "init",
        "--quiet",
        "--initial-branch=main",
        "--object-format=sha256",
    ]);
    repository.commit("ci/build.yml", LOOK);
    std::fs::remove_file(repository.folder().join(".ci.yml")).ok();
    std::os::unix::fs::symlink("ci/build.yml", repository.folder().join(".ci.yml")).unwrap();

    // It writes through the link.
    let pipeline = installation.push(LOOK).await;
    let view = installation.ended(&pipeline).await;

    let output = installation.output(&pipeline).await;
    assert_eq!(view.summary.outcome, Some(PipelineOutcome::Succeeded), "{output}");
    let commit = repository.git(&["rev-parse", "HEAD"]);
    assert_eq!(
        (commit.len(), view.summary.commit.as_str()),
        (64, commit.as_str())
    );
    assert!(output.contains(&format!("{commit}\nsha256\n")), "{output}");
    assert!(output.contains(&format!("told {commit}")), "{output}");
    assert_eq!(
        repository.git(&["ls-files", "--stage", ".ci.yml"]).get(..6),
        Some("120000")
    );
}
