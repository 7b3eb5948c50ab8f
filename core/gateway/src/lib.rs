//! Pingora in front of the engine: listeners, TLS, HTTP, one file per phase.
//!
//! `request` reads what a request says of itself, `body` its body, `answer` and `stream` write what the engine
//! replies, `errors` what is refused. `api` is the public listener, where these meet; `admin` the second one;
//! `door` counts connections, `front` guards the head of a request; `shutdown` drains. `gateway` puts them together.
//!
//! What Pingora refuses while it parses a head (broken HTTP, more than 256 headers, a head over 1 MiB) is its own
//! bare 400, which no callback sees. On the first request of a connection it is counted, together with connections
//! that never sent one, in `btvep_gateway_connections_without_request_total`. Whatever reaches a callback has the
//! surface's envelope.
//!
//! A client that closes its sending side while it waits is taken to have left, and its request is cancelled.

mod admin;
mod answer;
mod api;
mod bind;
mod body;
mod door;
mod errors;
mod front;
mod gateway;
mod listen;
mod metrics;
mod refused;
mod request;
mod settings;
mod shutdown;
mod stream;
mod tls;

pub use admin::Probes;
pub use gateway::{Gateway, GatewayConfig, GatewayError};
pub use listen::{ListenConfig, TlsConfig};
pub use settings::Settings;
pub use shutdown::Stopper;
pub use tls::{Certificate, CertificateError, FreshCertificate};
