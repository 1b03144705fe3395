//! The next generation, as this process sees it: its process, what it says, its last words.

use std::{
    mem,
    os::fd::{AsFd, OwnedFd},
    process::ExitStatus,
    sync::Arc,
    time::Duration,
};

use super::{
    Program, Reply,
    body::{Body, Spawned},
    conversation::{Conversation, Kept},
    last_words::{self, LastWords},
    notices::Notices,
};
use crate::{
    Error, ErrorKind,
    channel::Channel,
    generation,
    name::Name,
    phase::Event,
    state::PassedState,
    sys::{self, Handed, Kinship},
    wire::{self, Message, SocketKind},
};

/// What this process passes on.
#[derive(Debug)]
pub(crate) struct Legacy {
    /// The successor's own number.
    pub(crate) generation: u64,
    pub(crate) sockets: Vec<(wire::Socket, Arc<OwnedFd>)>,
    /// Oldest first, this process last, each with its pidfd.
    pub(crate) ancestors: Vec<(wire::Ancestor, Arc<OwnedFd>)>,
    pub(crate) capture_stderr: bool,
    /// How often systemd wants to hear from the main process.
    pub(crate) watchdog: Option<Duration>,
    pub(crate) state: Vec<PassedState>,
}

/// A successor from its start, or from when it came by itself, to its end.
#[derive(Debug)]
pub(crate) struct Successor {
    /// The pid is 0 until it has been spawned.
    identity: generation::Successor,
    spawned: bool,
    body: Body,
    talk: Talk,
    words: Option<LastWords>,
    status: Option<ExitStatus>,
    replies: Vec<Reply>,
}

/// How it makes itself understood.
#[derive(Debug)]
enum Talk {
    Channel(Box<Conversation>),
    /// It knows nothing of this crate.
    Notices(Box<Notices>),
    Over {
        claimed: Vec<Name>,
    },
}

impl Successor {
    /// Starts the program on a thread of its own, with one end of a new channel.
    pub(crate) fn spawn(program: &Program, legacy: Legacy, kinship: Kinship) -> Result<Self, Error> {
        let failed = |what: &'static str| move |error| Error::io(ErrorKind::Spawn, what, error);
        let (ours, theirs) = sys::socket_pair().map_err(failed("open a channel for the successor"))?;
        let channel = Channel::new(ours).map_err(failed("open a channel for the successor"))?.without_descriptors();
        let name = sys::name_for_heir(&theirs).map_err(failed("open a channel for the successor"))?;
        let pipe = match legacy.capture_stderr && last_words::worth_capturing() {
            true => Some(LastWords::open().map_err(failed("capture the successor's standard error"))?),
            false => None,
        };
        let (words, write, stderr) = match pipe {
            Some(pipe) => (Some(pipe.words), Some(pipe.write), Some(pipe.lend)),
            None => (None, None, None),
        };
        let command = program.command(name)?;
        let program = program.clone();
        let body = Body::spawn(move || {
            let stderr = write.as_ref().map(AsFd::as_fd);
            let handed = Handed { stderr, channel: Some(theirs.as_fd()), ..Handed::default() };
            let started = sys::spawn(&command, &handed, kinship);
            started.map_err(|error| program.not_started(error))
        })?;
        let generation = legacy.generation;
        let talk = Talk::Channel(Conversation::new(channel, legacy, stderr).into());
        Ok(Self::new(generation, true, body, talk, words))
    }

    /// One that has come to a path, and at whose channel's other end the kernel sees `pid` (0: it can't be known here).
    /// HELLO is said at once.
    pub(crate) fn met(channel: Channel, pid: u32, legacy: Legacy) -> Self {
        let generation = legacy.generation;
        let mut conversation = Conversation::new(channel, legacy, None);
        conversation.begin(pid);
        let mut met = Self::new(generation, false, Body::Come, Talk::Channel(conversation.into()), None);
        met.identity.pid = pid;
        met
    }

    /// Starts a program that knows only how systemd passes sockets: from descriptor 3 on, as `LISTEN_FDS` and its kin say.
    /// It gets and claims everything but the control listener; the sockets do not block, for that state is shared with
    /// this process. It is ready when it says `READY=1` to a notify socket of ours, or has been alive for so long.
    ///
    /// Nothing is said to it: to be taken back means SIGTERM, to be confirmed means nothing, and its standard error is ours.
    pub(crate) fn foreign(
        program: &Program,
        legacy: Legacy,
        kinship: Kinship,
        alive: Option<Duration>,
    ) -> Result<Self, Error> {
        let passed = legacy.sockets.into_iter().filter(|(socket, _)| socket.kind != SocketKind::Control);
        let (names, sockets): (Vec<_>, Vec<_>) = passed.map(|(socket, descriptor)| (socket.name, descriptor)).unzip();
        program.can_be_started()?;
        let failed = |error| Error::io(ErrorKind::Spawn, "open a notify socket for the successor", error);
        let (notices, address) = Notices::open(names.clone(), alive).map_err(failed)?;
        let command = program.foreign_command(&names, address)?;
        let body = Body::spawn(move || {
            let handed = Handed { listed: sockets.iter().map(|it| it.as_fd()).collect(), ..Handed::default() };
            sys::spawn(&command, &handed, kinship).map_err(Program::shell_not_started)
        })?;
        Ok(Self::new(legacy.generation, true, body, Talk::Notices(notices.into()), None))
    }

    fn new(generation: u64, spawned: bool, body: Body, talk: Talk, words: Option<LastWords>) -> Self {
        let identity = generation::Successor { pid: 0, generation };
        Self { identity, spawned, body, talk, words, status: None, replies: Vec::new() }
    }

    /// What it does next. `None`: there are `replies`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: everything that is under way is in `self`.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        match (&mut self.body, &mut self.talk) {
            (Body::Spawning(spawned), _) => {
                let spawned = spawned.await;
                Some(self.spawned(spawned))
            }
            (Body::Come, _) => Some(self.come()),
            (Body::Alive(process), Talk::Channel(conversation)) => tokio::select! {
                biased;
                event = conversation.next() => self.told(event?),
                () = Body::end(process) => self.ended(),
            }
            .into(),
            (Body::Alive(process), Talk::Notices(notices)) => tokio::select! {
                biased;
                event = notices.next() => event,
                () = Body::end(process) => self.ended(),
            }
            .into(),
            (Body::Alive(process), Talk::Over { .. }) => {
                Body::end(process).await;
                Some(self.ended())
            }
            (Body::Elsewhere, Talk::Channel(conversation)) => {
                let event = conversation.next().await?;
                Some(self.told(event))
            }
            (Body::Elsewhere, Talk::Notices(_) | Talk::Over { .. }) | (Body::Gone, _) => std::future::pending().await,
        }
    }

    /// What it has said or done by now, for a deadline that must not act while the answer lies unread.
    pub(crate) fn next_now(&mut self) -> Option<Event> {
        if matches!(self.body, Body::Come) {
            return Some(self.come());
        }
        if let Some(event) = self.said_by_now() {
            return Some(event);
        }
        // A helper of its own may hold the channel open: then only its process tells that it is dead.
        self.body.has_ended().then(|| self.ended())
    }

    fn said_by_now(&mut self) -> Option<Event> {
        let event = match &mut self.talk {
            Talk::Channel(conversation) => conversation.next_now()?,
            Talk::Notices(notices) if matches!(self.body, Body::Alive(_)) => notices.next_now()?,
            Talk::Notices(_) | Talk::Over { .. } => return None,
        };
        Some(self.told(event))
    }

    fn spawned(&mut self, spawned: Spawned) -> Event {
        match self.body.settle(spawned) {
            Ok(pid) => self.identity.pid = pid,
            Err(error) => return Event::SpawnFailed(error),
        }
        match &mut self.talk {
            Talk::Channel(conversation) => conversation.begin(self.identity.pid),
            Talk::Notices(notices) => notices.begin(self.identity.pid),
            Talk::Over { .. } => {}
        }
        Event::Spawned
    }

    fn come(&mut self) -> Event {
        self.body = Body::Elsewhere;
        Event::Spawned
    }

    fn told(&mut self, event: Event) -> Event {
        if !matches!(event, Event::ChannelClosed) {
            return event;
        }
        self.stop_talking();
        // Nothing else will ever tell of the end of a process that somebody else has started.
        if matches!(self.body, Body::Elsewhere) {
            self.body = Body::Gone;
            return Event::Ended(None);
        }
        event
    }

    fn stop_talking(&mut self) {
        if let Talk::Channel(conversation) = &mut self.talk {
            self.replies.extend(conversation.replies());
        }
        self.talk = Talk::Over { claimed: self.claimed().to_vec() };
    }

    /// Its process has ended. What it had said is heard first: a helper of its own may hold the channel open, so the
    /// reading half is shut and read to its end.
    fn ended(&mut self) -> Event {
        if let (Talk::Channel(conversation), true) = (&self.talk, self.body.has_ended()) {
            conversation.shut_reading();
        }
        if let Some(event) = self.said_by_now() {
            return event;
        }
        self.status = self.body.reap();
        self.body = Body::Gone;
        self.stop_talking();
        Event::Ended(self.status)
    }

    /// Who it is. Its pid is known once it has been spawned.
    pub(crate) fn identity(&self) -> generation::Successor {
        self.identity.clone()
    }

    /// Whether this process has started it. One that has come by itself is its own supervisor's, and not to be named to
    /// ours.
    pub(crate) fn is_spawned(&self) -> bool {
        self.spawned
    }

    /// Whether it may have accepted somebody before it was confirmed, as a foreign one does that knows of no such thing.
    pub(crate) fn accepts_unconfirmed(&self) -> bool {
        matches!(self.talk, Talk::Notices(_))
    }

    /// Whether it would understand the offer of a connection, and still can be told.
    pub(crate) fn takes_connections(&self) -> bool {
        matches!(&self.talk, Talk::Channel(conversation) if conversation.takes_connections())
    }

    /// Offers connections, under this number: should that never go out, a reply says so. What nobody hears is undecided
    /// until the reply that says that nothing more comes.
    pub(crate) fn offer(&mut self, number: u64, message: &Message, descriptors: Vec<Arc<OwnedFd>>) {
        if let Talk::Channel(conversation) = &mut self.talk {
            conversation.offer(number, message, descriptors);
        }
    }

    /// What has become of its offers since this was last asked.
    pub(crate) fn replies(&mut self) -> Vec<Reply> {
        if let Talk::Channel(conversation) = &mut self.talk {
            self.replies.extend(conversation.replies());
        }
        mem::take(&mut self.replies)
    }

    /// Whether it has said all that it ever will, and lives yet, as far as is known.
    pub(crate) fn is_ending(&self) -> bool {
        matches!((&self.talk, &self.body), (Talk::Over { .. }, Body::Alive(_)))
    }

    /// The names that it claimed with READY.
    pub(crate) fn claimed(&self) -> &[Name] {
        match &self.talk {
            Talk::Channel(conversation) => conversation.claimed(),
            Talk::Notices(notices) => notices.claimed(),
            Talk::Over { claimed } => claimed,
        }
    }

    /// Whether what is said to it can still arrive.
    pub(crate) fn hears(&self) -> bool {
        matches!(self.talk, Talk::Channel(_))
    }

    /// Nothing goes out before HELLO: a process that peeks at any other first message takes the channel for a stranger's,
    /// and a successor that was taken back while it was spawned would start as generation 0 beside us. It finds an
    /// ended channel instead, and gives up. To a foreign one only ABORT can be said, as SIGTERM; to one that stops already it
    /// would be the second one, which hurries many a server.
    pub(crate) fn say(&mut self, message: &Message, descriptors: Vec<Arc<OwnedFd>>) {
        if matches!(self.body, Body::Spawning(_)) {
            return;
        }
        match (&mut self.talk, message) {
            (Talk::Channel(conversation), Message::Abort { .. }) => conversation.take_back(message),
            (Talk::Channel(conversation), _) => conversation.say(message, descriptors),
            (Talk::Notices(notices), Message::Abort { .. }) => {
                if notices.begin_stop() {
                    self.body.terminate();
                }
            }
            (Talk::Notices(_) | Talk::Over { .. }, _) => {}
        }
    }

    /// What was taken when this process had let go, and what could not be, and why. `until_taken` is kept until the successor
    /// has it all, for this process must not end before; it is dropped at once where it never will: a foreign one, or one of
    /// an earlier version, or one that is gone.
    pub(crate) fn pass_final(&mut self, states: Vec<PassedState>, failed: Vec<(Name, String)>, until_taken: Kept) {
        match &mut self.talk {
            Talk::Channel(conversation) => conversation.pass_final(states, failed, until_taken),
            Talk::Notices(_) | Talk::Over { .. } => {}
        }
    }

    /// SIGKILL, to it alone. One that has come by itself is not ours to kill: it has been told ABORT, or has said itself
    /// that it ends, and sees that nothing more will come.
    pub(crate) fn kill(&self) {
        self.body.kill();
        if let (Body::Come | Body::Elsewhere, Talk::Channel(conversation)) = (&self.body, &self.talk) {
            conversation.shut_writing_if_flushed();
        }
    }

    /// Whether it knows of a final state, and still hears of one.
    pub(crate) fn takes_final_state(&self) -> bool {
        matches!(&self.talk, Talk::Channel(conversation) if conversation.takes_final_state())
    }

    /// Adds how it ended and what it last wrote. The rest of it, if it lives, is left to itself and reaped when it ends.
    pub(crate) async fn epitaph(mut self, error: Error) -> Error {
        let words = self.let_stderr_go().await;
        let error = error.with_last_words(self.status, words);
        self.forget();
        error
    }

    /// What was read of its standard error, to which a helper of its own may write still, is passed on, and nothing more is read:
    /// it reads the rest itself. For a place that takes nothing it waits no longer than for last words, which it returns.
    pub(crate) async fn let_stderr_go(&mut self) -> Option<String> {
        Some(self.words.take()?.take().await)
    }

    /// By which its end is seen. `None` where it can't be, or has ended.
    pub(crate) fn handle(&self) -> Option<OwnedFd> {
        self.body.handle()
    }

    /// Its process, which may not have been started yet: whoever has it reaps it. Not of one that has a channel: it would
    /// hear no last word.
    pub(super) fn into_body(self) -> Body {
        self.body
    }

    /// Leaves it to itself; its zombie is reaped when it ends.
    pub(crate) fn forget(mut self) {
        let talk = mem::replace(&mut self.talk, Talk::Over { claimed: Vec::new() });
        let body = mem::replace(&mut self.body, Body::Gone);
        tokio::spawn(body.outlast(async move {
            if let Talk::Channel(conversation) = talk {
                conversation.farewell().await;
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn nothing() -> Legacy {
        Legacy {
            generation: 1,
            sockets: vec![],
            ancestors: vec![],
            capture_stderr: false,
            watchdog: None,
            state: vec![],
        }
    }

    /// A successor whose body is this one, and the other end of its channel.
    fn successor(body: Body) -> (Successor, OwnedFd) {
        let (ours, theirs) = sys::socket_pair().unwrap();
        let conversation = Conversation::new(Channel::new(ours).unwrap(), nothing(), None);
        (Successor::new(1, true, body, Talk::Channel(conversation.into()), None), theirs)
    }

    #[tokio::test]
    async fn nothing_is_said_before_hello() {
        let (_spawning, spawned) = oneshot::channel();
        let (mut successor, theirs) = successor(Body::Spawning(spawned));
        successor.say(&Message::Abort { why: "the predecessor was stopped".into() }, Vec::new());
        let nothing = sys::peek(theirs.as_fd(), &mut [0; wire::PEEK]).unwrap_err();
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn a_ready_that_lies_in_the_kernel_is_heard_before_a_deadline_acts() {
        let (mut successor, theirs) = successor(Body::Gone);
        assert!(successor.next_now().is_none());
        let ready = Message::Ready { claimed: vec![] }.encode();
        assert_eq!(sys::send(theirs.as_fd(), &ready, &[]).unwrap(), ready.len());
        // No await in between: the reactor had no turn.
        assert!(matches!(successor.next_now(), Some(Event::Ready)));
    }

    #[tokio::test]
    async fn a_successor_that_has_talked_nonsense_is_not_heard_again() {
        let (mut successor, theirs) = successor(Body::Gone);
        sys::send(theirs.as_fd(), &[0xff; 64], &[]).unwrap();
        assert!(matches!(successor.next_now(), Some(Event::Failed(_))));
        assert!(successor.next_now().is_none(), "or the loop would never rest");
    }
}
