//! A process with many requests in flight is killed again and again; what it had acknowledged must be on disk.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails where it cannot go on, and its child speaks to it over standard output"
)]

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{Accounts, ChargeRecord, Claims, Closing, Credits, KeyId, Keys, NewKey, Settlement};
use btvep_state::{Embedded, StateConfig};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;

const STORES: u64 = 10;
const ROUNDS: u64 = 5;
const KEYS: usize = 8;
/// Requests that end as fast as they can, and requests that stay open while others end.
const FAST: u64 = 24;
const SLOW: u64 = 64;
const DIRECTORY: &str = "BTVEP_KILL9_DIRECTORY";
const SEED: &str = "BTVEP_KILL9_SEED";

#[test]
fn acknowledged_charges_survive_kill_9() {
    std::thread::scope(|scope| {
        for lane in 0..5 {
            scope.spawn(move || (0..STORES).filter(|store| store % 5 == lane).for_each(one_store));
        }
    });
}

/// Does nothing unless the test above starts it as a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_that_is_killed() {
    if let Ok(directory) = std::env::var(DIRECTORY) {
        let seed = std::env::var(SEED).unwrap().parse().unwrap();
        work(Path::new(&directory), seed).await;
    }
}

fn config(path: &Path) -> StateConfig {
    StateConfig { path: path.to_owned(), ..StateConfig::default() }
}

/// What the processes of one store have said, over all rounds.
#[derive(Default)]
struct Heard {
    opened: HashSet<String>,
    marked: HashSet<String>,
    charged: HashMap<String, i64>,
}

fn one_store(store: u64) {
    let directory = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(store);
    let mut heard = Heard::default();
    for round in 0..ROUNDS {
        let seed = store * ROUNDS + round;
        let before = heard.opened.len() - heard.charged.len();
        kill_after(random.random_range(1..1_500), start(directory.path(), seed), &mut heard);
        let in_flight = heard.opened.len() - heard.charged.len() - before;
        assert!(in_flight >= 50, "only {in_flight} requests were in flight (seed {seed})");
        let first = read(directory.path());
        check(&first, &heard, seed);
        assert_eq!(read(directory.path()).0, first.0, "opening again settled something twice (seed {seed})");
    }
}

fn start(directory: &Path, seed: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["the_process_that_is_killed", "--exact", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads what the process says and kills it once it has acknowledged so many closings.
fn kill_after(acknowledged: u32, mut child: Child, heard: &mut Heard) {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let (mut line, mut seen) = (String::new(), 0);
    while lines.read_line(&mut line).unwrap() > 0 {
        // The last line may be torn: nobody was told anything by it.
        if let Some(whole) = line.strip_suffix('\n') {
            let mut words = whole.split(' ');
            match (words.next(), words.next(), words.next()) {
                (Some("OPENED"), Some(id), _) => drop(heard.opened.insert(id.to_owned())),
                (Some("DROPPED"), Some(id), _) => drop(heard.opened.remove(id)),
                (Some("MARKED"), Some(id), _) => drop(heard.marked.insert(id.to_owned())),
                (Some("CHARGED"), Some(id), Some(amount)) => {
                    heard.charged.insert(id.to_owned(), amount.parse().unwrap());
                    seen += 1;
                    if seen == acknowledged {
                        child.kill().unwrap();
                    }
                }
                _ => {}
            }
        }
        line.clear();
    }
    child.wait().unwrap();
    assert!(seen >= acknowledged, "the process ended by itself");
}

/// Opens the store as the next process would; returns its ledger and balances.
fn read(directory: &Path) -> (Vec<ChargeRecord>, HashMap<KeyId, Credits>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = Embedded::open(&config(directory), None).unwrap();
    runtime.block_on(async {
        let (mut records, mut from) = (Vec::new(), None);
        loop {
            let page = store.ledger(from, 1_000).await.unwrap();
            records.extend(page.records);
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        let mut balances = HashMap::new();
        for key in store.list(None, 100).await.unwrap() {
            let account = store.account(key.id).await.unwrap().unwrap();
            assert_eq!(account.held, Credits::ZERO);
            balances.insert(key.id, account.credits.unwrap());
        }
        (records, balances)
    })
}

fn check((records, balances): &(Vec<ChargeRecord>, HashMap<KeyId, Credits>), heard: &Heard, seed: u64) {
    let mut by_id = HashMap::new();
    let mut left: HashMap<KeyId, Credits> = HashMap::new();
    for record in records {
        assert!(by_id.insert(&*record.request_id, record).is_none(), "{} twice (seed {seed})", record.request_id);
        let balance = left.entry(record.key).or_default();
        *balance = balance.minus(record.charged);
        assert!(*balance >= Credits::ZERO, "below zero (seed {seed}): {record:?}");
    }
    assert_eq!(&left, balances, "balances are not what was granted less what was charged (seed {seed})");
    for (id, charged) in &heard.charged {
        let record = by_id.get(&**id).unwrap_or_else(|| panic!("{id} was acknowledged and is lost (seed {seed})"));
        assert_eq!((record.charged, record.settlement), (Credits(*charged), Settlement::Closed), "seed {seed}");
    }
    for id in heard.marked.iter().filter(|id| !heard.charged.contains_key(*id)) {
        let record = by_id.get(&**id).unwrap_or_else(|| panic!("the mark of {id} is lost (seed {seed})"));
        if record.settlement == Settlement::Recovered {
            assert_eq!(record.charged, Credits::whole(1), "seed {seed}");
        }
    }
}

fn say(words: &str) {
    println!("{words}");
}

/// Asks, marks and closes until it is killed.
async fn work(directory: &Path, seed: u64) {
    let store = Embedded::open(&config(directory), None).unwrap();
    let mut keys: Vec<_> = store.list(None, 100).await.unwrap().iter().map(|key| key.id).collect();
    while keys.len() < KEYS {
        // Two keys run dry, so that refusals are among the requests.
        let credits = if keys.len() < 2 { 300 } else { 1_000_000 };
        let new = NewKey { credits: Some(Credits::whole(credits)), ..NewKey::default() };
        keys.push(store.create(new, 0).await.unwrap().0.id);
    }
    let (progress, _) = watch::channel(0_u64);
    let (progress, keys) = (Arc::new(progress), Arc::new(keys));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..FAST + SLOW {
        let worker = Worker {
            store: Arc::clone(&store),
            keys: Arc::clone(&keys),
            progress: Arc::clone(&progress),
            random: StdRng::seed_from_u64(seed << 16 | task),
            name: format!("{seed}-{task}"),
        };
        tasks.spawn(worker.run(task >= FAST));
    }
    tasks.join_all().await;
}

struct Worker {
    store: Arc<Embedded>,
    keys: Arc<Vec<KeyId>>,
    progress: Arc<watch::Sender<u64>>,
    random: StdRng,
    name: String,
}

impl Worker {
    async fn run(mut self, slow: bool) {
        for number in 0_u64.. {
            let request_id = format!("{}-{number}", self.name);
            let claims = Claims {
                request_id: request_id.as_str().into(),
                key: self.keys[self.random.random_range(0..KEYS)],
                price: Credits::whole(1),
                metered: true,
                max_choices: 2,
                max_attempts: 2,
                rules: Arc::new([]),
                attempts: None,
                concurrency: None,
                at_ms: 0,
            };
            let Ok(admission) = self.store.admit(claims, Duration::from_secs(1)).await else { continue };
            let mut hold = admission.hold;
            say(&format!("OPENED {request_id}"));
            if slow || self.random.random() {
                hold.mark().await.unwrap();
                say(&format!("MARKED {request_id}"));
            }
            if slow {
                let until = *self.progress.borrow() + self.random.random_range(50..500);
                self.progress.subscribe().wait_for(|ended| *ended >= until).await.unwrap();
            }
            if self.random.random_ratio(1, 16) {
                drop(hold);
                say(&format!("DROPPED {request_id}"));
                continue;
            }
            let choices = self.random.random_range(0..3);
            let closed = hold.close(Closing { choices, attempts: 2, at_ms: 1 }).await.unwrap();
            say(&format!("CHARGED {request_id} {}", closed.charged.0));
            self.progress.send_modify(|ended| *ended += 1);
        }
    }
}
