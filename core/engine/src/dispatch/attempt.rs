//! One miner is asked.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use btvep_domain::{Decoder, Delta, Encoded, FailureKind, Flaw, MinerFailure, Usage};
use bytes::Bytes;
use http::uri::{PathAndQuery, Scheme};
use http::{Method, Request, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::alarm::{Clock, timed_out};
use super::client::{self, Means, SendError};
use super::errand::Errand;
use super::lane::Lane;
use super::peers::Peer;
use super::reading::Reading;
use super::record::{Identity, Record, no_room};
use super::stamp;
use crate::kill_list::{Sentence, Suspect};

/// Readings of the body hash tried in one attempt beside the first.
const MAX_REREADS: usize = 3;
/// So many retries are allowed in a hundred attempts.
const RETRIES: u8 = 20;

/// One prompt on its way to one miner. Dropped before its end it is cancelled, and its connection closed.
#[derive(Debug)]
pub(super) struct Attempt {
    // Dropped in this order: the connection is closed before the lane is free.
    answer: Option<Reading>,
    lane: Option<Lane>,
    errand: Errand,
    /// None for an upstream.
    ban: Option<Sentence>,
    record: Record,
    clock: Clock,
    sent: Instant,
}

/// What one send came to.
enum Setback {
    Stale,
    Failed(MinerFailure),
}

impl From<MinerFailure> for Setback {
    fn from(failure: MinerFailure) -> Self {
        Self::Failed(failure)
    }
}

impl Attempt {
    pub(super) fn new(mut errand: Errand) -> Self {
        let record = errand.record();
        let clock = errand.clock();
        let ban = record.identity().hotkey.map(Suspect::Miner);
        let ban = ban.map(|miner| Sentence::watch(&errand.common.kills, miner));
        Self { answer: None, lane: None, errand, ban, record, clock, sent: Instant::now() }
    }

    /// Sends, and reads until the answer has substance. The record has the failure.
    pub(super) async fn start(&mut self) -> Result<(), ()> {
        let mut ban = self.ban.take();
        let started = tokio::select! {
            biased;
            failure = banned(&mut ban) => Err(failure),
            started = self.try_start() => started,
        };
        self.ban = ban;
        match started {
            Ok(()) => {
                self.record.first_token();
                Ok(())
            }
            Err(failure) => {
                self.answer = None;
                self.record.fail(failure);
                Err(())
            }
        }
    }

    /// Returns the next fragment; none when the answer has ended in order. After an error nothing more comes.
    pub(super) async fn next(&mut self) -> Option<Result<Delta, MinerFailure>> {
        loop {
            let answer = self.answer.as_mut()?;
            if let Some(delta) = answer.pop() {
                return Some(Ok(delta));
            }
            if answer.has_ended() {
                self.lane = None;
                return None;
            }
            let advanced = tokio::select! {
                biased;
                failure = banned(&mut self.ban) => Err(failure),
                advanced = answer.advance(self.clock.idle(self.sent)) => advanced,
            };
            if let Err(failure) = advanced {
                self.answer = None;
                self.lane = None;
                return Some(Err(failure));
            }
        }
    }

    pub(super) const fn record(&mut self) -> &mut Record {
        &mut self.record
    }

    pub(super) const fn identity(&self) -> &Identity {
        self.record.identity()
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        self.answer.as_ref().and_then(Reading::usage)
    }

    async fn try_start(&mut self) -> Result<(), MinerFailure> {
        let peer = self.errand.reachable()?;
        if let Some(size) = self.errand.lanes() {
            let until = self.clock.lane(self.sent).at;
            let lane = peer.lanes.take(size, until).await;
            self.lane = Some(lane.map_err(|_| busy())?);
        }
        self.sent = self.record.sent();
        self.errand.common.party.retries.earn(RETRIES);
        let (mut reading, mut tried, mut fresh) = (peer.reading(), Vec::new(), false);
        loop {
            match self.send_once(&peer, reading, fresh).await {
                Ok(()) => {
                    peer.remember(reading);
                    return Ok(());
                }
                Err(Setback::Stale) if !fresh && self.may_retry(true) => fresh = true,
                Err(Setback::Stale) => return Err(died()),
                Err(Setback::Failed(failure)) => {
                    tried.push(reading);
                    reading = self.other_reading(&peer, &tried, &failure).ok_or(failure)?;
                }
            }
        }
    }

    /// Returns a reading to ask once more with, when the failure can come of the one before.
    fn other_reading(&self, peer: &Peer, tried: &[u8], failure: &MinerFailure) -> Option<u8> {
        let last = tried.last().copied().filter(|_| failure.flaw == Flaw::Reread && tried.len() <= MAX_REREADS)?;
        let call = self.errand.call(peer, last, self.clock.total(self.sent).left());
        self.errand.common.protocol().next_reading(&call, tried).filter(|_| self.may_retry(false))
    }

    fn may_retry(&self, stale: bool) -> bool {
        let metrics = &self.errand.common.metrics;
        let allowed = self.errand.common.party.retries.spend();
        let counter = match (allowed, stale) {
            (false, _) => &metrics.refused,
            (true, true) => &metrics.stale,
            (true, false) => &metrics.reread,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        allowed
    }

    /// Signs, sends, and reads until there is substance or an end.
    async fn send_once(&mut self, peer: &Peer, reading: u8, fresh: bool) -> Result<(), Setback> {
        let (decoder, body) = self.exchange(peer, reading, fresh).await?;
        let choices = self.errand.common.prompt.n;
        let room = (self.errand.common.answer_bytes(), self.errand.common.place.account());
        let answer = self.answer.insert(Reading::new(body, decoder, room, choices));
        let streamed = self.errand.common.streamed;
        while !answer.has_substance() {
            let alarm = if streamed { self.clock.first_token(self.sent) } else { self.clock.total(self.sent) };
            answer.advance(alarm).await?;
        }
        Ok(())
    }

    async fn exchange(
        &mut self,
        peer: &Peer,
        reading: u8,
        fresh: bool,
    ) -> Result<(Box<dyn Decoder>, Incoming), Setback> {
        let total = self.clock.total(self.sent);
        let call = self.errand.call(peer, reading, total.left());
        let protocol = self.errand.common.protocol();
        let lane = self.lane.as_ref().map_or_else(stamp::no_lane, |lane| Arc::clone(lane.uuid()));
        let stamp = stamp::fresh(self.errand.common.nonces(), lane).map_err(|error| not_encoded(&error))?;
        let encoded = protocol.encode(&call, &stamp).map_err(|error| not_encoded(&error))?;
        // Counted until the miner has it all, which its answer's head shows.
        let _sending = self.errand.common.place.take(encoded.body.len()).map_err(no_room)?;
        let (request, path) = request(peer, encoded)?;
        let tls = peer.base.as_ref().is_some_and(|(scheme, _)| *scheme == Scheme::HTTPS);
        let means = Means { connect: self.clock.connect(), tls, reuse: !fresh };
        let alarm = if call.stream { self.clock.first_token(self.sent) } else { total };
        let response = match alarm.bound(client::send(means, request)).await? {
            Ok(response) => response,
            Err(SendError::Stale) => return Err(Setback::Stale),
            Err(error) => return Err(failure(&error, &path, peer, means.connect).into()),
        };
        self.record.answered(response.status().as_u16());
        let (head, body) = response.into_parts();
        Ok((protocol.decoder(&call, head.status, &head.headers), body))
    }
}

/// Returns the request, and where it goes for messages: no query, which may hold what is nobody's business.
fn request(peer: &Peer, encoded: Encoded) -> Result<(Request<Full<Bytes>>, PathAndQuery), MinerFailure> {
    let no_url = |what: &str| not_encoded(&format!("`{what}` makes no URL; check the configured origin and path"));
    let (scheme, authority) = peer.base.clone().ok_or_else(|| no_url(&peer.target.origin))?;
    let path = PathAndQuery::from_maybe_shared(Bytes::from(encoded.path)).map_err(|_| no_url(&peer.target.origin))?;
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path.clone());
    let mut request = Request::new(Full::new(encoded.body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.build().map_err(|_| no_url(&peer.target.origin))?;
    *request.headers_mut() = encoded.headers;
    Ok((request, path))
}

fn failure(error: &SendError, path: &PathAndQuery, peer: &Peer, connect: Duration) -> MinerFailure {
    let authority = peer.base.as_ref().map_or("", |(_, authority)| authority.as_str());
    match error {
        SendError::Connect => {
            MinerFailure::new(FailureKind::Unreachable, format!("Service at {authority}{} unavailable.", path.path()))
        }
        SendError::ConnectTimeout => timed_out(connect),
        SendError::Stale | SendError::Died => died(),
        SendError::NotHttp => {
            MinerFailure::new(FailureKind::Malformed, "the answer is not HTTP, or its head is too large")
        }
        SendError::NoTls => not_encoded(&"no TLS: the system's root certificates are missing"),
    }
}

fn died() -> MinerFailure {
    MinerFailure::new(FailureKind::Disconnected, "the connection died before the answer")
}

/// Comes when the miner is banned. The reason is the operator's and no client's.
async fn banned(ban: &mut Option<Sentence>) -> MinerFailure {
    match ban {
        Some(ban) => ban.falls().await,
        None => std::future::pending().await,
    }
    let message = "it is not asked any more".to_owned();
    MinerFailure { kind: FailureKind::Banned, flaw: Flaw::Busy, message }
}

fn busy() -> MinerFailure {
    let message = "it is working on as many prompts as it has lanes".to_owned();
    MinerFailure { kind: FailureKind::Unavailable, flaw: Flaw::Busy, message }
}

/// A fault on our side: the miner's health does not suffer.
fn not_encoded(reason: &dyn Display) -> MinerFailure {
    MinerFailure { kind: FailureKind::NotEncoded, flaw: Flaw::Busy, message: reason.to_string() }
}
