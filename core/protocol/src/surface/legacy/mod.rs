//! `/chat` as the original had it: its coercions, its success shape, its `detail` texts.

mod coerce;
mod error;
mod parse;
mod whole;

pub use error::{error, status};
pub use parse::parse;
pub use whole::answer;
