//! What comes beside bytes: descriptors of several kinds, and whether each of them is closed in the end.

use std::{
    fs::File,
    iter,
    net::{TcpListener, UdpSocket},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixDatagram,
    },
    sync::LazyLock,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys;

/// Of which copies are passed. A pipe's end is among them, by whose other end one sees that no copy is left.
pub(super) struct Descriptors {
    read: OwnedFd,
    write: OwnedFd,
}

/// What is passed besides: the same for all inputs, for they cost more than the rest of most targets.
static OTHERS: LazyLock<[OwnedFd; 5]> = LazyLock::new(|| {
    [
        UnixDatagram::unbound().expect("a socket").into(),
        // The kernel names it `0.0.0.0:0`, or an input would have to know a port.
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).expect("a socket").into(),
        TcpListener::bind("127.0.0.1:0").expect("a port").into(),
        UdpSocket::bind("127.0.0.1:0").expect("a port").into(),
        File::open("/dev/null").expect("it is there").into(),
    ]
});

/// As many descriptors as come with one input, at most.
const MOST: usize = 300;

impl Descriptors {
    pub(super) fn new() -> Self {
        let (read, write) = sys::pipe().expect("a pipe");
        Self { read, write }
    }

    /// In turn, for ever.
    fn kinds(&self) -> impl Iterator<Item = &OwnedFd> {
        iter::once(&self.write).chain(&*OTHERS).cycle()
    }

    /// Sends what the input says, and then the end. Its first byte says by how many more or fewer descriptors come with each
    /// frame than the frame itself says, the second one which kind the first of them is of, and the frames follow. As
    /// much goes out as the kernel takes at once.
    pub(super) fn feed(&self, to: &OwnedFd, input: &[u8]) {
        let [more, kind, frames @ ..] = input else {
            return;
        };
        let (mut rest, mut sent) = (frames, 0);
        while !rest.is_empty() {
            let (length, stated) = frame(rest);
            let count = stated.saturating_add_signed((*more as i8).into()).min(sys::MAX_DESCRIPTORS).min(MOST - sent);
            let kinds = self.kinds().skip(usize::from(*kind) % (OTHERS.len() + 1));
            let descriptors: Vec<_> = kinds.take(count).map(AsFd::as_fd).collect();
            match sys::send(to.as_fd(), &rest[..length], &descriptors) {
                Ok(taken) if taken == length => {}
                _ => return,
            }
            sent += count;
            rest = &rest[length..];
        }
    }

    /// Some of them, as if they had been opened for this process.
    pub(super) fn copies(&self, count: usize) -> impl Iterator<Item = OwnedFd> {
        self.kinds().take(count.min(MOST)).map(|it| it.try_clone().expect("a descriptor"))
    }

    /// One that may be passed on.
    pub(super) fn any(&self) -> BorrowedFd<'_> {
        self.write.as_fd()
    }

    /// Whoever was passed copies has dropped what it has made of them. Waited for: where tests start processes, each has
    /// copies of everything until its exec.
    pub(super) fn assert_closed(self) {
        let Self { read, write } = self;
        drop(write);
        let mut polled = [PollFd::new(read.as_fd(), PollFlags::POLLIN)];
        let patience = PollTimeout::from(60_000_u16);
        assert_eq!(poll(&mut polled, patience), Ok(1), "a descriptor that was passed is open still");
    }
}

/// How long the first frame is, and how many descriptors it says to have; of what is no frame, all of it.
fn frame(bytes: &[u8]) -> (usize, usize) {
    let Some([_, _, _, _, a, b, c, d, e, f, _, _]) = bytes.first_chunk::<12>() else {
        return (bytes.len(), 0);
    };
    let length = (u32::from_le_bytes([*a, *b, *c, *d]) as usize).saturating_add(12);
    (length.min(bytes.len()), u16::from_le_bytes([*e, *f]).into())
}
