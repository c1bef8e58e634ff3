//! The outbox of commit statuses.

use super::Store;
use crate::error::StoreError;
use crate::input::UnsentStatus;
use crate::sqlite::statuses;

impl Store {
    /// Up to `limit` statuses that the providers of these repositories do not have, but for those of these
    /// numbers: the oldest of each repository, then the next of each, so that none is hidden behind another's.
    /// Only the newest of each commit and context is there: send it, and what was before it never comes back.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn unsent_statuses(
        &self,
        repositories: &[String],
        except: &[i64],
        limit: u32,
    ) -> Result<Vec<UnsentStatus>, StoreError> {
        let (repositories, except) = (repositories.to_vec(), except.to_vec());
        self.read(move |sql| statuses::unsent(sql, &repositories, &except, limit))
            .await
    }

    /// Notes that the provider has a status. A newer one of the same context stays unsent.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn status_sent(&self, status: &UnsentStatus) -> Result<(), StoreError> {
        let status = status.clone();
        self.write(move |change| statuses::sent(change, &status)).await
    }

    /// Notes that the provider will not have a status, and why; in the audit log too. It is not to be sent
    /// again, but for once after a start, because the operator may have mended what was wrong.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn status_refused(&self, status: &UnsentStatus, why: &str) -> Result<(), StoreError> {
        let (status, why) = (status.clone(), why.to_owned());
        self.write(move |change| statuses::refused(change, &status, &why))
            .await
    }
}
