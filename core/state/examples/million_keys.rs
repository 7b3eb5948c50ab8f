//! Makes a store of a million keys, opens it again in a fresh process and prints what that costs in memory and time.
//!
//! `cargo run --release -p btvep-state --example million_keys [KEYS]`
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement speaks to a terminal")]

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use btvep_domain::{Credits, Keys, NewKey};
use btvep_state::{Embedded, StateConfig};

const DIRECTORY: &str = "BTVEP_MILLION_DIRECTORY";

fn main() {
    if let Ok(directory) = std::env::var(DIRECTORY) {
        return reopen(Path::new(&directory));
    }
    let keys = std::env::args().nth(1).map_or(1_000_000, |keys| keys.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    make(directory.path(), keys);
    // A process of its own: what making the keys needed is not what keeping them needs.
    let itself = std::env::current_exe().unwrap();
    for _ in 0..3 {
        let status = Command::new(&itself).env(DIRECTORY, directory.path()).env("KEYS", keys.to_string()).status();
        assert!(status.unwrap().success());
    }
}

fn config(path: &Path) -> StateConfig {
    StateConfig { path: path.to_owned(), ..StateConfig::default() }
}

fn make(path: &Path, keys: u64) {
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let store = Embedded::open(&config(path), None).unwrap();
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for place in 0..keys {
            let store = store.clone();
            tasks.spawn(async move {
                let name = Some(format!("customer {place}"));
                let new = NewKey { name, credits: Some(Credits::whole(10)), ..NewKey::default() };
                store.create(new, 1_700_000_000).await.unwrap();
            });
            while tasks.len() >= 4_000 {
                tasks.join_next().await;
            }
        }
        tasks.join_all().await;
    });
    store.close();
    println!("made {keys} keys in {:.1} s", begun.elapsed().as_secs_f64());
}

#[expect(clippy::cast_precision_loss, reason = "shown to people")]
fn reopen(path: &Path) {
    let keys: u64 = std::env::var("KEYS").unwrap().parse().unwrap();
    let (before, begun) = (resident_bytes(), Instant::now());
    let store = Embedded::open(&config(path), None).unwrap();
    let elapsed = begun.elapsed();
    let each = (resident_bytes() - before) as f64 / keys as f64;
    println!("opened {keys} keys in {:.2} s at {each:.0} B each", elapsed.as_secs_f64());
    drop(store);
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
