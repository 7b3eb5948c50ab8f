//! What clients speak: request bodies to prompts, answers and rejections to bytes.
//!
//! `openai` is what unmodified OpenAI clients depend on, `legacy` the original's `/chat`. Neither knows HTTP
//! beyond a status and a few headers; the gateway writes what they return.

mod attribution;
mod body;
mod failures;
mod head;
pub mod legacy;
mod limits;
mod loose;
pub mod openai;

pub use attribution::{Attribution, EXPOSED_HEADERS, REQUEST_ID, go_duration, rate_headers};
pub use head::{ErrorHead, error_head};
pub use limits::LimitsConfig;
