use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use btvep_domain::{Credential, Kind, Prompt, Rejection, Surface};
use btvep_engine::{Place, Reply, Serve};
use btvep_protocol::surface::{legacy, openai};
use bytes::Bytes;
use http::{HeaderValue, header};
use pingora::protocols::http::ServerSession;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use crate::admin::Probe;
use crate::answer::{self, JSON, head, put};
use crate::body::{self, Unread};
use crate::errors::{self, reject};
use crate::metrics::Metrics;
use crate::refused::Refused;
use crate::request::{Asked, NoRoute, Route, credential};
use crate::shutdown::{Drain, InFlight};
use crate::stream::{self, Stream};
use crate::{ListenConfig, Probes, Settings};

/// Heads larger than this are refused.
const HEAD: usize = 64 * 1024;

/// How long a small body that nobody needs may still take to arrive before its sender is told so.
const GRACE: Duration = Duration::from_millis(100);

/// Bodies that nobody needs are read up to this size, so that the connection can be used again.
const SMALL: usize = 64 * 1024;

/// How much of a body that is too large is still taken, so that its sender comes to read why it was refused.
const TOO_LARGE: usize = 16 * 1024 * 1024;

/// What the API needs to answer; shared by all threads.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) serve: Arc<dyn Serve>,
    pub(crate) probes: Arc<dyn Probes>,
    pub(crate) metrics: Metrics,
    pub(crate) drain: Arc<Drain>,
}

/// The public listener: every request is answered from `request_filter`, none is proxied.
#[derive(Debug)]
pub(crate) struct Api(pub(crate) Arc<Shared>);

/// One request on its way through Pingora's phases.
#[derive(Debug)]
pub(crate) struct Passing {
    /// Held to the very end, so that a drain waits until the last byte is out.
    _in_flight: InFlight,
    /// Goes with the connection.
    refused: Option<Refused>,
}

/// Goes with a connection from request to request: its next head may take longer to come, and who was turned away on
/// it may have to wait.
pub(crate) struct Reused(pub(crate) Option<Refused>);

/// Set once the head of a connection's request has been read; beside it what the connection carried.
pub(crate) struct HeadRead(pub(crate) Arc<AtomicBool>, pub(crate) Option<Refused>);

#[async_trait]
impl ProxyHttp for Api {
    type CTX = Passing;

    fn new_ctx(&self) -> Passing {
        Passing { _in_flight: self.0.drain.enter(), refused: None }
    }

    // The default would look for compression with every answer.
    fn init_downstream_modules(&self, _: &mut pingora::modules::http::HttpModules) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut Passing) -> Result<Box<HttpPeer>> {
        Err(Error::explain(ErrorType::InternalError, "the gateway answers by itself"))
    }

    fn on_connection_reuse(&self, _: &mut Session, passing: &mut Passing, carried: Box<dyn Any + Send + Sync>) {
        if let Ok(head) = carried.downcast::<HeadRead>() {
            head.0.store(true, Ordering::Release);
            passing.refused = head.1;
        }
    }

    fn persist_connection_context(&self, _: &Session, passing: &Passing) -> Option<Box<dyn Any + Send + Sync>> {
        Some(Box::new(Reused(passing.refused)))
    }

    async fn request_filter(&self, session: &mut Session, passing: &mut Passing) -> Result<bool> {
        let session = &mut *session.downstream_session;
        let mut asked = Asked::now(&session.req_header().headers, self.0.settings.now());
        self.0.prepare(session, &asked.settings.listen);
        asked.refused = passing.refused.take();
        match self.0.answer(session, &mut asked).await {
            Ok(status) => self.0.metrics.answered(asked.label, status),
            Err(error) => {
                self.0.note_lost(&asked, &error);
                return Err(error);
            }
        }
        passing.refused = asked.refused;
        Ok(true)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, _: &mut Passing) -> FailToProxy {
        let session = &mut *session.downstream_session;
        session.set_keepalive(None);
        let untold = session.response_written().is_none_or(|head| head.status.is_informational());
        let mut error_code = 0;
        if let Some(rejection) = errors::of(error).filter(|_| untold) {
            let asked = Asked::now(&session.req_header().headers, self.0.settings.now());
            error_code = reject(session, &asked, &rejection, None, None).await.unwrap_or_default();
        }
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    // They are told in our own words by `note_lost`.
    fn suppress_error_log(&self, _: &Session, _: &Passing, _: &Error) -> bool {
        true
    }
}

impl Shared {
    fn prepare(&self, session: &mut ServerSession, listen: &ListenConfig) {
        // Without it a request that comes early, while this one is answered, would end both.
        session.set_pipelining_enabled(true);
        session.set_write_timeout(Some(listen.stall));
        session.set_read_timeout(Some(listen.body_timeout));
        if self.drain.is_draining() {
            session.set_keepalive(None);
        } else if session.get_keepalive() == Some(0) {
            // The client wants to keep it, for ever by default.
            session.set_keepalive(Some(listen.keep_alive.as_secs().max(1)));
        }
    }

    fn note_lost(&self, asked: &Asked, error: &Error) {
        if *error.etype() == ErrorType::WriteTimedout {
            self.metrics.stalled.inc();
        } else {
            self.metrics.gone.inc();
        }
        tracing::debug!(request_id = %asked.id, %error, "client left before its answer was whole");
    }

    async fn answer(&self, session: &mut ServerSession, asked: &mut Asked) -> Result<u16> {
        if session.as_http1().is_some_and(|h1| h1.get_headers_raw_bytes().len() > HEAD) {
            session.set_keepalive(None);
            let rejection = Rejection::new(Kind::HeadTooLarge, "the head of the request is larger than 64 KiB");
            let status = reject(session, asked, &rejection, None, None).await?;
            body::discard(session, TOO_LARGE, asked.settings.listen.body_timeout).await;
            return Ok(status);
        }
        let head = session.req_header();
        let route = Route::of(&head.method, head.uri.path());
        if let Ok(Route::Chat(surface)) = route {
            asked.surface = surface;
            asked.label = Route::Chat(surface).label();
            return self.chat(session, asked).await;
        }
        if !body::discard(session, SMALL, asked.settings.listen.body_timeout).await {
            session.set_keepalive(None);
        }
        match route {
            Ok(route) => {
                asked.label = route.label();
                self.lookup(session, asked, route).await
            }
            Err(none) => self.no_route(session, asked, none).await,
        }
    }

    async fn chat(&self, session: &mut ServerSession, asked: &mut Asked) -> Result<u16> {
        let (limit, within) = (asked.settings.limits.body_bytes, asked.settings.listen.body_timeout);
        let declared = match body::declared(session, limit) {
            Ok(declared) => declared,
            Err(unread) => return self.unread(session, asked, unread).await,
        };
        // Held until the last byte of the answer is out.
        let place = match self.enter(&credential(&session.req_header().headers), asked, declared).await {
            Ok(place) => place,
            Err(rejection) => return self.shed(session, asked, rejection).await,
        };
        let body = match body::read(session, (limit, declared), within, &place).await {
            Ok(body) => body,
            Err(unread) => return self.unread(session, asked, unread).await,
        };
        if self.drain.is_closing() {
            let rejection =
                Rejection::new(Kind::Draining, "the server is about to stop; try again").after(Duration::from_secs(1));
            return reject(session, asked, &rejection, None, None).await;
        }
        let prompt = parse(session, asked, body);
        let incoming = asked.incoming(session, place.clone(), prompt);
        let mut reply = self.serve.serve(incoming);
        // Leaving this select by the second way drops the reply, which cancels the request in the engine.
        let reply = tokio::select! {
            biased;
            reply = &mut reply => reply,
            gone = session.read_body_or_idle(true) => return Err(stream::left(gone)),
        };
        match reply {
            Ok(reply) => self.reply(session, asked, reply).await,
            // The task of the request has died.
            Err(_) => reject(session, asked, &errors::internal(), None, None).await,
        }
    }

    /// Asks for a place, once the client has waited as long as it was told to.
    async fn enter(&self, who: &Credential, asked: &mut Asked, bytes: usize) -> Result<Arc<Place>, Rejection> {
        if let Some(left) = asked.refused.take().and_then(|refused| refused.left(who)) {
            tokio::time::sleep(left).await;
        }
        self.serve.enter(who, asked.at_ms, bytes).await
    }

    /// Turns a prompt away before its body has been read, or when its body finds no room.
    async fn shed(&self, session: &mut ServerSession, asked: &mut Asked, rejection: Rejection) -> Result<u16> {
        let wait = rejection.retry_after.unwrap_or_default();
        asked.refused = Some(Refused::new(&credential(&session.req_header().headers), wait));
        // A small body is here already, as a rule; once it is taken in, the connection can be used again.
        let taken_in = body::discard(session, SMALL, GRACE).await;
        if !taken_in {
            session.set_keepalive(None);
        }
        let status = reject(session, asked, &rejection, None, None).await?;
        if !taken_in {
            body::discard(session, TOO_LARGE, asked.settings.listen.body_timeout).await;
        }
        Ok(status)
    }

    async fn reply(&self, session: &mut ServerSession, asked: &Asked, reply: Reply) -> Result<u16> {
        match reply {
            Reply::Whole { answer, attribution } => answer::whole(session, asked, &answer, &attribution).await,
            Reply::Stream { events, attribution, include_usage, left } => {
                let ping = asked.settings.listen.ping;
                let stream = Stream { events, attribution: &attribution, include_usage, left, ping };
                stream::write(session, asked, stream).await
            }
            Reply::Rejected { rejection, attribution } => {
                reject(session, asked, &rejection, Some(&attribution), None).await
            }
        }
    }

    async fn unread(&self, session: &mut ServerSession, asked: &mut Asked, unread: Unread) -> Result<u16> {
        let rejection = match unread {
            Unread::Gone(error) => return Err(error),
            Unread::Shed(shed) => return self.shed(session, asked, shed.into()).await,
            Unread::TooLarge => {
                let limit = asked.settings.limits.body_bytes;
                Rejection::new(Kind::BodyTooLarge, format!("the body is larger than {limit} bytes"))
            }
            Unread::Late => Rejection::new(Kind::BodyTimeout, "the body did not arrive in time; send it again"),
            Unread::Broken => Rejection::new(Kind::BadRequest, "the framing of the body is broken"),
        };
        session.set_keepalive(None);
        let status = reject(session, asked, &rejection, None, None).await?;
        if rejection.kind == Kind::BodyTooLarge {
            body::discard(session, TOO_LARGE, asked.settings.listen.body_timeout).await;
        }
        Ok(status)
    }

    async fn lookup(&self, session: &mut ServerSession, asked: &Asked, route: Route) -> Result<u16> {
        let probe = match route {
            Route::Live => Probe::live(),
            Route::Ready => Probe::ready(&self.drain, &*self.probes),
            route => return self.models(session, asked, route).await,
        };
        let head = head(asked, probe.status, &JSON)?;
        answer::write(session, head, probe.body).await.map(|()| probe.status)
    }

    async fn models(&self, session: &mut ServerSession, asked: &Asked, route: Route) -> Result<u16> {
        // Whoever asks for the head alone learns nothing that needs a key.
        if session.req_header().method == http::Method::HEAD {
            return answer::write(session, head(asked, 200, &JSON)?, Vec::new()).await.map(|()| 200);
        }
        let presented: Credential = credential(&session.req_header().headers);
        if let Err(rejection) = self.serve.authenticate(presented, asked.at_ms).await {
            return reject(session, asked, &rejection, None, None).await;
        }
        let models = self.serve.models();
        let body = match &route {
            Route::Model(id) => models.iter().find(|(known, _)| **known == **id).map(openai::model),
            _ => Some(openai::models(&models)),
        };
        if let Some(body) = body {
            return answer::write(session, head(asked, 200, &JSON)?, body).await.map(|()| 200);
        }
        let message = "there is no such model; `GET /v1/models` lists those there are";
        let rejection = Rejection::new(Kind::UnknownModel, message).about("model");
        reject(session, asked, &rejection, None, None).await
    }

    async fn no_route(&self, session: &mut ServerSession, asked: &mut Asked, none: NoRoute) -> Result<u16> {
        let (rejection, allow) = match none {
            NoRoute::Options { allow } => return options(session, asked, allow).await,
            NoRoute::Unknown => {
                let message = "there is no such URL; the API is at /v1/chat/completions, /v1/models and /chat";
                (Rejection::new(Kind::UnknownRoute, message), None)
            }
            NoRoute::Method { allow, surface } => {
                asked.surface = surface;
                let message = format!("this URL takes {allow}");
                (Rejection::new(Kind::MethodNotAllowed, message), Some(allow))
            }
        };
        reject(session, asked, &rejection, None, allow).await
    }
}

fn parse(session: &ServerSession, asked: &Asked, body: Bytes) -> Result<Prompt, Rejection> {
    let coding = session.get_header(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    if coding.is_some_and(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")) {
        let message = "the body is compressed; send it without content-encoding";
        return Err(Rejection::new(Kind::MalformedBody, message));
    }
    match asked.surface {
        Surface::OpenAi => openai::parse(body, &asked.settings.limits),
        Surface::Legacy => legacy::parse(&body, &asked.settings.limits),
    }
}

/// Answers `OPTIONS`: a browser on any site may ask, with the headers it wants, but without cookies.
async fn options(session: &mut ServerSession, asked: &Asked, allow: &'static str) -> Result<u16> {
    let mut head = head(asked, 204, &JSON)?;
    head.remove_header(&header::CONTENT_TYPE);
    put(&mut head, header::ALLOW, HeaderValue::from_static(allow));
    if asked.cross_origin {
        put(&mut head, header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(allow));
        // `*` would not cover `Authorization`.
        if let Some(wanted) = session.get_header(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned() {
            put(&mut head, header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
        }
        put(&mut head, header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
        put(&mut head, header::VARY, HeaderValue::from_static("origin, access-control-request-headers"));
    }
    session.write_response_header(Box::new(head)).await?;
    session.finish_body().await?;
    Ok(204)
}
