//! What acts at once, also on requests in flight: banned miners and disabled strategies.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use btvep_domain::{Hotkey, Metagraph};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Places where attempts wait, so that threads seldom meet.
const SHARDS: usize = 16;

/// Who and what is not to be asked: a value, replaced whole.
#[derive(Debug, Default)]
pub struct KillList {
    banned: HashMap<Hotkey, i64>,
    disabled: BTreeSet<Arc<str>>,
    /// For each subnet the newest metagraph without the banned. Only subnets of the configuration have one.
    shown: Mutex<HashMap<Arc<str>, Shown>>,
}

#[derive(Debug)]
struct Shown {
    of: Arc<Metagraph>,
    without: Arc<Metagraph>,
    /// When the first ban lapses, unix seconds.
    until: i64,
}

/// The kill list in force, and those who wait for the next.
#[derive(Debug, Default)]
pub(crate) struct Kills {
    list: ArcSwap<KillList>,
    waiting: [Mutex<Vec<oneshot::Sender<()>>>; SHARDS],
}

impl KillList {
    /// Takes banned hotkeys, each with the unix second when its ban lapses (none: never), and the names of disabled
    /// strategies.
    pub fn new(
        banned: impl IntoIterator<Item = (Hotkey, Option<i64>)>,
        disabled: impl IntoIterator<Item = Arc<str>>,
    ) -> Self {
        let banned = banned.into_iter().map(|(hotkey, until)| (hotkey, until.unwrap_or(i64::MAX))).collect();
        Self { banned, disabled: disabled.into_iter().collect(), shown: Mutex::default() }
    }

    /// Whether a strategy is disabled.
    pub(crate) fn is_disabled(&self, strategy: &str) -> bool {
        self.disabled.contains(strategy)
    }

    /// Whether a miner is banned now.
    pub(crate) fn is_banned(&self, hotkey: &Hotkey) -> bool {
        // The clock is read for listed miners only.
        self.banned.get(hotkey).is_some_and(|until| now() < *until)
    }

    /// Returns the metagraph as strategies see it: banned miners are not in it.
    pub(crate) fn show(&self, subnet: &Arc<str>, metagraph: Arc<Metagraph>) -> Arc<Metagraph> {
        if self.banned.is_empty() { metagraph } else { self.show_at(now(), subnet, metagraph) }
    }

    fn show_at(&self, now: i64, subnet: &Arc<str>, metagraph: Arc<Metagraph>) -> Arc<Metagraph> {
        let mut shown = self.shown.lock();
        if let Some(shown) = shown.get(subnet).filter(|s| Arc::ptr_eq(&s.of, &metagraph) && now < s.until) {
            return Arc::clone(&shown.without);
        }
        let in_force = |until: &&i64| now < **until;
        let until = self.banned.values().filter(in_force).min().copied().unwrap_or(i64::MAX);
        let is_banned = |hotkey: &Hotkey| self.banned.get(hotkey).is_some_and(|until| in_force(&until));
        let without = Arc::new(metagraph.without(|neuron| is_banned(&neuron.hotkey)));
        shown.insert(Arc::clone(subnet), Shown { of: metagraph, without: Arc::clone(&without), until });
        without
    }
}

impl Kills {
    /// Puts another list in force and wakes everyone who waits.
    pub(crate) fn replace(&self, list: Arc<KillList>) {
        self.list.store(list);
        for shard in &self.waiting {
            for waiting in std::mem::take(&mut *shard.lock()) {
                // Whoever has gone has no ear.
                let _ = waiting.send(());
            }
        }
    }

    /// Returns the list in force.
    pub(crate) fn list(&self) -> arc_swap::Guard<Arc<KillList>> {
        self.list.load()
    }

    /// Returns what comes with the next list; `shard` spreads those who wait.
    fn next(&self, shard: u8) -> Option<oneshot::Receiver<()>> {
        let mut waiting = self.waiting.get(usize::from(shard) % SHARDS)?.lock();
        // Those who have gone make room before the place grows; it grows unless they make half of it free, or each newcomer
        // would look at all of them.
        if waiting.len() == waiting.capacity() {
            waiting.retain(|waiting| !waiting.is_closed());
            if waiting.len() > waiting.capacity() / 2 {
                let more = waiting.capacity();
                waiting.reserve(more);
            }
        }
        let (send, next) = oneshot::channel();
        waiting.push(send);
        Some(next)
    }
}

/// Who may be on the list.
#[derive(Clone, Debug)]
pub(crate) enum Suspect {
    Miner(Hotkey),
    Strategy(Arc<str>),
}

/// Tells when somebody is on the list. While the list stays, waiting takes no lock.
#[derive(Debug)]
pub(crate) struct Sentence {
    kills: Arc<Kills>,
    suspect: Suspect,
    shard: u8,
    next: Option<oneshot::Receiver<()>>,
}

impl Sentence {
    pub(crate) fn watch(kills: &Arc<Kills>, suspect: Suspect) -> Self {
        Self { kills: Arc::clone(kills), suspect, shard: rand::random(), next: None }
    }

    /// Returns once the list in force has it.
    pub(crate) async fn falls(&mut self) {
        loop {
            if let Some(next) = &mut self.next {
                // It comes: its sender is kept until then.
                let _ = next.await;
            }
            // In this order: a list that comes in between is not missed.
            self.next = self.kills.next(self.shard);
            let list = self.kills.list.load();
            let has_it = match &self.suspect {
                Suspect::Miner(hotkey) => list.is_banned(hotkey),
                Suspect::Strategy(name) => list.is_disabled(name),
            };
            if has_it {
                return;
            }
        }
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use btvep_domain::Uid;
    use btvep_testkit::{hotkey, neurons};
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_ban_lapses_by_itself_and_a_metagraph_is_sifted_once() {
        let list = KillList::new([(hotkey(0), Some(10)), (hotkey(1), None), (hotkey(9), Some(20))], []);
        let (name, all): (Arc<str>, _) = ("sn1".into(), Arc::new(neurons(4)));
        let show = |now| list.show_at(now, &name, Arc::clone(&all));
        let uids = |now| show(now).neurons().iter().map(|neuron| neuron.uid).collect::<Vec<_>>();
        assert_eq!(uids(9), [Uid(2), Uid(3)]);
        assert_eq!(show(9).by_incentive(), [Uid(3), Uid(2)]);
        assert!(Arc::ptr_eq(&show(9), &show(9)));
        assert_eq!(uids(10), [Uid(0), Uid(2), Uid(3)]);
        assert!(Arc::ptr_eq(&show(10), &show(19)));
        let newer = list.show_at(19, &name, Arc::new(neurons(3)));
        assert_eq!(newer.neurons().len(), 2, "another metagraph is sifted anew");
    }

    #[tokio::test]
    async fn those_who_have_gone_make_room_and_the_others_hear() {
        let kills = Arc::<Kills>::default();
        let suspect = || Suspect::Strategy("top_n".into());
        for _ in 0..10_000 {
            let mut gone = Sentence::watch(&kills, suspect());
            assert!(gone.falls().now_or_never().is_none());
        }
        let places: usize = kills.waiting.iter().map(|shard| shard.lock().capacity()).sum();
        assert!(places <= 8 * SHARDS, "{places} places");
        let mut sentence = Sentence::watch(&kills, suspect());
        assert!(sentence.falls().now_or_never().is_none());
        kills.replace(Arc::new(KillList::new([], ["uids".into()])));
        assert!(sentence.falls().now_or_never().is_none(), "another strategy");
        kills.replace(Arc::new(KillList::new([], ["top_n".into()])));
        sentence.falls().await;
    }
}
