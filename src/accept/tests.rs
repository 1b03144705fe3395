use std::{
    future::{Future, poll_fn},
    io,
    os::fd::{AsFd, BorrowedFd},
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, DuplexStream, duplex},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
    time::{Instant, timeout},
};

use super::{Acceptor, AtGate, Ending, Gate, Gatekeeper, Listener, Rank, accept_from};
use crate::name::Name;

/// Yields what the test puts in, and tells when it is closed.
struct Scripted {
    script: mpsc::UnboundedReceiver<Result<u8, i32>>,
}

fn scripted() -> (mpsc::UnboundedSender<Result<u8, i32>>, Scripted) {
    let (put, script) = mpsc::unbounded_channel();
    (put, Scripted { script })
}

impl Listener for Scripted {
    type Io = DuplexStream;
    type Addr = u8;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(DuplexStream, u8)>> {
        match self.script.poll_recv(cx) {
            Poll::Ready(Some(Ok(addr))) => Poll::Ready(Ok((duplex(1).0, addr))),
            Poll::Ready(Some(Err(errno))) => Poll::Ready(Err(io::Error::from_raw_os_error(errno))),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn local_addr(&self) -> io::Result<u8> {
        Ok(0)
    }
}

fn claimed(name: &str) -> Gate {
    Gate::Ended(Ending::Claimed(Arc::new([Name::new(name).unwrap()].into())))
}

fn at(gate: Gate) -> (Gatekeeper, AtGate) {
    let keeper = Gatekeeper::new(gate);
    let at_gate = keeper.at_gate();
    (keeper, at_gate)
}

fn acceptor(gate: Gate) -> (mpsc::UnboundedSender<Result<u8, i32>>, Gatekeeper, Acceptor<Scripted>) {
    let (put, listener) = scripted();
    let (gate, seen) = at(gate);
    (put, gate, Acceptor::new(listener, seen, Some(Name::new("http").unwrap()), Rank::Ordinary))
}

/// Whom it accepts; `None` at the end.
async fn next(acceptor: &mut Acceptor<Scripted>) -> Option<u8> {
    Some(acceptor.accept().await?.unwrap().1)
}

async fn waits<T>(future: impl Future<Output = T>) -> bool {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

#[tokio::test]
async fn nobody_is_accepted_before_the_gate_opens() {
    let (put, gate, mut acceptor) = acceptor(Gate::Shut);
    put.send(Ok(1)).unwrap();
    assert!(waits(next(&mut acceptor)).await);
    gate.set(Gate::Open);
    assert_eq!(next(&mut acceptor).await, Some(1));
    assert!(waits(next(&mut acceptor)).await);
    gate.set(Gate::Shut);
    put.send(Ok(2)).unwrap();
    assert!(waits(next(&mut acceptor)).await);
    gate.set(Gate::Open);
    assert_eq!(next(&mut acceptor).await, Some(2));
}

#[tokio::test]
async fn a_gate_that_shuts_stops_an_accept_that_is_waiting() {
    let (put, gate, mut acceptor) = acceptor(Gate::Open);
    let accepting = tokio::spawn(async move { next(&mut acceptor).await });
    tokio::task::yield_now().await;
    gate.set(Gate::Shut);
    put.send(Ok(1)).unwrap();
    tokio::task::yield_now().await;
    assert!(!accepting.is_finished());
    gate.set(Gate::Open);
    assert_eq!(accepting.await.unwrap(), Some(1));
}

#[tokio::test]
async fn a_stop_accepts_until_the_queue_is_empty_and_closes() {
    let (put, gate, mut acceptor) = acceptor(Gate::Open);
    for addr in 1..=3 {
        put.send(Ok(addr)).unwrap();
    }
    gate.set(Gate::Ended(Ending::Emptied));
    assert_eq!(next(&mut acceptor).await, Some(1));
    assert_eq!(next(&mut acceptor).await, Some(2));
    assert!(!put.is_closed());
    assert_eq!(next(&mut acceptor).await, Some(3));
    assert_eq!(next(&mut acceptor).await, None);
    assert!(put.is_closed());
    assert_eq!(next(&mut acceptor).await, None);
}

#[tokio::test]
async fn what_is_last_to_close_accepts_on_when_all_others_end() {
    let (put, listener) = scripted();
    let (gate, seen) = at(Gate::Open);
    let mut last = Acceptor::new(listener, gate.at_gate(), None, Rank::Last);
    let (other, listener) = scripted();
    let mut ordinary = Acceptor::new(listener, seen, None, Rank::Ordinary);
    gate.set(Gate::EndedButForTheLast(Ending::Emptied));
    assert_eq!(next(&mut ordinary).await, None);
    assert!(other.is_closed());
    assert!(waits(next(&mut last)).await);
    put.send(Ok(1)).unwrap();
    assert_eq!(next(&mut last).await, Some(1));
    put.send(Ok(2)).unwrap();
    gate.set(Gate::Ended(Ending::Emptied));
    assert_eq!((next(&mut last).await, next(&mut last).await), (Some(2), None));
    assert!(put.is_closed());
}

#[tokio::test]
async fn at_a_restart_what_is_last_to_close_is_let_go_like_any_other() {
    let (put, listener) = scripted();
    let (_gate, seen) = at(claimed("http"));
    let mut last = Acceptor::new(listener, seen, Some(Name::new("http").unwrap()), Rank::Last);
    put.send(Ok(1)).unwrap();
    assert_eq!(next(&mut last).await, None);
}

#[tokio::test]
async fn a_queue_that_is_longer_than_a_tasks_budget_is_emptied() {
    let (put, gate, mut acceptor) = acceptor(Gate::Ended(Ending::Emptied));
    for _ in 0..300 {
        put.send(Ok(1)).unwrap();
    }
    let mut accepted = 0;
    while next(&mut acceptor).await.is_some() {
        accepted += 1;
    }
    assert_eq!(accepted, 300);
    drop(gate);
}

#[tokio::test]
async fn a_claimed_listener_is_let_go_with_its_queue() {
    let (put, gate, mut acceptor) = acceptor(Gate::Open);
    put.send(Ok(1)).unwrap();
    gate.set(claimed("http"));
    assert_eq!(next(&mut acceptor).await, None);
    assert!(put.is_closed());
}

#[tokio::test]
async fn a_listener_that_the_successor_did_not_claim_is_emptied() {
    let (put, gate, mut acceptor) = acceptor(Gate::Shut);
    put.send(Ok(1)).unwrap();
    gate.set(claimed("admin"));
    assert_eq!(next(&mut acceptor).await, Some(1));
    assert_eq!(next(&mut acceptor).await, None);
    assert!(put.is_closed());
}

#[tokio::test]
async fn let_go_resolves_when_the_listener_is_the_successors() {
    let (put, gate, mut acceptor) = acceptor(Gate::Open);
    gate.set(Gate::Shut);
    assert!(waits(acceptor.let_go()).await);
    gate.set(claimed("http"));
    acceptor.let_go().await;
    assert!(put.is_closed());
}

#[tokio::test(start_paused = true)]
async fn errors_of_one_connection_are_passed_over_at_once() {
    let (put, _gate, mut acceptor) = acceptor(Gate::Open);
    let began = Instant::now();
    for errno in [libc::ECONNABORTED, libc::EPROTO, libc::EPERM, libc::ENETDOWN] {
        put.send(Err(errno)).unwrap();
    }
    put.send(Ok(1)).unwrap();
    assert_eq!(next(&mut acceptor).await, Some(1));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_shortage_is_waited_out_with_pauses_that_double_to_a_second() {
    let (put, _gate, mut acceptor) = acceptor(Gate::Open);
    let began = Instant::now();
    for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EIO] {
        put.send(Err(errno)).unwrap();
    }
    put.send(Ok(1)).unwrap();
    assert_eq!(next(&mut acceptor).await, Some(1));
    assert_eq!(began.elapsed(), Duration::from_millis(5 + 10 + 20 + 40 + 80));

    let began = Instant::now();
    for _ in 0..10 {
        put.send(Err(libc::EMFILE)).unwrap();
    }
    put.send(Ok(2)).unwrap();
    assert_eq!(next(&mut acceptor).await, Some(2));
    let doubling = 5 + 10 + 20 + 40 + 80 + 160 + 320 + 640; // anew after a success
    assert_eq!(began.elapsed(), Duration::from_millis(doubling + 1000 + 1000));
}

#[tokio::test(start_paused = true)]
async fn a_pause_survives_an_accept_that_is_given_up() {
    let (put, _gate, mut acceptor) = acceptor(Gate::Open);
    for _ in 0..8 {
        put.send(Err(libc::EMFILE)).unwrap();
    }
    put.send(Ok(1)).unwrap();
    let (began, mut given_up) = (Instant::now(), 0);
    while timeout(Duration::from_millis(1), next(&mut acceptor)).await.is_err() {
        given_up += 1;
    }
    assert!(began.elapsed() >= Duration::from_millis(5 + 10 + 20 + 40 + 80 + 160 + 320 + 640), "{given_up}");
}

#[tokio::test(start_paused = true)]
async fn a_shortage_costs_nobody_his_place_in_a_queue_that_is_emptied() {
    let (put, gate, mut acceptor) = acceptor(Gate::Open);
    put.send(Err(libc::EMFILE)).unwrap();
    assert!(waits(next(&mut acceptor)).await);
    gate.set(Gate::Ended(Ending::Emptied));
    put.send(Err(libc::ECONNABORTED)).unwrap();
    put.send(Ok(1)).unwrap();
    for _ in 0..10 {
        put.send(Err(libc::EMFILE)).unwrap();
    }
    put.send(Ok(2)).unwrap();
    let began = Instant::now();
    assert_eq!(next(&mut acceptor).await, Some(1), "one that was aborted does not cost the others");
    assert_eq!(next(&mut acceptor).await, Some(2));
    assert_eq!(next(&mut acceptor).await, None);
    let doubling = 5 + 10 + 20 + 40 + 80 + 160 + 320 + 640;
    assert_eq!(began.elapsed(), Duration::from_millis(5 + doubling + 1000 + 1000));
}

#[tokio::test(start_paused = true)]
async fn a_borrowed_listener_waits_for_a_shortage_until_the_pauses_are_at_their_longest() {
    let (put, mut listener) = scripted();
    let (gate, seen) = at(Gate::Ended(Ending::Emptied));
    for answer in [Err(libc::EMFILE), Ok(1)].into_iter().chain([Err(libc::EMFILE); 60]) {
        put.send(answer).unwrap();
    }
    assert_eq!(accept_from(&mut listener, gate.at_gate(), None).await.unwrap().unwrap().1, 1);
    let began = Instant::now();
    assert!(accept_from(&mut listener, seen, None).await.is_none());
    assert!((Duration::from_secs(1)..Duration::from_secs(3)).contains(&began.elapsed()));
}

/// Out of descriptors, so that nothing in its queue can be accepted.
struct OutOfDescriptors(TcpListener);

impl Listener for OutOfDescriptors {
    type Io = TcpStream;
    type Addr = ();

    fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<(TcpStream, ())>> {
        Poll::Ready(Err(io::Error::from_raw_os_error(libc::EMFILE)))
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_queue_waits_for_no_shortage() {
    let listener = OutOfDescriptors(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let client = std::net::TcpStream::connect(listener.0.local_addr().unwrap()).unwrap();
    let (_gate, seen) = at(Gate::Ended(Ending::Emptied));
    let mut acceptor = Acceptor::new(listener, seen, None, Rank::Ordinary);
    assert!(timeout(Duration::from_secs(60), acceptor.accept()).await.is_err(), "somebody waits");
    drop(client);

    let listener = OutOfDescriptors(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let (_gate, seen) = at(Gate::Ended(Ending::Emptied));
    let mut acceptor = Acceptor::new(listener, seen, None, Rank::Ordinary);
    let began = Instant::now();
    assert!(acceptor.accept().await.is_none());
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// Whose queue fills as fast as it is emptied.
struct Endless;

impl Listener for Endless {
    type Io = DuplexStream;
    type Addr = ();

    fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<(DuplexStream, ())>> {
        Poll::Ready(Ok((duplex(1).0, ())))
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn whoever_empties_a_queue_that_never_is_empty_lets_others_have_their_turn() {
    let (_gate, seen) = at(Gate::Ended(Ending::Emptied));
    let mut acceptor = Acceptor::new(Endless, seen, None, Rank::Ordinary);
    let other = tokio::spawn(async {});
    for _ in 0..1_000 {
        acceptor.accept().await.unwrap().unwrap();
    }
    assert!(other.is_finished());
}

#[tokio::test]
async fn a_listener_that_can_never_accept_again_says_so() {
    for errno in [libc::EBADF, libc::EINVAL, libc::ENOTSOCK, libc::EOPNOTSUPP, libc::EFAULT] {
        let (put, _gate, mut acceptor) = acceptor(Gate::Open);
        put.send(Err(errno)).unwrap();
        let error = acceptor.accept().await.unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(errno));
    }
}

#[tokio::test]
async fn a_borrowed_listener_obeys_the_gate_and_stays_open() {
    let (put, mut listener) = scripted();
    let (gate, seen) = at(Gate::Shut);
    put.send(Ok(1)).unwrap();
    put.send(Ok(2)).unwrap();
    assert!(waits(accept_from(&mut listener, gate.at_gate(), None)).await);
    gate.set(Gate::Open);
    assert_eq!(accept_from(&mut listener, gate.at_gate(), None).await.unwrap().unwrap().1, 1);
    gate.set(claimed("http"));
    assert_eq!(accept_from(&mut listener, gate.at_gate(), None).await.unwrap().unwrap().1, 2);
    assert!(accept_from(&mut listener, seen, None).await.is_none());
    assert!(!put.is_closed());
}

/// Connections that the kernel has queued, with the reactor none the wiser: no await lies between.
fn queued(listener: &TcpListener, count: usize) -> Vec<std::net::TcpStream> {
    let addr = listener.local_addr().unwrap();
    (0..count).map(|_| std::net::TcpStream::connect(addr).unwrap()).collect()
}

#[tokio::test]
async fn a_stop_serves_those_whom_the_reactor_has_not_yet_told_of() {
    for parked_before in [false, true] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(512).unwrap();
        let (gate, seen) = at(if parked_before { Gate::Shut } else { Gate::Open });
        let addr = listener.local_addr().unwrap();
        // More than the budget of one task's turn: running out of it is not an empty queue.
        let mut clients = queued(&listener, 300);
        let mut acceptor = Acceptor::new(listener, seen, None, Rank::Ordinary);
        assert!(!parked_before || waits(acceptor.accept()).await);
        gate.set(Gate::Ended(Ending::Emptied));
        let mut accepted = 0;
        while let Some(connection) = acceptor.accept().await {
            drop(connection.unwrap());
            accepted += 1;
        }
        assert_eq!(accepted, clients.len());
        // Closed, and soon also by a process that another test has just forked, which holds copies until it is another program.
        while TcpStream::connect(addr).await.is_ok() {}
        let mut client = TcpStream::from_std({
            let client = clients.pop().unwrap();
            client.set_nonblocking(true).unwrap();
            client
        })
        .unwrap();
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0, "a clean end, no reset");
    }
}

#[tokio::test]
async fn while_the_gate_is_shut_a_listener_is_out_of_the_reactor_and_the_other_generation_accepts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = listener.into_std().unwrap();
    let listener = TcpListener::from_std(other.try_clone().unwrap()).unwrap();
    let other = TcpListener::from_std(other).unwrap();
    let addr = other.local_addr().unwrap();

    let (gate, seen) = at(Gate::Open);
    let mut acceptor = Acceptor::new(listener, seen, None, Rank::Ordinary);
    assert!(waits(acceptor.accept()).await && !acceptor.is_parked());
    gate.set(Gate::Shut);
    assert!(waits(acceptor.accept()).await && acceptor.is_parked());
    let client = TcpStream::connect(addr).await.unwrap();
    assert_eq!(other.accept().await.unwrap().1, client.local_addr().unwrap());
    let waiting = TcpStream::connect(addr).await.unwrap();
    gate.set(Gate::Open);
    assert_eq!(acceptor.accept().await.unwrap().unwrap().1, waiting.local_addr().unwrap());
}
