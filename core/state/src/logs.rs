//! The request log: rows in day-wise append-only files.

mod filter;

pub(crate) use filter::{Filter, max_lines};
