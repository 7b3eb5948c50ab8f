use btvep_domain::{Answer, RateState, Surface};
use btvep_protocol::surface::{Attribution, EXPOSED_HEADERS, REQUEST_ID, legacy, openai, rate_headers};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;

use crate::request::Asked;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer is written in pieces of this size, each of which a client must take within its patience.
const PIECE: usize = 64 * 1024;

/// Begins the head of an answer.
pub(crate) fn head(asked: &Asked, status: u16, content_type: &HeaderValue) -> Result<ResponseHeader> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut head = ResponseHeader::build_no_case(status, Some(24))?;
    put(&mut head, header::CONTENT_TYPE, content_type.clone());
    if let Ok(id) = HeaderValue::from_str(&asked.id) {
        put(&mut head, REQUEST_ID, id);
    }
    if asked.cross_origin {
        put(&mut head, header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        put(&mut head, header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
    }
    Ok(head)
}

/// Sets a header whose name and value are known to be good.
pub(crate) fn put(head: &mut ResponseHeader, name: HeaderName, value: HeaderValue) {
    // It fails only beyond 32,768 headers.
    let _ = head.insert_header(name, value);
}

/// Adds who answered, and where the key's limits stand.
pub(crate) fn attribute(head: &mut ResponseHeader, asked: &Asked, attribution: &Attribution) {
    if asked.tells() {
        attribution.headers(|name, value| put(head, name, value));
    }
    if let Some(rate) = &attribution.rate {
        limits(head, rate);
    }
}

fn limits(head: &mut ResponseHeader, rate: &RateState) {
    rate_headers(rate, |name, value| put(head, name, value));
}

/// Writes a head and its whole body.
pub(crate) async fn write(session: &mut ServerSession, mut head: ResponseHeader, body: Vec<u8>) -> Result<()> {
    put(&mut head, header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    session.write_response_header(Box::new(head)).await?;
    if session.req_header().method == http::Method::HEAD {
        return session.finish_body().await;
    }
    let mut rest = Bytes::from(body);
    while rest.len() > PIECE {
        session.write_response_body(rest.split_to(PIECE), false).await?;
    }
    session.write_response_body(rest, true).await
}

/// Writes a whole answer; returns its status.
pub(crate) async fn whole(
    session: &mut ServerSession,
    asked: &Asked,
    answer: &Answer,
    attribution: &Attribution,
) -> Result<u16> {
    let body = match asked.surface {
        Surface::OpenAi => openai::completion(answer, attribution, asked.created(), asked.tells_of(attribution)),
        Surface::Legacy => legacy::answer(answer, attribution.explain.as_deref()),
    };
    let mut head = head(asked, 200, &JSON)?;
    attribute(&mut head, asked, attribution);
    write(session, head, body).await.map(|()| 200)
}
