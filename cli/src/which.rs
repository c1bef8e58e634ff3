//! Which pipeline a command means where it is not told, or only its id's beginning. What was taken for it is said
//! on standard error.

use std::path::Path;

use anyhow::Context as _;
use api::PipelineId;
use api::people::{JobView, PipelineSummary, PipelineView};
use client::Client;
use client::people::Which;
use tokio::process::Command;

use crate::error::Failure;
use crate::output::{self, time};

/// How many of several answers are named.
const NAMED: u32 = 10;
/// How many pipelines are looked through for one that runs.
const MANY: u32 = 1000;

const ALL: Which<'static> = Which {
    prefix: None,
    commit: None,
    repository: None,
    limit: MANY,
};

/// The pipeline that is asked for, or the newest of this commit, this repository, or all.
pub(crate) async fn pipeline(
    client: &Client,
    asked: Option<&PipelineId>,
) -> Result<PipelineSummary, Failure> {
    match asked {
        Some(asked) => named(client, asked).await,
        None => newest(client).await,
    }
}

/// The pipeline whose id is, or begins with, what is asked for.
pub(crate) async fn named(client: &Client, asked: &PipelineId) -> Result<PipelineSummary, Failure> {
    let found = beginning_with(client, asked.as_str()).await?;
    only(found, asked.as_str())?.ok_or_else(|| anyhow::anyhow!("there is no pipeline {asked}").into())
}

/// The newest pipeline that has to do with where this is.
async fn newest(client: &Client) -> Result<PipelineSummary, Failure> {
    let (found, of) = around(client, 1).await?;
    let newest = found
        .into_iter()
        .next()
        .context("the server has no pipeline yet")?;
    say(&newest, of.newest());
    Ok(newest)
}

/// The one pipeline that runs, of those that have to do with where this is. Nothing of another repository is
/// taken for it while this one is known.
pub(crate) async fn running(client: &Client) -> Result<PipelineSummary, Failure> {
    let (found, mut of) = around(client, MANY).await?;
    let runs = |found: Vec<PipelineSummary>| -> Vec<PipelineSummary> {
        found.into_iter().filter(|one| one.outcome.is_none()).collect()
    };
    let mut running = runs(found.clone());
    if let (Of::Commit, true, Some(one)) = (of, running.is_empty(), found.first()) {
        of = Of::Repository;
        let which = Which {
            repository: Some(&one.repository),
            ..ALL
        };
        running = runs(list(client, &which).await?);
    }
    match &running[..] {
        [] => Err(anyhow::anyhow!("no pipeline of {} runs", of.words()).into()),
        [one] => {
            say(one, of.only());
            Ok(one.clone())
        }
        several => Err(ambiguous(
            &format!("{} pipelines of {} run: say which", several.len(), of.words()),
            several,
        )),
    }
}

/// A pipeline, with all that is known of it, and the job of it that is meant, where one is.
///
/// A lone word is a pipeline's whole id, or the name of a job of the newest pipeline, or the beginning of an id.
pub(crate) async fn pipeline_and_job(
    client: &Client,
    first: Option<&str>,
    second: Option<&str>,
) -> Result<(PipelineView, Option<String>), Failure> {
    let view = async |id: &PipelineId| client.pipeline(id).await.context("cannot get the pipeline");
    let Some(first) = first else {
        return Ok((view(&newest(client).await?.id).await?, None));
    };
    let found = beginning_with(client, first).await?;
    let exact = found.iter().any(|one| one.id.as_str() == first);
    if second.is_none() && !exact {
        let (newest, of) = around(client, 1).await?;
        if let Some(newest) = newest.first() {
            let whole = view(&newest.id).await?;
            if whole.jobs.iter().any(|job| job.name == first) {
                say(newest, of.newest());
                return Ok((whole, Some(first.to_owned())));
            }
        }
    }
    let Some(one) = only(found, first)? else {
        let or_job = if second.is_none() {
            ", and the newest pipeline has no such job"
        } else {
            ""
        };
        return Err(anyhow::anyhow!("there is no pipeline {first}{or_job}").into());
    };
    let whole = view(&one.id).await?;
    if let Some(name) = second {
        job(&whole, name)?;
    }
    Ok((whole, second.map(str::to_owned)))
}

/// The job of this name.
pub(crate) fn job<'a>(pipeline: &'a PipelineView, name: &str) -> Result<&'a JobView, Failure> {
    let found = pipeline.jobs.iter().find(|known| known.name == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = pipeline.jobs.iter().map(|known| known.name.as_str()).collect();
        let (id, names) = (&pipeline.summary.id, names.join(", "));
        anyhow::anyhow!("pipeline {id} has no job `{name}`; it has: {names}").into()
    })
}

/// Whose pipelines are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Commit,
    Repository,
    All,
}

impl Of {
    const fn words(self) -> &'static str {
        match self {
            Self::Commit => "this commit",
            Self::Repository => "this repository",
            Self::All => "this server",
        }
    }

    fn newest(self) -> String {
        format!("the newest of {}", self.words())
    }

    fn only(self) -> String {
        format!("the only one of {} that runs", self.words())
    }
}

/// The pipelines of this commit, or else of this repository where the server knows it, or else all.
async fn around(client: &Client, limit: u32) -> Result<(Vec<PipelineSummary>, Of), Failure> {
    let all = Which { limit, ..ALL };
    let here = Here::look(Path::new(".")).await;
    if let Some(commit) = &here.commit {
        let commit = Some(commit.as_str());
        let found = list(client, &Which { commit, ..all }).await?;
        if !found.is_empty() {
            return Ok((found, Of::Commit));
        }
    }
    if !here.urls.is_empty() {
        let known = client.repositories().await.context("cannot list repositories")?;
        if let Some(one) = known.iter().find(|one| here.is(&one.name)) {
            let repository = Some(one.name.as_str());
            return Ok((list(client, &Which { repository, ..all }).await?, Of::Repository));
        }
    }
    Ok((list(client, &all).await?, Of::All))
}

async fn list(client: &Client, which: &Which<'_>) -> Result<Vec<PipelineSummary>, Failure> {
    Ok(client
        .pipelines_which(which)
        .await
        .context("cannot list pipelines")?)
}

async fn beginning_with(client: &Client, prefix: &str) -> Result<Vec<PipelineSummary>, Failure> {
    let which = Which {
        prefix: Some(prefix),
        limit: NAMED,
        ..ALL
    };
    list(client, &which).await
}

/// The one that is meant; none where there is none.
fn only(found: Vec<PipelineSummary>, asked: &str) -> Result<Option<PipelineSummary>, Failure> {
    if let Some(exact) = found.iter().find(|one| one.id.as_str() == asked) {
        return Ok(Some(exact.clone()));
    }
    if found.len() > 1 {
        return Err(ambiguous(&format!("`{asked}` begins more than one id"), &found));
    }
    Ok(found.into_iter().next())
}

fn ambiguous(what: &str, found: &[PipelineSummary]) -> Failure {
    let most = usize::try_from(NAMED).unwrap_or(usize::MAX);
    let lines: String = found
        .iter()
        .take(most)
        .map(|one| format!("\n  {}", short(one)))
        .collect();
    Failure::usage(format!("{what}:{lines}"))
}

fn say(taken: &PipelineSummary, why: String) {
    output::complain(&format!("pipeline {}: {why}", short(taken)));
}

/// A pipeline in one line.
fn short(summary: &PipelineSummary) -> String {
    format!(
        "{} ({} {} {}, {} ago)",
        summary.id,
        summary.repository,
        output::reference(&summary.reference),
        output::commit(&summary.commit),
        time::age(summary.created)
    )
}

/// What git says of where this is.
#[derive(Debug, Default)]
struct Here {
    commit: Option<String>,
    urls: Vec<String>,
}

impl Here {
    async fn look(folder: &Path) -> Self {
        let commit = git(folder, &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]).await;
        let urls = git(folder, &["config", "--get-regexp", r"^remote\..*\.url$"]).await;
        Self {
            commit,
            urls: urls
                .unwrap_or_default()
                .lines()
                .filter_map(|line| Some(line.split_once(' ')?.1.to_owned()))
                .collect(),
        }
    }

    /// Whether it is a clone of the repository of this name on the server.
    fn is(&self, name: &str) -> bool {
        self.urls.iter().any(|url| ends_with_name(url, name))
    }
}

/// Whether a URL's path ends with a repository's name: `git@host:acme/app.git`, `https://host/acme/app`.
fn ends_with_name(url: &str, name: &str) -> bool {
    let url = url.trim_end_matches('/');
    let path = url.strip_suffix(".git").unwrap_or(url).to_lowercase();
    path.strip_suffix(&name.to_lowercase())
        .is_some_and(|before| before.ends_with(['/', ':']))
}

/// What git prints; none where it fails, or where there is none.
async fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_is_known_by_the_end_of_its_url() {
        for url in [
            "git@github.com:Acme/app.git",
            "https://github.com/acme/app",
            "ssh://git@host/acme/App.git/",
            "/srv/git/acme/app.git",
        ] {
            assert!(ends_with_name(url, "acme/app"), "{url}");
        }
        for url in [
            "https://github.com/bacme/app",
            "acme/app",
            "https://github.com/acme/app2",
        ] {
            assert!(!ends_with_name(url, "acme/app"), "{url}");
        }
    }

    fn pipelines(ids: &[&str]) -> Vec<PipelineSummary> {
        let one = |id: &&str| PipelineSummary {
            id: PipelineId::new(*id).unwrap(),
            repository: "acme/app".to_owned(),
            commit: "c0ffee".to_owned(),
            reference: "refs/heads/main".to_owned(),
            created: 0,
            outcome: None,
            cause: None,
            logs_removed: None,
            artifacts_removed: None,
        };
        ids.iter().map(one).collect()
    }

    #[test]
    fn a_beginning_that_is_not_clear_lists_all_that_begin_so() {
        let error = only(pipelines(&["ab1", "ab2"]), "ab").expect_err("it is not clear");

        let Failure::Usage(message) = error else {
            panic!("{error:?}");
        };
        assert!(message.contains("\n  ab1 (acme/app main c0ffee, "), "{message}");
        assert!(message.contains("\n  ab2 ("), "{message}");
    }

    #[test]
    fn a_whole_id_is_clear_even_where_another_begins_with_it() {
        let id =
            |found: Vec<PipelineSummary>, asked| only(found, asked).unwrap().map(|one| one.id.to_string());

        assert_eq!(id(pipelines(&["ab", "ab1"]), "ab").as_deref(), Some("ab"));
        assert_eq!(id(pipelines(&["ab1"]), "a").as_deref(), Some("ab1"));
        assert_eq!(id(pipelines(&[]), "a"), None);
    }
}
