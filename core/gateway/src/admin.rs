use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use btvep_domain::{Kind, Rejection};
use http::{HeaderValue, Method};
use pingora::Result;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;

use crate::GatewayConfig;
use crate::answer::{JSON, head, write};
use crate::api::Shared;
use crate::errors::reject;
use crate::request::Asked;
use crate::shutdown::Drain;

const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What the gateway asks of the server around it.
pub trait Probes: Send + Sync + fmt::Debug {
    /// Whether prompts can be served now.
    ///
    /// # Errors
    ///
    /// Why not, in a few words without secrets.
    fn ready(&self) -> Result<(), String>;

    /// Returns all metrics in Prometheus' text form.
    fn metrics(&self) -> String;
}

/// The answer of a health route.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Probe {
    fn new(status: u16, state: &str, reason: Option<&str>) -> Self {
        let body = match reason {
            None => serde_json::json!({ "status": state }),
            Some(reason) => serde_json::json!({ "status": state, "reason": reason }),
        };
        Self { status, body: body.to_string().into_bytes() }
    }

    /// The process answers, so it lives.
    pub(crate) fn live() -> Self {
        Self::new(200, "live", None)
    }

    /// Whether a balancer shall send requests here.
    pub(crate) fn ready(drain: &Drain, probes: &dyn Probes) -> Self {
        if drain.is_draining() {
            return Self::new(503, "stopping", Some("the server is about to stop"));
        }
        match probes.ready() {
            Ok(()) => Self::new(200, "ready", None),
            Err(reason) => Self::new(503, "not_ready", Some(&reason)),
        }
    }
}

/// The second listener: metrics and health, for the operator's own network.
pub(crate) struct Admin(pub(crate) Arc<Shared>);

impl Admin {
    async fn answer(&self, session: &mut ServerSession, settings: Arc<GatewayConfig>) -> Result<()> {
        let mut asked = Asked::now(&session.req_header().headers, settings);
        // Nothing here is meant for pages of other sites.
        asked.cross_origin = false;
        let request = session.req_header();
        if !matches!(request.method, Method::GET | Method::HEAD) {
            let rejection = Rejection::new(Kind::MethodNotAllowed, "this listener takes GET and HEAD");
            return reject(session, &asked, &rejection, None, Some("GET, HEAD")).await.map(|_| ());
        }
        let probe = match request.uri.path() {
            "/livez" => Probe::live(),
            "/readyz" => Probe::ready(&self.0.drain, &*self.0.probes),
            "/metrics" => {
                let metrics = self.0.probes.metrics().into_bytes();
                return write(session, head(&asked, 200, &METRICS)?, metrics).await;
            }
            _ => {
                let rejection = Rejection::new(Kind::UnknownRoute, "this listener has /metrics, /livez and /readyz");
                return reject(session, &asked, &rejection, None, None).await.map(|_| ());
            }
        };
        write(session, head(&asked, probe.status, &JSON)?, probe.body).await
    }
}

#[async_trait]
impl HttpServerApp for Admin {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        _: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        match session.read_request().await {
            Ok(true) => {}
            Ok(false) => return None,
            Err(_) => {
                // Whoever it was, he is gone or does not speak HTTP.
                let _ = session.respond_error(400).await;
                return None;
            }
        }
        let config = self.0.settings.now();
        session.set_write_timeout(Some(config.listen.stall));
        if session.get_keepalive() == Some(0) {
            session.set_keepalive(Some(config.listen.keep_alive.as_secs().max(1)));
        }
        self.answer(&mut session, config).await.ok()?;
        let settings = HttpPersistentSettings::for_session(&session);
        let stream = session.finish().await.ok().flatten()?;
        Some(ReusedHttpStream::from_reusable_stream(stream, settings))
    }
}
