//! Both ends in one process, wired by hand: real sockets, and no time but that of a paused clock.

mod arriving;
mod departing;
mod stranded;

use std::{
    io::{ErrorKind, Read, Write},
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::FutureExt;

use super::*;
use crate::{
    name::Name,
    wire::{Begun, Destination, Message, Offer},
};

/// The far end of a connection.
struct Client(UnixStream);

/// What it sees.
#[derive(Debug, PartialEq, Eq)]
enum Sees {
    Nothing,
    Bytes(Vec<u8>),
    /// Nobody has a copy of the other end.
    End,
}

impl Client {
    fn sees(&mut self) -> Sees {
        let mut bytes = [0; 64];
        match self.0.read(&mut bytes) {
            Ok(0) => Sees::End,
            Ok(count) => Sees::Bytes(bytes[..count].to_vec()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Sees::Nothing,
            Err(error) => panic!("{error}"),
        }
    }

    /// Waited for: a process that another test spawns has copies of everything until its exec.
    #[track_caller]
    fn sees_its_end(&mut self, otherwise: &str) {
        self.0.set_nonblocking(false).unwrap();
        self.0.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        assert_eq!(self.sees(), Sees::End, "{otherwise}");
    }
}

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn http() -> Destination {
    Destination::Serve { socket: name("http"), begun: Begun::Http1 }
}

fn chat() -> Destination {
    Destination::Protocol(name("chat"))
}

fn parcel(to: Destination) -> (Parcel, Client) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    for end in [&ours, &theirs] {
        end.set_nonblocking(true).unwrap();
    }
    let (read, state) = (b"GET /".to_vec(), b"state".to_vec());
    (Parcel { to, socket: ours.into(), read, state, waited: Duration::from_millis(1500) }, Client(theirs))
}

/// An exit that is open, and has room.
fn open() -> (Departures, Exit) {
    let (mut departures, exit) = Departures::new();
    departures.open();
    (departures, exit)
}

/// One that has left to there.
fn left(exit: &Exit, to: Destination) -> (Leaving, Client) {
    let (parcel, client) = parcel(to);
    (exit.leave(exit.try_room(Lane::Serve).expect("room"), parcel), client)
}

/// The batch that waits.
fn batch(departures: &mut Departures) -> Departing {
    departures.next().now_or_never().expect("something waits")
}

fn offers(departing: &Departing) -> Vec<Offer> {
    match &departing.message {
        Message::Offer(offers) => offers.clone(),
        message => panic!("{message:?}"),
    }
}

fn ids(departing: &Departing) -> Vec<u64> {
    offers(departing).iter().map(|offer| offer.id).collect()
}

/// As the kernel carries it: each descriptor is another one of the same socket.
fn carried(departing: Departing) -> Vec<(Offer, Option<OwnedFd>)> {
    let copies = departing.descriptors.iter().map(|it| Some(it.try_clone().unwrap()));
    offers(&departing).into_iter().zip(copies).collect()
}

/// `None`: it is away still.
fn fate(leaving: &mut Leaving) -> Option<Fate> {
    leaving.now_or_never()
}

/// Comes back, with a reason.
fn back(leaving: &mut Leaving) -> (Parcel, String) {
    match fate(leaving) {
        Some(Fate::Back(parcel, why)) => (parcel, why),
        fate => panic!("{fate:?}"),
    }
}

/// That the owner of the socket can speak to the client, and is the only one.
fn is_the_only_owner_of(socket: OwnedFd, client: &mut Client) {
    let mut stream = UnixStream::from(socket);
    stream.write_all(b"it is mine").unwrap();
    assert_eq!(client.sees(), Sees::Bytes(b"it is mine".to_vec()));
    drop(stream);
    client.sees_its_end("somebody else has a copy");
}

/// Takes what there is room for.
#[derive(Default)]
struct Hall {
    room: Mutex<usize>,
    /// What has been put there.
    own: Arc<Mutex<Vec<Parcel>>>,
}

impl Hall {
    fn of(room: usize) -> Arc<Self> {
        Arc::new(Self { room: Mutex::new(room), own: Arc::default() })
    }

    fn own(&self) -> Vec<Parcel> {
        std::mem::take(&mut self.own.lock().unwrap())
    }
}

impl Entrance for Hall {
    fn admit(&self, _: &Offer, _: BorrowedFd<'_>) -> Result<Place, String> {
        let mut room = self.room.lock().unwrap();
        *room = room.checked_sub(1).ok_or("full")?;
        let own = Arc::clone(&self.own);
        Ok(Box::new(move |parcel| own.lock().unwrap().push(parcel)))
    }
}
