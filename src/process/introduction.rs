//! How a generation meets the one before it: over the channel that it left in the environment, or one that leads to a
//! path.

use std::{
    env, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use tokio::time::timeout;

use super::{Predecessor, VARIABLE, last_words::Borrowed};
use crate::{
    Error, ErrorKind,
    channel::Channel,
    state::PassedState,
    sys,
    wire::{self, Answer, Gathered, Hello, Message, Refusal},
};

/// How long a predecessor may take to pass its sockets: one that takes longer is stopped, or is none of ours.
const PATIENCE: Duration = Duration::from_secs(60);

/// For how long a refusal may take to go out.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a predecessor has passed, before anything was answered.
#[derive(Debug)]
pub(crate) struct Introduction {
    pub(crate) generation: u64,
    /// In the order in which they were passed: a socket's place is how READY names it.
    pub(crate) sockets: Vec<(wire::Socket, OwnedFd)>,
    /// Oldest first, the predecessor last, each with its pidfd.
    pub(crate) ancestors: Vec<(wire::Ancestor, OwnedFd)>,
    pub(crate) stderr: Option<Borrowed>,
    pub(crate) predecessor_pid: u32,
    /// How often systemd wants to hear from the main process, which only generation 0 was told.
    pub(crate) watchdog: Option<Duration>,
    pub(crate) state: Vec<PassedState>,
    /// They met at a path: this process was started by somebody else.
    pub(crate) met: bool,
    pub(crate) answer: Unanswered,
}

/// The channel that is named in the environment, before anybody has looked into it.
#[derive(Debug)]
pub(crate) struct Inheritance(sys::Named);

impl Inheritance {
    /// `None`: nothing of ours is named, this is generation 0.
    pub(crate) fn named() -> Option<Self> {
        named_in_environment().map(Self)
    }

    /// Takes what a predecessor passes that has spawned this process. `Ok(None)`: it was meant for another. Once in a
    /// process, which [`sys::take_once`] is for.
    pub(crate) async fn take(self) -> Result<Option<Introduction>, Error> {
        let Self(named) = self;
        if !patiently(addressed_to_us(named.as_fd())).await? {
            return Ok(None);
        }
        let failed = |error| Error::io(ErrorKind::Protocol, "take the predecessor's channel", error);
        let channel = named.own().and_then(Channel::new).map_err(failed)?;
        introduced(channel, Meeting::Inherited).await.map(Some)
    }
}

/// Takes what a predecessor passes over a path. It knows already what is wanted of it, and by whom.
///
/// # Errors
///
/// The predecessor's own error, where it does not want a successor now.
pub(crate) async fn take_over(channel: Channel) -> Result<Introduction, Error> {
    introduced(channel, Meeting::AtPath).await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meeting {
    Inherited,
    AtPath,
}

async fn introduced(mut channel: Channel, meeting: Meeting) -> Result<Introduction, Error> {
    let mut stderr = None;
    match patiently(listen(&mut channel, meeting, &mut stderr)).await {
        Ok(Heard::Everything(passed)) => Ok(passed.introduction(stderr, channel, meeting)),
        Ok(Heard::Declined(why)) => Err(why),
        Err(error) => {
            refuse(&mut channel, &error).await;
            Err(error)
        }
    }
}

/// `<descriptor>:<inode>`, if that descriptor is open and is that socket.
fn named_in_environment() -> Option<sys::Named> {
    let variable = env::var(VARIABLE).ok()?;
    let named = sys::Named::find(&variable);
    if named.is_none() {
        crate::log::debug!(variable, "the channel in the environment is not ours: some ancestor's");
    }
    named
}

/// Waits for the first message and looks for whom it is, without taking anything: another process that inherited
/// variable and descriptor (a shell script that starts the server, say) must leave both alone.
async fn addressed_to_us(channel: BorrowedFd<'_>) -> Result<bool, Error> {
    let failed = |error| Error::io(ErrorKind::Protocol, "look into the channel in the environment", error);
    let watched = sys::watch(channel).map_err(|(_, error)| failed(error))?;
    let mut bytes = [0; wire::PEEK];
    loop {
        let mut ready = watched.readable().await.map_err(failed)?;
        match ready.try_io(|watched| sys::peek(*watched.get_ref(), &mut bytes)) {
            Ok(Ok(wire::PEEK)) => {
                let what = "the channel in the environment does not begin with HELLO";
                let pid = wire::peek_pid(&bytes).ok_or_else(|| Error::new(ErrorKind::Protocol, what))?;
                return Ok(pid == std::process::id());
            }
            // A HELLO goes out in one piece; less than its head is not worth waiting for.
            Ok(Ok(_)) => return Err(gone("before it had said anything")),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(gone("before it had said anything"));
            }
            Ok(Err(error)) => return Err(failed(error)),
            Err(_would_block) => {}
        }
    }
}

/// What HELLO and the manifest have brought.
struct Passed {
    hello: Hello,
    handles: Vec<OwnedFd>,
    sockets: Vec<(wire::Socket, OwnedFd)>,
    state: Vec<PassedState>,
}

enum Heard {
    Everything(Passed),
    /// "Not now": nothing was passed, and nothing is to be answered.
    Declined(Error),
}

/// HELLO, the sockets, the state, END. The standard error is given at once, for it is needed also when the rest fails.
async fn listen(channel: &mut Channel, meeting: Meeting, stderr: &mut Option<Borrowed>) -> Result<Heard, Error> {
    let (hello, mut handles) = match channel.next().await? {
        Some((Message::Hello(hello), handles)) => (hello, handles),
        Some((Message::Answer(Answer::Failed(why)), _)) => return Ok(Heard::Declined(why)),
        Some((Message::Abort { why }, _)) => return Err(taken_back(&why)),
        Some((unexpected, _)) => return Err(out_of_turn(&unexpected)),
        None => return Err(gone("before it had said HELLO")),
    };
    crate::log::debug!(generation = hello.generation, "HELLO was heard");
    // Whoever came to a path was started by somebody else, and its standard error is not the predecessor's to lend.
    if hello.stderr && meeting == Meeting::Inherited {
        if let (Some(pipe), Some(real)) = (handles.pop(), handles.pop()) {
            // The last of the ancestors is the predecessor itself.
            let predecessor = handles.last().map(OwnedFd::try_clone).transpose();
            let borrowed = predecessor.and_then(|predecessor| Borrowed::watch(real, pipe, predecessor));
            *stderr = Some(borrowed.map_err(|error| Error::io(ErrorKind::Spawn, "watch the standard error", error))?);
        }
    }
    if hello.newest < wire::OLDEST_VERSION || hello.oldest > wire::NEWEST_VERSION {
        return Err(no_common_version(&hello));
    }
    let garbage = |what: wire::Malformed| {
        Error::new(ErrorKind::Protocol, format!("the predecessor passed what is no state: {what}"))
    };
    let (mut sockets, mut gathered) = (Vec::new(), Gathered::default());
    loop {
        match channel.next().await? {
            Some((Message::Sockets(batch), descriptors)) => {
                channel.say(&Message::Arrived { sockets: batch.len() as u32 }, Vec::new());
                sockets.extend(batch.into_iter().zip(descriptors));
            }
            Some((Message::State(piece), _)) => gathered.add(&piece).map_err(garbage)?,
            Some((Message::End { sockets: count }, _)) if count as usize == sockets.len() => {
                let state = gathered.all().map_err(garbage)?;
                crate::log::debug!(sockets = count, "END was heard");
                return Ok(Heard::Everything(Passed { hello, handles, sockets, state }));
            }
            Some((Message::End { sockets: count }, _)) => {
                let what = format!("the predecessor promised {count} sockets and passed {}", sockets.len());
                return Err(Error::new(ErrorKind::Protocol, what));
            }
            Some((Message::Abort { why }, _)) => return Err(taken_back(&why)),
            Some((unexpected, _)) => return Err(out_of_turn(&unexpected)),
            None => return Err(gone("before it had passed everything")),
        }
    }
}

impl Passed {
    fn introduction(self, stderr: Option<Borrowed>, channel: Channel, meeting: Meeting) -> Introduction {
        let Self { hello, handles, sockets, state } = self;
        Introduction {
            generation: hello.generation,
            sockets,
            ancestors: hello.ancestors.into_iter().zip(handles).collect(),
            stderr,
            predecessor_pid: hello.predecessor_pid,
            watchdog: Some(hello.watchdog_milliseconds).filter(|it| *it != 0).map(Duration::from_millis),
            state,
            met: meeting == Meeting::AtPath,
            answer: Unanswered { channel, version: hello.newest.min(wire::NEWEST_VERSION) },
        }
    }
}

fn no_common_version(hello: &Hello) -> Error {
    let what = format!(
        "the two generations speak no common version of the protocol: this one {} to {}, the predecessor {} to {}",
        wire::OLDEST_VERSION,
        wire::NEWEST_VERSION,
        hello.oldest,
        hello.newest
    );
    Error::new(ErrorKind::Version, what)
}

async fn patiently<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = || {
        let what = format!("the predecessor did not pass its sockets within {} s", PATIENCE.as_secs());
        Error::new(ErrorKind::Deadline, what)
    };
    timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(late()))
}

/// The predecessor learns why, and serves on.
async fn refuse(channel: &mut Channel, why: &Error) {
    channel.say(&refusal(why), Vec::new());
    if timeout(FAREWELL, channel.flush()).await.is_err() {
        crate::log::debug!("the predecessor does not read why it was refused");
    }
}

/// REFUSED, for this reason.
pub(super) fn refusal(why: &Error) -> Message {
    let refusal = match why.kind() {
        ErrorKind::Version => Refusal::Version,
        ErrorKind::NoDescriptors => Refusal::NoDescriptors,
        _ => Refusal::Other(0),
    };
    let (oldest, newest) = (wire::OLDEST_VERSION, wire::NEWEST_VERSION);
    Message::Refused { refusal, oldest, newest, why: why.message().to_owned() }
}

fn taken_back(why: &str) -> Error {
    Error::new(ErrorKind::Aborted, format!("the predecessor took the restart back: {why}"))
}

fn out_of_turn(message: &Message) -> Error {
    let what = format!("the predecessor said what it must not say now: {}", message.name());
    Error::new(ErrorKind::Protocol, what)
}

fn gone(when: &str) -> Error {
    Error::new(ErrorKind::ChannelClosed, format!("the predecessor ended {when}"))
}

/// The channel of a predecessor that awaits an answer.
#[derive(Debug)]
pub(crate) struct Unanswered {
    channel: Channel,
    version: u16,
}

impl Unanswered {
    /// What was passed is as promised: this process can be the successor.
    pub(crate) fn accept(self) -> Predecessor {
        let Self { mut channel, version } = self;
        let capabilities = [wire::FINAL_STATE, wire::HAND_OVER].map(String::from).into();
        channel.say(&Message::Accepted { version, capabilities }, Vec::new());
        Predecessor::new(channel)
    }

    pub(crate) async fn refuse(mut self, why: &Error) {
        refuse(&mut self.channel, why).await;
    }
}
