//! Pingora as it comes: passes every request on to one upstream. The yardstick for what the product adds.

use std::net::SocketAddr;

use async_trait::async_trait;
use clap::Parser;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::upstreams::peer::HttpPeer;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;

#[derive(Debug, Parser)]
struct Arguments {
    /// Where it listens.
    #[arg(long)]
    listen: SocketAddr,
    /// Where requests go.
    #[arg(long)]
    upstream: SocketAddr,
    /// Threads of the proxy.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// One runtime per thread instead of one that shares its work.
    #[arg(long)]
    runtime_per_thread: bool,
}

#[derive(Debug)]
struct PassThrough(SocketAddr);

#[async_trait]
impl ProxyHttp for PassThrough {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

fn main() {
    let arguments = Arguments::parse();
    let configuration = ServerConf {
        threads: arguments.threads,
        work_stealing: !arguments.runtime_per_thread,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, configuration);
    server.bootstrap();
    let mut proxy = http_proxy_service(&server.configuration, PassThrough(arguments.upstream));
    proxy.add_tcp(&arguments.listen.to_string());
    server.add_service(proxy);
    server.run_forever();
}
