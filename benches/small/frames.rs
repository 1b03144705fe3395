//! A message into bytes, and back.

use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};

use crate::{
    passed::{hello, offer, piece, sockets},
    sys::MAX_DESCRIPTORS,
    wire::{self, Message},
};

#[derive(Clone, Copy, Debug)]
enum Frame {
    Hello,
    /// As many sockets as a frame can bear.
    Sockets,
    /// As many connections as are offered together, with the beginning of a request each.
    Offers,
    /// One, with all that a client has sent of a body that nobody has read.
    LongOffer,
    SmallState,
    /// As long as a piece gets.
    LongState,
}

const ALL: [Frame; 6] =
    [Frame::Hello, Frame::Sockets, Frame::Offers, Frame::LongOffer, Frame::SmallState, Frame::LongState];

impl Frame {
    fn message(self) -> Message {
        match self {
            Self::Hello => hello(),
            Self::Sockets => Message::Sockets(sockets(MAX_DESCRIPTORS)),
            Self::Offers => offer(32, 256),
            Self::LongOffer => offer(1, 64 * 1024),
            Self::SmallState => piece(1024),
            Self::LongState => piece(1024 * 1024),
        }
    }
}

#[divan::bench(args = ALL)]
fn encode(bencher: Bencher<'_, '_>, frame: Frame) {
    let message = frame.message();
    let length = message.encode().len();
    bencher.counter(BytesCount::new(length)).counter(ItemsCount::new(1_u8)).bench(|| message.encode());
}

#[divan::bench(args = ALL)]
fn decode(bencher: Bencher<'_, '_>, frame: Frame) {
    let bytes = frame.message().encode();
    let decoded = || wire::first(&bytes).expect("a frame").expect("a whole one").0.expect("one that is known");
    assert_eq!(decoded(), frame.message());
    bencher.counter(BytesCount::new(bytes.len())).counter(ItemsCount::new(1_u8)).bench(decoded);
}
