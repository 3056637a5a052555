//! A model server that speaks the Open Inference Protocol v2 over HTTP/1.1.
//!
//! Paths: `POST /v2/models/{name}[/versions/{version}]/infer`, `GET /v2`, `GET /v2/health/{live,ready}`,
//! `GET /v2/models/{name}[/versions/{version}][/ready]`; and, to make it fail on purpose, `GET` and `POST /fault`.

mod answer;
mod command;
mod faults;
mod infer;
mod route;
mod tensor;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::models::Model;
pub use command::{Args, run};
pub use faults::{Fault, FaultError, FaultReport, Faults};
pub use infer::{INPUT_NAME, OUTPUT_NAME};

/// Pause after a failed accept, so that a process out of file descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a server serves: one model under one name and version.
#[derive(Clone, Debug)]
pub struct Served {
    /// The `{name}` of the paths.
    pub name: String,
    /// The `{version}` of the paths.
    pub version: String,
    /// Who answers.
    pub model: Arc<dyn Model>,
}

/// Serves `served` on `listener` until the future is dropped; that closes every connection.
///
/// `faults` is shared with whoever wants to make the server fail from the same process.
pub async fn serve(listener: TcpListener, served: Served, faults: Arc<Faults>) -> Infallible {
    let app = Arc::new(answer::App { served, faults });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(stream, app.clone()))),
                Err(error) => accept_failed(&error).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn accept_failed(error: &io::Error) {
    let of_the_caller = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    );
    if !of_the_caller {
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

async fn connection(stream: TcpStream, app: Arc<answer::App>) {
    // Without it small answers wait for the peer's delayed acknowledgements; it fails only on a dead socket.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer::answer(&app, request));
    // An error here is the caller that hung up, or a cut that `/fault` asked for.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

#[cfg(test)]
mod tests;
