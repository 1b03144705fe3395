//! What a successor answers. Each connection that it was offered has one fate, and it claims nothing that it was not passed.

use std::{collections::HashSet, os::fd::OwnedFd, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    block_on,
    descriptors::Descriptors,
    said::{ends, hang_up, said},
};
use crate::{
    handover::{Departures, Fate, Lane, Parcel},
    name::Name,
    process::{Legacy, Reply, Successor},
    wire::{self, Begun, Destination, Message, Origin, SocketKind},
};

/// How many connections it is offered.
const LEAVE: usize = 4;

pub(super) fn run(input: &[u8]) {
    let descriptors = Descriptors::new();
    block_on(async {
        let (channel, theirs) = ends();
        let mut successor = Successor::met(channel, 0, legacy(&descriptors));
        descriptors.feed(&theirs, &[&[0, 0], prologue().as_slice()].concat());
        while successor.next_now().is_some() {}
        let (mut departures, exit) = Departures::new();
        departures.open();
        let leaving: Vec<_> =
            (0..LEAVE).map(|_| exit.leave(exit.try_room(Lane::Serve).expect("room"), parcel(&descriptors))).collect();
        let departing = departures.next().await;
        successor.offer(departing.number, &departing.message, departing.descriptors);

        descriptors.feed(&theirs, input);
        hang_up(&theirs);
        let (mut may_be_taken, mut ended) = (HashSet::new(), false);
        loop {
            // As before a deadline, or as ever else: by the reactor, while the clock stands still.
            let event = match input.len() % 2 {
                0 => successor.next_now().map(Some),
                _ => timeout(Duration::from_millis(1), successor.next()).await.ok(),
            };
            let Some(event) = event else { break };
            drop(format!("{event:?}"));
            for reply in successor.replies() {
                assert!(!ended, "its last word is the last: {reply:?}");
                match reply {
                    Reply::Taken(ids) => {
                        departures.taken(&ids);
                        may_be_taken.extend(ids);
                    }
                    Reply::Declined(those) => departures.declined(those),
                    Reply::LeftOut(number) => departures.left_out(number),
                    Reply::Garbled => (departures.garbled(), ended = true).0,
                    Reply::Mute => (departures.mute(), ended = true).0,
                    Reply::Ended => (departures.channel_ended(), ended = true).0,
                }
            }
        }
        assert!(successor.claimed().iter().all(|name| NAMES.contains(&name.as_str())));
        drop((successor, departures));
        let mut taken = 0;
        for fate in leaving {
            match fate.await {
                Fate::Taken => taken += 1,
                Fate::Back(parcel, why) => {
                    assert!(!why.is_empty());
                    assert_eq!((parcel.read.as_slice(), parcel.state.as_slice()), (READ, STATE));
                }
                Fate::Undecided => {}
            }
        }
        assert!(taken <= may_be_taken.len(), "nothing counts as taken that was not said to be");
        for message in said(theirs) {
            let is_said =
                matches!(message, Message::Hello(_) | Message::Sockets(_) | Message::End { .. } | Message::Offer(_));
            assert!(is_said, "{}", message.name());
        }
    });
    descriptors.assert_closed();
}

const NAMES: [&str; 3] = ["admin", "http", "log"];
const READ: &[u8] = b"GET /";
const STATE: &[u8] = b"state";

/// What it has said by the time at which connections are offered to it.
fn prologue() -> Vec<u8> {
    let capabilities = [wire::FINAL_STATE, wire::HAND_OVER].map(String::from).into();
    let accepted = Message::Accepted { version: wire::NEWEST_VERSION, capabilities };
    [Message::Arrived { sockets: NAMES.len() as u32 }.encode(), accepted.encode()].concat()
}

fn copy(descriptors: &Descriptors) -> OwnedFd {
    descriptors.any().try_clone_to_owned().expect("a descriptor")
}

fn legacy(descriptors: &Descriptors) -> Legacy {
    let socket = |name| wire::Socket {
        name: Name::new(name).expect("a name"),
        kind: SocketKind::Descriptor,
        origin: Origin::Offered,
        requested: "".into(),
        actual: "".into(),
        path: (0, 0),
    };
    Legacy {
        generation: 1,
        sockets: NAMES.map(|name| (socket(name), Arc::new(copy(descriptors)))).into(),
        ancestors: Vec::new(),
        capture_stderr: false,
        watchdog: None,
        state: Vec::new(),
    }
}

fn parcel(descriptors: &Descriptors) -> Parcel {
    Parcel {
        to: Destination::Serve { socket: Name::new("http").expect("a name"), begun: Begun::Http1 },
        socket: copy(descriptors),
        read: READ.to_vec(),
        state: STATE.to_vec(),
        waited: Duration::ZERO,
    }
}
