//! What a predecessor says once it was accepted. Whatever it offers is answered once, and what was taken is put into its
//! place once.

use std::{
    collections::HashMap,
    os::fd::BorrowedFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::timeout;

use super::{
    block_on,
    descriptors::Descriptors,
    said::{ends, hang_up, said},
};
use crate::{
    control::Visitor,
    handover::{Arrivals, Door, Entrance, Entrances, Place},
    name::Name,
    process::{Delivery, take_over},
    wire::{self, Hello, Message, Offer},
};

pub(super) fn run(input: &[u8]) {
    let descriptors = Descriptors::new();
    block_on(async {
        let (channel, theirs) = ends();
        // Neither more nor fewer descriptors, of which there are none.
        descriptors.feed(&theirs, &[&[0, 0], hello().as_slice()].concat());
        descriptors.feed(&theirs, input);
        hang_up(&theirs);
        let introduction = take_over(channel).await.expect("HELLO and END");
        let mut predecessor = introduction.answer.accept();

        let (entrances, hall) = (Entrances::default(), Arc::new(Hall::default()));
        let doors = [Door::Serve(name("http")), Door::Protocol(name("chat"))];
        let _tickets = doors.map(|door| entrances.open(door, hall.clone()));
        let mut arrivals = Arrivals::new(entrances, Duration::from_secs(5));
        let mut offered = HashMap::<u64, usize>::new();
        loop {
            // As before a deadline, or as ever else: by the reactor, while the clock stands still.
            let is_over = match input.len() % 2 {
                0 => predecessor.next_now().is_none(),
                _ => timeout(Duration::from_millis(1), predecessor.next()).await.is_err(),
            };
            // An answer brings the next delivery as it is said: that it has gone out, or can't.
            loop {
                let deliveries = predecessor.deliveries();
                if deliveries.is_empty() {
                    break;
                }
                for delivery in deliveries {
                    match delivery {
                        Delivery::Offered(those) => {
                            those.iter().for_each(|(offer, _)| *offered.entry(offer.id).or_default() += 1);
                            arrivals.offered(those);
                        }
                        Delivery::WentOut(number) => arrivals.went_out(number),
                        Delivery::Unsaid(number) => arrivals.unsaid(number),
                        Delivery::Gone => arrivals.predecessor_gone(),
                        Delivery::HungUp => arrivals.hung_up(),
                    }
                }
                for (number, message) in arrivals.say() {
                    predecessor.answer(number, &message);
                }
            }
            while let Some((want, socket)) = predecessor.forwarded() {
                if let Ok(visitor) = Visitor::forwarded(want, socket) {
                    drop(visitor.into_socket());
                }
            }
            drop(predecessor.final_state());
            if is_over {
                break;
            }
        }
        drop((arrivals, predecessor));
        let mut taken = 0;
        for message in said(theirs) {
            let ids: Vec<_> = match message {
                Message::Taken(ids) => {
                    taken += ids.len();
                    ids
                }
                Message::Declined(those) => those.into_iter().map(|(id, _)| id).collect(),
                Message::Accepted { .. } | Message::FinalTaken => continue,
                other => panic!("nothing was said that asks for {}", other.name()),
            };
            for id in ids {
                let left = offered.get_mut(&id).expect("what was offered");
                *left = left.checked_sub(1).expect("one answer for each offer");
            }
        }
        assert!(hall.placed.load(Ordering::Relaxed) >= taken, "what was said to be taken is");
        assert!(hall.placed.load(Ordering::Relaxed) <= hall.admitted.load(Ordering::Relaxed));
    });
    descriptors.assert_closed();
}

/// Passes nothing, but makes this process the successor.
fn hello() -> Vec<u8> {
    let hello = Message::Hello(Hello {
        successor_pid: 0,
        oldest: wire::OLDEST_VERSION,
        newest: wire::NEWEST_VERSION,
        capabilities: Vec::new(),
        generation: 1,
        predecessor_pid: 0,
        watchdog_milliseconds: 0,
        ancestors: Vec::new(),
        stderr: false,
    });
    [hello.encode(), Message::End { sockets: 0 }.encode()].concat()
}

fn name(name: &str) -> Name {
    Name::new(name).expect("a name")
}

/// Has a place for two of three.
#[derive(Default)]
struct Hall {
    asked: AtomicUsize,
    admitted: AtomicUsize,
    placed: Arc<AtomicUsize>,
}

impl Entrance for Hall {
    fn admit(&self, _: &Offer, _: BorrowedFd<'_>) -> Result<Place, String> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
            return Err("every third one is not wanted".to_owned());
        }
        self.admitted.fetch_add(1, Ordering::Relaxed);
        let placed = Arc::clone(&self.placed);
        Ok(Box::new(move |parcel| {
            placed.fetch_add(1, Ordering::Relaxed);
            drop(parcel);
        }))
    }
}
