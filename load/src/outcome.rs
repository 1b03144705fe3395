//! What became of one request.

/// What became of one request. The list is closed: a request that fits nowhere is a bug in this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The whole answer came, and it is the one that was expected.
    Answered,
    /// Nobody listened (`ECONNREFUSED`).
    Refused,
    /// No connection, for any other reason.
    ConnectError,
    /// The connection was reset before the answer was whole.
    Reset,
    /// The connection ended before the answer was whole.
    Cut,
    /// A connection that had answered before ended, orderly or not, before any byte of this answer: the request met
    /// the server's decision to close. A client cannot know whether it was carried out, so this is a loss.
    Raced,
    /// A whole answer, but its status, its headers or its body are not the expected ones; or no HTTP at all.
    Wrong,
    /// No whole answer by the deadline.
    TimedOut,
    /// Sent behind a request whose answer said `connection: close`, or on a WebSocket that the server closed with a
    /// close frame. The protocol tells the client that it was not carried out: it is sent again, and is no loss.
    UnansweredAfterClose,
    /// An HTTP/2 stream that the server refused, or whose number is beyond its GOAWAY. The protocol tells the client
    /// that it was not carried out: no loss.
    H2Unprocessed,
}

impl Outcome {
    /// All of them, in the order of declaration.
    pub const ALL: [Self; 10] = [
        Self::Answered,
        Self::Refused,
        Self::ConnectError,
        Self::Reset,
        Self::Cut,
        Self::Raced,
        Self::Wrong,
        Self::TimedOut,
        Self::UnansweredAfterClose,
        Self::H2Unprocessed,
    ];

    /// Whether a client lost something: neither answered, nor told by the protocol that nothing was carried out.
    pub fn is_loss(self) -> bool {
        !matches!(self, Self::Answered | Self::UnansweredAfterClose | Self::H2Unprocessed)
    }

    /// As tables name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::ConnectError => "connect error",
            Self::Reset => "reset",
            Self::Cut => "cut",
            Self::Raced => "raced",
            Self::Wrong => "wrong",
            Self::TimedOut => "timed out",
            Self::UnansweredAfterClose => "unanswered after close",
            Self::H2Unprocessed => "unprocessed by HTTP/2",
        }
    }
}
