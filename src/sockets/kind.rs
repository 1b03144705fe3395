//! The kinds of descriptors that travel, as a table: one path in the code for all of them.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::stat::{SFlag, fstat},
};
use socket2::{Domain, SockRef, Type};
use tokio::net::{
    TcpListener, UdpSocket, UnixDatagram, UnixListener,
    unix::pipe::{Receiver, Sender},
};

use crate::wire::SocketKind;

/// What travels from generation to generation under a name: tokio's sockets and pipe ends, and an [`OwnedFd`] for any
/// other descriptor (a memfd, a seqpacket listener, a connected socket). Sealed.
///
/// # Examples
///
/// ```
/// use std::os::fd::OwnedFd;
/// use tokio::net::{TcpListener, UdpSocket, UnixDatagram, UnixListener, unix::pipe};
/// use tokio_hotrestart::sockets::Socket;
///
/// fn inherits<S: Socket>() {}
/// inherits::<TcpListener>();
/// inherits::<UnixListener>();
/// inherits::<UdpSocket>();
/// inherits::<UnixDatagram>();
/// inherits::<pipe::Receiver>();
/// inherits::<pipe::Sender>();
/// inherits::<OwnedFd>();
/// ```
pub trait Socket: AsFd + Sized + Send + sealed::Sealed + 'static {
    #[doc(hidden)]
    const KIND: &'static Kind;

    #[doc(hidden)]
    fn into_tokio(descriptor: OwnedFd) -> io::Result<Self>;
}

/// Which kinds travel is the protocol's to say, so nobody else adds one.
pub(super) mod sealed {
    #[allow(unnameable_types)] // that is what seals it
    pub trait Sealed {}
}

/// What differs from kind to kind.
#[doc(hidden)]
#[derive(Debug)]
pub struct Kind {
    pub(super) code: SocketKind,
    /// With its article, as sentences have it.
    pub(super) name: &'static str,
    pub(super) shape: Shape,
}

/// By what a kind is recognised, and how a fresh one is made.
#[derive(Debug)]
pub(super) enum Shape {
    Listener(&'static [Domain], Type),
    Datagram(&'static [Domain]),
    /// A pipe's end that is not open in this mode only.
    PipeNot(OFlag),
    Any,
}

const INET: &[Domain] = &[Domain::IPV4, Domain::IPV6];
const UNIX: &[Domain] = &[Domain::UNIX];

const fn kind(code: SocketKind, name: &'static str, shape: Shape) -> Kind {
    Kind { code, name, shape }
}

static TCP_LISTENER: Kind = kind(SocketKind::TcpListener, "a TCP listener", Shape::Listener(INET, Type::STREAM));
static UNIX_LISTENER: Kind = kind(SocketKind::UnixListener, "a Unix listener", Shape::Listener(UNIX, Type::STREAM));
static UDP_SOCKET: Kind = kind(SocketKind::UdpSocket, "a UDP socket", Shape::Datagram(INET));
static UNIX_DATAGRAM: Kind = kind(SocketKind::UnixDatagram, "a Unix datagram socket", Shape::Datagram(UNIX));
static SEQPACKET: Kind =
    kind(SocketKind::SeqpacketListener, "a seqpacket listener", Shape::Listener(UNIX, Type::SEQPACKET));
static PIPE_READER: Kind = kind(SocketKind::PipeReader, "a pipe's end to read", Shape::PipeNot(OFlag::O_WRONLY));
static PIPE_WRITER: Kind = kind(SocketKind::PipeWriter, "a pipe's end to write", Shape::PipeNot(OFlag::O_RDONLY));
static DESCRIPTOR: Kind = kind(SocketKind::Descriptor, "a descriptor", Shape::Any);
pub(super) static CONTROL: Kind = kind(SocketKind::Control, "a control listener", Shape::Listener(UNIX, Type::STREAM));

/// In the order in which an unknown descriptor is held against them.
static TABLE: [&Kind; 9] = [
    &TCP_LISTENER,
    &UNIX_LISTENER,
    &UDP_SOCKET,
    &UNIX_DATAGRAM,
    &SEQPACKET,
    &PIPE_READER,
    &PIPE_WRITER,
    &DESCRIPTOR,
    &CONTROL,
];

impl Kind {
    /// The kind of a manifest's entry; `None` for one of a later version.
    pub(super) fn of(code: SocketKind) -> Option<&'static Self> {
        TABLE.into_iter().find(|kind| kind.code == code)
    }

    /// What a descriptor is whose kind nobody has told: of what fits none, plainly a descriptor.
    pub(super) fn inspect(descriptor: BorrowedFd<'_>) -> &'static Self {
        // A FIFO that is open for both is an end to read as well as one to write, and is claimed as either.
        let both = PIPE_READER.check(descriptor).is_ok() && PIPE_WRITER.check(descriptor).is_ok();
        let fits = |kind: &&Self| kind.check(descriptor).is_ok();
        if both { &DESCRIPTOR } else { TABLE.into_iter().find(fits).unwrap_or(&DESCRIPTOR) }
    }

    /// What is wrong with a descriptor, as a sentence's end.
    pub(super) fn check(&self, descriptor: BorrowedFd<'_>) -> Result<(), String> {
        match &self.shape {
            Shape::Listener(families, kind) => {
                check_socket(descriptor, families, *kind)?;
                match SockRef::from(&descriptor).is_listener().map_err(said)? {
                    true => Ok(()),
                    false => Err("it is not listening".to_owned()),
                }
            }
            Shape::Datagram(families) => check_socket(descriptor, families, Type::DGRAM),
            Shape::PipeNot(mode) => check_pipe(descriptor, *mode),
            Shape::Any => fstat(descriptor).map(|_| ()).map_err(|error| said(error.into())),
        }
    }

    /// Whether this may be asked for under a name that was passed as `passed`. An `OwnedFd` takes whatever it is, but not
    /// the listener at which the generations meet; and what was no known kind when it was offered may have become one.
    pub(super) fn takes(&self, passed: SocketKind) -> bool {
        match (self.code, passed) {
            (SocketKind::Descriptor, SocketKind::Control | SocketKind::Other(_)) => false,
            (SocketKind::Descriptor, _) => true,
            (SocketKind::Control, SocketKind::Descriptor) => false,
            (ours, passed) => ours == passed || passed == SocketKind::Descriptor,
        }
    }

    /// Whether it is bound to an address that the manifest states.
    pub(super) fn has_address(&self) -> bool {
        matches!(self.shape, Shape::Listener(..) | Shape::Datagram(_))
    }

    /// Whether it has no listening state that would hold it where it is bound.
    pub(super) fn is_datagram(&self) -> bool {
        matches!(self.shape, Shape::Datagram(_))
    }

    pub(super) fn is_unix(&self) -> bool {
        matches!(self.shape, Shape::Listener(UNIX, _) | Shape::Datagram(UNIX))
    }

    /// Whether tokio reads and writes it, which never blocks. Any other descriptor keeps its flags.
    pub(super) fn is_tokios(&self) -> bool {
        !matches!(self.shape, Shape::Any)
    }
}

fn check_socket(descriptor: BorrowedFd<'_>, families: &[Domain], kind: Type) -> Result<(), String> {
    let socket = SockRef::from(&descriptor);
    let found = socket.r#type().map_err(said)?;
    if found != kind {
        return Err(format!("it is a socket of another type ({found:?})"));
    }
    let family = socket.domain().map_err(said)?;
    if !families.contains(&family) {
        return Err(format!("it is of another address family ({family:?})"));
    }
    Ok(())
}

fn check_pipe(descriptor: BorrowedFd<'_>, never: OFlag) -> Result<(), String> {
    let stat = fstat(descriptor).map_err(|error| said(error.into()))?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFIFO {
        return Err("it is no pipe".to_owned());
    }
    let flags = fcntl(descriptor, FcntlArg::F_GETFL).map_err(|error| said(error.into()))?;
    match OFlag::from_bits_retain(flags) & OFlag::O_ACCMODE == never {
        true => Err("it is the pipe's other end".to_owned()),
        false => Ok(()),
    }
}

fn said(error: io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EBADF) => "the number is closed".to_owned(),
        Some(libc::ENOTSOCK) => "it is no socket".to_owned(),
        _ => error.to_string(),
    }
}

macro_rules! sockets {
    ($($type:ty = $kind:ident, $into:expr;)*) => {$(
        impl sealed::Sealed for $type {}

        impl Socket for $type {
            const KIND: &'static Kind = &$kind;

            fn into_tokio(descriptor: OwnedFd) -> io::Result<Self> {
                $into(descriptor)
            }
        }
    )*};
}

sockets! {
    TcpListener = TCP_LISTENER, |it: OwnedFd| Self::from_std(it.into());
    UnixListener = UNIX_LISTENER, |it: OwnedFd| Self::from_std(it.into());
    UdpSocket = UDP_SOCKET, |it: OwnedFd| Self::from_std(it.into());
    UnixDatagram = UNIX_DATAGRAM, |it: OwnedFd| Self::from_std(it.into());
    Receiver = PIPE_READER, Self::from_owned_fd;
    Sender = PIPE_WRITER, Self::from_owned_fd;
    OwnedFd = DESCRIPTOR, Ok;
}
