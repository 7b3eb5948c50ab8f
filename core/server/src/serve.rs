//! A running server: store, engine, gateway and control plane, from start to the end of the drain.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use btvep_control::{AdminSocket, Control, router};
use btvep_engine::dispatch::Dispatcher;
use btvep_engine::{Engine, EngineMetrics};
use btvep_gateway::Gateway;
use prometheus::Registry;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tracing::{error, info};

use crate::assemble::{self, Built, Parts, ServiceMiners, ServicePolicies};
use crate::config::Loaded;
use crate::demo::{DemoKey, demo_key};
use crate::logging::Level;
use crate::probes::ServerProbes;
use crate::reload::{self, Hangups, Live, Reloader, Running, Watching};
use crate::store::{self, Store};

/// Why a server does not start; a sentence for the operator.
pub(crate) type StartError = Box<dyn std::error::Error>;

/// A server that is bound and serves nobody yet.
#[derive(Debug)]
pub(crate) struct Server {
    gateway: Gateway,
    control: ControlPlane,
    store: Store,
    /// Runs what the store does beside its own threads.
    runtime: Runtime,
    watching: Watching,
    /// The key to try it with, in development.
    pub(crate) demo: Option<DemoKey>,
}

impl Server {
    /// Does everything up to listening; `origin` is where a reload finds the configuration: its file, and `--set`.
    ///
    /// # Errors
    ///
    /// What a start fails at, in the operator's words.
    pub(crate) fn prepare(origin: (PathBuf, Vec<String>), loaded: Loaded, level: Level) -> Result<Self, StartError> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("control").enable_all().build()?;
        let hangups = Hangups::listen(&runtime)?;
        store::check_writable(&loaded)?;
        let store = store::open(&loaded)?;
        let mut parts = Parts::new(store.clone());
        let Built { service, files } = assemble::build(&loaded, &mut parts)?;
        let registry = Registry::new();
        let dispatcher = Dispatcher::new();
        let metrics = Arc::new(EngineMetrics::new(&registry)?);
        let engine = Engine::new(service, Arc::clone(&dispatcher), metrics);
        let probes = ServerProbes { engine: Arc::clone(&engine), dispatcher, registry: registry.clone() };
        let gateway = Gateway::new(reload::gateway(&loaded), Arc::clone(&engine) as _, Arc::new(probes), &registry)?;
        let state = loaded.state_path();
        let demo = loaded.config.dev.then(|| runtime.block_on(demo_key(&store, &state, now()))).transpose()?;
        let live = Live {
            engine: Arc::clone(&engine),
            settings: gateway.settings(),
            certificate: gateway.certificate(),
            level,
        };
        let reloader = Arc::new(Reloader::new(origin, live, Running::new(loaded, files, parts), &registry)?);
        hangups.follow(&runtime, &reloader);
        let watching = Watching::start(Arc::clone(&reloader))?;
        let control = control(&store, engine, reloader);
        let control = ControlPlane::start(&runtime, AdminSocket::bind(&state)?, control);
        Ok(Self { gateway, control, store, runtime, watching, demo })
    }

    /// Returns the address of the API.
    pub(crate) fn public(&self) -> SocketAddr {
        self.gateway.public_address()
    }

    /// Returns the address of metrics and health.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.gateway.admin_address()
    }

    /// Serves until the process is told to stop and what is in flight has been answered.
    ///
    /// # Errors
    ///
    /// The listeners cannot be prepared.
    pub(crate) fn run(self) -> Result<(), StartError> {
        let Self { gateway, control, store, runtime, watching, .. } = self;
        info!(public = %gateway.public_address(), admin = %gateway.admin_address(), "serving");
        gateway.run()?;
        drop(watching);
        control.stop(&runtime);
        flush(&runtime, &store);
        store.close();
        info!("stopped");
        Ok(())
    }
}

fn flush(runtime: &Runtime, store: &Store) {
    if let Err(error) = runtime.block_on(store.logs.flush()) {
        error!(error = %error, "the last rows of the request log were not written");
    }
}

fn control(store: &Store, engine: Arc<Engine>, config: Arc<Reloader>) -> Control {
    Control {
        keys: Arc::clone(&store.keys),
        accounts: Arc::clone(&store.accounts),
        logs: Arc::clone(&store.logs),
        miners: Arc::new(ServiceMiners(Arc::clone(&engine))),
        policy: Arc::new(ServicePolicies(engine)),
        config,
        version: env!("CARGO_PKG_VERSION"),
    }
}

/// The admin socket being served.
#[derive(Debug)]
struct ControlPlane {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl ControlPlane {
    fn start(runtime: &Runtime, socket: AdminSocket, control: Control) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let task = runtime.spawn(async move {
            tokio::select! {
                served = socket.serve(router(control)) => {
                    if let Err(error) = served {
                        error!(error = %error, "the admin socket ended; the command line cannot reach this server");
                    }
                }
                _ = stopped => {}
            }
        });
        Self { stop, task }
    }

    /// Removes the socket before the store is closed: whoever comes now opens the store himself.
    fn stop(self, runtime: &Runtime) {
        drop(self.stop);
        if let Err(error) = runtime.block_on(self.task) {
            error!(error = %error, "the admin socket's task failed");
        }
    }
}

/// Returns unix seconds.
fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}
