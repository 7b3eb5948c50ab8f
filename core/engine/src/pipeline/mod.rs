//! The life of a request: way in, plan, admission, miners, account closed, way out.
//!
//! `journey` is the order of events; the other files are its steps, in the order they happen.

mod admit;
mod explain;
mod journey;
mod metrics;
mod select;
mod standing;
mod streamed;
mod way_in;
mod way_out;
mod whole;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use btvep_domain::{Credential, Rejection};
use tokio::sync::oneshot;

use crate::dispatch::Dispatcher;
use crate::{COPIES, Connection, Incoming, Load, Place, Reply, Serve, Service};
use journey::Journey;
pub use metrics::EngineMetrics;

/// Takes requests through the pipeline, each as a task of its own on the thread that received it.
pub struct Engine {
    service: ArcSwap<Service>,
    dispatcher: Arc<Dispatcher>,
    metrics: Arc<EngineMetrics>,
    in_flight: Arc<AtomicUsize>,
    /// Zero of the monotonic times that accounts see.
    zero: Instant,
}

impl Engine {
    /// Makes an engine that serves by `service` until it is replaced.
    pub fn new(service: Service, dispatcher: Arc<Dispatcher>, metrics: Arc<EngineMetrics>) -> Arc<Self> {
        dispatcher.kill(Arc::clone(&service.kill_list));
        let service = ArcSwap::from_pointee(service);
        Arc::new(Self { service, dispatcher, metrics, in_flight: Arc::default(), zero: Instant::now() })
    }

    /// Serves new requests by another service; requests in flight keep theirs, but for its kill list.
    pub fn replace(&self, service: Service) {
        let kill_list = Arc::clone(&service.kill_list);
        self.service.store(Arc::new(service));
        self.dispatcher.kill(kill_list);
    }

    /// Returns what counts the requests in flight.
    pub fn load(&self) -> &Load {
        self.metrics.load()
    }

    /// Returns the service that new requests get.
    pub fn service(&self) -> Arc<Service> {
        self.service.load_full()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

/// Counts a request from its arrival until its task has ended, however it ends.
struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    fn enter(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Serve for Engine {
    fn enter<'a>(
        &'a self,
        credential: &'a Credential,
        now_ms: i64,
        bytes: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<Place>, Rejection>> + Send + 'a>> {
        let service = self.service();
        Box::pin(async move {
            // Who cannot be told who he is counts as a stranger; `auth` will say why.
            let key = match credential.presented() {
                Ok(presented) => service.keys.authenticate(presented, now_ms.div_euclid(1000)).await.ok(),
                Err(_) => None,
            };
            let bytes = bytes.saturating_mul(COPIES);
            Ok(self.metrics.load().enter(key.map(|key| key.id), bytes, &service.overload)?)
        })
    }

    fn connect(&self, most: usize) -> Option<Connection> {
        self.load().connect(self.service.load().overload.connections.min(most))
    }

    fn serve(&self, incoming: Incoming) -> oneshot::Receiver<Reply> {
        let (reply, pending) = oneshot::channel();
        let here = InFlight::enter(&self.in_flight);
        // Rates are counted from now, when all of the request is here: dated by its head, a body that was held back
        // would be admitted in a window long past.
        let received_at = self.zero.elapsed();
        let dispatcher = Arc::clone(&self.dispatcher);
        let journey = Journey::new(self.service(), dispatcher, Arc::clone(&self.metrics), (incoming, received_at));
        // Boxed: a task is moved three times until it runs, and this one is some kilobytes.
        tokio::spawn(Box::pin(async move {
            let _here = here;
            journey.run(reply).await;
        }));
        pending
    }

    fn models(&self) -> Vec<(Arc<str>, i64)> {
        self.service.load().listed()
    }

    fn authenticate(
        &self,
        credential: Credential,
        now_ms: i64,
    ) -> Pin<Box<dyn Future<Output = Result<(), Rejection>> + Send + '_>> {
        let service = self.service();
        Box::pin(async move {
            service.keys.authenticate(credential.presented()?, now_ms.div_euclid(1000)).await?;
            Ok(())
        })
    }

    fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}
