use btvep_domain::{Field, FieldError, Kind, Message, Prompt, Rejection, Role, StrategyFields};
use bytes::Bytes;
use serde::Serialize;

use super::coerce::{DICT, Fault, LIST, MISSING, NONE, boolean, integer, text};
use crate::surface::LimitsConfig;
use crate::surface::body::{Malformed, Member, members};
use crate::surface::loose::Loose;

/// A list of errors is as long as a person reads.
const ERRORS: usize = 32;

/// Reads the body of `/chat`.
///
/// Members the original did not know are ignored, `stream` among them; null is the default. The prompt's body
/// is written anew as `{"messages": [...]}`, with what the coercions made of it.
///
/// # Errors
///
/// [`Kind::InvalidField`] or [`Kind::MalformedBody`] with `fields` for the list of a 422, or
/// [`Kind::InvalidSelection`] for more miners than the limits allow.
pub fn parse(body: &[u8], limits: &LimitsConfig) -> Result<Prompt, Rejection> {
    let found = members(body, limits).map_err(malformed)?;
    let mut errors = Vec::new();
    let messages = match found.iter().find(|member| member.name == "messages") {
        None => Err(vec![MISSING.at(&["messages"])]),
        Some(member) => conversation(member.json, limits),
    };
    let messages = messages.unwrap_or_else(|mut faults| {
        errors.append(&mut faults);
        Vec::new()
    });
    let strategy = selection(&found, limits, &mut errors);
    if !errors.is_empty() {
        errors.truncate(ERRORS);
        return Err(refused(Kind::InvalidField, errors));
    }
    check_counts(&strategy, limits)?;
    Ok(written_anew(messages, strategy))
}

fn refused(kind: Kind, fields: Vec<FieldError>) -> Rejection {
    let mut rejection = Rejection::new(kind, "the body is not a valid chat request");
    if let Some(name) = fields.first().and_then(|field| field.path.first()) {
        rejection = rejection.about(name.clone());
    }
    rejection.fields = fields;
    rejection
}

fn malformed(malformed: Malformed) -> Rejection {
    let message = malformed.to_string();
    let error = match &malformed {
        Malformed::Empty => MISSING.at(&[]),
        Malformed::NotAnObject => DICT.at(&[]),
        Malformed::Syntax { at, .. } | Malformed::LoneSurrogate(at) => {
            Fault(message.into(), "value_error.jsondecode").at(&[&at.to_string()])
        }
        Malformed::Twice(name) => Fault(message.into(), "value_error.duplicate").at(&[name]),
        Malformed::NotUtf8 | Malformed::TooDeep(_) | Malformed::TooMany => {
            Fault(message.into(), "value_error.jsondecode").at(&[])
        }
    };
    let told = malformed.to_string();
    let mut rejection = Rejection::new(Rejection::from(malformed).kind, told);
    rejection.fields.push(error);
    rejection
}

fn conversation(json: &str, limits: &LimitsConfig) -> Result<Vec<Message>, Vec<FieldError>> {
    let one = |fault: Fault| vec![fault.at(&["messages"])];
    let list = match Loose::read(json) {
        Some(Loose::Null) => return Err(one(NONE)),
        Some(Loose::List(list)) => list,
        _ => return Err(one(LIST)),
    };
    if list.is_empty() {
        return Err(one(Fault("ensure this value has at least 1 items".into(), "value_error.list.min_items")));
    }
    if list.len() > limits.messages {
        let message = format!("ensure this value has at most {} items", limits.messages);
        return Err(one(Fault(message.into(), "value_error.list.max_items")));
    }
    let mut messages = Vec::with_capacity(list.len());
    let mut errors = Vec::new();
    for (at, item) in list.iter().enumerate() {
        match message(at, item) {
            Ok(message) => messages.push(message),
            Err(mut faults) => errors.append(&mut faults),
        }
        if errors.len() >= ERRORS {
            break;
        }
    }
    if errors.is_empty() { Ok(messages) } else { Err(errors) }
}

fn message(at: usize, item: &Loose<'_>) -> Result<Message, Vec<FieldError>> {
    let at = at.to_string();
    if !matches!(item, Loose::Map(_)) {
        let fault = if *item == Loose::Null { NONE } else { DICT };
        return Err(vec![fault.at(&["messages", &at])]);
    }
    let role = member(item, "role").and_then(role).map_err(|fault| fault.at(&["messages", &at, "role"]));
    let said = member(item, "content").and_then(text).map_err(|fault| fault.at(&["messages", &at, "content"]));
    match (role, said) {
        (Ok(role), Ok(text)) => Ok(Message { role, text, more_than_text: false }),
        (role, said) => Err(role.err().into_iter().chain(said.err()).collect()),
    }
}

fn member<'m, 'a>(item: &'m Loose<'a>, name: &str) -> Result<&'m Loose<'a>, Fault> {
    match item.get(name)? {
        Some(value) => Ok(value),
        None if item.has(name) => Err(NONE),
        None => Err(MISSING),
    }
}

fn role(value: &Loose<'_>) -> Result<Role, Fault> {
    match value {
        Loose::Text(name) if name == "user" => Ok(Role::User),
        Loose::Text(name) if name == "system" => Ok(Role::System),
        Loose::Text(name) if name == "assistant" => Ok(Role::Assistant),
        _ => Err(Fault("unexpected value; permitted: 'user', 'system', 'assistant'".into(), "value_error.const")),
    }
}

fn selection(found: &[Member<'_>], limits: &LimitsConfig, errors: &mut Vec<FieldError>) -> StrategyFields {
    let mut fields = StrategyFields::default();
    for member in found.iter().filter(|member| !member.is_null()) {
        let name = &*member.name;
        if !matches!(name, "uids" | "top_n" | "in_parallel" | "respond_on_first_success") {
            continue;
        }
        // A number beyond all bounds is no integer to anybody.
        let value = Loose::read(member.json).unwrap_or(Loose::Map(Vec::new()));
        let faults = match name {
            "uids" => uids(&value, limits).map(|uids| fields.uids = Some(uids)),
            "top_n" => one(name, integer(&value)).map(|n| fields.top_n = Some(n)),
            "in_parallel" => one(name, integer(&value)).map(|n| fields.in_parallel = Some(n)),
            _ => one(name, boolean(&value)).map(|first| fields.respond_on_first_success = Some(first)),
        };
        errors.extend(faults.err().into_iter().flatten());
    }
    fields
}

fn one<T>(name: &str, value: Result<T, Fault>) -> Result<T, Vec<FieldError>> {
    value.map_err(|fault| vec![fault.at(&[name])])
}

fn uids(value: &Loose<'_>, limits: &LimitsConfig) -> Result<Vec<i64>, Vec<FieldError>> {
    let Loose::List(list) = value else { return Err(vec![LIST.at(&["uids"])]) };
    let (mut uids, mut errors) = (Vec::new(), Vec::new());
    // One more than allowed is enough to be refused for it later.
    for (at, item) in list.iter().enumerate().take(limits.uids + 1) {
        match integer(item) {
            Ok(uid) => uids.push(uid),
            Err(fault) => errors.push(fault.at(&["uids", &at.to_string()])),
        }
    }
    if errors.is_empty() { Ok(uids) } else { Err(errors) }
}

fn check_counts(fields: &StrategyFields, limits: &LimitsConfig) -> Result<(), Rejection> {
    let beyond = |value: Option<i64>, limit: u16| value.is_some_and(|value| value > i64::from(limit));
    let (name, limit) = if fields.uids.as_ref().is_some_and(|uids| uids.len() > limits.uids) {
        ("uids", limits.uids)
    } else if beyond(fields.top_n, limits.top_n) {
        ("top_n", limits.top_n.into())
    } else if beyond(fields.in_parallel, limits.in_parallel) {
        ("in_parallel", limits.in_parallel.into())
    } else {
        return Ok(());
    };
    Err(Rejection::new(Kind::InvalidSelection, format!("`{name}` asks for more than {limit} miners")).about(name))
}

#[derive(Serialize)]
struct Written<'a> {
    role: &'static str,
    content: &'a str,
}

fn written_anew(messages: Vec<Message>, strategy: StrategyFields) -> Prompt {
    const BEFORE: &[u8] = b"{\"messages\":";
    let mut body = BEFORE.to_vec();
    let written: Vec<_> =
        messages.iter().map(|message| Written { role: message.role.as_str(), content: &message.text }).collect();
    // Writing our own types to memory cannot fail.
    let _ = serde_json::to_writer(&mut body, &written);
    let value = BEFORE.len()..body.len();
    body.push(b'}');
    Prompt {
        body: Bytes::from(body),
        fields: vec![Field { name: "messages".into(), value }],
        messages,
        n: 1,
        strategy,
        ..Prompt::default()
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
