//! Admin and resource-class tokens. Only their SHA-256 is here.

use api::Secret;
use api::people::TokenRequest;
use rusqlite::{Connection, OptionalExtension, params};
use subtle::ConstantTimeEq;

use super::audit;
use super::change::Change;
use crate::error::StoreError;
use crate::token::{self, Hash};

/// Makes the admin token where there never was one.
pub(crate) fn first_admin(change: &mut Change<'_>) -> Result<Option<Secret>, StoreError> {
    let exists: bool = change
        .sql
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM tokens WHERE kind = 'admin')")?
        .query_row([], |row| row.get(0))?;
    if exists {
        return Ok(None);
    }
    let token = token::new_token("gha_")?;
    insert(change, &token, None, "made at first start")?;
    audit::write(change, "server", "token.created", "admin", "made at first start")?;
    Ok(Some(token))
}

/// Makes a token for a resource class.
pub(crate) fn create_class(
    change: &mut Change<'_>,
    request: &TokenRequest,
    actor: &str,
) -> Result<Secret, StoreError> {
    let token = token::new_token("ghc_")?;
    insert(
        change,
        &token,
        Some(&request.resource_class),
        &request.description,
    )?;
    audit::write(
        change,
        actor,
        "token.created",
        &request.resource_class,
        &request.description,
    )?;
    Ok(token)
}

fn insert(
    change: &Change<'_>,
    token: &Secret,
    class: Option<&str>,
    description: &str,
) -> Result<(), StoreError> {
    let kind = if class.is_some() { "class" } else { "admin" };
    change
        .sql
        .prepare_cached(
            "INSERT INTO tokens (hash, kind, resource_class, description, created) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![token::hash(token), kind, class, description, change.now.0])?;
    Ok(())
}

/// Whether this is an admin's token.
pub(crate) fn is_admin(sql: &Connection, token: &Secret) -> Result<bool, StoreError> {
    Ok(find(sql, token, "admin")?.is_some())
}

/// The resource class that this token is good for.
pub(crate) fn class_of(sql: &Connection, token: &Secret) -> Result<Option<String>, StoreError> {
    Ok(find(sql, token, "class")?.flatten())
}

/// The index finds the row by the hash of what was sent; how long that takes says nothing about a token,
/// because a hash cannot be steered. What is found is compared in constant time all the same.
fn find(sql: &Connection, token: &Secret, kind: &str) -> Result<Option<Option<String>>, StoreError> {
    let hash = token::hash(token);
    let found: Option<(Hash, Option<String>)> = sql
        .prepare_cached("SELECT hash, resource_class FROM tokens WHERE hash = ?1 AND kind = ?2")?
        .query_row(params![hash, kind], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.and_then(|(stored, class)| bool::from(stored.ct_eq(&hash)).then_some(class)))
}
