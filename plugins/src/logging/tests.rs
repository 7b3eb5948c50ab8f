use btvep_domain::{
    AttemptOutcome, AttemptReport, Closed, Credits, FailureKind, Flaw, KeyPolicy, Kind, LogRow, MinerFailure,
    ModerationMode, Rejection, StoreError, Uid, Verdict,
};
use serde_json::json;

use super::*;
use crate::fixture::{KeptLogs, exchange_with};

const MINERS_WORDS: &str = "cannot answer `hello`";

fn failed(kind: FailureKind, message: &str) -> AttemptReport {
    let failure = MinerFailure { kind, flaw: Flaw::Miner, message: message.to_owned() };
    AttemptReport {
        uid: Some(Uid(7)),
        hotkey: None,
        upstream: None,
        outcome: AttemptOutcome::Failed(failure),
        first_token_ms: None,
        elapsed_ms: 12,
        status: Some(500),
    }
}

fn success() -> AttemptReport {
    AttemptReport { outcome: AttemptOutcome::Success, status: Some(200), ..failed(FailureKind::Empty, "") }
}

fn outcome(ending: Ending) -> Outcome {
    Outcome {
        ending,
        status: 200,
        attempts: vec![failed(FailureKind::Status, MINERS_WORDS), success()],
        choices: 1,
        texts: vec!["good day".to_owned()],
        usage: None,
        closed: Some(Closed { charged: Credits::whole(1), remaining: None }),
        elapsed_us: 30_000,
        first_token_us: Some(20_000),
    }
}

fn refused(rejection: Rejection) -> Outcome {
    let ending = Ending::Rejected(rejection);
    Outcome { attempts: Vec::new(), choices: 0, texts: Vec::new(), closed: None, ..outcome(ending) }
}

/// Ends one request and returns its row, if it has one.
fn row(config: ContentPolicy, exchange: &Exchange, outcome: &Outcome) -> Option<LogRow> {
    let logs = Arc::new(KeptLogs::default());
    Logging::new(&Config { content: config, ..Config::default() }, Arc::clone(&logs) as Arc<dyn Logs>)
        .on_end(exchange, outcome);
    logs.rows().pop()
}

fn keyed(own: Option<ContentPolicy>) -> Exchange {
    exchange_with(own.map(|content| KeyPolicy { content: Some(content), ..KeyPolicy::default() }))
}

/// Checks what a row keeps: whether it exists, has hashes, has texts.
#[track_caller]
fn check(config: ContentPolicy, own: Option<ContentPolicy>, exists: bool, hashes: bool, texts: bool) {
    let row = row(config, &keyed(own), &outcome(Ending::Answered));
    assert_eq!(row.is_some(), exists);
    let text = row.map(|row| serde_json::to_string(&row).unwrap()).unwrap_or_default();
    assert_eq!(text.contains("_sha256"), hashes, "{text}");
    assert_eq!(text.contains("hello"), texts, "{text}");
    assert_eq!(text.contains("good day"), texts, "{text}");
}

#[test]
fn the_policy_decides_what_a_row_keeps() {
    check(ContentPolicy::Meta, None, true, false, false);
    check(ContentPolicy::Hash, None, true, true, false);
    check(ContentPolicy::Full, None, true, true, true);
    check(ContentPolicy::None, None, false, false, false);
}

#[test]
fn the_keys_policy_wins() {
    check(ContentPolicy::Full, Some(ContentPolicy::Meta), true, false, false);
    check(ContentPolicy::Full, Some(ContentPolicy::None), false, false, false);
    check(ContentPolicy::Meta, Some(ContentPolicy::Full), true, true, true);
}

#[test]
fn the_answer_is_collected_only_where_a_row_needs_it() {
    let wants = |config, own| {
        let logging = Logging::new(&Config { content: config, ..Config::default() }, Arc::new(KeptLogs::default()));
        (logging.needs().answer, logging.wants_texts(&keyed(own)))
    };
    assert_eq!(wants(ContentPolicy::Meta, None), (false, false));
    assert_eq!(wants(ContentPolicy::Meta, Some(ContentPolicy::Full)), (false, true));
    assert_eq!(wants(ContentPolicy::Full, None), (true, true));
}

#[test]
fn full_keeps_the_messages_as_they_were_received() {
    let row = row(ContentPolicy::Full, &keyed(None), &outcome(Ending::Answered)).unwrap();
    assert_eq!(row.prompt, Some(json!([{ "role": "user", "content": "hello" }])));
    assert_eq!(row.answer, Some(vec!["good day".to_owned()]));
    // `printf 'good day' | sha256sum`
    let sha256 = "4cb4551bbb244be4e5fae3388c28f82d27c99ce8a6f7da5778f25e0b7f716f72";
    assert_eq!(row.answer_sha256.as_deref(), Some(sha256));
}

#[test]
fn success_means_delivered_and_accepted_means_that_miners_were_asked() {
    let facts = |outcome: &Outcome| {
        let row = row(ContentPolicy::Meta, &keyed(None), outcome).unwrap();
        (row.outcome, row.is_api_success, row.is_success, row.charged)
    };
    let one = Credits::whole(1);
    assert_eq!(facts(&outcome(Ending::Answered)), ("answered".into(), true, true, one));
    assert_eq!(facts(&outcome(Ending::Streamed)), ("streamed".into(), true, true, one));
    let cut = Ending::Partial(Rejection::new(Kind::DisabledKey, "disabled"));
    assert_eq!(facts(&outcome(cut)), ("partial".into(), true, false, one));
    assert_eq!(facts(&outcome(Ending::ClientGone { delivered: true })), ("client_gone".into(), true, false, one));
    let limited = refused(Rejection::new(Kind::RateLimited, "slow down"));
    assert_eq!(facts(&limited), ("rate_limit_exceeded".into(), false, false, Credits::ZERO));
    let mut all_failed = Rejection::new(Kind::AllMinersFailed, "all failed");
    all_failed.attempts = vec![failed(FailureKind::Timeout, "timed out")];
    assert_eq!(facts(&refused(all_failed)), ("all_miners_failed".into(), true, false, Credits::ZERO));
}

#[test]
fn a_stream_that_was_cut_says_by_what() {
    let cut = Rejection::new(Kind::DisabledKey, "disabled").because("somebody's own words");
    let row = row(ContentPolicy::Meta, &keyed(None), &outcome(Ending::Partial(cut))).unwrap();
    assert_eq!(row.error.as_deref(), Some("api_key_disabled"));
}

#[test]
fn a_banned_miner_is_called_so_in_the_row_only() {
    let mut outcome = outcome(Ending::Answered);
    outcome.attempts = vec![failed(FailureKind::Banned, "it is not asked any more")];
    let row = row(ContentPolicy::Full, &keyed(None), &outcome).unwrap();
    assert_eq!(row.attempts[0].error.as_deref(), Some("banned"));
}

#[test]
fn the_policy_decides_which_rows_tell_how_the_answer_came_about() {
    let explained = |explain, asked| {
        let logs = Arc::new(KeptLogs::default());
        let logging = Logging::new(&Config { explain, ..Config::default() }, Arc::clone(&logs) as Arc<dyn Logs>);
        let mut exchange = keyed(None);
        exchange.explain = asked;
        exchange.explanation = Some(Box::default());
        logging.on_end(&exchange, &outcome(Ending::Answered));
        (logging.needs().explanation, logs.rows().pop().unwrap().explain.is_some())
    };
    assert_eq!(explained(ExplainPolicy::Never, true), (false, false));
    assert_eq!(explained(ExplainPolicy::Asked, true), (false, true));
    assert_eq!(explained(ExplainPolicy::Asked, false), (false, false));
    assert_eq!(explained(ExplainPolicy::Always, false), (true, true));
}

#[test]
fn the_cause_is_for_the_operator_and_the_message_is_not_repeated() {
    let rejection = Rejection::new(Kind::StoreUnavailable, "try again").because(StoreError::Corrupt("row 5".into()));
    let row = row(ContentPolicy::Meta, &keyed(None), &refused(rejection)).unwrap();
    assert_eq!(row.error.as_deref(), Some("the store holds a damaged record: row 5"));
}

#[test]
fn without_full_no_error_quotes_the_prompt() {
    let quoting = || refused(Rejection::new(Kind::InvalidField, "wrong").because("invalid type: string `hello`"));
    let error = |policy| row(policy, &keyed(None), &quoting()).unwrap().error;
    assert_eq!((error(ContentPolicy::Meta), error(ContentPolicy::Hash)), (None, None));
    assert!(error(ContentPolicy::Full).is_some());
    let reason = |policy| row(policy, &keyed(None), &outcome(Ending::Answered)).unwrap().attempts[0].error.clone();
    assert_eq!(reason(ContentPolicy::Meta).as_deref(), Some("status"));
    assert_eq!(reason(ContentPolicy::Full).as_deref(), Some(MINERS_WORDS));
}

#[test]
fn an_endless_cause_is_cut() {
    let rejection = Rejection::new(Kind::Internal, "sorry").because("é".repeat(10_000));
    let row = row(ContentPolicy::Meta, &keyed(None), &refused(rejection)).unwrap();
    assert_eq!(row.error.unwrap().chars().count(), 500);
}

#[test]
fn flagged_categories_stand_in_the_row() {
    let mut exchange = keyed(None);
    let mode = ModerationMode::Monitor;
    exchange.verdict = Some(Verdict { flagged: true, categories: vec!["hate".into()], mode, unavailable: false });
    assert_eq!(row(ContentPolicy::Meta, &exchange, &outcome(Ending::Answered)).unwrap().flagged, ["hate"]);
}

#[test]
fn strangers_are_bounded_and_keys_are_not() {
    let logs = Arc::new(KeptLogs::default());
    let logging = Logging::new(&Config::default(), Arc::clone(&logs) as Arc<dyn Logs>);
    let mut stranger = btvep_testkit::exchange();
    stranger.key = None;
    for _ in 0..25 {
        logging.on_end(&stranger, &refused(Rejection::new(Kind::UnknownKey, "unknown")));
        logging.on_end(&keyed(None), &refused(Rejection::new(Kind::RateLimited, "slow down")));
    }
    assert_eq!(logs.rows().iter().filter(|row| row.key.is_none()).count(), 10);
    assert_eq!(logs.rows().iter().filter(|row| row.key.is_some()).count(), 25);
    assert_eq!(logging.strangers_not_logged(), 15);
}
