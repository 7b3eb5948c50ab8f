use btvep_domain::{Message, Rejection, Role};

use super::parse::invalid;
use crate::surface::LimitsConfig;
use crate::surface::body::shorten;
use crate::surface::loose::Loose;

/// Reads `messages`.
pub(super) fn conversation(json: &str, limits: &LimitsConfig) -> Result<Vec<Message>, Rejection> {
    let Some(Loose::List(list)) = Loose::read(json) else {
        return Err(invalid("messages", "must be a list of messages"));
    };
    if list.len() > limits.messages {
        return Err(invalid("messages", &format!("holds more than {} messages", limits.messages)));
    }
    list.iter().enumerate().map(|(at, item)| message(at, item)).collect()
}

fn message(at: usize, item: &Loose<'_>) -> Result<Message, Rejection> {
    let fault = |member: &str, fault: &str| invalid(format!("messages[{at}]{member}"), fault);
    if !matches!(item, Loose::Map(_)) {
        return Err(fault("", "must be an object with role and content"));
    }
    let role = match item.get("role")? {
        Some(Loose::Text(name)) => Role::from_name(name).ok_or_else(|| {
            let known = "use system, developer, user, assistant, tool or function";
            fault(".role", &format!("is `{}`; {known}", shorten(name)))
        })?,
        Some(_) => return Err(fault(".role", "must be a string")),
        None => return Err(fault(".role", "is required")),
    };
    let calls = item.get("tool_calls")?.is_some() || item.get("function_call")?.is_some();
    // Parts of an assistant's earlier answer that stand beside its text.
    let beside = calls || item.get("audio")?.is_some();
    let mut message = Message { role, text: String::new(), more_than_text: beside };
    match item.get("content")? {
        Some(Loose::Text(text)) => message.text = text.to_string(),
        Some(Loose::List(parts)) => add_parts(&mut message, parts, at)?,
        Some(_) => return Err(fault(".content", "must be a string or a list of parts")),
        None if role == Role::Assistant && (beside || item.get("refusal")?.is_some()) => {}
        None => return Err(fault(".content", "is required")),
    }
    Ok(message)
}

fn add_parts(message: &mut Message, parts: &[Loose<'_>], at: usize) -> Result<(), Rejection> {
    if parts.is_empty() {
        return Err(invalid(format!("messages[{at}].content"), "must hold at least one part"));
    }
    let mut first = true;
    for (nth, part) in parts.iter().enumerate() {
        let fault = |member: &str, fault: &str| invalid(format!("messages[{at}].content[{nth}]{member}"), fault);
        let Some(Loose::Text(kind)) = part.get("type")? else {
            return Err(fault(".type", "is required and must be a string"));
        };
        if kind != "text" {
            message.more_than_text = true;
            continue;
        }
        let Some(Loose::Text(text)) = part.get("text")? else {
            return Err(fault(".text", "is required and must be a string"));
        };
        if !std::mem::take(&mut first) {
            message.text.push('\n');
        }
        message.text.push_str(text);
    }
    Ok(())
}
