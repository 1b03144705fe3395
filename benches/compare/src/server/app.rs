//! What all of them answer.

use std::{future, pin::pin, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{
        Path, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    http::HeaderValue,
    middleware::map_response,
    response::Response,
    routing::get,
};
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// By which connections that are no longer HTTP learn of an end, and are waited for.
#[derive(Clone, Debug, Default)]
pub(super) struct Leaving {
    pub(super) token: CancellationToken,
    pub(super) tracker: TaskTracker,
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

async fn websocket(upgrade: WebSocketUpgrade, State(Leaving { token, tracker }): State<Leaving>) -> Response {
    upgrade.on_upgrade(move |socket| tracker.track_future(echo(socket, token)))
}

/// Echoes messages until the client leaves or the server does, which says so, as a careful application would.
async fn echo(mut socket: WebSocket, token: CancellationToken) {
    let mut leaving = pin!(token.cancelled());
    loop {
        tokio::select! {
            received = socket.recv() => match received {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    if socket.send(message).await.is_err() {
                        return;
                    }
                }
                Some(Ok(_)) => {} // axum answers pings, and a close frame
                Some(Err(_)) | None => return,
            },
            () = &mut leaving => break,
        }
    }
    let goodbye = CloseFrame { code: close_code::RESTART, reason: "restarting".into() };
    if socket.send(Message::Close(Some(goodbye))).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}
