use std::collections::HashMap;

use btvep_domain::{Closing, Credits, Hold, KeyEdit, KeyId, Refusal, Settlement};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{AT_MS, Store, claims, secs};

const KEYS: usize = 3;
const STEPS: usize = 400;

/// Random requests, marks, closings, drops and edits; after each step the accounts must add up.
pub(super) async fn run(make: &impl Fn() -> Store) {
    for seed in 0..5 {
        Walk::new(make(), seed).await.run().await;
    }
}

struct Walk {
    store: Store,
    random: StdRng,
    keys: Vec<KeyId>,
    open: Vec<(KeyId, Credits, Box<dyn Hold>, bool)>,
    seed: u64,
}

impl Walk {
    async fn new(store: Store, seed: u64) -> Self {
        let mut keys = Vec::new();
        for _ in 0..KEYS {
            keys.push(store.key(Some(30)).await);
        }
        Self { store, random: StdRng::seed_from_u64(seed), keys, open: Vec::new(), seed }
    }

    async fn run(mut self) {
        for step in 0..STEPS {
            match self.random.random_range(0..10) {
                0..5 => self.admit(step).await,
                5 => self.mark().await,
                6..8 => self.close().await,
                8 => self.abandon().await,
                _ => self.edit().await,
            }
            self.check(step).await;
        }
        while !self.open.is_empty() {
            self.close().await;
        }
        self.check(STEPS).await;
        self.check_ledger().await;
    }

    fn key(&mut self) -> KeyId {
        self.keys[self.random.random_range(0..KEYS)]
    }

    async fn admit(&mut self, step: usize) {
        let mut wanted = claims(&format!("walk-{step}"), self.key());
        wanted.max_choices = self.random.random_range(1..5);
        let held = wanted.price.times(wanted.max_choices);
        let key = wanted.key;
        match self.store.accounts.admit(wanted, secs(1)).await {
            Ok(admission) => self.open.push((key, held, admission.hold, false)),
            Err(Refusal::Credits { needed, available }) => assert!(needed > available),
            Err(other) => panic!("{other}"),
        }
    }

    async fn mark(&mut self) {
        if let Some((_, _, hold, marked)) = self.open.last_mut() {
            hold.mark().await.unwrap();
            *marked = true;
        }
    }

    async fn close(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let place = self.random.random_range(0..self.open.len());
        let (_, most, hold, _) = self.open.swap_remove(place);
        let choices = self.random.random_range(0..6);
        let closed = hold.close(Closing { choices, attempts: 1, at_ms: AT_MS }).await.unwrap();
        assert!(closed.charged <= most && closed.charged <= Credits::whole(1).times(choices));
    }

    async fn abandon(&mut self) {
        if let Some((key, _, hold, _)) = self.open.pop() {
            drop(hold);
            self.store.settle(key).await;
        }
    }

    async fn edit(&mut self) {
        let (key, credits) = (self.key(), self.random.random_range(0..60));
        let edit = KeyEdit { credits: Some(Some(Credits::whole(credits))), ..KeyEdit::default() };
        self.store.keys.edit(key, edit, AT_MS / 1000).await.unwrap();
    }

    async fn check(&self, step: usize) {
        for key in &self.keys {
            let account = self.store.account(*key).await;
            let held: Credits = self.open.iter().filter(|(of, ..)| of == key).map(|(_, held, ..)| *held).sum();
            assert_eq!(account.held, held, "seed {}, step {step}", self.seed);
            assert!(account.credits >= Some(Credits::ZERO), "seed {}, step {step}: {account:?}", self.seed);
        }
    }

    /// Balances are what the ledger sums to, line by line.
    async fn check_ledger(&self) {
        let mut balances: HashMap<KeyId, Credits> = HashMap::new();
        let mut seen = std::collections::HashSet::new();
        for line in self.store.ledger().await {
            let balance = balances.entry(line.key).or_default();
            *balance = balance.minus(line.charged);
            assert_eq!(line.balance, Some(*balance), "seed {}: {line:?}", self.seed);
            assert!(line.settlement == Settlement::Adjusted || line.charged >= Credits::ZERO);
            assert!(seen.insert(line.request_id.clone()), "{} stands twice", line.request_id);
        }
        for key in &self.keys {
            assert_eq!(self.store.account(*key).await.credits, balances.get(key).copied());
        }
    }
}
