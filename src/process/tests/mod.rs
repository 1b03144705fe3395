//! Two generations that meet over a socket pair in this one process.

mod foreign;
mod met;
mod offers;
mod state;
mod take_over;

use std::{os::fd::OwnedFd, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::Legacy;
use crate::{
    channel::Channel,
    name::Name,
    sys,
    wire::{self, Hello, Message, Origin, SocketKind},
};

/// A bound for a broken run, and never part of what is tested.
const PATIENCE: Duration = Duration::from_secs(60);

fn channels() -> (Channel, Channel) {
    let (one, other) = sys::socket_pair().unwrap();
    (Channel::new(one).unwrap(), Channel::new(other).unwrap())
}

fn socket(name: &str) -> (wire::Socket, Arc<OwnedFd>) {
    let socket = wire::Socket {
        name: Name::new(name).unwrap(),
        kind: SocketKind::Descriptor,
        origin: Origin::Offered,
        requested: "".into(),
        actual: "".into(),
        path: (0, 0),
    };
    (socket, Arc::new(tempfile::tempfile().unwrap().into()))
}

/// With this process as the only ancestor.
fn legacy(names: &[&str]) -> Legacy {
    let pid = std::process::id();
    Legacy {
        generation: 7,
        sockets: names.iter().map(|name| socket(name)).collect(),
        ancestors: vec![(wire::Ancestor { generation: 6, pid }, Arc::new(sys::process_handle(pid).unwrap()))],
        capture_stderr: true,
        watchdog: Some(Duration::from_millis(1500)),
        state: Vec::new(),
    }
}

/// What a predecessor says first.
fn hello() -> Hello {
    Hello {
        successor_pid: 0,
        oldest: 1,
        newest: 1,
        capabilities: vec![],
        generation: 7,
        predecessor_pid: 6,
        watchdog_milliseconds: 0,
        ancestors: vec![],
        stderr: false,
    }
}

/// The next message; `None` at the end.
async fn hear(channel: &mut Channel) -> Option<(Message, Vec<OwnedFd>)> {
    timeout(PATIENCE, channel.next()).await.expect("something comes").unwrap()
}

/// The next message is this one.
#[track_caller]
fn is_said(heard: Option<(Message, Vec<OwnedFd>)>, message: &Message) {
    assert_eq!(heard.map(|(heard, _)| heard).as_ref(), Some(message));
}
