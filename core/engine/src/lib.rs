//! The engine: takes a request through the filters, asks miners, closes the account.
//!
//! `load` counts what is in flight, `pipeline` is the life of a request, `dispatch` sends one prompt to miners by a plan. The gateway
//! gives an [`Incoming`] and gets a [`Reply`]; dropping the pending reply, or the receiver of a stream,
//! is how a client leaves.

pub mod dispatch;
mod kill_list;
mod load;
mod pipeline;
mod reply;
mod service;

pub use btvep_protocol::surface::Attribution;
pub use kill_list::KillList;
pub use load::{COPIES, Connection, Load, OverloadConfig, Place, Shed, Taken};
pub use pipeline::{Engine, EngineMetrics};
pub use reply::{Incoming, Reply, Serve, StreamEvent};
pub use service::{Service, ServiceError, Subnet, Upstream};
