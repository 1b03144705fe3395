use std::{io, os::fd::OwnedFd, time::Duration};

use tokio::{net::UnixStream, sync::OwnedSemaphorePermit, time::timeout};

use super::{Allowed, denied::Denied};
use crate::{
    Error, ErrorKind,
    channel::Channel,
    sys::{self, Peer},
    wire::{self, Answer, Message, Want, Wish},
};

/// How long one may take to say what is wanted.
const PATIENCE: Duration = Duration::from_secs(5);

/// For how long an answer may take to go out.
const FAREWELL: Duration = Duration::from_secs(5);

/// Somebody who has come to the control path and wants something. Dropped unanswered, the connection ends, and the other
/// end learns that there is no answer.
#[derive(Debug)]
pub(crate) struct Visitor {
    want: Want,
    pid: u32,
    channel: Channel,
    /// Among those who are unanswered; one who was forwarded waits for an answer elsewhere, and holds none.
    place: Option<OwnedSemaphorePermit>,
}

impl Visitor {
    /// One who came to an earlier generation's door, and was admitted there.
    pub(crate) fn forwarded(want: Want, socket: OwnedFd) -> io::Result<Self> {
        let pid = sys::peer(&socket)?.pid;
        Ok(Self { want, pid, channel: Channel::new(socket)?.without_descriptors(), place: None })
    }

    pub(crate) fn wish(&self) -> Wish {
        self.want.wish
    }

    /// As this process sees it; 0 where it can't, because that one lives in another pid namespace.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// It waits for something, and others are heard meanwhile.
    pub(crate) fn give_place(&mut self) {
        self.place = None;
    }

    /// Says it at once. What the kernel does not take at once goes out in a task, so that one who does not read delays
    /// nobody.
    pub(crate) fn answer(self, answer: Answer) {
        let Self { mut channel, place, .. } = self;
        channel.say(&Message::Answer(answer), Vec::new());
        if !channel.is_flushed() {
            tokio::spawn(async move {
                see_off(&mut channel).await;
                drop(place);
            });
        }
    }

    /// For one who is to be the successor: the conversation goes on as after a spawn.
    pub(crate) fn into_channel(self) -> Channel {
        self.channel
    }

    /// What is passed on to a later generation. `None`: this one can't be, and its connection ends.
    pub(crate) fn into_socket(self) -> Option<(Want, OwnedFd)> {
        let Self { want, pid, channel, .. } = self;
        match channel.into_socket() {
            Ok(Some(socket)) => return Some((want, socket)),
            // The beginning of another message was read here, and would be missing there.
            Ok(None) => {
                crate::log::warn!(visitor_pid = pid, "a visitor of the control path said too much to be passed on")
            }
            Err(error) => crate::log::warn!(visitor_pid = pid, %error, "pass a visitor of the control path on"),
        }
        None
    }

    /// `None`: not admitted, or nothing was wanted that could be done. Whoever can be told was told.
    pub(crate) async fn hear(
        stream: UnixStream,
        allowed: Allowed,
        denied: Denied,
        place: OwnedSemaphorePermit,
    ) -> Option<Self> {
        let peer = match sys::peer(&stream) {
            Ok(peer) => peer,
            Err(error) => {
                crate::log::warn!(%error, "who has come to the control path is not known: not admitted");
                return None;
            }
        };
        let mut channel = Channel::from(stream).without_descriptors();
        let refusal = match admit(peer, &allowed) {
            Ok(()) => match timeout(PATIENCE, wanted(&mut channel)).await {
                Ok(Ok(Some(want))) => return Some(Self { want, pid: peer.pid, channel, place: Some(place) }),
                Ok(Ok(None)) => {
                    crate::log::debug!(visitor_pid = peer.pid, "a visitor of the control path has left without a word");
                    return None;
                }
                Ok(Err(refusal)) => refusal,
                Err(_elapsed) => {
                    crate::log::warn!(
                        visitor_pid = peer.pid,
                        "a visitor of the control path has not said what is wanted"
                    );
                    return None;
                }
            },
            Err(refusal) => refusal,
        };
        let (Peer { uid, pid }, error) = (peer, &refusal);
        if error.kind() == ErrorKind::Denied && !denied.note(uid) {
            crate::log::debug!(visitor_uid = uid, visitor_pid = pid, %error, "another of this user's is sent away");
        } else {
            crate::log::warn!(visitor_uid = uid, visitor_pid = pid, %error, "a visitor of the control path is sent away");
        }
        channel.say(&Message::Answer(Answer::Failed(refusal)), Vec::new());
        see_off(&mut channel).await;
        None
    }
}

fn admit(peer: Peer, allowed: &Allowed) -> Result<(), Error> {
    if allowed.admits(peer) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Denied, format!("user {} may not ask this server for anything", peer.uid)))
}

/// What this one wants. `Ok(None)`: nothing.
async fn wanted(channel: &mut Channel) -> Result<Option<Want>, Error> {
    let want = match channel.next().await? {
        Some((Message::Want(want), _)) => want,
        Some((unexpected, _)) => {
            let what = format!("the first message must say what is wanted, and is {}", unexpected.name());
            return Err(Error::new(ErrorKind::Protocol, what));
        }
        None => return Ok(None),
    };
    if !want.is_understood() {
        let (ours, theirs) = ((wire::OLDEST_VERSION, wire::NEWEST_VERSION), (want.oldest, want.newest));
        let what = format!(
            "there is no common version of the protocol: this server speaks {} to {}, its visitor {} to {}",
            ours.0, ours.1, theirs.0, theirs.1
        );
        return Err(Error::new(ErrorKind::Version, what));
    }
    match want.wish {
        Wish::Other(code) => {
            let what = format!("this server knows no wish with the number {code}");
            Err(Error::new(ErrorKind::Unsupported, what))
        }
        _ => Ok(Some(want)),
    }
}

async fn see_off(channel: &mut Channel) {
    if timeout(FAREWELL, channel.flush()).await.is_err() {
        crate::log::debug!("a visitor of the control path does not read the answer");
    }
}
