//! Calls operations: of a running server through its socket, or of a router in this process.

use std::io;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tower::ServiceExt;

use crate::error::ErrorBody;

/// The largest answer taken.
const ANSWER: usize = 512 << 20;

/// Where operations are carried out.
#[derive(Clone, Debug)]
pub enum Client {
    /// By the server behind this socket.
    Socket(PathBuf),
    /// In this process.
    Local(Router),
}

/// An operation that was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It was refused, with the reason.
    #[error("{message}")]
    Refused {
        /// As HTTP status.
        status: StatusCode,
        /// What is wrong and what to do.
        message: String,
    },
    /// The server did not answer.
    #[error("the server behind {} does not answer: {cause}", path.display())]
    Unreachable {
        /// Its socket.
        path: PathBuf,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What came is no answer to the question; client and server may be of different versions.
    #[error("the answer is not understood ({0}); are btvep and the running server of the same version?")]
    NotUnderstood(String),
}

impl Client {
    /// Returns the client of the server behind a socket, or none when no server listens there.
    ///
    /// # Errors
    ///
    /// A socket is there and cannot be used, for instance because it belongs to another user.
    pub async fn of_server(socket: &Path) -> io::Result<Option<Self>> {
        match UnixStream::connect(socket).await {
            Ok(_) => Ok(Some(Self::Socket(socket.to_owned()))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Asks without a body.
    ///
    /// # Errors
    ///
    /// Why nothing was done.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// Deletes.
    ///
    /// # Errors
    ///
    /// Why nothing was done.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::DELETE, path, Bytes::new()).await
    }

    /// Sends a JSON body.
    ///
    /// # Errors
    ///
    /// Why nothing was done.
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::NotUnderstood(error.to_string()))?;
        self.call(method, path, body.into()).await
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "btvep")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| ClientError::NotUnderstood(error.to_string()))?;
        let (status, body) = match self {
            Self::Local(router) => local(router.clone(), request).await,
            Self::Socket(socket) => over(socket, request).await,
        }?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| ClientError::NotUnderstood(error.to_string()));
        }
        let message = serde_json::from_slice::<ErrorBody>(&body)
            .map_or_else(|_| format!("refused with status {status}"), |body| body.error);
        Err(ClientError::Refused { status, message })
    }
}

async fn local(router: Router, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), ClientError> {
    let Ok(answer) = router.oneshot(request.map(Body::new)).await;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER).collect().await;
    let body = body.map_err(|error| ClientError::NotUnderstood(error.to_string()))?.to_bytes();
    Ok((status, body))
}

async fn over(socket: &Path, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), ClientError> {
    let refuse =
        |cause: Box<dyn std::error::Error + Send + Sync>| ClientError::Unreachable { path: socket.to_owned(), cause };
    let stream = UnixStream::connect(socket).await.map_err(|error| refuse(error.into()))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| refuse(error.into()))?;
    // Ends with the sender.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(|error| refuse(error.into()))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER).collect().await.map_err(refuse)?.to_bytes();
    Ok((status, body))
}
