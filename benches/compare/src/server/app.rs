//! What all of them answer.

use std::{future, time::Duration};

use axum::{
    Router, body::Bytes, extract::Path, http::HeaderValue, middleware::map_response, response::Response, routing::get,
};
use tokio::time::sleep;
use tokio_hotrestart::Graceful;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::websocket::websocket;

/// By which connections that are no longer HTTP learn of an end, and are waited for.
#[derive(Clone, Debug, Default)]
pub(super) struct Leaving {
    pub(super) token: CancellationToken,
    pub(super) tracker: TaskTracker,
    pub(super) at_restart: AtRestart,
}

/// What becomes of connections that are no longer HTTP.
#[derive(Clone, Debug, Default)]
pub(super) enum AtRestart {
    /// Their clients are told, and open others.
    #[default]
    Told,
    /// The successor goes on with them.
    HandedOver(Graceful),
}

impl Leaving {
    /// Waits for those that are left.
    pub(super) async fn left(self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// The same response for all systems: whose process gave it, and `hello world`.
pub(super) fn app(leaving: Leaving) -> Router {
    let pid = HeaderValue::from(std::process::id());
    let mark = move |mut response: Response| {
        response.headers_mut().insert("x-generation", pid.clone());
        future::ready(response)
    };
    Router::new()
        .route("/", get(hello).post(take))
        .route("/slow/{ms}", get(slow))
        .route("/ws", get(websocket))
        .layer(map_response(mark))
        .with_state(leaving)
}

async fn hello() -> &'static str {
    "hello world"
}

/// Reads the whole body, as every server does; nginx and HAProxy echo nothing by themselves.
async fn take(_: Bytes) -> &'static str {
    "hello world"
}

async fn slow(Path(ms): Path<u64>) -> String {
    sleep(Duration::from_millis(ms)).await;
    format!("slept {ms} ms")
}
