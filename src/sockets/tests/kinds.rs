//! Adopting: each kind, and each wrong descriptor.

use super::*;

/// It is adopted as the same open file, never blocks if it is tokio's, and is recognised as this.
#[track_caller]
fn is_adopted<S: Socket + Debug>(descriptor: OwnedFd, as_what: SocketKind) {
    let descriptor = as_passed(descriptor);
    let identity = sys::identity(&descriptor).unwrap();
    assert_eq!(Kind::inspect(descriptor.as_fd()).code, as_what);
    let adopted = adopt::<S>(descriptor).unwrap();
    assert_eq!(sys::identity(&adopted).unwrap(), identity);
    assert_eq!(is_blocking(&adopted), S::KIND.code == SocketKind::Descriptor);
    assert!(closes_on_exec(&adopted));
}

#[tokio::test]
async fn each_kind_is_adopted_and_recognised() {
    let place = tempfile::tempdir().unwrap();
    is_adopted::<TcpListener>(tcp(), SocketKind::TcpListener);
    is_adopted::<TcpListener>(net::TcpListener::bind("[::1]:0").unwrap().into(), SocketKind::TcpListener);
    is_adopted::<UnixListener>(unix_listener(&place), SocketKind::UnixListener);
    is_adopted::<UdpSocket>(udp(), SocketKind::UdpSocket);
    is_adopted::<UnixDatagram>(unix_datagram(&place), SocketKind::UnixDatagram);
    is_adopted::<OwnedFd>(seqpacket(&place), SocketKind::SeqpacketListener);
    let (read, write) = pipe();
    is_adopted::<pipe::Receiver>(read, SocketKind::PipeReader);
    is_adopted::<pipe::Sender>(write, SocketKind::PipeWriter);
    is_adopted::<OwnedFd>(file(), SocketKind::Descriptor);
    let both = fifo(&place);
    is_adopted::<pipe::Receiver>(both.try_clone().unwrap(), SocketKind::Descriptor);
    is_adopted::<pipe::Sender>(both, SocketKind::Descriptor);
}

/// It comes back as it was, and the error says what is wrong.
#[track_caller]
fn is_refused<S: Socket + Debug>(descriptor: OwnedFd, why: &str) {
    let descriptor = as_passed(descriptor);
    let identity = sys::identity(&descriptor).unwrap();
    let refused = adopt::<S>(descriptor).unwrap_err();
    assert!(refused.to_string().ends_with(why), "{refused}");
    assert_eq!(refused.why().kind(), ErrorKind::Socket);
    let back = refused.into_fd();
    assert_eq!(sys::identity(&back).unwrap(), identity);
    assert!(is_blocking(&back) && !closes_on_exec(&back), "untouched");
}

#[tokio::test]
async fn each_wrong_descriptor_is_refused_and_comes_back_untouched() {
    let place = tempfile::tempdir().unwrap();
    let bound_only = || {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        OwnedFd::from(socket)
    };
    let (one, other) = unix::UnixStream::pair().unwrap();
    is_refused::<TcpListener>(file(), "it is no socket");
    is_refused::<TcpListener>(udp(), "it is a socket of another type (SOCK_DGRAM)");
    is_refused::<TcpListener>(bound_only(), "it is not listening");
    is_refused::<TcpListener>(unix_listener(&place), "it is of another address family (AF_UNIX)");
    is_refused::<UnixListener>(tcp(), "it is of another address family (AF_INET)");
    is_refused::<UnixListener>(one.into(), "it is not listening");
    is_refused::<UnixListener>(seqpacket(&place), "it is a socket of another type (SOCK_SEQPACKET)");
    is_refused::<UdpSocket>(tcp(), "it is a socket of another type (SOCK_STREAM)");
    is_refused::<UdpSocket>(unix_datagram(&place), "it is of another address family (AF_UNIX)");
    is_refused::<UnixDatagram>(udp(), "it is of another address family (AF_INET)");
    is_refused::<UnixDatagram>(other.into(), "it is a socket of another type (SOCK_STREAM)");
    let (read, write) = pipe();
    is_refused::<pipe::Receiver>(write, "it is the pipe's other end");
    is_refused::<pipe::Sender>(read, "it is the pipe's other end");
    is_refused::<pipe::Receiver>(file(), "it is no pipe");
    is_refused::<pipe::Sender>(tcp(), "it is no pipe");
}

/// A test beside it could open what is closed.
#[test]
fn alone() {
    sys::run_alone("sockets::tests::kinds::a_closed_number");
}

#[tokio::test]
#[ignore = "run by `alone`"]
async fn a_closed_number_is_refused_as_each_kind() {
    fn refused<S: Socket + Debug>() {
        sys::with_closed_number(|closed| {
            let refused = adopt::<S>(closed).expect_err("it is refused");
            assert!(refused.to_string().ends_with("the number is closed"), "{refused}");
            refused.into_fd()
        });
    }
    refused::<TcpListener>();
    refused::<UnixListener>();
    refused::<UdpSocket>();
    refused::<UnixDatagram>();
    refused::<pipe::Receiver>();
    refused::<pipe::Sender>();
    refused::<OwnedFd>();
}
