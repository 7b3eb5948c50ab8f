use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// Prompts that may wait for a lane of one miner; beyond, waiting is hopeless.
const MAX_WAITING: usize = 1_024;

/// The lanes to one miner. Each owns a uuid and carries one request at a time, so that the nonces a miner sees under
/// one uuid rise; together they are the most that one miner works on.
#[derive(Debug)]
pub(super) struct Lanes {
    /// One for each free lane; whoever waited longest is served first.
    free: Semaphore,
    waiting: AtomicUsize,
    pool: Mutex<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    /// Lanes there are, free or busy.
    size: usize,
    /// Of the free ones; a lane gets its uuid when it is first used.
    uuids: Vec<Arc<str>>,
}

/// A lane taken; given back when dropped. Whatever it carried is then answered or cut, and a later nonce is larger.
#[derive(Debug)]
pub(super) struct Lane {
    lanes: Arc<Lanes>,
    uuid: Arc<str>,
}

/// No lane became free in time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AllBusy;

impl Default for Lanes {
    fn default() -> Self {
        Self { free: Semaphore::new(0), waiting: AtomicUsize::new(0), pool: Mutex::default() }
    }
}

impl Lanes {
    /// Takes a free lane of `size`, first come, first served.
    pub(super) async fn take(self: &Arc<Self>, size: u16, until: Instant) -> Result<Lane, AllBusy> {
        self.resize(usize::from(size.max(1)));
        if let Ok(permit) = self.free.try_acquire() {
            permit.forget();
            return Ok(self.lane());
        }
        let _waiting = Waiting::enter(&self.waiting).ok_or(AllBusy)?;
        let permit = timeout_at(until, self.free.acquire()).await.map_err(|_| AllBusy)?.map_err(|_| AllBusy)?;
        permit.forget();
        Ok(self.lane())
    }

    /// Follows the configuration; a busy lane that is one too many goes when it is given back.
    fn resize(&self, size: usize) {
        let mut pool = self.pool.lock();
        if pool.size < size {
            self.free.add_permits(size - pool.size);
            pool.size = size;
        } else if pool.size > size {
            pool.size -= self.free.forget_permits(pool.size - size);
        }
    }

    fn lane(self: &Arc<Self>) -> Lane {
        let uuid = self.pool.lock().uuids.pop();
        Lane { lanes: Arc::clone(self), uuid: uuid.unwrap_or_else(super::stamp::fresh_uuid) }
    }
}

impl Lane {
    pub(super) const fn uuid(&self) -> &Arc<str> {
        &self.uuid
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let uuid = std::mem::replace(&mut self.uuid, super::stamp::no_lane());
        self.lanes.pool.lock().uuids.push(uuid);
        self.lanes.free.add_permits(1);
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Option<Self> {
        let entered = Self(count);
        (count.fetch_add(1, Ordering::Relaxed) < MAX_WAITING).then_some(entered)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_carries_one_at_a_time_and_keeps_its_uuid() {
        let lanes = Arc::<Lanes>::default();
        let (one, two) = (lanes.take(2, soon()).await.unwrap(), lanes.take(2, soon()).await.unwrap());
        assert_ne!(one.uuid(), two.uuid());
        assert_eq!(lanes.take(2, soon()).await.unwrap_err(), AllBusy);
        let uuid = Arc::clone(one.uuid());
        drop(one);
        assert_eq!(lanes.take(2, soon()).await.unwrap().uuid(), &uuid);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waited_longest_is_served_first() {
        let lanes = Arc::<Lanes>::default();
        let lane = lanes.take(1, soon()).await.unwrap();
        let mut first = Box::pin(lanes.take(1, soon()));
        let mut second = Box::pin(lanes.take(1, soon()));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        drop(lane);
        assert!(second.as_mut().now_or_never().is_none());
        let got = first.as_mut().now_or_never().unwrap().unwrap();
        drop(got);
        assert!(second.as_mut().now_or_never().unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_lanes_follows_the_configuration() {
        let lanes = Arc::<Lanes>::default();
        let held: Vec<_> = [lanes.take(1, soon()).await.unwrap(), lanes.take(3, soon()).await.unwrap()].into();
        let third = lanes.take(3, soon()).await.unwrap();
        assert!(lanes.take(3, soon()).await.is_err());
        drop(held);
        assert!(lanes.take(1, soon()).await.is_err(), "the third is still busy");
        drop(third);
        let only = lanes.take(1, soon()).await.unwrap();
        assert!(lanes.take(1, soon()).await.is_err());
        drop(only);
        assert_eq!(lanes.pool.lock().size, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_bounded() {
        let lanes = Arc::<Lanes>::default();
        let lane = lanes.take(1, soon()).await.unwrap();
        let mut queue: Vec<_> = (0..MAX_WAITING).map(|_| Box::pin(lanes.take(1, soon()))).collect();
        for waiting in &mut queue {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        assert_eq!(lanes.take(1, soon()).now_or_never().unwrap().unwrap_err(), AllBusy);
        drop(queue);
        drop(lane);
        assert!(lanes.take(1, soon()).now_or_never().unwrap().is_ok());
    }
}
