use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use btvep_domain::Stamp;
use btvep_protocol::nonce::{ClockBehind, NonceSource};

/// Returns a stamp for one send, taken as late as possible: the lane's nonces must rise in the order of sending.
pub(super) fn fresh(nonces: Option<&NonceSource>, lane: Arc<str>) -> Result<Stamp, ClockBehind> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    let nonce = match nonces {
        Some(nonces) => nonces.next(nanos)?,
        None => nanos,
    };
    let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    Ok(Stamp { nonce, lane, uuid: fresh_uuid(), now_ms })
}

/// Returns a random uuid, without a system call.
pub(super) fn fresh_uuid() -> Arc<str> {
    let uuid = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    Arc::from(&*uuid.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()))
}

/// The lane of those who need none.
pub(super) fn no_lane() -> Arc<str> {
    static NONE: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));
    Arc::clone(&NONE)
}
