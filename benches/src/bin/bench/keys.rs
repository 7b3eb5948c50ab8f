//! Whether many keys cost a request anything: the same load on a store of a thousand keys and on one of a million.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{Credits, Keys, NewKey, Secret, StoreError};
use btvep_state::{Durability, Embedded, StateConfig};
use tokio::task::JoinSet;

use crate::bars::Bar;
use crate::contender::Contender;
use crate::error::{BenchError, Result};
use crate::product::{CREDITS, FULL, Product, Setup};
use crate::report::{Row, megabytes};
use crate::rounds::Bench;

/// Keys of the small store, and keys that the load uses of either.
const FEW: u32 = 1_000;

/// The most CPU per request with many keys, as a multiple of that with few.
const SLOWER: f64 = 1.05;

/// The longest start with many keys.
const READY: Duration = Duration::from_secs(3);

/// The most memory of one key, in bytes.
const KEY_BYTES: f64 = 300.0;

/// Keys that are made at the same time.
const AT_ONCE: usize = 4_096;

/// A key, if it is one of those that the load uses.
type Made = std::result::Result<Option<Secret>, StoreError>;

/// Starts a server for each store.
pub(crate) fn contenders(bench: &Bench<'_>, product: &Product) -> Result<Vec<Contender>> {
    let few = Setup { row: "few", name: "btvep, everything on, 1,000 keys", ..FULL };
    let many = Setup { row: "many", name: "btvep, everything on, many keys", ..FULL };
    let mut started = Vec::new();
    for (setup, number) in [(few, FEW), (many, bench.arguments.keys)] {
        let mut prepared = product.prepare(setup, bench.folder, bench.mock)?;
        eprintln!("bench: making {number} keys");
        let made = fill(&prepared.state, number)?;
        let file = prepared.state.with_file_name("keys.txt");
        write_keys(&file, &made)?;
        prepared.target.key = made.first().map(|key| key.expose().to_owned());
        prepared.target.keys = Some(file);
        let mut contender = product.start(&prepared, bench.folder)?;
        contender.name = format!("btvep, everything on, {number} keys");
        started.push(contender);
    }
    Ok(started)
}

/// Returns what must hold between the two.
pub(crate) fn bars(rows: &[Row<'_>], keys: u32) -> Vec<Bar> {
    let [few, many] = rows else { return Vec::new() };
    let ratio = many.ratio(few);
    let more = megabytes(many.contender.idle) - megabytes(few.contender.idle);
    let each = more * 1e6 / f64::from(keys.saturating_sub(FEW).max(1));
    let ready = many.contender.ready;
    vec![
        Bar::new(ratio <= SLOWER, format!("{keys} keys: {ratio:.3} × the CPU of {FEW} keys, at most {SLOWER}")),
        Bar::new(
            ready < READY,
            format!("{keys} keys: ready in {:.2} s, less than {}", ready.as_secs_f64(), READY.as_secs()),
        ),
        Bar::new(each <= KEY_BYTES, format!("{keys} keys: {each:.0} bytes of memory each, at most {KEY_BYTES:.0}")),
    ]
}

/// Makes keys in a store that no server has open, and returns a thousand of them, spread over all.
pub(crate) fn fill(state: &Path, number: u32) -> Result<Vec<Secret>> {
    let config = StateConfig {
        path: state.to_owned(),
        durability: Durability::Relaxed,
        sync_data: false,
        ..StateConfig::default()
    };
    let failed = |said: String| BenchError::Program { program: "making keys".to_owned(), said };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| BenchError::Start { program: "runtime".to_owned(), source })?;
    let store = Embedded::open(&config, None).map_err(|error| failed(error.to_string()))?;
    let made = runtime.block_on(make(&store, number)).map_err(|error| failed(error.to_string()))?;
    store.close();
    Ok(made)
}

/// Returns a thousand of the keys.
async fn make(store: &Arc<Embedded>, number: u32) -> std::result::Result<Vec<Secret>, StoreError> {
    let step = (number / FEW).max(1);
    let mut making = JoinSet::new();
    let mut kept = Vec::new();
    let mut keep = |made: Option<std::result::Result<Made, tokio::task::JoinError>>| match made {
        Some(Ok(made)) => made.map(|secret| kept.extend(secret)),
        Some(Err(error)) => Err(StoreError::Unavailable(error.to_string())),
        None => Ok(()),
    };
    for place in 0..number {
        if making.len() >= AT_ONCE {
            keep(making.join_next().await)?;
        }
        let store = Arc::clone(store);
        let credits = i64::try_from(CREDITS).map(Credits::whole).ok();
        making.spawn(async move {
            let (_, secret) = store.create(NewKey { credits, ..NewKey::default() }, 0).await?;
            Ok(place.is_multiple_of(step).then_some(secret))
        });
    }
    while !making.is_empty() {
        keep(making.join_next().await)?;
    }
    Ok(kept)
}

fn write_keys(file: &Path, keys: &[Secret]) -> Result<()> {
    let text: Vec<&str> = keys.iter().map(Secret::expose).collect();
    fs::write(file, text.join("\n")).map_err(BenchError::file(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_in_the_store() {
        let folder = std::env::temp_dir().join(format!("btvep-bench-keys-{}", std::process::id()));
        let made = fill(&folder, 2 * FEW).unwrap();
        assert_eq!(made.len(), FEW as usize);
        let config = StateConfig { path: folder.clone(), ..StateConfig::default() };
        let store = Embedded::open(&config, None).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for key in &made {
            runtime.block_on(store.authenticate(key, 1)).unwrap();
        }
        store.close();
        fs::remove_dir_all(folder).unwrap();
    }
}
