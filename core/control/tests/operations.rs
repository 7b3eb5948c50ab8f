//! The operations, over the socket and in process: both must say the same.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use btvep_control::{
    AdminSocket, Client, ClientError, ConfigCandidate, ConfigChange, ConfigControl, ConfigStatus, ConfigVersion,
    Control, MinerView, MinersView, PolicyCheck, SOCKET, router,
};
use btvep_domain::KeyPolicy;
use btvep_state::Memory;
use http::{Method, StatusCode};
use serde_json::{Value, json};

#[derive(Debug)]
struct World;

impl MinersView for World {
    fn miners(&self) -> Vec<MinerView> {
        btvep_testkit::neurons(2).neurons().iter().map(MinerView::from).collect()
    }
}

impl PolicyCheck for World {
    fn check(&self, policy: &KeyPolicy) -> Result<(), String> {
        match &policy.models {
            Some(models) if models.iter().any(|model| model == "gone") => Err("there is no model `gone`".to_owned()),
            _ => Ok(()),
        }
    }
}

impl ConfigControl for World {
    fn status(&self) -> Result<ConfigStatus, String> {
        Ok(ConfigStatus { hash: "0123456789ab".to_owned(), ..ConfigStatus::default() })
    }

    fn reload(&self) -> Result<ConfigStatus, String> {
        Err("b.toml:3: model.0.price: may not be negative".to_owned())
    }

    fn history(&self) -> Result<Vec<ConfigVersion>, String> {
        Ok(Vec::new())
    }

    fn rollback(&self, number: u64) -> Result<ConfigVersion, String> {
        Ok(ConfigVersion { number, at_ms: 1, hash: "0123456789ab".to_owned(), bytes: 2 })
    }

    fn diff(&self, candidate: &ConfigCandidate) -> Result<Vec<ConfigChange>, String> {
        Ok(vec![ConfigChange { path: candidate.text.clone(), before: None, after: None }])
    }
}

fn control() -> Control {
    let store = Arc::new(Memory::new());
    Control {
        keys: Arc::clone(&store) as _,
        accounts: Arc::clone(&store) as _,
        logs: store,
        miners: Arc::new(World),
        policy: Arc::new(World),
        config: Arc::new(World),
        version: "test",
    }
}

fn refused(asked: Result<Value, ClientError>) -> (StatusCode, String) {
    match asked {
        Err(ClientError::Refused { status, message }) => (status, message),
        other => unreachable!("{other:?}"),
    }
}

async fn check_config(client: &Client) {
    let status: Value = client.get("/v1/config/status").await.unwrap();
    assert_eq!(status["hash"], "0123456789ab");
    let (status, message) = refused(client.send(Method::POST, "/v1/config/reload", &json!({})).await);
    assert_eq!((status, message.as_str()), (StatusCode::CONFLICT, "b.toml:3: model.0.price: may not be negative"));
    let back: Value = client.send(Method::POST, "/v1/config/rollback/7", &json!({})).await.unwrap();
    assert_eq!(back["number"], 7);
    let candidate = json!({ "file": "new.toml", "text": "x" });
    let diff: Value = client.send(Method::POST, "/v1/config/diff", &candidate).await.unwrap();
    assert_eq!(diff[0]["path"], "x");
}

async fn check_rules(client: &Client, path: &str) {
    let rule = json!({ "times": 1, "seconds": 2 });
    let rules: Value = client.send(Method::POST, &format!("{path}/rate-limits"), &rule).await.unwrap();
    assert_eq!(rules["rate_limits"], json!([rule]));
    let (status, _) = refused(client.delete(&format!("{path}/rate-limits/7")).await);
    assert_eq!(status, StatusCode::NOT_FOUND);
}

async fn check_views(client: &Client) {
    let rows: Value = client.send(Method::POST, "/v1/logs", &json!({})).await.unwrap();
    assert_eq!(rows, json!([]));
    let miners: Value = client.get("/v1/miners").await.unwrap();
    assert_eq!(miners.as_array().unwrap().len(), 2);
}

async fn check_refusals(client: &Client, path: &str) {
    let (status, message) = refused(client.send(Method::PATCH, path, &json!({ "models": ["gone"] })).await);
    assert_eq!((status, message.as_str()), (StatusCode::BAD_REQUEST, "there is no model `gone`"));
    let (status, message) = refused(client.send(Method::PATCH, path, &json!({ "nam": "b" })).await);
    assert!(status.is_client_error() && message.contains("nam"), "{message}");
    let (status, _) = refused(client.send(Method::POST, "/v1/keys", &json!({ "credits": -1 })).await);
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

async fn check(client: &Client) {
    let made: Value = client.send(Method::POST, "/v1/keys", &json!({ "name": "a", "credits": 2.5 })).await.unwrap();
    let path = format!("/v1/keys/{}", made["id"].as_str().unwrap());
    assert!(made["key"].as_str().unwrap().starts_with("btvep_"));
    let change = json!({ "max_top_n": 3, "credits": null });
    let edited: Value = client.send(Method::PATCH, &path, &change).await.unwrap();
    assert_eq!((&edited["name"], &edited["max_top_n"], &edited["credits"]), (&json!("a"), &json!(3), &Value::Null));
    assert_eq!(edited.get("key"), None);

    check_rules(client, &path).await;
    check_refusals(client, &path).await;
    check_config(client).await;
    check_views(client).await;
    let _: Value = client.delete(&path).await.unwrap();
    assert_eq!(refused(client.get(&path).await).0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn operations_in_process() {
    check(&Client::Local(router(control()))).await;
}

#[tokio::test]
async fn operations_over_the_socket_in_place_of_a_stale_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(SOCKET);
    // A socket that nobody listens on any more.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(Client::of_server(&path).await.unwrap().is_none());

    let socket = AdminSocket::bind(folder.path()).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something was left behind");
    let server = tokio::spawn(socket.serve(router(control())));
    check(&Client::of_server(&path).await.unwrap().unwrap()).await;
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    assert!(!path.exists(), "the socket goes with its server");
}

#[test]
fn a_path_that_fits_no_socket_is_refused() {
    let folder = std::path::PathBuf::from(format!("/{}", "x".repeat(120)));
    assert!(AdminSocket::check(&folder).unwrap_err().to_string().contains("choose a shorter state.path"));
}
