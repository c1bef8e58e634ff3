//! Whose turn it is: the repository that waited longest since its last call, in it the commit that did. So one that
//! the provider keeps refusing costs the others one call each, however much of it there is.

use std::collections::HashMap;

use store::UnsentStatus;

/// How many repositories and commits are remembered. Who is forgotten counts as never called, and comes first.
const MOST: usize = 10_000;

/// When each repository and each commit had its last call.
#[derive(Debug, Default)]
pub(super) struct Turns {
    calls: u64,
    repositories: HashMap<String, u64>,
    commits: HashMap<(String, String), u64>,
}

impl Turns {
    /// The one that is sent now, of those that may be; of one commit the first. Its repository and commit have had
    /// their turn with it.
    pub(super) fn next<'a>(&mut self, unsent: &'a [UnsentStatus]) -> Option<&'a UnsentStatus> {
        let commit = |one: &UnsentStatus| (one.repository.clone(), one.commit.clone());
        let chosen = unsent.iter().min_by_key(|one| {
            (
                self.repositories.get(&one.repository),
                self.commits.get(&commit(one)),
            )
        })?;
        if self.commits.len() >= MOST {
            self.commits.clear();
            self.repositories.clear();
        }
        self.calls += 1;
        self.repositories.insert(chosen.repository.clone(), self.calls);
        self.commits.insert(commit(chosen), self.calls);
        Some(chosen)
    }
}

#[cfg(test)]
mod tests {
    use api::PipelineId;
    use store::{CommitStatus, StatusState};

    use super::*;

    fn waiting(number: i64, repository: &str, commit: &str) -> UnsentStatus {
        UnsentStatus {
            number,
            version: 1,
            pipeline: PipelineId::new("p-1").unwrap(),
            repository: repository.to_owned(),
            commit: commit.to_owned(),
            context: "goatherd/build".to_owned(),
            status: CommitStatus::new(StatusState::Pending, "queued"),
        }
    }

    #[test]
    fn repositories_take_turns_and_so_do_their_commits() {
        let unsent = [
            waiting(1, "a", "x"),
            waiting(2, "a", "x"),
            waiting(3, "a", "y"),
            waiting(4, "b", "z"),
        ];
        let mut turns = Turns::default();

        let order: Vec<i64> = (0..6).map(|_| turns.next(&unsent).unwrap().number).collect();

        assert_eq!(order, [1, 4, 3, 4, 1, 4]);
    }
}
