//! The next generation, as this process sees it: its process, its channel, its last words.

use std::{
    mem,
    os::fd::{AsFd, OwnedFd},
    process::ExitStatus,
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{io::unix::AsyncFd, sync::oneshot, time::timeout};

use super::{
    Program,
    last_words::{self, LastWords},
};
use crate::{
    Error, ErrorKind,
    channel::{Channel, Received},
    generation,
    name::Name,
    phase::Event,
    sys,
    wire::{self, Message, Refusal},
};

/// For how long a successor that is not cared for any more is told the last things.
const FAREWELL: Duration = Duration::from_secs(1);

/// What this process passes on.
#[derive(Debug)]
pub(crate) struct Legacy {
    /// The successor's own number.
    pub(crate) generation: u64,
    pub(crate) sockets: Vec<(wire::Socket, Arc<OwnedFd>)>,
    /// Oldest first, this process last, each with its pidfd.
    pub(crate) ancestors: Vec<(wire::Ancestor, Arc<OwnedFd>)>,
    pub(crate) capture_stderr: bool,
}

/// A successor from its spawn to its end.
#[derive(Debug)]
pub(crate) struct Successor {
    generation: u64,
    /// 0 until it has been spawned.
    pid: u32,
    names: Vec<Name>,
    claimed: Vec<Name>,
    unsaid: Option<Unsaid>,
    process: Process,
    channel: Option<Channel>,
    /// It has refused or said nonsense: what else it says does not count.
    heard_enough: bool,
    words: Option<LastWords>,
    status: Option<ExitStatus>,
}

/// What is said once its pid is known, and then batch by batch.
#[derive(Debug)]
struct Unsaid {
    legacy: Legacy,
    stderr: Option<[Arc<OwnedFd>; 2]>,
}

#[derive(Debug)]
enum Process {
    Spawning(oneshot::Receiver<Result<sys::Process, Error>>),
    Alive(AsyncFd<sys::Process>),
    Gone,
}

impl Successor {
    /// Starts the program on a thread of its own, with one end of a new channel.
    pub(crate) fn spawn(program: &Program, legacy: Legacy) -> Result<Self, Error> {
        let failed = |what: &'static str| move |error| Error::io(ErrorKind::Spawn, what, error);
        let (ours, theirs) = sys::socket_pair().map_err(failed("open a channel for the successor"))?;
        let channel = Channel::new(ours).map_err(failed("open a channel for the successor"))?;
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
        let (tell, spawned) = oneshot::channel();
        thread::Builder::new()
            .name("hotrestart-spawn".into())
            .spawn(move || {
                let child = sys::spawn(&command, theirs.as_fd(), write.as_ref().map(AsFd::as_fd));
                drop((theirs, write));
                // Nobody waits any more: this generation has ended, and the successor must not outlive it unknown.
                if let Err(Ok(child)) = tell.send(child.map_err(|error| program.not_started(error))) {
                    child.end();
                }
            })
            .map_err(failed("start a thread for the spawn"))?;
        Ok(Self {
            generation: legacy.generation,
            pid: 0,
            names: legacy.sockets.iter().map(|(socket, _)| socket.name.clone()).collect(),
            claimed: Vec::new(),
            unsaid: Some(Unsaid { legacy, stderr }),
            process: Process::Spawning(spawned),
            channel: Some(channel),
            heard_enough: false,
            words,
            status: None,
        })
    }

    /// What it does next.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: everything that is under way is in `self`.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            match (&mut self.process, &mut self.channel) {
                (Process::Spawning(spawned), _) => {
                    let spawned = spawned.await;
                    return self.spawned(spawned);
                }
                (Process::Alive(process), Some(channel)) => {
                    tokio::select! {
                        biased;
                        received = channel.next(), if !self.heard_enough => {
                            if let Some(event) = self.hear(received) {
                                return event;
                            }
                        }
                        _ = process.readable() => return self.ended(),
                    }
                }
                (Process::Alive(process), None) => {
                    // An error means that the reactor is gone, and then nothing is awaited any more.
                    let _ = process.readable().await;
                    return self.ended();
                }
                (Process::Gone, _) => std::future::pending().await,
            }
        }
    }

    /// What it has said or done by now, for a deadline that must not act while the answer lies unread.
    pub(crate) fn next_now(&mut self) -> Option<Event> {
        if let Some(event) = self.said_by_now() {
            return Some(event);
        }
        // A helper of its own may hold the channel open: then only its process tells that it is dead.
        match &self.process {
            Process::Alive(child) if sys::has_ended(child.get_ref().as_fd()) => Some(self.ended()),
            _ => None,
        }
    }

    fn said_by_now(&mut self) -> Option<Event> {
        while !self.heard_enough {
            let received = self.channel.as_mut()?.next_now()?;
            if let Some(event) = self.hear(received) {
                return Some(event);
            }
        }
        None
    }

    fn spawned(&mut self, spawned: Result<Result<sys::Process, Error>, oneshot::error::RecvError>) -> Event {
        let child = match spawned {
            Ok(Ok(child)) => child,
            Ok(Err(error)) => return self.not_spawned(error),
            Err(_) => return self.not_spawned(Error::new(ErrorKind::Spawn, "the spawning thread ended")),
        };
        let pid = child.pid();
        self.process = match sys::watch(child) {
            Ok(child) => Process::Alive(child),
            Err((child, error)) => {
                end_aside(child);
                return self.not_spawned(Error::io(ErrorKind::Spawn, "watch the successor's process", error));
            }
        };
        self.pid = pid;
        self.introduce();
        Event::Spawned
    }

    fn not_spawned(&mut self, error: Error) -> Event {
        self.process = Process::Gone;
        Event::SpawnFailed(error)
    }

    fn introduce(&mut self) {
        let (Some(Unsaid { legacy, stderr }), Some(channel)) = (&mut self.unsaid, &mut self.channel) else {
            return;
        };
        let ancestors: Vec<_> = legacy.ancestors.drain(..).collect();
        let hello = Message::Hello(wire::Hello {
            successor_pid: self.pid,
            oldest: wire::OLDEST_VERSION,
            newest: wire::NEWEST_VERSION,
            capabilities: Vec::new(),
            generation: legacy.generation,
            predecessor_pid: std::process::id(),
            watchdog_milliseconds: 0,
            ancestors: ancestors.iter().map(|(ancestor, _)| ancestor.clone()).collect(),
            stderr: stderr.is_some(),
        });
        let handles = ancestors.into_iter().map(|(_, handle)| handle);
        channel.say(&hello, handles.chain(stderr.take().into_iter().flatten()).collect());
        self.pass_batch();
    }

    /// The next sockets, or END. The kernel bounds the descriptors of a message, and those on their way by the limit of
    /// open files: so each batch is acknowledged before the next.
    fn pass_batch(&mut self) {
        let (Some(unsaid), Some(channel)) = (&mut self.unsaid, &mut self.channel) else {
            return;
        };
        let sockets = &mut unsaid.legacy.sockets;
        let batch: Vec<_> = sockets.drain(..sockets.len().min(sys::MAX_DESCRIPTORS)).collect();
        if batch.is_empty() {
            channel.say(&Message::End { sockets: self.names.len() as u32 }, Vec::new());
            self.unsaid = None;
            return;
        }
        let (sockets, descriptors): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        channel.say(&Message::Sockets(sockets), descriptors);
    }

    /// `None`: it concerns only the passing of the sockets.
    fn hear(&mut self, received: Result<Option<Received>, Error>) -> Option<Event> {
        let message = match received {
            Ok(Some((message, _descriptors))) => message,
            Ok(None) => {
                self.channel = None;
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
            Message::Accepted { version, .. } if self.unsaid.is_none() => {
                let spoken = wire::OLDEST_VERSION..=wire::NEWEST_VERSION;
                if spoken.contains(&version) { Event::Accepted } else { self.failed(wrong_version(version, version)) }
            }
            Message::Refused { refusal, oldest, newest, why } => {
                self.heard_enough = true;
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
            unexpected => {
                let what = format!("the successor said what it must not say now: {}", unexpected.name());
                self.failed(Error::new(ErrorKind::Protocol, what))
            }
        })
    }

    fn failed(&mut self, error: Error) -> Event {
        self.unsaid = None;
        self.heard_enough = true;
        Event::Failed(error)
    }

    fn names_at(&self, places: &[u32]) -> Option<Vec<Name>> {
        places.iter().map(|place| self.names.get(*place as usize).cloned()).collect()
    }

    /// Its process has ended. What it had said is heard first: a helper of its own may hold the channel open, so the
    /// reading half is shut and read to its end.
    fn ended(&mut self) -> Event {
        if let Some(channel) = &self.channel {
            channel.shut_reading();
        }
        if let Some(event) = self.said_by_now() {
            return event;
        }
        if let Process::Alive(process) = &self.process {
            self.status = process.get_ref().reap();
        }
        self.process = Process::Gone;
        self.channel = None;
        Event::Ended(self.status)
    }

    /// Who it is. Its pid is known once it has been spawned.
    pub(crate) fn identity(&self) -> generation::Successor {
        generation::Successor { pid: self.pid, generation: self.generation }
    }

    /// The names that it claimed with READY.
    pub(crate) fn claimed(&self) -> &[Name] {
        &self.claimed
    }

    /// Nothing goes out before HELLO: a process that peeks at any other first message takes the channel for a stranger's,
    /// and a successor that was taken back while it was spawned would start as generation 0 beside us. It finds an
    /// ended channel instead, and gives up.
    pub(crate) fn say(&mut self, message: &Message) {
        if matches!(self.process, Process::Spawning(_)) {
            return;
        }
        if let Some(channel) = &mut self.channel {
            channel.say(message, Vec::new());
        }
    }

    /// SIGKILL, to it alone.
    pub(crate) fn kill(&self) {
        if let Process::Alive(child) = &self.process {
            child.get_ref().kill();
        }
    }

    /// Stops passing on its standard error: it has put the real one back.
    pub(crate) fn release_stderr(&mut self) {
        self.words = None;
    }

    /// Adds how it ended and what it last wrote. The rest of it, if it lives, is left to itself and reaped when it ends.
    pub(crate) async fn epitaph(mut self, error: Error) -> Error {
        let words = match self.words.take() {
            Some(words) => Some(words.take().await),
            None => None,
        };
        let error = error.with_last_words(self.status, words);
        self.forget();
        error
    }

    /// Leaves it to itself; its zombie is reaped when it ends.
    pub(crate) fn forget(mut self) {
        let channel = self.channel.take();
        let process = mem::replace(&mut self.process, Process::Gone);
        tokio::spawn(async move {
            if let Some(mut channel) = channel {
                // A dead or stopped peer takes nothing more, and its end is what the process tells.
                let _ = timeout(FAREWELL, channel.flush()).await;
            }
            match process {
                Process::Spawning(spawned) => {
                    if let Ok(Ok(child)) = spawned.await {
                        end_aside(child);
                    }
                }
                Process::Alive(child) => {
                    // An error means that the runtime ends, and then the system reaps it.
                    let _ = child.readable().await;
                    child.get_ref().reap();
                }
                Process::Gone => {}
            }
        });
    }
}

/// On a thread, because it waits. Without one it is killed all the same, and stays a zombie until this process ends.
fn end_aside(child: sys::Process) {
    child.kill();
    if let Err(error) = thread::Builder::new().name("hotrestart-end".into()).spawn(move || child.end()) {
        crate::log::warn!(%error, "start a thread to reap a successor");
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A successor that has been spawned and introduced, or not yet, and the other end of its channel.
    fn successor(process: Process) -> (Successor, OwnedFd) {
        let (ours, theirs) = sys::socket_pair().unwrap();
        let successor = Successor {
            generation: 1,
            pid: 0,
            names: vec![Name::new("http").unwrap()],
            claimed: Vec::new(),
            unsaid: None,
            process,
            channel: Some(Channel::new(ours).unwrap()),
            heard_enough: false,
            words: None,
            status: None,
        };
        (successor, theirs)
    }

    #[tokio::test]
    async fn nothing_is_said_before_hello() {
        let (_spawning, spawned) = oneshot::channel();
        let (mut successor, theirs) = successor(Process::Spawning(spawned));
        successor.say(&Message::Abort { why: "the predecessor was stopped".into() });
        let nothing = sys::peek(theirs.as_fd(), &mut [0; wire::PEEK]).unwrap_err();
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn a_ready_that_lies_in_the_kernel_is_heard_before_a_deadline_acts() {
        let (mut successor, theirs) = successor(Process::Gone);
        assert!(successor.next_now().is_none());
        let ready = Message::Ready { claimed: vec![0] }.encode();
        assert_eq!(sys::send(theirs.as_fd(), &ready, &[]).unwrap(), ready.len());
        // No await in between: the reactor had no turn.
        assert!(matches!(successor.next_now(), Some(Event::Ready)));
        assert_eq!(successor.claimed(), successor.names);
    }

    #[tokio::test]
    async fn a_successor_that_has_talked_nonsense_is_not_heard_again() {
        let (mut successor, theirs) = successor(Process::Gone);
        sys::send(theirs.as_fd(), &[0xff; 64], &[]).unwrap();
        assert!(matches!(successor.next_now(), Some(Event::Failed(_))));
        assert!(successor.next_now().is_none(), "or the loop would never rest");
    }
}
