//! What a foreign successor says, one that knows nothing of this crate: notices as a service sends them to systemd.

use std::{collections::VecDeque, ffi::OsString, io, mem, os::fd::AsFd, time::Duration};

use tokio::{
    io::Interest,
    net::UnixDatagram,
    task::yield_now,
    time::{Instant, sleep_until},
};

use super::notice::{Said, said};
use crate::{
    name::Name,
    phase::Event,
    sys::{self, Peer},
};

/// Longer than anything that concerns us; systemd's own bound.
const LONGEST: usize = 4096;

/// More than wait in a queue, unless somebody has set `net.unix.max_dgram_qlen` to more; what is beyond is heard later.
const QUEUE: usize = 4096;

/// So many are heard before others have their turn.
const TURN: usize = 16;

#[derive(Debug)]
pub(super) struct Notices {
    socket: UnixDatagram,
    /// Whose notices count. Anybody else on this host could send some.
    pid: u32,
    /// How long it has to have lived to count as ready, if it does not say so.
    alive: Option<Duration>,
    alive_at: Option<Instant>,
    ready: bool,
    /// Somebody else has said something: told once, or whoever likes could fill the log.
    overheard: bool,
    /// What it says can't be received.
    is_broken: bool,
    /// It has said so, or was told to.
    stopping: bool,
    names: Vec<Name>,
    told: VecDeque<Event>,
}

impl Notices {
    /// With what goes into `NOTIFY_SOCKET`. `names`: of all that it gets, and so claims.
    pub(super) fn open(names: Vec<Name>, alive: Option<Duration>) -> io::Result<(Self, OsString)> {
        let (socket, address) = sys::notify_socket()?;
        let socket = UnixDatagram::from_std(std::os::unix::net::UnixDatagram::from(socket))?;
        // It can't refuse, for it is not asked.
        let told = VecDeque::from([Event::Accepted]);
        Ok((
            Self {
                socket,
                pid: 0,
                alive,
                alive_at: None,
                ready: false,
                overheard: false,
                is_broken: false,
                stopping: false,
                names,
                told,
            },
            address,
        ))
    }

    /// It has been spawned.
    pub(super) fn begin(&mut self, pid: u32) {
        self.pid = pid;
        self.alive_at = self.alive.and_then(|alive| Instant::now().checked_add(alive));
    }

    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            let mut most = TURN;
            if let Some(event) = self.next_of(&mut most) {
                return event;
            }
            // `readable` takes nothing of the task's budget: who sends faster than is read would keep this thread for ever.
            if most == 0 {
                yield_now().await;
                continue;
            }
            let alive = async {
                match self.alive_at {
                    Some(at) if !self.ready => sleep_until(at).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                // Of an error `next_of` tells, which comes next in each case.
                _ = self.socket.readable(), if !self.is_broken => {}
                () = alive => {}
            }
        }
    }

    /// What it has said, or has lived to, by now.
    pub(super) fn next_now(&mut self) -> Option<Event> {
        self.next_of(&mut { QUEUE })
    }

    /// Of no more than so many.
    fn next_of(&mut self, most: &mut usize) -> Option<Event> {
        while *most > 0 && self.told.is_empty() && self.read() {
            *most -= 1;
        }
        if let Some(event) = self.told.pop_front() {
            return Some(event);
        }
        let due = !self.ready && self.alive_at.is_some_and(|at| at <= Instant::now());
        due.then(|| {
            self.ready = true;
            Event::Ready
        })
    }

    /// Whether there was something to read.
    fn read(&mut self) -> bool {
        if self.is_broken {
            return false;
        }
        let mut bytes = [0; LONGEST];
        let mut receive = || sys::receive_from(self.socket.as_fd(), &mut bytes);
        // Tried before the reactor has heard of it; only where there is nothing, the reactor is told to wait for more.
        let received = match receive() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.socket.try_io(Interest::READABLE, receive),
            received => received,
        };
        match received {
            Ok((length, Some(sender))) if sender.pid == self.pid => self.hear(&bytes[..length]),
            Ok((_, sender)) => self.overhear(sender),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // It would come again and again: of one whose socket the application has closed, say.
            Err(error) => {
                crate::log::warn!(%error, "receive a notice of the successor's: none is heard any more");
                self.is_broken = true;
                return false;
            }
        }
        true
    }

    /// A program of the successor's own that says for it that it is ready, as `systemd-notify` does, is what an operator wants
    /// to know of who waits for that in vain.
    fn overhear(&mut self, sender: Option<Peer>) {
        let (pid, uid, successor_pid) = (sender.map(|it| it.pid), sender.map(|it| it.uid), self.pid);
        if mem::replace(&mut self.overheard, true) {
            crate::log::debug!(
                sender_pid = pid,
                sender_uid = uid,
                successor_pid,
                "another notice of somebody else's: ignored"
            );
        } else {
            crate::log::warn!(
                sender_pid = pid,
                sender_uid = uid,
                successor_pid,
                "a notice of somebody else's: ignored"
            );
        }
    }

    fn hear(&mut self, datagram: &[u8]) {
        for said in said(datagram) {
            match said {
                Said::Ready if self.ready => {}
                Said::Ready => {
                    self.ready = true;
                    self.told.push_back(Event::Ready);
                }
                Said::Stopping(why) => {
                    self.stopping = true;
                    self.told.push_back(Event::Stopping(why));
                }
                Said::NeedsTime(time) => self.told.push_back(Event::NeedsTime(time)),
            }
        }
    }

    /// Whether it is to be told to stop: once, and not where it has said so itself.
    pub(super) fn begin_stop(&mut self) -> bool {
        !mem::replace(&mut self.stopping, true)
    }

    pub(super) fn claimed(&self) -> &[Name] {
        if self.ready { &self.names } else { &[] }
    }
}
