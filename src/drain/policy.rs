use std::time::Duration;

/// What a drain does with something long: a WebSocket, a tunnel, a raw connection, a stream of events.
///
/// Of a listener (`Serve::policy`) or a connection it concerns those that know no end of their own: upgraded and raw
/// connections, and responses whose length is not known beforehand, compressed ones among them. Of responses and upgrades
/// only those that were given before the drain began: whoever asks later is still to be answered. A request that has no
/// response yet, and so a response that is given later, has until the deadline.
///
/// A handler that puts one into its *response's extensions* decides for that response, whatever it is and whenever it is
/// given. `serve` looks for it there; under any other server it has no effect.
///
/// All of it counts from the drain's beginning: during a lame duck a client that is sent away would come back to this
/// very process.
///
/// A client can tell an answer that was cut from a complete one: the last chunk is missing, or its stream is reset. Where
/// only the connection's end says that it is complete, as in HTTP/1.0, that end is a reset over TCP, and over TLS lacks the
/// last word; over a Unix socket it looks complete.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use axum::{Extension, response::IntoResponse};
/// use tokio_hotrestart::drain::Policy;
///
/// async fn ticker() -> impl IntoResponse {
///     // A client comes back by itself, so nothing is gained by waiting.
///     (Extension(Policy::CloseNow), "an endless stream, say")
/// }
///
/// async fn export() -> impl IntoResponse {
///     (Extension(Policy::CloseAfter(Duration::from_secs(60))), "a long one")
/// }
/// # let _ = (ticker(), export());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// It may go on until the drain's deadline.
    #[default]
    Finish,
    /// It is cut when the drain begins.
    CloseNow,
    /// It is cut this long after the drain's beginning.
    CloseAfter(Duration),
}
