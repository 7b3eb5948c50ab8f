//! The control plane: what the CLI asks of a running server, and of a store that no server owns.
//!
//! [`router`] is the one implementation of every operation. A server offers it on `admin.sock`; without a server
//! the CLI opens the store and calls the same router in its own process ([`Client`]).

mod client;
mod config;
mod error;
mod explain;
mod keys;
mod logs;
mod router;
mod socket;
mod views;

pub use client::{Client, ClientError};
pub use config::{ConfigCandidate, ConfigChange, ConfigControl, ConfigRefusal, ConfigStatus, ConfigVersion};
pub use router::{Control, MinersView, PolicyCheck, router};
pub use socket::{AdminSocket, SOCKET, SocketError};
pub use views::{Deleted, Explained, KeyChange, KeyPage, KeyView, MinerView, RateLimits, Status};
