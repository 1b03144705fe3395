//! What generations pass to each other, of usual size.

use crate::{
    name::Name,
    state::PassedState,
    wire::{self, Ancestor, Begun, Destination, Hello, Message, Offer, Origin, Socket, SocketKind},
};

pub(crate) fn name(text: impl AsRef<str>) -> Name {
    Name::new(text.as_ref()).expect("a name")
}

/// From a predecessor before which one still drains.
pub(crate) fn hello() -> Message {
    Message::Hello(Hello {
        successor_pid: 4_003,
        oldest: wire::OLDEST_VERSION,
        newest: wire::NEWEST_VERSION,
        capabilities: Vec::new(),
        generation: 2,
        predecessor_pid: 4_002,
        watchdog_milliseconds: 0,
        ancestors: vec![Ancestor { generation: 0, pid: 4_001 }, Ancestor { generation: 1, pid: 4_002 }],
        stderr: true,
    })
}

/// So many TCP listeners.
pub(crate) fn sockets(count: usize) -> Vec<Socket> {
    let socket = |number| Socket {
        name: name(format!("listener {number}")),
        kind: SocketKind::TcpListener,
        origin: Origin::Bound,
        requested: "0.0.0.0:0".into(),
        actual: format!("0.0.0.0:{}", 10_000 + number).into(),
        path: (0, 0),
    };
    (0..count).map(socket).collect()
}

/// So many connections of HTTP/1, each with so many bytes of a request.
pub(crate) fn offer(count: u64, read: usize) -> Message {
    let offer = |id| Offer {
        id,
        to: Destination::Serve { socket: name("http"), begun: Begun::Http1 },
        waited_milliseconds: 20,
        read: vec![b'x'; read],
        state: Vec::new(),
    };
    Message::Offer((0..count).map(offer).collect())
}

/// The one frame of a state of this length.
pub(crate) fn piece(length: usize) -> Message {
    let state = PassedState::new(name("cache"), 1, vec![7; length]);
    Message::State(wire::pieces(state).next().expect("a first piece"))
}
