//! `/v1/chat/completions` as unmodified OpenAI clients know it.

mod conversation;
mod error;
mod parse;
mod stream;
mod whole;

pub use error::{error, error_type};
pub use parse::parse;
pub use stream::ChunkWriter;
pub use whole::{completion, completion_id, model, models};
