use std::ops::Range;

use bytes::Bytes;

/// Who speaks in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The operator of the conversation.
    System,
    /// Newer name of `System`.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A tool's result.
    Tool,
    /// Older name of `Tool`.
    Function,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// Its text: the content, or its text parts joined by newlines; empty when it has none.
    pub text: String,
    /// Whether it holds more than text (images, sound, files, tool calls).
    pub more_than_text: bool,
}

/// A top-level member of the received body, as byte ranges into [`Prompt::body`]; our own fields are not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name as written, without quotes.
    pub name: Box<str>,
    /// Where its value stands, untouched.
    pub value: Range<usize>,
}

/// The fields by which a request chooses miners; absent and null are the same. Unchecked numbers as received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StrategyFields {
    /// A strategy by name, such as `top_n`, or with its argument, `top_n=5`.
    pub strategy: Option<String>,
    /// Exactly these miners, in this order.
    pub uids: Option<Vec<i64>>,
    /// The best so many; wins over `uids`.
    pub top_n: Option<i64>,
    /// Ask so many at once, the next batch when none answered.
    pub in_parallel: Option<i64>,
    /// Answer with the first success (default), or wait for all.
    pub respond_on_first_success: Option<bool>,
}

/// A chat request, parsed once.
#[derive(Clone, Debug, Default)]
pub struct Prompt {
    /// The body as received: unknown fields and the precision of numbers reach OpenAI miners untouched.
    pub body: Bytes,
    /// Every top-level member but ours, in the received order.
    pub fields: Vec<Field>,
    /// The model asked for, with its suffix if any (`sn1:top_n=5`).
    pub model: Option<String>,
    /// The conversation, never empty once checked.
    pub messages: Vec<Message>,
    /// Whether the answer shall be streamed.
    pub stream: bool,
    /// Whether a stream shall end with a usage chunk.
    pub include_usage: bool,
    /// Choices wanted of one miner, at least 1.
    pub n: u32,
    /// How to choose miners.
    pub strategy: StrategyFields,
}

impl Role {
    /// Returns the role's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Function => "function",
        }
    }

    /// Returns the role of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "system" => Self::System,
            "developer" => Self::Developer,
            "user" => Self::User,
            "assistant" => Self::Assistant,
            "tool" => Self::Tool,
            "function" => Self::Function,
            _ => return None,
        })
    }
}
