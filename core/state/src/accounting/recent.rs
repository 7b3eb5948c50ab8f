use std::collections::{HashSet, VecDeque};

/// How many charge records a new one is compared with.
pub(crate) const REMEMBERED: usize = 1 << 16;

/// The requests charged last, so that none is charged twice: a retried closing comes within minutes, not within
/// 65,536 charges. Sixteen bytes each.
#[derive(Debug)]
pub(crate) struct RecentIds {
    known: HashSet<u128, ahash::RandomState>,
    order: VecDeque<u128>,
    halves: [ahash::RandomState; 2],
}

impl Default for RecentIds {
    fn default() -> Self {
        let halves = [ahash::RandomState::new(), ahash::RandomState::new()];
        Self { known: HashSet::default(), order: VecDeque::new(), halves }
    }
}

impl RecentIds {
    pub(crate) fn contains(&self, request_id: &str) -> bool {
        self.known.contains(&self.hash(request_id))
    }

    /// Remembers a request; false if it is known.
    pub(crate) fn insert(&mut self, request_id: &str) -> bool {
        let hash = self.hash(request_id);
        if !self.known.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    fn hash(&self, request_id: &str) -> u128 {
        let [high, low] = self.halves.each_ref().map(|half| u128::from(half.hash_one(request_id)));
        (high << 64) | low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_and_memory_is_bounded() {
        let mut recent = RecentIds::default();
        for place in 0..=REMEMBERED {
            assert!(recent.insert(&place.to_string()));
            assert!(!recent.insert(&place.to_string()));
        }
        assert!(!recent.contains("0"));
        assert!(recent.contains("1"));
        assert_eq!(recent.known.len(), REMEMBERED);
    }
}
