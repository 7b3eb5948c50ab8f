//! The built-in filters, one file each.
//!
//! Each owns its configuration; none depends on another. Their order is the configuration's, with
//! `logging` outermost, so that it sees every rejection.

pub mod auth;
pub mod credits;
pub mod logging;
pub mod moderation;
pub mod rate_limit;

#[cfg(test)]
mod fixture;

pub use auth::Auth;
pub use credits::Credits;
pub use logging::Logging;
pub use moderation::Moderation;
pub use rate_limit::RateLimit;
