//! How a row is made from what a request came to.

use std::fmt::Write;

use btvep_domain::{
    AttemptReport, ContentPolicy, Credits, Ending, Exchange, FailureKind, Kind, LogRow, MinerFailure, Outcome, Prompt,
    Rejection, RowAttempt, Surface,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Most characters of an error in a row.
const ERROR: usize = 500;

/// Makes the row of an ended request.
pub(super) fn build(exchange: &Exchange, outcome: &Outcome, policy: ContentPolicy) -> LogRow {
    let mut row = facts(exchange, outcome, policy);
    let prompt = exchange.prompt().map(|prompt| &**prompt);
    if matches!(policy, ContentPolicy::Hash | ContentPolicy::Full) {
        row.prompt_sha256 = prompt.map(|prompt| sha256([messages_bytes(prompt).as_ref()]));
        row.answer_sha256 = (!outcome.texts.is_empty()).then(|| sha256(outcome.texts.iter().map(String::as_bytes)));
    }
    if policy == ContentPolicy::Full {
        row.prompt = prompt.map(messages);
        row.answer = (!outcome.texts.is_empty()).then(|| outcome.texts.clone());
    }
    row
}

fn facts(exchange: &Exchange, outcome: &Outcome, policy: ContentPolicy) -> LogRow {
    let attempts = attempts(outcome);
    let verdict = exchange.verdict.as_ref().filter(|verdict| verdict.flagged);
    LogRow {
        request_id: exchange.request_id.clone(),
        at_ms: exchange.received_at_ms,
        config: exchange.config.clone(),
        key: exchange.key.as_ref().map(|key| key.id),
        client: exchange.client,
        surface: surface(exchange.surface).to_owned(),
        model: exchange.model.as_ref().map(|model| model.id.clone()),
        strategy: exchange.selection.as_ref().map(|selection| selection.name.clone()),
        stream: exchange.prompt().is_some_and(|prompt| prompt.stream),
        is_api_success: !attempts.is_empty(),
        is_success: matches!(outcome.ending, Ending::Answered | Ending::Streamed),
        status: outcome.status,
        outcome: label(&outcome.ending).to_owned(),
        error: error(&outcome.ending, policy),
        charged: outcome.closed.map_or(Credits::ZERO, |closed| closed.charged),
        elapsed_us: outcome.elapsed_us,
        first_token_us: outcome.first_token_us,
        usage: outcome.usage,
        flagged: verdict.map(|verdict| verdict.categories.clone()).unwrap_or_default(),
        attempts: attempts.iter().map(|attempt| row_attempt(attempt, policy)).collect(),
        prompt_sha256: None,
        answer_sha256: None,
        prompt: None,
        answer: None,
        explain: None,
    }
}

const fn surface(surface: Surface) -> &'static str {
    match surface {
        Surface::OpenAi => "openai",
        Surface::Legacy => "legacy",
    }
}

const fn label(ending: &Ending) -> &'static str {
    match ending {
        Ending::Answered => "answered",
        Ending::Streamed => "streamed",
        Ending::Partial(_) => "partial",
        Ending::Rejected(rejection) => rejection.kind.code(),
        Ending::ClientGone { .. } => "client_gone",
        Ending::Panicked => "panicked",
    }
}

/// Returns every attempt; when all miners failed the rejection may carry them alone.
fn attempts(outcome: &Outcome) -> &[AttemptReport] {
    match &outcome.ending {
        Ending::Rejected(rejection) if outcome.attempts.is_empty() => &rejection.attempts,
        _ => &outcome.attempts,
    }
}

/// Returns the causes of a rejection, outermost first; of a broken stream what broke it, for each attempt has its own.
fn error(ending: &Ending, policy: ContentPolicy) -> Option<String> {
    if let Ending::Partial(rejection) = ending {
        return Some(rejection.kind.code().to_owned());
    }
    let Ending::Rejected(Rejection { kind, cause: Some(cause), .. }) = ending else { return None };
    // What is wrong with a body is often said by quoting it.
    if matches!(kind, Kind::MalformedBody | Kind::InvalidField) && policy != ContentPolicy::Full {
        return None;
    }
    let mut text = cause.to_string();
    let mut source = (**cause).source();
    while let Some(error) = source.filter(|_| text.len() < ERROR) {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    Some(text.chars().take(ERROR).collect())
}

fn row_attempt(report: &AttemptReport, policy: ContentPolicy) -> RowAttempt {
    RowAttempt {
        uid: report.uid,
        hotkey: report.hotkey,
        upstream: report.upstream.clone(),
        outcome: report.outcome.label().to_owned(),
        error: report.outcome.failure().map(|failure| reason(failure, policy)),
        status: report.status,
        elapsed_ms: report.elapsed_ms,
    }
}

/// Returns why a miner failed. Its own words may repeat the prompt, so only `full` keeps them.
fn reason(failure: &MinerFailure, policy: ContentPolicy) -> String {
    let is_miners_words = matches!(failure.kind, FailureKind::Refused | FailureKind::Status | FailureKind::Malformed);
    // Of a banned miner clients are told less than the operator.
    if failure.kind == FailureKind::Banned || is_miners_words && policy != ContentPolicy::Full {
        failure.kind.label().to_owned()
    } else {
        failure.message.chars().take(ERROR).collect()
    }
}

/// Returns the bytes of the received `messages`; those we would write when the body has none.
fn messages_bytes(prompt: &Prompt) -> std::borrow::Cow<'_, [u8]> {
    match received_messages(prompt) {
        Some(bytes) => bytes.into(),
        None => parsed_messages(prompt).to_string().into_bytes().into(),
    }
}

/// Returns the `messages` as received.
fn messages(prompt: &Prompt) -> Value {
    received_messages(prompt)
        .and_then(|bytes| serde_json::from_slice(bytes).ok())
        .unwrap_or_else(|| parsed_messages(prompt))
}

fn received_messages(prompt: &Prompt) -> Option<&[u8]> {
    // Of duplicate members JSON readers take the last.
    let field = prompt.fields.iter().rfind(|field| &*field.name == "messages")?;
    prompt.body.get(field.value.clone())
}

fn parsed_messages(prompt: &Prompt) -> Value {
    let messages = prompt.messages.iter();
    messages.map(|message| json!({ "role": message.role.as_str(), "content": message.text })).collect()
}

/// Returns the SHA-256 of the parts joined by newlines, in hex.
fn sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for (place, part) in parts.into_iter().enumerate() {
        if place > 0 {
            hash.update(b"\n");
        }
        hash.update(part);
    }
    format!("{:x}", hash.finalize())
}
