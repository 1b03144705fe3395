//! Lists that are closed in this version and open on the wire: each with its numbers, which are never used again for
//! something else.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketKind {
    TcpListener,
    UnixListener,
    UdpSocket,
    UnixDatagram,
    SeqpacketListener,
    PipeReader,
    PipeWriter,
    /// Any other descriptor.
    Descriptor,
    /// The listener at which generations and operators meet.
    Control,
    /// A kind that a later version passes: claimed by nobody here, and so closed at ready.
    Other(u8),
}

/// Who opened the socket, in whichever generation that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Bound,
    /// Opened by the application, and given to us.
    Offered,
    /// Passed by systemd, or another that speaks its protocol.
    Activated,
    Other(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No version that both speak.
    Version,
    /// No room for the descriptors.
    NoDescriptors,
    /// What was passed is not what the manifest says, or another reason that `why` tells.
    Other(u8),
}

/// What can be wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// "I am your successor": HELLO is the answer, and then everything goes as after a spawn.
    TakeOver,
    Restart,
    Status,
    Stop,
    /// A later version's.
    Other(u8),
}

/// How far a connection that is handed over has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Begun {
    /// It has not said which protocol it speaks.
    Fresh,
    /// HTTP/1, between two requests.
    Http1,
    Other(u8),
}

/// A closed list of ours beside an open list of bytes: what is unknown keeps its number.
macro_rules! codes {
    ($type:ident { $($variant:ident = $code:literal),* $(,)? }) => {
        impl $type {
            pub(super) fn code(self) -> u8 {
                match self {
                    $(Self::$variant => $code,)*
                    Self::Other(code) => code,
                }
            }

            pub(super) fn of(code: u8) -> Self {
                match code {
                    $($code => Self::$variant,)*
                    code => Self::Other(code),
                }
            }
        }
    };
}

codes!(SocketKind {
    TcpListener = 1,
    UnixListener = 2,
    UdpSocket = 3,
    UnixDatagram = 4,
    SeqpacketListener = 5,
    PipeReader = 6,
    PipeWriter = 7,
    Descriptor = 8,
    Control = 9,
});
codes!(Origin { Bound = 1, Offered = 2, Activated = 3 });
codes!(Refusal { Version = 1, NoDescriptors = 2 });
codes!(Begun { Fresh = 1, Http1 = 2 });
codes!(Wish { TakeOver = 1, Restart = 2, Status = 3, Stop = 4 });
