use std::{
    io, mem,
    net::Shutdown,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use nix::errno::Errno;
use tokio::{io::Interest, net::UnixStream, task::yield_now};

use super::{
    Received, Settled, Step,
    errors::{broken, garbage},
    outbox::Outbox,
    outgoing::Outgoing,
    read::Read,
};
use crate::{
    Error, ErrorKind, sys,
    wire::{self, Message},
};

/// One end of the conversation between two generations, or between a generation and an operator.
///
/// What is said is queued and goes out while the channel is awaited or [`Channel::flush`]ed, so that a peer which does
/// not read never stops the loop. A send that fails because the peer is gone is a reason to read on, never to
/// decide: what the peer said before it died still lies in this end's queue.
#[derive(Debug)]
pub(crate) struct Channel {
    stream: UnixStream,
    pub(super) outbox: Outbox,
    bytes: Vec<u8>,
    takes_descriptors: bool,
    descriptors: Vec<OwnedFd>,
    /// The kernel had no room here for descriptors that belong to a message whose first byte has been read.
    lost_descriptors: bool,
    ended: bool,
    /// Modulo [`TURNS`].
    turns: u8,
}

/// So many before all others have theirs.
const TURNS: u8 = 16;

impl Channel {
    /// Of a Unix stream socket that this process owns. Panics outside a tokio runtime.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        sys::set_blocking(&socket, false)?;
        UnixStream::from_std(socket.into()).map(Self::from)
    }

    /// For an end that is never passed any: the kernel closes what comes, and none is installed here. Else a peer that says
    /// half a word with all that the kernel passes at once would fill this process's table, and clients find no place in it.
    pub(crate) fn without_descriptors(self) -> Self {
        Self { takes_descriptors: false, ..self }
    }

    /// Takes the channel apart, out of its reactor. `None`: the peer has said more than was asked for, or has not yet been
    /// sent all, and half a message is of no use to whoever would get the socket.
    pub(crate) fn into_socket(self) -> io::Result<Option<OwnedFd>> {
        let whole = self.outbox.is_empty() && self.bytes.is_empty() && self.descriptors.is_empty();
        if whole { self.stream.into_std().map(|stream| Some(stream.into())) } else { Ok(None) }
    }

    /// Queues a message and sends as much as the kernel takes now.
    pub(crate) fn say(&mut self, message: &Message, descriptors: Vec<Arc<OwnedFd>>) {
        self.queue(message, descriptors, None);
    }

    /// The same, and what becomes of it will be [`settled`](Self::settled) under this number.
    pub(crate) fn say_numbered(&mut self, number: u64, message: &Message, descriptors: Vec<Arc<OwnedFd>>) {
        self.queue(message, descriptors, Some(number));
    }

    fn queue(&mut self, message: &Message, descriptors: Vec<Arc<OwnedFd>>, number: Option<u64>) {
        debug_assert_eq!(message.descriptors(), descriptors.len(), "{message:?}");
        self.outbox.push(Outgoing::now(message, descriptors, number));
        self.outbox.try_flush(&self.stream);
    }

    /// What has become of messages with a number since this was last asked.
    pub(crate) fn settled(&mut self) -> Vec<(u64, Settled)> {
        self.outbox.take_settled()
    }

    /// Queues messages without descriptors, each of which becomes bytes only in its turn: for many large ones.
    pub(crate) fn say_all(&mut self, messages: impl IntoIterator<Item = Message>) {
        messages.into_iter().map(Outgoing::in_its_turn).for_each(|it| self.outbox.push(it));
        self.outbox.try_flush(&self.stream);
    }

    /// The next message. `Ok(None)`: the peer's end is closed, and everything that it said was read. While it waits,
    /// what is queued goes out.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: what has been read or not yet been sent stays in the channel.
    pub(crate) async fn next(&mut self) -> Result<Option<Received>, Error> {
        loop {
            match self.step().await? {
                Step::Heard(received) => return Ok(Some(received)),
                Step::Settled => drop(self.outbox.take_settled()),
                Step::End => return Ok(None),
            }
        }
    }

    /// The same for who has said messages with a number.
    ///
    /// # Cancel safety
    ///
    /// As [`next`](Self::next).
    pub(crate) async fn step(&mut self) -> Result<Step, Error> {
        loop {
            if self.outbox.has_settled() {
                return Ok(Step::Settled);
            }
            if let Some(fault) = self.outbox.take_fault() {
                return Err(fault);
            }
            if let Some(received) = self.take_first()? {
                return Ok(Step::Heard(received));
            }
            if self.ended {
                return self.end().map(|()| Step::End);
            }
            self.turn().await?;
        }
    }

    /// Waits for the peer's end and throws away what it says until then: for one to which nobody listens any more. What is
    /// queued goes out meanwhile.
    ///
    /// # Cancel safety
    ///
    /// It can be asked for again.
    pub(crate) async fn outlast(&mut self) {
        while !self.ended {
            self.bytes.clear();
            self.descriptors.clear();
            if let Err(error) = self.turn().await {
                crate::log::debug!(%error, "wait for the other generation's end: it counts as gone");
                return;
            }
        }
    }

    /// Waits until the kernel takes or has something, and sends or reads that.
    async fn turn(&mut self) -> Result<(), Error> {
        // `ready` takes nothing of a task's budget: a peer that says something faster than it is read would keep this thread
        // for ever, and no deadline of this task would be looked at. Nor is that budget taken here: used up, everything else
        // that this task waits for would seem not to be there, again and again.
        self.turns = (self.turns + 1) % TURNS;
        if self.turns == 0 {
            yield_now().await;
        }
        let interest = match self.outbox.is_empty() {
            true => Interest::READABLE,
            false => Interest::READABLE | Interest::WRITABLE,
        };
        let ready = self.stream.ready(interest).await.map_err(broken)?;
        if ready.is_writable() {
            self.outbox.try_flush(&self.stream);
        }
        if ready.is_readable() || ready.is_read_closed() {
            self.read(Read::WhenReady)?;
        }
        Ok(())
    }

    /// How much the kernel holds right now: its bytes, and one look whether the peer's end is behind them.
    pub(crate) fn unread(&self) -> usize {
        sys::unread(self.stream.as_fd()).saturating_add(1)
    }

    /// The next message of what the kernel held when one asked for [`unread`](Self::unread), whether or not the reactor has
    /// heard of it: a deadline must not act while the message that would have stopped it lies there. `None`: nothing more,
    /// and the peer's end is not closed. What has come since is left for the next turn, or a peer that says something
    /// faster than it is read would keep this thread for ever, deaf to everything else.
    pub(crate) fn next_of(&mut self, left: &mut usize) -> Option<Result<Option<Received>, Error>> {
        loop {
            match self.take_first() {
                Ok(None) => {}
                received => return Some(received),
            }
            if self.ended {
                return Some(self.end().map(|()| None));
            }
            if *left == 0 {
                return None;
            }
            match self.read(Read::Now) {
                Ok(0) if !self.ended => return None,
                Ok(bytes) => *left = left.saturating_sub(bytes.max(1)),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Waits until everything queued has been sent, or the peer is gone.
    pub(crate) async fn flush(&mut self) {
        while !self.outbox.is_empty() && self.stream.writable().await.is_ok() {
            self.outbox.try_flush(&self.stream);
        }
    }

    /// Says this in place of all that has not begun to go out, and also where our side could not send something else. As long
    /// as the first thing of all has not gone out, which is HELLO, nothing is left out.
    pub(crate) fn say_instead(&mut self, message: &Message) {
        self.outbox.leave_out_what_waits();
        self.say(message, Vec::new());
    }

    /// Nothing more is said, and what has not gone out never does: the peer has ended, and what it would read another process
    /// may hold that has no use for it.
    pub(crate) fn say_no_more(&mut self) {
        self.outbox.shut();
    }

    /// The same end once more, for what can't wait: what is said there is not in turn with what this one says.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.stream.as_fd().try_clone_to_owned()
    }

    /// Whether the kernel has taken everything that was said, or the peer is gone.
    pub(crate) fn is_flushed(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Nothing more is accepted from the peer; what it has said can still be read, and then the end. For a dead peer
    /// whose end a helper of its own holds open.
    pub(crate) fn shut_reading(&self) {
        self.shut(Shutdown::Read);
    }

    /// The peer hears our end after what was sent; what it says is still read.
    pub(crate) fn shut_writing(&self) {
        self.shut(Shutdown::Write);
    }

    fn shut(&self, half: Shutdown) {
        if let Err(error) = socket2::SockRef::from(&self.stream).shutdown(half) {
            crate::log::debug!(%error, "the channel has been closed already");
        }
    }

    fn end(&self) -> Result<(), Error> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let what = format!("the other end's message ended after {} bytes", self.bytes.len());
        Err(Error::new(ErrorKind::Torn, what))
    }

    /// Reads once, and not beyond the frame that has begun: so all descriptors that are here belong to that one, also where
    /// some of them are lost. 0: nothing to read now, or the end (then `ended` is set).
    pub(super) fn read(&mut self, when: Read) -> Result<usize, Error> {
        let mut buffer = [0; 8192];
        let missing = wire::missing(&self.bytes).map_err(garbage)?;
        debug_assert!(missing > 0, "a whole frame is taken before more is read");
        let length = missing.clamp(1, buffer.len());
        let descriptors = &mut self.descriptors;
        let mut receive = || match self.takes_descriptors {
            true => sys::receive(self.stream.as_fd(), &mut buffer[..length], descriptors),
            false => sys::receive_bytes(self.stream.as_fd(), &mut buffer[..length]),
        };
        let read = match when {
            Read::WhenReady => self.stream.try_io(Interest::READABLE, receive),
            Read::Now => receive(),
        };
        match read {
            Ok(sys::Received { bytes: 0, .. }) => self.ended = true,
            Ok(_) if self.descriptors.len() > 2 * sys::MAX_DESCRIPTORS => {
                let what = "the other end sent descriptors that belong to no message";
                return Err(Error::new(ErrorKind::Protocol, what));
            }
            Ok(received) => {
                self.lost_descriptors |= received.lost_descriptors;
                self.bytes.extend(&buffer[..received.bytes]);
                return Ok(received.bytes);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // It died with words of ours unread. What it said itself was read before this.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => self.ended = true,
            Err(error) => return Err(Error::io(ErrorKind::Protocol, "receive from the other end", error)),
        }
        Ok(0)
    }

    /// Takes the first whole message off what was read. Frames to be skipped are skipped; descriptors that belong to
    /// nothing that this version knows are closed.
    fn take_first(&mut self) -> Result<Option<Received>, Error> {
        while let Some((message, descriptors, length)) = wire::first(&self.bytes).map_err(garbage)? {
            let came = self.descriptors.len();
            let missing = self.takes_descriptors && came < descriptors;
            let lost = self.lost_descriptors && missing;
            if lost && !matches!(message, None | Some(Message::Offer(_))) {
                return Err(Error::io(ErrorKind::Protocol, "receive from the other end", Errno::EMFILE.into()));
            }
            if missing && !lost {
                let what = format!("{came} of {descriptors} descriptors came with a message");
                return Err(Error::new(ErrorKind::Protocol, what));
            }
            self.bytes.drain(..length);
            self.lost_descriptors = false;
            // Those that came are the first ones, and any more are closed: left here, they would be taken for those of the next
            // message, and a client's connection for another's.
            let mut descriptors = mem::take(&mut self.descriptors);
            if let Some(message) = message {
                descriptors.truncate(message.descriptors());
                return Ok(Some((message, descriptors)));
            }
        }
        Ok(None)
    }
}

impl From<UnixStream> for Channel {
    fn from(stream: UnixStream) -> Self {
        Self {
            stream,
            outbox: Outbox::default(),
            bytes: Vec::new(),
            takes_descriptors: true,
            descriptors: Vec::new(),
            lost_descriptors: false,
            ended: false,
            turns: 0,
        }
    }
}
