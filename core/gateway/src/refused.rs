use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use btvep_domain::Credential;

/// Who was turned away on a connection because too much was in flight, and until when he was asked to wait.
///
/// A client that comes back at once, on the same connection, would cost the server what it needs for those it serves:
/// it is held until its time has come. Another key on that connection, behind a proxy's pool, is not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    who: u64,
    until: Instant,
}

impl Refused {
    /// Notes that a client was told to come back after `wait`.
    pub(crate) fn new(credential: &Credential, wait: Duration) -> Self {
        Self { who: fingerprint(credential), until: Instant::now() + wait }
    }

    /// Returns how long a client has still to wait, if it is the one that was refused.
    pub(crate) fn left(&self, credential: &Credential) -> Option<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        (!left.is_zero() && self.who == fingerprint(credential)).then_some(left)
    }
}

/// Tells credentials apart without keeping them.
fn fingerprint(credential: &Credential) -> u64 {
    static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    match credential {
        Credential::Missing => 0,
        Credential::WrongScheme => 1,
        Credential::Key(key) => STATE.hash_one(key.expose()),
    }
}

#[cfg(test)]
mod tests {
    use btvep_domain::Secret;

    use super::*;

    #[test]
    fn only_who_was_refused_has_to_wait() {
        let (one, two) = (Credential::Key(Secret::new("one")), Credential::Key(Secret::new("two")));
        let refused = Refused::new(&one, Duration::from_mins(1));
        assert!(refused.left(&one).is_some_and(|left| left > Duration::from_secs(50)));
        assert_eq!(refused.left(&two), None);
        assert_eq!(refused.left(&Credential::Missing), None);
        assert_eq!(Refused::new(&one, Duration::ZERO).left(&one), None, "its time has come");
    }
}
