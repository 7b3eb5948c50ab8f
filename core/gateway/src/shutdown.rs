use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use btvep_engine::Serve;
use parking_lot::Mutex;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use crate::Settings;

/// How often a drain looks whether all is answered.
const LOOK: Duration = Duration::from_millis(10);

/// What HTTP/2 has still in its own buffers when the last request has ended.
const LINGER: Duration = Duration::from_millis(100);

/// Whether the server is stopping, and what it still does.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    draining: AtomicBool,
    closing: AtomicBool,
    requests: AtomicUsize,
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Drain>);

impl Drain {
    pub(crate) fn enter(self: &Arc<Self>) -> InFlight {
        self.requests.fetch_add(1, Ordering::AcqRel);
        InFlight(self.clone())
    }

    /// Whether the server has been asked to stop.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether new prompts are refused: balancers have had time to notice, and what is begun now might not end.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Stops a running gateway, as SIGTERM does.
#[derive(Clone, Debug, Default)]
pub struct Stopper(Arc<Notify>);

impl Stopper {
    /// Begins the drain; a second call ends it.
    pub fn stop(&self) {
        self.0.notify_one();
    }
}

/// Called once, when the drain begins.
pub(crate) type Hook = Box<dyn FnOnce() + Send>;

/// Waits for the end, and before it for the requests in flight.
///
/// Pingora alone would sleep its whole grace period, however little there is to wait for.
pub(crate) struct Watch {
    pub(crate) drain: Arc<Drain>,
    pub(crate) serve: Arc<dyn Serve>,
    pub(crate) settings: Settings,
    pub(crate) stopper: Stopper,
    /// Whether the process's signals count; not so where several gateways live in one process.
    pub(crate) signals: bool,
    pub(crate) hook: Mutex<Option<Hook>>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("drain", &self.drain).finish_non_exhaustive()
    }
}

#[async_trait]
impl ShutdownSignalWatch for Watch {
    async fn recv(&self) -> ShutdownSignal {
        let mut signals = Signals::listen(self.signals);
        self.asked(&mut signals).await;
        let limit = self.settings.now().listen.drain;
        tracing::info!(in_flight = self.in_flight(), ?limit, "stopping: answering what is in flight");
        self.drain.draining.store(true, Ordering::Release);
        if let Some(hook) = self.hook.lock().take() {
            hook();
        }
        let begun = Instant::now();
        tokio::select! {
            biased;
            () = self.idle(begun, limit) => sleep(LINGER).await,
            () = self.asked(&mut signals) => {
                tracing::warn!(in_flight = self.in_flight(), "stopping at once: asked a second time");
                return ShutdownSignal::FastShutdown;
            }
        }
        ShutdownSignal::GracefulTerminate
    }
}

impl Watch {
    fn in_flight(&self) -> usize {
        self.drain.requests.load(Ordering::Acquire).max(self.serve.in_flight())
    }

    /// Waits for SIGTERM, SIGINT or the stopper. SIGQUIT is Pingora's word for handing the listeners over, which
    /// needs somebody who takes them.
    async fn asked(&self, signals: &mut Signals) {
        loop {
            tokio::select! {
                () = self.stopper.0.notified() => return,
                () = received(&mut signals.terminate) => return,
                () = received(&mut signals.interrupt) => return,
                () = received(&mut signals.quit) => {
                    tracing::warn!("SIGQUIT is ignored: nobody is there to take the listeners; send SIGTERM to stop");
                }
            }
        }
    }

    async fn idle(&self, begun: Instant, limit: Duration) {
        let end = begun + limit;
        let waiting = async {
            while self.in_flight() > 0 {
                if begun.elapsed() * 2 > limit {
                    self.drain.closing.store(true, Ordering::Release);
                }
                sleep(LOOK).await;
            }
        };
        if timeout_at(end, waiting).await.is_err() {
            tracing::warn!(in_flight = self.in_flight(), "stopping: requests are cut off, the drain took too long");
        }
    }
}

#[derive(Default)]
struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
    quit: Option<Signal>,
}

impl Signals {
    fn listen(wanted: bool) -> Self {
        let listen = |kind| match signal(kind) {
            Ok(signal) => Some(signal),
            Err(error) => {
                tracing::error!(%error, "a signal cannot be listened to");
                None
            }
        };
        if !wanted {
            return Self::default();
        }
        Self {
            terminate: listen(SignalKind::terminate()),
            interrupt: listen(SignalKind::interrupt()),
            quit: listen(SignalKind::quit()),
        }
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
