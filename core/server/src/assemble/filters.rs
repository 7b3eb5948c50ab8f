//! Makes the filters of a configuration, or keeps those whose settings stay as they were.

use std::sync::Arc;

use btvep_domain::{ConfigError, Filter, Secret};
use serde_json::Value;

use super::Parts;
use crate::config::{LoadError, Loaded};
use crate::roster;

/// A filter with what it was made from. Kept as long as that stays, and with it its breaker, counters and
/// connections.
#[derive(Clone, Debug)]
pub(super) struct Carried {
    name: String,
    /// Its table of `[filters]`; null when it has none.
    settings: Value,
    /// The secret behind the reference in that table.
    secret: Option<Secret>,
    filter: Arc<dyn Filter>,
}

/// Returns the filters of a configuration in its order.
///
/// # Errors
///
/// A secret or a filter's settings cannot be used.
pub(super) fn filters(loaded: &Loaded, parts: &mut Parts) -> Result<Vec<Arc<dyn Filter>>, LoadError> {
    let config = &loaded.config;
    let moderation = config.filters.moderation.key.as_ref().map(|key| loaded.resolver().secret(key)).transpose();
    let moderation = moderation.map_err(|message| loaded.source.error("filters.moderation.key", message))?;
    let tables = serde_json::to_value(&config.filters).unwrap_or_default();
    let mut made = Vec::with_capacity(config.pipeline.filters.len());
    for name in &config.pipeline.filters {
        let settings = tables.get(name).cloned().unwrap_or_default();
        let stays = |old: &&Carried| old.name == *name && old.settings == settings && old.secret == moderation;
        let filter = match parts.filters.iter().find(stays) {
            Some(old) => Some(Arc::clone(&old.filter)),
            None => roster::filter(name, &config.filters, parts.store(), moderation.as_ref())
                .map_err(|ConfigError { path, message }| loaded.source.error(&below_filters(path), message))?,
        };
        let carried = |filter| Carried { name: name.clone(), settings, secret: moderation.clone(), filter };
        made.extend(filter.map(carried));
    }
    parts.filters = made;
    Ok(parts.filters.iter().map(|carried| Arc::clone(&carried.filter)).collect())
}

/// Filters name their keys from their own name on.
fn below_filters(path: String) -> String {
    if path.starts_with("filters.") { path } else { format!("filters.{path}") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::Store;

    const TEXT: &str = "upstream = [{ name = \"u\", base_url = \"http://127.0.0.1:1\" }]\n\
                        model = [{ id = \"m\", upstream = \"u\" }]\n";

    fn made(sets: &[&str], parts: &mut Parts) -> Vec<Arc<dyn Filter>> {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        filters(&Loaded::from_text(Path::new("b.toml"), TEXT, &sets).unwrap(), parts).unwrap()
    }

    #[test]
    fn only_a_filter_whose_settings_change_is_made_anew() {
        let mut parts = Parts::new(Store::in_memory());
        let before = made(&[], &mut parts);
        let after = made(&["filters.rate_limit.concurrency=3"], &mut parts);
        let kept: Vec<_> = before.iter().zip(&after).filter(|(old, new)| Arc::ptr_eq(old, new)).collect();
        let kept: Vec<_> = kept.into_iter().map(|(old, _)| old.name()).collect();
        assert_eq!(kept, ["logging", "auth", "credits", "moderation"]);
    }
}
