//! How an answer came about, for those who ask and may.

use btvep_domain::{Explanation, KeyEdit, KeyPolicy};
use btvep_testkit::hotkey;

use super::*;

impl Bed {
    /// Lets the key ask how its answers came about.
    async fn may_ask_why(&self) {
        let policy = KeyPolicy { explain: Some(true), ..KeyPolicy::default() };
        let edit = KeyEdit { policy: Some(policy), ..KeyEdit::default() };
        self.store.edit(self.id, edit, 0).await.unwrap().unwrap();
    }

    async fn explained(&self, more: &str) -> Explanation {
        let incoming = Incoming { explain: true, ..self.incoming(&on_miners(more)) };
        match soon(self.engine.serve(incoming)).await.unwrap() {
            Reply::Whole { attribution, .. } => *attribution.explain.unwrap(),
            Reply::Stream { mut events, .. } => loop {
                match soon(events.recv()).await.unwrap() {
                    StreamEvent::Delta(..) => {}
                    StreamEvent::End { attribution, .. } => return *attribution.explain.unwrap(),
                    StreamEvent::Failed { rejection, .. } => panic!("{rejection:?}"),
                }
            },
            Reply::Rejected { rejection, .. } => panic!("{rejection:?}"),
        }
    }
}

async fn answering() -> Scripted {
    Scripted::start(always(200, WHOLE)).await
}

fn verdicts(explanation: &Explanation) -> Vec<(u16, &str)> {
    explanation.candidates.iter().map(|candidate| (candidate.uid.0, &*candidate.verdict)).collect()
}

#[tokio::test]
async fn whoever_may_not_ask_is_refused() {
    let upstream = answering().await;
    let mut bed = Bed::new(&upstream, Deed::Pass).await;
    let incoming = Incoming { explain: true, ..bed.incoming(&body("")) };
    let rejection = rejected(soon(bed.engine.serve(incoming)).await.unwrap());
    assert_eq!((rejection.kind, rejection.param.as_deref()), (Kind::NotAllowed, Some("x-btvep-explain")));
    assert_eq!(bed.after().await, spent(0));
}

#[tokio::test]
async fn nothing_is_explained_that_nobody_asked_for() {
    let upstream = answering().await;
    let bed = Bed::new(&upstream, Deed::Pass).await;
    bed.may_ask_why().await;
    let Reply::Whole { attribution, .. } = soon(bed.ask(&body(""))).await.unwrap() else { panic!("not whole") };
    assert_eq!(attribution.explain, None);
}

#[tokio::test]
async fn every_step_is_told() {
    let miners = [answering().await, answering().await, answering().await];
    let mut bed = Bed::of(&[&miners[0], &miners[1], &miners[2]], Deed::Pass).await;
    bed.may_ask_why().await;
    bed.kill(KillList::new([(hotkey(0), None)], []));
    let explanation = bed.explained(r#","top_n":1"#).await;
    assert_eq!(explanation.config.as_deref(), Some("0123456789ab"));
    let filters: Vec<_> = explanation.filters.iter().map(|step| (&*step.name, &*step.verdict)).collect();
    assert_eq!(filters, [("outer", "passed"), ("auth", "passed"), ("credits", "passed"), ("inner", "passed")]);
    let strategy = explanation.strategy.as_ref().unwrap();
    assert_eq!((&*strategy.name, &*strategy.named_by, strategy.empty.len()), ("top_n=1", "body", 0));
    assert_eq!(verdicts(&explanation), [(1, "asked_first"), (0, "banned"), (2, "lower_incentive")]);
    assert_eq!(explanation.attempts.len(), 1);
    assert_eq!(&*explanation.attempts[0].outcome, "success");
    assert_eq!((explanation.held, explanation.charged), (Some(Credits::whole(2)), Some(Credits::whole(2))));
    assert_eq!(bed.after().await, spent(2));
}

#[tokio::test]
async fn a_miner_that_failed_and_one_that_was_not_needed_are_told_apart() {
    let miners = [Scripted::start(always(500, "{}")).await, answering().await, answering().await, answering().await];
    let bed = Bed::of(&[&miners[0], &miners[1], &miners[2], &miners[3]], Deed::Pass).await;
    bed.may_ask_why().await;
    let explanation = bed.explained(r#","uids":[0,2,1],"in_parallel":1"#).await;
    let expected = [(0, "asked_first"), (2, "asked"), (1, "not_needed"), (3, "not_among_uids")];
    assert_eq!(verdicts(&explanation), expected);
    let attempts: Vec<_> =
        explanation.attempts.iter().map(|attempt| (&*attempt.outcome, attempt.reason.as_deref())).collect();
    assert_eq!(attempts, [("failed", Some("status")), ("success", None)]);
}

#[tokio::test]
async fn the_places_that_name_no_strategy_are_told() {
    let upstream = answering().await;
    let bed = Bed::new(&upstream, Deed::Pass).await;
    bed.may_ask_why().await;
    let strategy = bed.explained("").await.strategy.unwrap();
    assert_eq!((&*strategy.name, &*strategy.named_by), ("default", "default"));
    assert_eq!(strategy.empty, ["body", "header", "suffix", "key", "model"]);
}

#[tokio::test]
async fn a_stream_is_explained_at_its_end() {
    let (miner, script) = streamed();
    let upstream = Scripted::start(script).await;
    let bed = Bed::new(&upstream, Deed::Pass).await;
    bed.may_ask_why().await;
    miner.send(TOKEN.to_owned()).unwrap();
    miner.send(LAST.to_owned()).unwrap();
    let explanation = bed.explained(r#","stream":true"#).await;
    assert_eq!(explanation.charged, Some(Credits::whole(2)));
    assert_eq!(verdicts(&explanation), [(0, "asked_first")]);
    assert!(explanation.attempts[0].first_token_ms.is_some());
}
