#[cfg(feature = "http2")]
use super::http2::Http2;
use super::{Handler, Io, farewell::Farewell, http1::Http1, sniff::Sniffer};
use crate::handover::Leaving;

/// What a connection is at.
#[allow(clippy::large_enum_variant, reason = "nearly every connection is HTTP/1, and would cost an allocation more")]
pub(super) enum Phase<T: Io, S: Handler> {
    Sniffing(Sniffer<T>, S),
    Http1(Http1<T, S>),
    /// Boxed: it is four times the size of all others.
    #[cfg(feature = "http2")]
    Http2(Box<Http2<T, S>>),
    /// It has left for the successor; the service is for when it comes back.
    Away(Leaving, S),
    Ending(Farewell<T>),
    Ended,
}
