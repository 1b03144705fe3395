use http::Response;

/// Whether the connections of a [`Serve`](super::Serve) move to the successor at a restart.
///
/// Set by [`Serve::hand_over`](super::Serve::hand_over). Among a *response's* extensions, [`Never`](Self::Never) keeps
/// the connection that it goes to, from then on: where the application has bound something to it, an authentication, say,
/// of which the successor would know nothing.
///
/// # Examples
///
/// ```
/// use http::Response;
/// use tokio_hotrestart::serve::HandOver;
///
/// let mut response = Response::new("welcome, and stay on this connection");
/// response.extensions_mut().insert(HandOver::Never);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandOver {
    /// An HTTP/1.1 connection moves when it waits for a request and all answers are out; its client notices nothing. One
    /// whose listener has no name, that is told to close, or speaks HTTP/1.0, HTTP/2 or TLS stays and is drained.
    #[default]
    BetweenRequests,
    /// They stay and are drained.
    Never,
}

/// Whether the answer keeps its connection.
pub(super) fn keeps<B>(response: &Response<B>) -> bool {
    response.extensions().get() == Some(&HandOver::Never)
}
