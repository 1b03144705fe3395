//! Connections that end on their way: what their clients see of it, and what is counted.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    task::{Context, Waker},
};

use super::*;
use crate::handover::socket::Socket;

/// The reactor of a runtime that has ended: it registers nobody.
fn ended_reactor() -> Handle {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    runtime.shutdown_background();
    handle
}

#[tokio::test]
async fn what_is_undecided_at_the_deadline_is_given_up_and_counted() {
    let mut world = World::open();
    let (_client, server) = tcp().await;
    let mut leaving = world.leave(server, "lines", "");
    assert!(is_pending(&mut leaving).await);
    drop(world.departures.next().await);
    world.departures.deadline();
    let lost = timeout(PATIENCE, leaving).await.unwrap().unwrap_err();
    assert_eq!(lost.why().kind(), ErrorKind::Deadline);
    assert!(lost.into_parts().is_none());
    let report = world.report().await;
    assert_eq!((report.cut(), report.cut_by(Why::Undecided)), (1, 1), "{report}");
}

/// A stream that its reactor does not let go.
#[derive(Debug)]
struct Stuck(UnixStream);

impl AsFd for Stuck {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Socket for Stuck {
    fn into_socket(self) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::OutOfMemory.into())
    }

    fn of_socket(_: OwnedFd) -> io::Result<Self> {
        Err(io::ErrorKind::OutOfMemory.into())
    }
}

#[tokio::test]
async fn one_that_can_not_leave_the_reactor_is_counted_as_cut() {
    let world = World::open();
    let (mut client, server) = UnixStream::pair().unwrap();
    let lost = timeout(PATIENCE, world.leave(Stuck(server), "lines", "")).await.unwrap().unwrap_err();
    assert_eq!(lost.why().kind(), ErrorKind::Connection);
    assert!(lost.into_parts().is_none());
    hear_the_end(&mut client).await;
    let report = world.report().await;
    assert_eq!((report.cut(), report.finished()), (1, 0), "{report}");
}

#[tokio::test]
async fn one_that_comes_back_and_can_not_be_registered_has_ended_and_is_counted_as_cut() {
    let mut world = World::open();
    let (mut client, server) = tcp().await;
    let mut leaving = world.leave(server, "lines", "");
    assert!(is_pending(&mut leaving).await);
    let _unread = world.departures.next().await;
    world.departures.channel_ended();
    let ended = ended_reactor();
    let fate = {
        let _entered = ended.enter();
        leaving.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    };
    let Poll::Ready(Err(lost)) = fate else { panic!("it waits") };
    assert_eq!(lost.why().kind(), ErrorKind::Connection);
    hear_the_end(&mut client).await;
    let report = world.report().await;
    assert_eq!((report.cut(), report.finished()), (1, 0), "{report}");
}

#[tokio::test]
async fn one_that_arrives_and_can_not_be_registered_has_ended_and_is_counted_as_cut() {
    let mut world = World::open();
    let _inherited = world.inherited("lines");
    world.reactor = Some(ended_reactor());
    world.successor.begin(replaced(), &Times::for_restart());
    let (mut client, server) = tcp().await;
    let mut leaving = world.leave(server, "lines", "");
    assert!(is_pending(&mut leaving).await);
    // The predecessor has not heard of it, and holds its copy.
    assert_eq!(world.offer().await.len(), 1);
    hear_the_end(&mut client).await;
    assert!(is_pending(&mut leaving).await);
    let report = timeout(PATIENCE, world.successor.ended()).await.unwrap();
    assert_eq!((report.cut(), report.finished()), (1, 0), "{report}");
}
