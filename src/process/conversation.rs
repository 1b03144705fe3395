//! What a predecessor and its successor say to each other, from the predecessor's side: messages into events.

use std::{fmt, mem, os::fd::OwnedFd, sync::Arc, time::Duration, vec};

use super::{Legacy, Reply};
use crate::{
    Error, ErrorKind,
    channel::{Channel, Step},
    name::Name,
    phase::Event,
    state::PassedState,
    sys,
    wire::{self, Message, Refusal},
};

/// What is only kept, to be dropped.
pub(crate) type Kept = Box<dyn fmt::Debug + Send>;

/// Over the channel, from HELLO to its end.
#[derive(Debug)]
pub(super) struct Conversation {
    channel: Channel,
    names: Vec<Name>,
    claimed: Vec<Name>,
    has_accepted: bool,
    /// It has said so with ACCEPTED.
    knows_final_state: bool,
    /// The same.
    takes_connections: bool,
    replies: Vec<Reply>,
    /// Until it has taken the final state, or never will.
    until_taken: Option<Kept>,
    unsaid: Option<Unsaid>,
    /// It was told ABORT.
    taken_back: bool,
    /// It has refused, said nonsense, or ended: nothing else that it says counts.
    heard_enough: bool,
}

/// What is said once the successor's pid is known, and then batch by batch.
#[derive(Debug)]
struct Unsaid {
    legacy: Legacy,
    sockets: vec::IntoIter<(wire::Socket, Arc<OwnedFd>)>,
    stderr: Option<[Arc<OwnedFd>; 2]>,
}

impl Conversation {
    /// `stderr`: what is lent with HELLO.
    pub(super) fn new(channel: Channel, mut legacy: Legacy, stderr: Option<[Arc<OwnedFd>; 2]>) -> Self {
        let names = legacy.sockets.iter().map(|(socket, _)| socket.name.clone()).collect();
        let sockets = mem::take(&mut legacy.sockets).into_iter();
        let unsaid = Some(Unsaid { legacy, sockets, stderr });
        Self {
            channel,
            names,
            claimed: Vec::new(),
            has_accepted: false,
            knows_final_state: false,
            takes_connections: false,
            replies: Vec::new(),
            until_taken: None,
            unsaid,
            taken_back: false,
            heard_enough: false,
        }
    }

    /// HELLO. `pid`: the successor's.
    pub(super) fn begin(&mut self, pid: u32) {
        let Some(Unsaid { legacy, stderr, .. }) = &mut self.unsaid else {
            return;
        };
        let ancestors: Vec<_> = legacy.ancestors.drain(..).collect();
        let hello = Message::Hello(wire::Hello {
            successor_pid: pid,
            oldest: wire::OLDEST_VERSION,
            newest: wire::NEWEST_VERSION,
            capabilities: Vec::new(),
            generation: legacy.generation,
            predecessor_pid: std::process::id(),
            watchdog_milliseconds: legacy.watchdog.map_or(0, milliseconds),
            ancestors: ancestors.iter().map(|(ancestor, _)| ancestor.clone()).collect(),
            stderr: stderr.is_some(),
        });
        let handles = ancestors.into_iter().map(|(_, handle)| handle);
        self.channel.say(&hello, handles.chain(stderr.take().into_iter().flatten()).collect());
        self.pass_batch();
    }

    /// The next sockets, or the state and END. The kernel bounds the descriptors of a message, and those on their way by the limit of
    /// open files: so each batch is acknowledged before the next.
    fn pass_batch(&mut self) {
        let Some(unsaid) = &mut self.unsaid else {
            return;
        };
        let (sockets, descriptors): (Vec<_>, Vec<_>) = unsaid.sockets.by_ref().take(sys::MAX_DESCRIPTORS).unzip();
        if sockets.is_empty() {
            let pieces = mem::take(&mut unsaid.legacy.state).into_iter().flat_map(wire::pieces);
            self.channel.say_all(pieces.map(Message::State));
            self.channel.say(&Message::End { sockets: self.names.len() as u32 }, Vec::new());
            self.unsaid = None;
            return;
        }
        self.channel.say(&Message::Sockets(sockets), descriptors);
    }

    /// What it says next, or its end (`ChannelClosed`) once nothing that it says counts. `None`: there are replies. Cancel
    /// safe.
    pub(super) async fn next(&mut self) -> Option<Event> {
        while !self.heard_enough {
            let step = self.channel.step().await;
            let event = self.hear(step);
            if event.is_some() || !self.replies.is_empty() {
                return event;
            }
        }
        self.channel.outlast().await;
        Some(Event::ChannelClosed)
    }

    /// What it has said by now and the reactor may not have heard of.
    pub(super) fn next_now(&mut self) -> Option<Event> {
        let mut left = self.channel.unread();
        while !self.heard_enough {
            let step = self.channel.next_of(&mut left)?.map(Step::from);
            if let Some(event) = self.hear(step) {
                return Some(event);
            }
        }
        None
    }

    /// `None`: it concerns only what is passed.
    fn hear(&mut self, step: Result<Step, Error>) -> Option<Event> {
        let message = match step {
            Ok(Step::Heard((message, _descriptors))) => message,
            Ok(Step::Settled) => {
                let settled = self.channel.settled().into_iter();
                self.replies.extend(settled.filter_map(|(number, settled)| Reply::to_offer(number, settled)));
                return None;
            }
            Ok(Step::End) => {
                self.hear_no_more(Reply::Ended);
                return Some(Event::ChannelClosed);
            }
            Err(error) => {
                return Some(self.failed(error));
            }
        };
        Some(match message {
            Message::Arrived { .. } if self.unsaid.is_some() => {
                self.pass_batch();
                return None;
            }
            Message::Accepted { version, capabilities } if self.unsaid.is_none() && !self.has_accepted => {
                self.has_accepted = true;
                self.knows_final_state = capabilities.iter().any(|it| it == wire::FINAL_STATE);
                self.takes_connections = capabilities.iter().any(|it| it == wire::HAND_OVER);
                let spoken = wire::OLDEST_VERSION..=wire::NEWEST_VERSION;
                if spoken.contains(&version) { Event::Accepted } else { self.failed(wrong_version(version, version)) }
            }
            // It was on its way.
            Message::Arrived { .. } | Message::Accepted { .. } if self.taken_back => return None,
            Message::Refused { refusal, oldest, newest, why } => {
                // Whatever it says of an offer after this is not heard.
                self.hear_no_more(Reply::Garbled);
                Event::Refused(refused(refusal, oldest, newest, &why))
            }
            Message::Extend { milliseconds } => Event::NeedsTime(Duration::from_millis(milliseconds)),
            Message::Ready { claimed } => match self.names_at(&claimed) {
                Some(names) => {
                    self.claimed = names;
                    Event::Ready
                }
                None => {
                    let what = "the successor claimed a socket that was not passed";
                    self.failed(Error::new(ErrorKind::Protocol, what))
                }
            },
            Message::Replaced { .. } => Event::Replaced,
            Message::Stopping { why } => Event::Stopping(why),
            Message::FinalTaken => {
                self.until_taken = None;
                return None;
            }
            Message::Taken(ids) => {
                self.replies.push(Reply::Taken(ids));
                return None;
            }
            Message::Declined(those) => {
                self.replies.push(Reply::Declined(those));
                return None;
            }
            unexpected => {
                let what = format!("the successor said what it must not say now: {}", unexpected.name());
                self.failed(Error::new(ErrorKind::Protocol, what))
            }
        })
    }

    fn failed(&mut self, error: Error) -> Event {
        self.unsaid = None;
        self.hear_no_more(match error.kind() {
            // A message that its death has cut off is no nonsense: whatever was whole was heard, and nothing more comes.
            ErrorKind::Torn => Reply::Ended,
            ErrorKind::Socket => Reply::Mute,
            _ => Reply::Garbled,
        });
        Event::Failed(error)
    }

    fn hear_no_more(&mut self, last: Reply) {
        if last == Reply::Ended {
            self.channel.say_no_more();
        }
        self.replies.push(last);
        self.heard_enough = true;
        self.until_taken = None;
    }

    /// Everything at once: each piece becomes a frame only in its turn. Not to one that is gone, or of an earlier version.
    pub(super) fn pass_final(&mut self, states: Vec<PassedState>, failed: Vec<(Name, String)>, until_taken: Kept) {
        if !self.takes_final_state() {
            return;
        }
        let pieces = states.into_iter().flat_map(wire::pieces).map(Message::FinalState);
        self.channel.say_all(pieces.chain([Message::final_end(failed)]));
        crate::log::debug!("FINAL END is said");
        self.until_taken = Some(until_taken);
    }

    fn names_at(&self, places: &[u32]) -> Option<Vec<Name>> {
        places.iter().map(|place| self.names.get(*place as usize).cloned()).collect()
    }

    /// Whether a final state would be understood.
    pub(super) fn takes_final_state(&self) -> bool {
        self.knows_final_state && !self.heard_enough
    }

    /// Whether it would understand the offer of a connection.
    pub(super) fn takes_connections(&self) -> bool {
        self.takes_connections && !self.heard_enough
    }

    /// Under this number, should it never go out.
    pub(super) fn offer(&mut self, number: u64, message: &Message, descriptors: Vec<Arc<OwnedFd>>) {
        self.channel.say_numbered(number, message, descriptors);
    }

    /// What has been learned since this was last asked.
    pub(super) fn replies(&mut self) -> Vec<Reply> {
        mem::take(&mut self.replies)
    }

    pub(super) fn claimed(&self) -> &[Name] {
        &self.claimed
    }

    pub(super) fn say(&mut self, message: &Message, descriptors: Vec<Arc<OwnedFd>>) {
        self.channel.say(message, descriptors);
    }

    /// ABORT, in place of all that it need not have any more: megabytes of state, maybe, and it reads nothing. Nor do more
    /// sockets follow: for one that may never read this they would stay open. Nobody hears a second one: it is the last word.
    pub(super) fn take_back(&mut self, abort: &Message) {
        self.unsaid = None;
        if !mem::replace(&mut self.taken_back, true) {
            self.channel.say_instead(abort);
        }
    }

    /// For a dead peer whose end a helper of its own holds open.
    pub(super) fn shut_reading(&self) {
        self.channel.shut_reading();
    }

    /// All has been said, and the peer is to see that. Where the kernel has not taken all yet, it sees that with `farewell`.
    pub(super) fn shut_writing_if_flushed(&self) {
        if self.channel.is_flushed() {
            self.channel.shut_writing();
        }
    }

    /// ABORT goes out, for as long as this process lives: without it the channel's end says the contrary, that this process
    /// is dead. A peer that stands still may have all but that in its queue, and goes on one day. Who was not told ABORT has
    /// ended, or does.
    pub(super) async fn farewell(mut self) {
        if self.taken_back {
            self.channel.flush().await;
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

fn refused(refusal: Refusal, oldest: u16, newest: u16, why: &str) -> Error {
    match refusal {
        Refusal::Version => wrong_version(oldest, newest),
        Refusal::NoDescriptors => Error::new(ErrorKind::NoDescriptors, format!("the successor refused: {why}")),
        Refusal::Other(_) => Error::new(ErrorKind::Refused, format!("the successor refused: {why}")),
    }
}

fn wrong_version(oldest: u16, newest: u16) -> Error {
    let (our_oldest, our_newest) = (wire::OLDEST_VERSION, wire::NEWEST_VERSION);
    let what = format!(
        "the two generations speak no common version of the protocol: this one {our_oldest} to {our_newest}, the successor {oldest} to {newest}"
    );
    Error::new(ErrorKind::Version, what)
}
