//! What ends a request before its time: a revoked key, a banned miner, a disabled strategy.

use btvep_domain::{KeyEdit, Uid};
use btvep_testkit::hotkey;
use tokio::sync::oneshot;

use super::*;

const STREAM: &str = r#","stream":true"#;

/// How an owner revokes a key.
#[derive(Clone, Copy, Debug)]
enum Revocation {
    Disable,
    Expire,
    Delete,
}

impl Bed {
    async fn revoke(&self, revocation: Revocation) {
        let edit = match revocation {
            Revocation::Delete => return assert!(self.store.delete(self.id).await.unwrap()),
            Revocation::Disable => KeyEdit { enabled: Some(false), ..KeyEdit::default() },
            Revocation::Expire => KeyEdit { valid_until: Some(Some(1_600_000_000)), ..KeyEdit::default() },
        };
        self.store.edit(self.id, edit, 0).await.unwrap().unwrap();
    }

    /// What was charged for choices delivered.
    async fn charged(&self) -> Credits {
        let page = self.store.ledger(None, 100).await.unwrap();
        page.records.iter().filter(|record| record.request_id.starts_with("req_")).map(|record| record.charged).sum()
    }

    async fn ended(&mut self) {
        for _ in 0..2 {
            soon(self.ends.recv()).await.unwrap();
        }
    }
}

const REVOCATIONS: [(Revocation, Kind); 3] = [
    (Revocation::Disable, Kind::DisabledKey),
    (Revocation::Expire, Kind::ExpiredKey),
    (Revocation::Delete, Kind::UnknownKey),
];

fn banned(uids: &[u16]) -> KillList {
    KillList::new(uids.iter().map(|uid| (hotkey(*uid), None)), [])
}

/// A miner that streams what the returned sender is given.
async fn streaming() -> (mpsc::UnboundedSender<String>, Scripted) {
    let (miner, script) = streamed();
    (miner, Scripted::start(script).await)
}

async fn begun(pending: oneshot::Receiver<Reply>) -> mpsc::Receiver<StreamEvent> {
    let Reply::Stream { mut events, .. } = soon(pending).await.unwrap() else { panic!("not a stream") };
    assert!(matches!(soon(events.recv()).await, Some(StreamEvent::Delta(..))));
    events
}

async fn failed(mut events: mpsc::Receiver<StreamEvent>) -> Rejection {
    loop {
        match soon(events.recv()).await {
            Some(StreamEvent::Delta(..)) => {}
            Some(StreamEvent::Failed { rejection, .. }) => return rejection,
            other => panic!("it does not fail: {other:?}"),
        }
    }
}

async fn uid_of(reply: oneshot::Receiver<Reply>) -> Option<Uid> {
    match soon(reply).await.unwrap() {
        Reply::Whole { answer, .. } => answer.choices[0].uid,
        other => panic!("not whole: {other:?}"),
    }
}

#[tokio::test]
async fn a_revoked_key_ends_its_stream_with_the_reason_and_pays_what_it_had() {
    for (revocation, kind) in REVOCATIONS {
        let (miner, upstream) = streaming().await;
        let mut bed = Bed::new(&upstream, Deed::Pass).await;
        let pending = bed.ask(&body(STREAM));
        miner.send(TOKEN.to_owned()).unwrap();
        let events = begun(pending).await;
        bed.revoke(revocation).await;
        assert_eq!(failed(events).await.kind, kind);
        soon(upstream.left.notified()).await;
        bed.ended().await;
        assert_eq!(bed.charged().await, Credits::whole(2));
        assert_eq!(bed.notes()[2], format!("inner out partial {}", kind.code()));
    }
}

#[tokio::test]
async fn a_stream_nobody_reads_ends_too() {
    let (miner, upstream) = streaming().await;
    let mut bed = Bed::new(&upstream, Deed::Pass).await;
    let pending = bed.ask(&body(STREAM));
    for _ in 0..100 {
        miner.send(TOKEN.to_owned()).unwrap();
    }
    let events = begun(pending).await;
    bed.revoke(Revocation::Disable).await;
    soon(upstream.left.notified()).await;
    assert_eq!(failed(events).await.kind, Kind::DisabledKey);
    assert_eq!(bed.after().await, spent(2));
}

#[tokio::test]
async fn what_has_no_answer_yet_is_refused_and_free() {
    for more in ["", STREAM] {
        for (revocation, kind) in REVOCATIONS {
            let upstream = Scripted::start(|_| Script::Hang).await;
            let mut bed = Bed::new(&upstream, Deed::Pass).await;
            let pending = bed.ask(&body(more));
            soon(upstream.asked.notified()).await;
            bed.revoke(revocation).await;
            assert_eq!(rejected(soon(pending).await.unwrap()).kind, kind);
            soon(upstream.left.notified()).await;
            bed.ended().await;
            assert_eq!(bed.charged().await, Credits::ZERO);
        }
    }
}

#[tokio::test]
async fn a_key_that_expires_meanwhile_ends_by_itself() {
    let (miner, upstream) = streaming().await;
    let mut bed = Bed::new(&upstream, Deed::Pass).await;
    // A second after the request was received.
    let edit = KeyEdit { valid_until: Some(Some(1_700_000_001)), ..KeyEdit::default() };
    bed.store.edit(bed.id, edit, 0).await.unwrap();
    let pending = bed.ask(&body(STREAM));
    miner.send(TOKEN.to_owned()).unwrap();
    assert_eq!(failed(begun(pending).await).await.expired_at, Some(1_700_000_001));
    assert_eq!(bed.after().await, spent(2));
}

#[tokio::test]
async fn other_changes_of_a_key_leave_its_requests_alone() {
    let (miner, upstream) = streaming().await;
    let mut bed = Bed::new(&upstream, Deed::Pass).await;
    let pending = bed.ask(&body(STREAM));
    miner.send(TOKEN.to_owned()).unwrap();
    let mut events = begun(pending).await;
    for name in ["a", "b"] {
        let edit = KeyEdit { name: Some(Some(name.to_owned())), ..KeyEdit::default() };
        bed.store.edit(bed.id, edit, 0).await.unwrap();
        miner.send(TOKEN.to_owned()).unwrap();
        assert!(matches!(soon(events.recv()).await, Some(StreamEvent::Delta(..))));
    }
    bed.revoke(Revocation::Disable).await;
    assert_eq!(failed(events).await.kind, Kind::DisabledKey);
    assert_eq!(bed.after().await, spent(2));
}

#[tokio::test]
async fn a_banned_miner_is_as_if_it_were_not_there() {
    let miners = [Scripted::start(always(200, WHOLE)).await, Scripted::start(always(200, WHOLE)).await];
    let bed = Bed::of(&[&miners[0], &miners[1]], Deed::Pass).await;
    assert_eq!(uid_of(bed.ask(&on_miners(""))).await, Some(Uid(0)));
    bed.kill(banned(&[0]));
    assert_eq!(uid_of(bed.ask(&on_miners(""))).await, Some(Uid(1)));
    assert_eq!(uid_of(bed.ask(&on_miners(r#","top_n":2"#))).await, Some(Uid(1)));
    for known_and_unknown in ["0", "7"] {
        let rejection =
            rejected(soon(bed.ask(&on_miners(&format!(r#","uids":[{known_and_unknown}]"#)))).await.unwrap());
        assert_eq!(rejection.kind, Kind::InvalidSelection);
        assert_eq!(rejection.message, format!("unknown uids: {known_and_unknown}"));
    }
    bed.kill(banned(&[0, 1]));
    assert_eq!(rejected(soon(bed.ask(&on_miners(""))).await.unwrap()).kind, Kind::NoMiner);
    bed.kill(KillList::new([(hotkey(0), Some(1_700_000_000))], []));
    assert_eq!(uid_of(bed.ask(&on_miners(""))).await, Some(Uid(0)), "a ban that has lapsed is ignored");
}

#[tokio::test]
async fn the_stream_of_a_banned_miner_breaks_as_if_the_miner_had() {
    let (miner, scripted) = streaming().await;
    let mut bed = Bed::new(&scripted, Deed::Pass).await;
    let pending = bed.ask(&on_miners(STREAM));
    miner.send(TOKEN.to_owned()).unwrap();
    let mut events = begun(pending).await;
    bed.kill(banned(&[1, 2]));
    miner.send(TOKEN.to_owned()).unwrap();
    assert!(matches!(soon(events.recv()).await, Some(StreamEvent::Delta(..))), "others are banned");
    bed.kill(banned(&[0]));
    let rejection = failed(events).await;
    assert_eq!(rejection.kind, Kind::AllMinersFailed);
    assert_eq!(rejection.attempts.len(), 1);
    soon(scripted.left.notified()).await;
    assert_eq!(bed.after().await, spent(2));
}

#[tokio::test]
async fn another_miner_takes_over_from_one_banned_before_its_first_token() {
    for more in ["", STREAM] {
        let hanging = Scripted::start(|_| Script::Hang).await;
        let (miner, second) = streaming().await;
        let whole = Scripted::start(always(200, WHOLE)).await;
        let second = if more.is_empty() { whole } else { second };
        let mut bed = Bed::of(&[&hanging, &second], Deed::Pass).await;
        let pending = bed.ask(&on_miners(&format!(r#","top_n":2,"in_parallel":1{more}"#)));
        soon(hanging.asked.notified()).await;
        bed.kill(banned(&[0]));
        soon(hanging.left.notified()).await;
        if more.is_empty() {
            assert_eq!(uid_of(pending).await, Some(Uid(1)));
        } else {
            miner.send(TOKEN.to_owned()).unwrap();
            let mut events = begun(pending).await;
            miner.send(LAST.to_owned()).unwrap();
            while !matches!(soon(events.recv()).await.unwrap(), StreamEvent::End { .. }) {}
        }
        assert_eq!(bed.after().await, spent(2));
    }
}

#[tokio::test]
async fn a_disabled_strategy_is_refused_and_what_waits_under_it_is_ended() {
    let disabled = || KillList::new([], ["top_n".into()]);
    for more in ["", STREAM] {
        let hanging = Scripted::start(|_| Script::Hang).await;
        let mut bed = Bed::new(&hanging, Deed::Pass).await;
        let pending = bed.ask(&on_miners(&format!(r#","top_n":1{more}"#)));
        soon(hanging.asked.notified()).await;
        bed.kill(disabled());
        let rejection = rejected(soon(pending).await.unwrap());
        assert_eq!((rejection.kind, rejection.kind.status()), (Kind::StrategyDisabled, 503));
        soon(hanging.left.notified()).await;
        assert_eq!(bed.after().await, spent(0));
        let again = rejected(soon(bed.ask(&on_miners(r#","top_n":1"#))).await.unwrap());
        assert_eq!(
            (again.kind, &*again.message),
            (Kind::InvalidSelection, "strategy `top_n` is disabled; name another")
        );
    }
}

#[tokio::test]
async fn an_answer_that_has_begun_outlives_its_strategy() {
    let (miner, scripted) = streaming().await;
    let mut bed = Bed::new(&scripted, Deed::Pass).await;
    let pending = bed.ask(&on_miners(&format!(r#","top_n":1{STREAM}"#)));
    miner.send(TOKEN.to_owned()).unwrap();
    let mut events = begun(pending).await;
    bed.kill(KillList::new([], ["top_n".into()]));
    miner.send(LAST.to_owned()).unwrap();
    while !matches!(soon(events.recv()).await.unwrap(), StreamEvent::End { .. }) {}
    assert_eq!(bed.after().await, spent(2));
}
