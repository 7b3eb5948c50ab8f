use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;

use crate::ListenConfig;
use crate::api::{Api, HeadRead, Reused, Shared};

/// Pingora's proxy with a deadline for the head of each request.
///
/// Pingora's own timeout begins anew with every byte, so whoever sends a byte a minute would hold a connection
/// for ever.
pub(crate) struct Front {
    proxy: Arc<HttpProxy<Api>>,
    shared: Arc<Shared>,
    options: HttpServerOptions,
}

impl Front {
    pub(crate) fn new(proxy: Arc<HttpProxy<Api>>, shared: Arc<Shared>, listen: &ListenConfig) -> Self {
        let mut options = HttpServerOptions::default();
        options.h2c = listen.h2c;
        options.h2_idle_timeout = Some(listen.keep_alive);
        Self { proxy, shared, options }
    }

    /// Returns when the head is too late; never once it has been read.
    async fn late(&self, within: Duration, read: &AtomicBool) {
        tokio::time::sleep(within).await;
        if read.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
        self.shared.metrics.late_heads.inc();
    }
}

#[async_trait]
impl HttpServerApp for Front {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        // With HTTP/2 the head is here already.
        if session.is_http2() {
            return self.proxy.process_new_http(session, shutdown).await;
        }
        let settings = self.shared.settings.now();
        let listen = &settings.listen;
        let carried = session.take_connection_user_context().and_then(|carried| carried.downcast::<Reused>().ok());
        let (reused, turned_away) = (carried.is_some(), carried.and_then(|carried| carried.0));
        let within = if reused { listen.keep_alive + listen.head_timeout } else { listen.head_timeout };
        let read = Arc::new(AtomicBool::new(false));
        session.set_connection_user_context(Some(Box::new(HeadRead(read.clone(), turned_away))));
        let next = tokio::select! {
            biased;
            next = self.proxy.process_new_http(session, shutdown) => next,
            () = self.late(within, &read) => None,
        };
        if !reused && !read.load(Ordering::Acquire) {
            self.shared.metrics.without_request.inc();
        }
        next
    }

    fn h2_options(&self) -> Option<H2Options> {
        Some(default_h2_options())
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}
