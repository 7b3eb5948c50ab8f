use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use btvep_engine::Serve;
use btvep_protocol::surface::LimitsConfig;
use parking_lot::Mutex;
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use prometheus::Registry;

use crate::admin::Admin;
use crate::api::{Api, Shared};
use crate::bind::{Bound, bind};
use crate::door::Door;
use crate::front::Front;
use crate::metrics::Metrics;
use crate::shutdown::{Drain, Hook, Watch};
use crate::tls::{Certificate, CertificateError};
use crate::{ListenConfig, Probes, Settings, Stopper};

/// What the gateway runs with.
#[derive(Clone, Debug, Default)]
pub struct GatewayConfig {
    /// Where it listens.
    pub listen: ListenConfig,
    /// What one request may ask for.
    pub limits: LimitsConfig,
}

/// The gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// An address is taken, or not ours.
    #[error("cannot listen on {address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A metric's name is taken.
    #[error("cannot register the gateway's metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// Pingora refuses its settings.
    #[error("cannot prepare the listener: {0}")]
    Pingora(Box<pingora::Error>),
}

/// Bound listeners, ready to run.
pub struct Gateway {
    shared: Arc<Shared>,
    /// As at the start: what it says of sockets and threads stays.
    listen: ListenConfig,
    public: TcpListener,
    admin: TcpListener,
    certificate: Option<Arc<Certificate>>,
    stopper: Stopper,
    hook: Option<Hook>,
}

impl Gateway {
    /// Binds both listeners and reads the certificate; nobody is served yet.
    ///
    /// # Errors
    ///
    /// A port is taken, the certificate cannot be used, or a metric is registered twice.
    pub fn new(
        config: GatewayConfig,
        serve: Arc<dyn Serve>,
        probes: Arc<dyn Probes>,
        registry: &Registry,
    ) -> Result<Self, GatewayError> {
        let certificate = config.listen.tls.as_ref().map(Certificate::load).transpose()?;
        let (public, admin) = (bind(config.listen.public)?, bind(config.listen.admin)?);
        let metrics = Metrics::new(registry)?;
        let listen = config.listen.clone();
        let settings = Settings::new(config);
        let shared = Arc::new(Shared { settings, serve, probes, metrics, drain: Arc::new(Drain::default()) });
        Ok(Self { shared, listen, public, admin, certificate, stopper: Stopper::default(), hook: None })
    }

    /// Returns the address of the API; tells the port when port 0 was asked for.
    pub fn public_address(&self) -> SocketAddr {
        self.public.local_addr().unwrap_or(self.listen.public)
    }

    /// Returns the address of metrics and health.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.local_addr().unwrap_or(self.listen.admin)
    }

    /// Returns the settings, to be replaced while the gateway runs.
    pub fn settings(&self) -> Settings {
        self.shared.settings.clone()
    }

    /// Returns the certificate, to be replaced while the gateway runs; none without TLS.
    pub fn certificate(&self) -> Option<Arc<Certificate>> {
        self.certificate.clone()
    }

    /// Returns what stops the gateway.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Sets what is done once when the drain begins.
    pub fn on_drain(&mut self, hook: impl FnOnce() + Send + 'static) {
        self.hook = Some(Box::new(hook));
    }

    /// Serves until SIGTERM or SIGINT, then answers what is in flight. Returns when all is done, or `drain` is over.
    ///
    /// Without `work_stealing` a process runs one gateway in its life: Pingora's runtimes of that kind are found by
    /// thread, and a later thread may be taken for one that has ended.
    ///
    /// # Errors
    ///
    /// The listeners cannot be prepared.
    pub fn run(self) -> Result<(), GatewayError> {
        self.serve(true)
    }

    /// Serves until the [`Stopper`] says so; signals do not count.
    ///
    /// # Errors
    ///
    /// The listeners cannot be prepared.
    pub fn run_until_stopped(self) -> Result<(), GatewayError> {
        self.serve(false)
    }

    fn serve(mut self, signals: bool) -> Result<(), GatewayError> {
        let listen = &self.listen;
        let conf = ServerConf {
            threads: listen.thread_count(),
            work_stealing: listen.work_stealing,
            // The gateway calls nobody. Pingora would read every certificate of the machine for that, and panic on a
            // machine without any.
            ca_file: Some("/dev/null".to_owned()),
            // The drain is ours; there is nothing to wait for after it.
            grace_period_seconds: Some(0),
            graceful_shutdown_timeout_seconds: Some(1),
            ..ServerConf::default()
        };
        let watch = Watch {
            drain: self.shared.drain.clone(),
            serve: self.shared.serve.clone(),
            settings: self.shared.settings.clone(),
            stopper: self.stopper.clone(),
            signals,
            hook: Mutex::new(self.hook.take()),
        };
        let mut server = Server::new_with_opt_and_conf(None, conf);
        server.bootstrap();
        self.add_services(&mut server)?;
        server.run(RunArgs { shutdown_signal: Box::new(watch) });
        Ok(())
    }

    fn add_services(self, server: &mut Server) -> Result<(), GatewayError> {
        let address = self.public_address();
        let refuse = |error| GatewayError::Bind { address, error };
        let threads = server.configuration.threads;
        let proxy = Arc::new(http_proxy(&server.configuration, Api(self.shared.clone())));
        // Either one service whose threads share their work, or a service of its own for each thread.
        let (services, each) = if self.listen.work_stealing { (1, threads) } else { (threads, 1) };
        for nth in 0..services {
            let socket = self.public.try_clone().map_err(refuse)?;
            let tls = self.certificate.as_ref().map(Certificate::settings).transpose()?;
            let front = Front::new(proxy.clone(), self.shared.clone(), &self.listen);
            let door = Door::new(front, self.shared.clone());
            server.add_service(Bound::new(format!("api-{nth}"), door, socket, tls).threads(each));
        }
        server.add_service(Bound::new("admin".to_owned(), Admin(self.shared), self.admin, None).threads(1));
        Ok(())
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("public", &self.public).field("admin", &self.admin).finish_non_exhaustive()
    }
}
