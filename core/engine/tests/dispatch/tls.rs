use std::convert::Infallible;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use btvep_domain::{Deadlines, Until};
use btvep_engine::Upstream;
use btvep_engine::dispatch::{Job, Party};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::bed::{Bed, Plain, plan, told};

/// Names the directory of certificate and key, in the process that trusts the certificate.
const DIRECTORY: &str = "DISPATCH_TLS_DIRECTORY";

/// The roots are the system's, so the test runs itself again in a process whose system trusts its own certificate.
#[test]
fn an_https_upstream_is_verified_and_spoken_to_as_alpn_says() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(speak(Path::new(&directory)));
    }
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let directory = std::env::temp_dir().join(format!("dispatch-tls-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tls::an_https_upstream_is_verified_and_spoken_to_as_alpn_says", "--nocapture"])
        .env(DIRECTORY, &directory)
        .env("SSL_CERT_FILE", directory.join("cert.pem"))
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
}

async fn speak(directory: &Path) {
    for (alpn, version) in [(&["h2", "http/1.1"][..], "HTTP/2.0"), (&["http/1.1"], "HTTP/1.1"), (&[], "HTTP/1.1")] {
        let port = serve(directory, alpn).await;
        let bed = Bed::new(&[]);
        for _ in 0..3 {
            assert_eq!(bed.ask(&job(&bed, &format!("https://localhost:{port}"))).await.unwrap(), [version]);
        }
        // The certificate is for another name.
        let job = job(&bed, &format!("https://127.0.0.1:{port}"));
        assert!(bed.ask(&job).await.is_none());
        assert_eq!(told(&job)[0].1, "unreachable");
    }
}

fn job(bed: &Bed, origin: &str) -> Job {
    let upstream = Upstream {
        name: origin.into(),
        origin: origin.to_owned(),
        protocol: Arc::new(Plain { streams: false }),
        deadlines: Deadlines::default(),
        answer_bytes: 100,
    };
    let party = Party::Upstream(Arc::new(upstream));
    Job { party, plan: plan(&[], 1, Until::First), snapshot: None, ..bed.job("x") }
}

/// Serves TLS that offers these protocols; the answer is the request's HTTP version.
async fn serve(directory: &Path, alpn: &[&str]) -> u16 {
    let cert = CertificateDer::from_pem_file(directory.join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Who does not trust the certificate leaves here.
                let Ok(socket) = acceptor.accept(socket).await else { return };
                let answer = service_fn(|request: Request<Incoming>| async move {
                    let text = format!("{:?}", request.version());
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
                });
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(socket), answer).await;
            });
        }
    });
    port
}
