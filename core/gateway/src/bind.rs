use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora_core::apps::ServerApp;
use pingora_core::listeners::tls::TlsSettings;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig};
use pingora_core::server::{Fds, ListenFds, ShutdownWatch};
use pingora_core::services::Service;
use pingora_core::services::listening::Service as Listening;

use crate::GatewayError;

/// What is read of a connection at once; Pingora's 64 KiB would be most of an idle connection's memory.
const READ: usize = 16 * 1024;

/// What is gathered of an answer before it is sent. Head and body of an answer without a stream fit, so that they leave
/// in one piece; every event of a stream is flushed.
const WRITE: usize = 8 * 1024;

/// Binds an address before anything is started, so that a taken port is an error and not a panic later.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, GatewayError> {
    let refuse = |error| GatewayError::Bind { address, error };
    let listener = TcpListener::bind(address).map_err(refuse)?;
    listener.set_nonblocking(true).map_err(refuse)?;
    Ok(listener)
}

/// A Pingora service on a socket that is bound already.
///
/// Several of them may share one socket: that is how each thread gets a runtime of its own that accepts,
/// reads and answers, instead of one thread that accepts for all.
pub(crate) struct Bound<A> {
    service: Listening<A>,
    sockets: ListenFds,
}

impl<A> Bound<A> {
    /// Takes the socket over.
    pub(crate) fn new(name: String, app: A, socket: TcpListener, tls: Option<TlsSettings>) -> Self {
        let address = name.clone();
        let mut service = Listening::new(name, app);
        let listener = ListenerConfig::tcp(address.clone()).l4_buffer(L4BufferSettings::new(READ, WRITE));
        service.add_listener(match tls {
            Some(tls) => listener.tls(tls),
            None => listener,
        });
        // Pingora looks sockets up by the text of their address; here that is just the service's name.
        let mut sockets = Fds::new();
        sockets.add(address, socket.into_raw_fd());
        Self { service, sockets: Arc::new(Mutex::new(sockets)) }
    }

    /// Sets how many threads serve it.
    pub(crate) fn threads(mut self, threads: usize) -> Self {
        self.service.threads = Some(threads);
        self
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> Service for Bound<A> {
    async fn start_service(&mut self, _: Option<ListenFds>, shutdown: ShutdownWatch, listeners_per_fd: usize) {
        self.service.start_service(Some(self.sockets.clone()), shutdown, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        Service::name(&self.service)
    }

    fn threads(&self) -> Option<usize> {
        self.service.threads
    }
}
