use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use btvep_domain::{ConfigError, written};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the server listens, and how patient it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListenConfig {
    /// Address of the API; port 0 takes any free one.
    #[schemars(schema_with = "written::address", extend("x-restart" = true))]
    pub public: SocketAddr,
    /// Address of `/metrics`, `/livez` and `/readyz`. Nobody is asked for a key there, so keep it away from strangers.
    #[schemars(schema_with = "written::address", extend("x-restart" = true))]
    pub admin: SocketAddr,
    /// Certificate and key of the API; HTTP/2 is offered beside HTTP/1.1. Absent means no TLS. New files are shown from
    /// the next handshake on; switching TLS on or off needs a restart.
    pub tls: Option<TlsConfig>,
    /// Whether the API takes HTTP/2 without TLS, beside HTTP/1.1 on the same port.
    #[schemars(extend("x-restart" = true))]
    pub h2c: bool,
    /// Networks of proxies that are trusted to name their client in `X-Forwarded-For`. Without any the client is
    /// whoever connects.
    #[schemars(schema_with = "written::networks", example = ["10.0.0.0/8"])]
    pub trusted_proxies: Vec<IpNet>,
    /// Threads that serve the API; 0 means one for each core.
    #[schemars(range(max = 1024), extend("x-restart" = true))]
    pub threads: usize,
    /// Whether the threads take work from one another. If not, each has a runtime of its own, and a request is
    /// accepted, dispatched and answered on one thread.
    #[schemars(extend("x-restart" = true))]
    pub work_stealing: bool,
    /// How long a stopping server waits for requests in flight.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "written::duration")]
    pub drain: Duration,
    /// How long the head of a request may take to arrive; at least 100 ms.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "written::duration")]
    pub head_timeout: Duration,
    /// How long the body of a request may take to arrive; at least 100 ms.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "written::duration")]
    pub body_timeout: Duration,
    /// How long an idle connection is kept; at least 100 ms. For HTTP/2 as it was at the start.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "written::duration")]
    pub keep_alive: Duration,
    /// How long a client may take none of its answer before it is cut off; at least 100 ms.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "written::duration")]
    pub stall: Duration,
    /// A stream that is silent for this long gets a comment, so that nobody on the way gives it up; at least 100 ms.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "written::duration")]
    pub ping: Duration,
    /// Whether answers tell which miner answered, how fast and for how much, in `x-btvep-…` headers and in the
    /// `validator` object.
    pub attribution: bool,
}

/// A certificate and its key, PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The PEM file of the certificate, followed by those that signed it.
    #[schemars(schema_with = "written::path", example = &"cert.pem")]
    pub cert: PathBuf,
    /// The PEM file of its private key.
    #[schemars(schema_with = "written::path", example = &"key.pem")]
    pub key: PathBuf,
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self {
            public: SocketAddr::from(([127, 0, 0, 1], 8000)),
            admin: SocketAddr::from(([127, 0, 0, 1], 9000)),
            tls: None,
            h2c: false,
            trusted_proxies: Vec::new(),
            threads: 0,
            work_stealing: false,
            drain: Duration::from_secs(30),
            head_timeout: Duration::from_secs(15),
            body_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            stall: Duration::from_secs(30),
            ping: Duration::from_secs(15),
            attribution: true,
        }
    }
}

impl ListenConfig {
    /// Checks what the types cannot say; `path` is where the table stands.
    ///
    /// # Errors
    ///
    /// A value that no server can run with.
    pub fn validate(&self, path: &str) -> Result<(), ConfigError> {
        let refuse = |key: &str, message: &str| Err(ConfigError::new(format!("{path}.{key}"), message));
        for (key, duration) in [
            ("head_timeout", self.head_timeout),
            ("body_timeout", self.body_timeout),
            ("keep_alive", self.keep_alive),
            ("stall", self.stall),
            ("ping", self.ping),
        ] {
            if duration < Duration::from_millis(100) {
                return refuse(key, "must be at least 100ms");
            }
        }
        if self.threads > 1024 {
            return refuse("threads", "must be at most 1024; 0 means one for each core");
        }
        if self.public == self.admin && self.public.port() != 0 {
            return refuse("admin", "must be another address than `public`");
        }
        Ok(())
    }

    /// Returns how many threads serve the API.
    pub(crate) fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        ListenConfig::default().validate("listen").unwrap();
    }

    #[test]
    fn what_cannot_run_is_refused_by_name() {
        let refused = |config: ListenConfig| config.validate("listen").unwrap_err().path;
        assert_eq!(refused(ListenConfig { stall: Duration::ZERO, ..ListenConfig::default() }), "listen.stall");
        let admin = ListenConfig::default().public;
        assert_eq!(refused(ListenConfig { admin, ..ListenConfig::default() }), "listen.admin");
    }
}
