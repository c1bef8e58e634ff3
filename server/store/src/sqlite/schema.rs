//! The tables, and how a file of an older version becomes one of this.

use rusqlite::{Connection, TransactionBehavior};

use crate::error::StoreError;

/// What brings a file from version N (its place here) to N + 1. Entries are never changed once released.
const MIGRATIONS: &[&str] = &[FIRST, ORIGIN, STATUSES, RETENTION];

/// Everything as the first version has it.
///
/// `aggregate` columns hold the rules' own values as JSON, `jobs.plan` the job's part of the plan; the columns
/// beside them are what queries need. A chunk of output has no cursor while one before it is missing.
/// Cursors rise over `events` and `output` together.
pub(crate) const FIRST: &str = "
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
CREATE TABLE tokens (
    hash BLOB PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('admin', 'class')),
    resource_class TEXT,
    description TEXT NOT NULL,
    created INTEGER NOT NULL
) STRICT;
CREATE TABLE pipelines (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    repository TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    reference TEXT NOT NULL,
    wanted_jobs TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('compiling', 'running', 'ended')),
    outcome TEXT,
    cause TEXT,
    created INTEGER NOT NULL,
    ended INTEGER
) STRICT;
CREATE INDEX pipelines_open ON pipelines (state) WHERE state <> 'ended';
CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    hook TEXT NOT NULL,
    id TEXT NOT NULL,
    body_sha256 TEXT NOT NULL,
    event TEXT NOT NULL,
    body BLOB NOT NULL,
    received INTEGER NOT NULL,
    pipeline INTEGER REFERENCES pipelines (number),
    UNIQUE (hook, id),
    UNIQUE (hook, body_sha256)
) STRICT;
CREATE TABLE jobs (
    task TEXT PRIMARY KEY,
    pipeline INTEGER NOT NULL REFERENCES pipelines (number),
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    plan TEXT NOT NULL,
    step_names TEXT NOT NULL,
    active INTEGER NOT NULL,
    aggregate TEXT NOT NULL,
    UNIQUE (pipeline, position)
) STRICT;
CREATE INDEX jobs_active ON jobs (active) WHERE active = 1;
CREATE TABLE attempts (
    row INTEGER PRIMARY KEY,
    task TEXT NOT NULL REFERENCES jobs (task),
    number INTEGER NOT NULL,
    pipeline INTEGER NOT NULL,
    position INTEGER NOT NULL,
    stored INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,
    UNIQUE (task, number)
) STRICT;
CREATE TABLE steps (
    attempt INTEGER NOT NULL REFERENCES attempts (row),
    step INTEGER NOT NULL,
    ended TEXT,
    PRIMARY KEY (attempt, step)
) STRICT, WITHOUT ROWID;
CREATE TABLE output (
    attempt INTEGER NOT NULL REFERENCES attempts (row),
    sequence INTEGER NOT NULL,
    pipeline INTEGER NOT NULL,
    cursor INTEGER,
    step INTEGER NOT NULL,
    stream TEXT NOT NULL,
    time INTEGER NOT NULL,
    bytes BLOB,
    lost INTEGER,
    PRIMARY KEY (attempt, sequence)
) STRICT;
CREATE INDEX output_by_pipeline ON output (pipeline, cursor);
CREATE TABLE events (
    cursor INTEGER PRIMARY KEY,
    pipeline INTEGER NOT NULL REFERENCES pipelines (number),
    time INTEGER NOT NULL,
    event TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_pipeline ON events (pipeline, cursor);
CREATE TABLE agents (
    id TEXT PRIMARY KEY,
    resource_class TEXT NOT NULL,
    runs_services INTEGER NOT NULL,
    active INTEGER NOT NULL,
    aggregate TEXT NOT NULL
) STRICT;
CREATE INDEX agents_active ON agents (active) WHERE active = 1;
CREATE TABLE artifacts (
    attempt INTEGER NOT NULL REFERENCES attempts (row),
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (attempt, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
";

/// Where pipelines come from. Before, all were pushed or asked for by an admin.
const ORIGIN: &str = "
ALTER TABLE pipelines ADD COLUMN origin TEXT NOT NULL DEFAULT 'push' CHECK (origin IN ('push', 'fork', 'manual'));
";

/// What Git providers are to be told: one row for each commit and context.
///
/// `version` rises with each change and `sent` is the one that the provider has; `refused` says why it will
/// not have this one. Contexts that differ in case only are one, as they are for providers.
const STATUSES: &str = "
CREATE TABLE statuses (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    repository TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    context TEXT NOT NULL COLLATE NOCASE,
    pipeline INTEGER NOT NULL REFERENCES pipelines (number) ON DELETE CASCADE,
    state TEXT NOT NULL CHECK (state IN ('pending', 'success', 'failure', 'error')),
    description TEXT NOT NULL,
    version INTEGER NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0,
    refused TEXT,
    changed INTEGER NOT NULL,
    UNIQUE (repository, commit_id, context)
) STRICT;
CREATE INDEX statuses_unsent ON statuses (changed) WHERE sent < version AND refused IS NULL;
CREATE INDEX statuses_by_pipeline ON statuses (pipeline);
";

/// What retention removes, and what it has removed. `removals` holds what it is at, so that an interrupted one is
/// finished; `attempts.kept_bytes` is how much output of the attempt is there.
const RETENTION: &str = "
ALTER TABLE pipelines ADD COLUMN logs_removed INTEGER;
ALTER TABLE pipelines ADD COLUMN artifacts_removed INTEGER;
CREATE INDEX pipelines_ended ON pipelines (ended) WHERE state = 'ended';
CREATE INDEX pipelines_by_commit ON pipelines (commit_id);
CREATE INDEX pipelines_by_repository ON pipelines (repository COLLATE NOCASE);
CREATE INDEX deliveries_by_pipeline ON deliveries (pipeline);
CREATE TABLE removals (
    pipeline INTEGER NOT NULL,
    what TEXT NOT NULL CHECK (what IN ('logs', 'artifacts', 'pipeline')),
    PRIMARY KEY (pipeline, what)
) STRICT, WITHOUT ROWID;
ALTER TABLE attempts ADD COLUMN kept_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE attempts SET kept_bytes = (SELECT coalesce(sum(length(bytes)), 0) FROM output WHERE output.attempt = attempts.row);
";

/// The newest version that this program knows.
fn known() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

fn version(connection: &Connection) -> Result<u32, StoreError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// Refuses the file of a newer program before anything about it is changed.
pub(super) fn refuse_newer(connection: &Connection) -> Result<(), StoreError> {
    let (found, known) = (version(connection)?, known());
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    Ok(())
}

/// Whether the file was ever brought to a version.
pub(super) fn has_tables(connection: &Connection) -> Result<bool, StoreError> {
    let query = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'meta')";
    Ok(connection.query_row(query, [], |row| row.get(0))?)
}

/// Lets the file give space back to the disk. For a file that has no tables yet that is a setting; an older one is
/// written anew, once.
pub(super) fn let_it_shrink(connection: &Connection) -> Result<(), StoreError> {
    const INCREMENTAL: i64 = 2;
    let setting: i64 = connection.pragma_query_value(None, "auto_vacuum", |row| row.get(0))?;
    if setting == INCREMENTAL {
        return Ok(());
    }
    connection.pragma_update(None, "auto_vacuum", INCREMENTAL)?;
    if version(connection)? > 0
        && let Err(error) = connection.execute_batch("VACUUM")
    {
        tracing::warn!(%error, "the database's file cannot be made to shrink; what is removed makes room in it all the same");
    }
    Ok(())
}

/// Brings the file to this program's version.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let found = version(connection)?;
    for (version, migration) in (1..).zip(MIGRATIONS) {
        if version > found {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.commit()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_first_version_becomes_one_of_this_and_keeps_what_it_has() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(FIRST).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        connection
            .execute("INSERT INTO meta VALUES ('installation', 'x')", [])
            .unwrap();

        migrate(&mut connection).unwrap();

        assert_eq!(version(&connection).unwrap(), known());
        let count = |table: &str| -> i64 {
            let query = format!("SELECT count(*) FROM {table}");
            connection.query_row(&query, [], |row| row.get(0)).unwrap()
        };
        assert_eq!((count("meta"), count("statuses")), (1, 0));
    }
}
