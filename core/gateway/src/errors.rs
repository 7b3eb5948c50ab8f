use btvep_domain::{Kind, Rejection, Surface};
use btvep_protocol::surface::{Attribution, error_head, legacy, openai};
use http::{HeaderName, HeaderValue, header};
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorSource, ErrorType, Result};

use crate::answer::{JSON, attribute, head, put, write};
use crate::request::Asked;

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Writes a rejection in the manners of the surface; returns its status.
///
/// `allow` is for a method that is not known. The cause stays here: it is for the log.
pub(crate) async fn reject(
    session: &mut ServerSession,
    asked: &Asked,
    rejection: &Rejection,
    attribution: Option<&Attribution>,
    allow: Option<&'static str>,
) -> Result<u16> {
    let told = error_head(asked.surface, rejection);
    let mut head = head(asked, told.status, &JSON)?;
    put(&mut head, SHOULD_RETRY, HeaderValue::from_static(if told.should_retry { "true" } else { "false" }));
    if let Some(seconds) = told.retry_after {
        put(&mut head, header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if told.challenge {
        put(&mut head, header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(methods) = allow {
        put(&mut head, header::ALLOW, HeaderValue::from_static(methods));
    }
    if let Some(attribution) = attribution {
        attribute(&mut head, asked, attribution);
    }
    let body = match asked.surface {
        Surface::OpenAi => openai::error(rejection),
        Surface::Legacy => legacy::error(rejection),
    };
    write(session, head, body).await.map(|()| told.status)
}

/// Returns the rejection of what went wrong inside Pingora, or none when there is nobody left to tell.
pub(crate) fn of(error: &Error) -> Option<Rejection> {
    use ErrorType::{ConnectionClosed, H2Error, InvalidHTTPHeader, ReadError, ReadTimedout, WriteError, WriteTimedout};
    let rejection = match error.etype() {
        ConnectionClosed | ReadError | WriteError | WriteTimedout | H2Error => return None,
        ReadTimedout => Rejection::new(Kind::BodyTimeout, "the request did not arrive in time; send it again"),
        InvalidHTTPHeader => Rejection::new(Kind::BadRequest, "the request is not valid HTTP"),
        _ if *error.esource() == ErrorSource::Downstream => {
            Rejection::new(Kind::BadRequest, "the request is not valid HTTP")
        }
        _ => internal(),
    };
    Some(rejection.because(error.to_string()))
}

/// Returns the rejection of a fault of ours.
pub(crate) fn internal() -> Rejection {
    Rejection::new(Kind::Internal, "something went wrong on our side; the request id helps to find out what")
}
