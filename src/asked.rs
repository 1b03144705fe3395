use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version, header::CONNECTION};

/// What has to be known of a request to say with its response that the client should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Request,
    Tunnel,
    /// From HTTP/2 on: its connection is told as a whole, and `connection` is no header there.
    Stream,
}

impl Asked {
    #[inline]
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        match (request.version(), request.method()) {
            (version, _) if version >= Version::HTTP_2 => Self::Stream,
            (_, &Method::CONNECT) => Self::Tunnel,
            _ => Self::Request,
        }
    }

    /// Whether this HTTP/1 connection is something else after such an answer.
    #[inline]
    pub(crate) fn upgrades(self, status: StatusCode) -> bool {
        match self {
            Self::Request => status == StatusCode::SWITCHING_PROTOCOLS,
            Self::Tunnel => status.is_success(),
            Self::Stream => false,
        }
    }

    /// Whether this connection goes on with HTTP/1 after such an answer.
    #[cfg(feature = "layer")]
    pub(crate) fn can_be_told(self, status: StatusCode) -> bool {
        self != Self::Stream && !self.upgrades(status)
    }
}

/// The client's next request comes on another connection.
pub(crate) fn tell(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}
