use std::{
    future::Future,
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
};

use tokio::{
    net::{UdpSocket, UnixDatagram, unix},
    task::coop::consume_budget,
    time::timeout,
};

use super::{
    AtGate, Gate, Rank,
    gate::Order,
    turns::{LOOK_AGAIN, has_waiting},
};
use crate::name::Name;

/// What datagrams are received from: tokio's UDP and Unix datagram sockets. Sealed.
///
/// # Examples
///
/// ```
/// use tokio::net::{UdpSocket, UnixDatagram};
/// use tokio_hotrestart::Datagram;
///
/// fn receives<S: Datagram>() {}
/// receives::<UdpSocket>();
/// receives::<UnixDatagram>();
/// ```
pub trait Datagram: AsFd + Send + Sync + sealed::Sealed {
    /// Whom a datagram comes from.
    type Addr: Send;

    #[doc(hidden)]
    fn receive(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, Self::Addr)>> + Send;

    /// What the reactor knows to be there.
    #[doc(hidden)]
    fn receive_now(&self, buffer: &mut [u8]) -> io::Result<(usize, Self::Addr)>;
}

mod sealed {
    #[allow(unnameable_types)] // that is what seals it
    pub trait Sealed {}
}

macro_rules! datagrams {
    ($($socket:ty, $addr:ty;)*) => {$(
        impl sealed::Sealed for $socket {}

        impl Datagram for $socket {
            type Addr = $addr;

            fn receive(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, $addr)>> + Send {
                self.recv_from(buffer)
            }

            fn receive_now(&self, buffer: &mut [u8]) -> io::Result<(usize, $addr)> {
                self.try_recv_from(buffer)
            }
        }
    )*};
}

datagrams! {
    UdpSocket, SocketAddr;
    UnixDatagram, unix::SocketAddr;
}

/// The next datagram that is this generation's. `Err`: this socket can never receive again. `None`: accepting has ended,
/// and of what is left in the queue nothing is ours.
///
/// Cancel safe: a datagram is taken in the very poll that returns it.
pub(crate) async fn receive_from<S: Datagram>(
    socket: &S,
    mut gate: AtGate,
    buffer: &mut [u8],
    name: impl Fn(BorrowedFd<'_>) -> Option<Name>,
) -> Option<io::Result<(usize, S::Addr)>> {
    loop {
        // A copy: the name is looked up under a lock, and whoever moves the gate may hold that.
        let now = gate.look().clone();
        let order = match &now {
            // Only now, because a lookup for each datagram would cost as much as receiving it.
            Gate::Ended(_) | Gate::EndedButForTheLast(_) => now.order(name(socket.as_fd()).as_ref(), Rank::Ordinary),
            Gate::Shut | Gate::Open => now.order(None, Rank::Ordinary),
        };
        let received = match order {
            Order::LetGo => return None,
            Order::Empty => return receive_left(socket, buffer).await.map(Ok),
            Order::Wait => {
                gate.moved().await;
                continue;
            }
            Order::Accept => match gate.unless_moved(socket.receive(buffer)).await {
                Some(received) => received,
                None => continue,
            },
        };
        match received {
            Err(error) if !is_broken(&error) => pass_over(&error).await,
            received => return Some(received),
        }
    }
}

/// One of those that are already in the queue.
async fn receive_left<S: Datagram>(socket: &S, buffer: &mut [u8]) -> Option<(usize, S::Addr)> {
    loop {
        // Under a flood the queue never is empty, and then the drain's deadline must have its turn.
        consume_budget().await;
        let received = match socket.receive_now(buffer) {
            // The reactor may not have told yet of what the kernel has already queued.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && has_waiting(socket.as_fd()) => {
                match timeout(LOOK_AGAIN, socket.receive(buffer)).await {
                    Ok(received) => received,
                    Err(_elapsed) => continue,
                }
            }
            received => received,
        };
        match received {
            Ok(datagram) => return Some(datagram),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) if is_broken(&error) => {
                crate::log::warn!(%error, "cannot receive what is left in the queue");
                return None;
            }
            Err(error) => pass_over(&error).await,
        }
    }
}

/// A connected socket is told here that an earlier answer of ours did not reach its peer; the next call receives again.
async fn pass_over(error: &io::Error) {
    crate::log::debug!(%error, "a datagram socket tells of an error");
    consume_budget().await;
}

fn is_broken(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EBADF | libc::EFAULT | libc::EINVAL | libc::ENOTCONN | libc::ENOTSOCK | libc::EOPNOTSUPP)
    )
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, net, pin::pin, sync::Arc, task::Poll};

    use super::*;
    use crate::accept::{Ending, Gatekeeper};

    struct Pair {
        gate: Gatekeeper,
        socket: UdpSocket,
        client: net::UdpSocket,
    }

    impl Pair {
        /// A socket that is passed on as `dns`, and a client that is connected to it.
        async fn new(gate: Gate) -> Self {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let client = net::UdpSocket::bind("127.0.0.1:0").unwrap();
            client.connect(socket.local_addr().unwrap()).unwrap();
            Self { gate: Gatekeeper::new(gate), socket, client }
        }

        async fn next(&self) -> Option<Vec<u8>> {
            let mut buffer = [0; 64];
            let name = |_: BorrowedFd<'_>| Some(Name::new("dns").unwrap());
            let received = receive_from(&self.socket, self.gate.at_gate(), &mut buffer, name).await?;
            let (length, from) = received.unwrap();
            assert_eq!(from, self.client.local_addr().unwrap());
            Some(buffer[..length].to_vec())
        }

        /// Looks for a datagram a few times, with the reactor's turns in between.
        async fn waits(&self) -> bool {
            let mut next = pin!(self.next());
            for _ in 0..20 {
                if poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx).is_ready())).await {
                    return false;
                }
                tokio::task::yield_now().await;
            }
            true
        }
    }

    fn claimed(name: &str) -> Gate {
        Gate::Ended(Ending::Claimed(Arc::new([Name::new(name).unwrap()].into())))
    }

    #[tokio::test]
    async fn nothing_is_received_while_the_gate_is_shut() {
        let pair = Pair::new(Gate::Shut).await;
        pair.client.send(b"1").unwrap();
        assert!(pair.waits().await);
        pair.gate.set(Gate::Open);
        assert_eq!(pair.next().await.unwrap(), b"1");
        assert!(pair.waits().await, "nothing more has come");
        pair.gate.set(Gate::Shut);
        pair.client.send(b"2").unwrap();
        assert!(pair.waits().await, "on probation");
        pair.gate.set(Gate::Open);
        assert_eq!(pair.next().await.unwrap(), b"2");
    }

    #[tokio::test]
    async fn a_gate_that_shuts_under_a_receiver_leaves_the_next_datagram_to_the_successor() {
        let pair = Pair::new(Gate::Open).await;
        let mut next = pin!(pair.next());
        assert!(poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx).is_pending())).await);
        pair.gate.set(Gate::Shut);
        pair.client.send(b"1").unwrap();
        pair.socket.readable().await.unwrap();
        assert!(poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx).is_pending())).await);
        pair.gate.set(claimed("dns"));
        assert_eq!(next.await, None);
        assert_eq!(pair.socket.try_recv(&mut [0; 8]).unwrap(), 1, "it is still in the queue");
    }

    #[tokio::test]
    async fn what_is_queued_at_a_stop_is_received_though_the_reactor_has_not_told_of_it() {
        let pair = Pair::new(Gate::Ended(Ending::Emptied)).await;
        pair.client.send(b"1").unwrap();
        pair.client.send(b"2").unwrap();
        assert_eq!(pair.next().await.unwrap(), b"1");
        assert_eq!(pair.next().await.unwrap(), b"2");
        assert_eq!(pair.next().await, None);
    }

    #[tokio::test]
    async fn what_the_successor_has_not_claimed_is_emptied() {
        let pair = Pair::new(claimed("another")).await;
        pair.client.send(b"1").unwrap();
        assert_eq!(pair.next().await.unwrap(), b"1");
        assert_eq!(pair.next().await, None);
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_ends_nothing() {
        let pair = Pair::new(Gate::Open).await;
        let gone = net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        pair.socket.connect(gone).await.unwrap();
        pair.socket.send(b"anybody there?").await.unwrap();
        assert!(pair.waits().await, "its error is passed over");
        pair.socket.connect(pair.client.local_addr().unwrap()).await.unwrap();
        pair.client.send(b"1").unwrap();
        assert_eq!(pair.next().await.unwrap(), b"1");
    }
}
