//! Who asks: finds the API key that the client presented.

use std::sync::Arc;

use async_trait::async_trait;
use btvep_domain::{Exchange, Filter, Flow, Keys};

/// Puts the presented key on the exchange, or refuses it.
///
/// A key that is known costs no I/O. A store that cannot tell is a 503, never a 401: the client's key may be good.
#[derive(Debug)]
pub struct Auth {
    keys: Arc<dyn Keys>,
}

impl Auth {
    /// Makes it over the keys.
    pub fn new(keys: Arc<dyn Keys>) -> Self {
        Self { keys }
    }
}

#[async_trait]
impl Filter for Auth {
    fn name(&self) -> &'static str {
        "auth"
    }

    async fn on_request(&self, exchange: &mut Exchange) -> Flow {
        let presented = exchange.credential.presented()?;
        let now = exchange.received_at_ms.div_euclid(1000);
        exchange.key = Some(self.keys.authenticate(presented, now).await?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use btvep_domain::{AuthFailure, Credential, Kind, Rejection, Secret, StoreError};
    use btvep_testkit::{exchange, key};

    use super::*;
    use crate::fixture::{FixedKeys, block_on};

    const SECRET: &str = "btvep_testkey00001_donotprint";

    #[track_caller]
    fn check(credential: Credential, answer: Option<AuthFailure>, kind: Option<Kind>) -> Option<Rejection> {
        let auth = Auth::new(Arc::new(FixedKeys::new(answer)));
        let mut exchange = exchange();
        exchange.key = None;
        exchange.credential = credential;
        let rejection = block_on(auth.on_request(&mut exchange)).err();
        assert_eq!(rejection.as_ref().map(|r| r.kind), kind);
        assert_eq!(exchange.key.is_some(), kind.is_none(), "the key is set only when it is good");
        assert!(!format!("{rejection:?}").contains("donotprint"), "the rejection shows the key");
        rejection
    }

    fn presented() -> Credential {
        Credential::Key(Secret::new(SECRET))
    }

    #[test]
    fn a_good_key_stands_on_the_exchange() {
        check(presented(), None, None);
    }

    #[test]
    fn without_a_key_the_header_is_named() {
        let rejection = check(Credential::Missing, None, Some(Kind::MissingKey)).unwrap();
        assert!(rejection.message.contains("Authorization: Bearer"));
        check(Credential::WrongScheme, None, Some(Kind::WrongScheme));
    }

    #[test]
    fn each_failure_has_its_kind() {
        check(presented(), Some(AuthFailure::Unknown), Some(Kind::UnknownKey));
        check(presented(), Some(AuthFailure::Disabled), Some(Kind::DisabledKey));
        let rejection = check(presented(), Some(AuthFailure::Expired { at: 1_600_000_000 }), Some(Kind::ExpiredKey));
        assert_eq!(rejection.unwrap().expired_at, Some(1_600_000_000));
    }

    #[test]
    fn a_store_in_trouble_is_never_the_clients_fault() {
        let failure = AuthFailure::Store(StoreError::Unavailable("disk full".into()));
        let rejection = check(presented(), Some(failure), Some(Kind::StoreUnavailable)).unwrap();
        assert!(!rejection.message.contains("disk full"), "the client sees the cause");
        assert!(rejection.cause.unwrap().to_string().contains("disk full"));
    }

    #[test]
    fn the_time_of_receiving_decides_about_expiry() {
        let keys = Arc::new(FixedKeys::new(None));
        let mut exchange = exchange();
        exchange.received_at_ms = 1_700_000_000_999;
        block_on(Auth::new(Arc::clone(&keys) as Arc<dyn Keys>).on_request(&mut exchange)).unwrap();
        assert_eq!(keys.asked_at(), Some(1_700_000_000));
        assert_eq!(exchange.key.as_deref(), Some(&key()));
    }
}
