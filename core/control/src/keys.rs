//! Operations on keys, their accounts and their rate limits.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use btvep_domain::{Credits, Key, KeyEdit, KeyId, KeyPolicy, NewKey, RateRule};
use serde::Deserialize;

use crate::error::Refused;
use crate::router::{Operations, Shared};
use crate::views::{Deleted, KeyChange, KeyPage, KeyView, RateLimits};

type Answer<T> = Result<Json<T>, Refused>;
type Body<T> = Result<Json<T>, JsonRejection>;

/// The most keys of one page.
const PAGE: usize = 1000;
/// The most rules of one key: each is a counter of its own in memory.
const RULES: usize = 16;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListQuery {
    after: Option<KeyId>,
    limit: Option<usize>,
}

pub(crate) async fn list(
    State(operations): Shared,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Answer<KeyPage> {
    let Query(ListQuery { after, limit }) = query?;
    let limit = limit.unwrap_or(PAGE).clamp(1, PAGE);
    let keys = operations.control.keys.list(after, limit).await?;
    let next = if keys.len() == limit { keys.last().map(|key| key.id) } else { None };
    let mut views = Vec::with_capacity(keys.len());
    for key in &keys {
        views.push(view(&operations, key).await?);
    }
    Ok(Json(KeyPage { keys: views, next }))
}

pub(crate) async fn create(State(operations): Shared, body: Body<NewKey>) -> Answer<KeyView> {
    let Json(new) = body?;
    check_name(new.name.as_deref())?;
    check_credits(new.credits)?;
    check_policy(&operations, &new.policy)?;
    let (key, secret) = operations.control.keys.create(new, now()).await?;
    let mut created = view(&operations, &key).await?;
    created.key = Some(secret.expose().to_owned());
    Ok(Json(created))
}

pub(crate) async fn show(State(operations): Shared, id: Result<Path<String>, PathRejection>) -> Answer<KeyView> {
    let key = find(&operations, &id?).await?;
    Ok(Json(view(&operations, &key).await?))
}

pub(crate) async fn edit(
    State(operations): Shared,
    id: Result<Path<String>, PathRejection>,
    body: Body<KeyChange>,
) -> Answer<KeyView> {
    let (id, Json(change)) = (id?, body?);
    check_name(change.name.as_ref().and_then(Option::as_deref))?;
    check_credits(change.credits.flatten())?;
    // What stays is not checked: a model that is gone must not keep the name from being changed.
    if let Some(wished) = change.policy(None) {
        check_policy(&operations, &wished)?;
    }
    let _one_at_a_time = operations.editing.lock().await;
    let key = find(&operations, &id).await?;
    let policy = change.policy(key.policy.as_deref());
    let KeyChange { name, enabled, valid_until, credits, .. } = change;
    apply(&operations, key.id, KeyEdit { name, credits, valid_until, enabled, policy }).await
}

pub(crate) async fn delete(State(operations): Shared, id: Result<Path<String>, PathRejection>) -> Answer<Deleted> {
    let id: KeyId = id?.parse()?;
    if !operations.control.keys.delete(id).await? {
        return Err(Refused::NoKey(id));
    }
    Ok(Json(Deleted { id, deleted: true }))
}

pub(crate) async fn rules(State(operations): Shared, id: Result<Path<String>, PathRejection>) -> Answer<RateLimits> {
    let key = find(&operations, &id?).await?;
    Ok(Json(RateLimits { rate_limits: rules_of(&key) }))
}

pub(crate) async fn add_rule(
    State(operations): Shared,
    id: Result<Path<String>, PathRejection>,
    body: Body<RateRule>,
) -> Answer<RateLimits> {
    let (id, Json(rule)) = (id?, body?);
    let _one_at_a_time = operations.editing.lock().await;
    let key = find(&operations, &id).await?;
    let mut rules = rules_of(&key).unwrap_or_default();
    rules.push(rule);
    replace_rules(&operations, &key, rules).await
}

pub(crate) async fn delete_rule(
    State(operations): Shared,
    path: Result<Path<(String, usize)>, PathRejection>,
) -> Answer<RateLimits> {
    let Path((id, index)) = path?;
    let _one_at_a_time = operations.editing.lock().await;
    let key = find(&operations, &id).await?;
    let mut rules = rules_of(&key).unwrap_or_default();
    if index >= rules.len() {
        return Err(Refused::NoRule { index, count: rules.len() });
    }
    rules.remove(index);
    replace_rules(&operations, &key, rules).await
}

async fn replace_rules(operations: &Operations, key: &Key, rules: Vec<RateRule>) -> Answer<RateLimits> {
    let wished = KeyPolicy { rate_limits: Some(rules), ..KeyPolicy::default() };
    check_policy(operations, &wished)?;
    let mut policy = key.policy.as_deref().cloned().unwrap_or_default();
    policy.rate_limits = wished.rate_limits;
    let edit = KeyEdit { policy: Some(policy), ..KeyEdit::default() };
    let Json(view) = apply(operations, key.id, edit).await?;
    Ok(Json(RateLimits { rate_limits: view.rate_limits }))
}

async fn apply(operations: &Operations, id: KeyId, edit: KeyEdit) -> Answer<KeyView> {
    let edited = operations.control.keys.edit(id, edit, now()).await?;
    let key = edited.ok_or(Refused::NoKey(id))?;
    Ok(Json(view(operations, &key).await?))
}

async fn find(operations: &Operations, id: &str) -> Result<std::sync::Arc<Key>, Refused> {
    let id: KeyId = id.parse()?;
    operations.control.keys.get(id).await?.ok_or(Refused::NoKey(id))
}

async fn view(operations: &Operations, key: &Key) -> Result<KeyView, Refused> {
    let account = operations.control.accounts.account(key.id).await?.ok_or(Refused::NoKey(key.id))?;
    Ok(KeyView::new(key, &account))
}

fn rules_of(key: &Key) -> Option<Vec<RateRule>> {
    key.policy.as_ref().and_then(|policy| policy.rate_limits.clone())
}

fn check_policy(operations: &Operations, policy: &KeyPolicy) -> Result<(), Refused> {
    if policy.rate_limits.as_ref().is_some_and(|rules| rules.len() > RULES) {
        return Err(Refused::BadRequest(format!("a key has at most {RULES} rate limits")));
    }
    operations.control.policy.check(policy).map_err(Refused::BadRequest)
}

fn check_name(name: Option<&str>) -> Result<(), Refused> {
    match name {
        Some(name) if name.chars().count() > 200 => {
            Err(Refused::BadRequest("a name has at most 200 characters".to_owned()))
        }
        _ => Ok(()),
    }
}

fn check_credits(credits: Option<Credits>) -> Result<(), Refused> {
    match credits {
        Some(credits) if credits < Credits::ZERO => {
            Err(Refused::BadRequest("credits may not be negative; leave them out for an unlimited key".to_owned()))
        }
        _ => Ok(()),
    }
}

/// Returns unix seconds.
fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}
