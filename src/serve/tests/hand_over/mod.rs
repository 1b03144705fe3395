//! Two generations in one process, and in place of a channel a test that says and hears.

mod any_cut;
mod arriving;
mod leaving;
mod pipelines;
mod race;
mod returning;
mod room;
mod waits;

use std::os::fd::OwnedFd;

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream, unix};

use super::*;
use crate::{
    accept::Ending,
    handover::{Arrivals, Departing, Departures},
    serve::Make,
    wire::Message,
};

/// A predecessor, a successor, and what either drives.
struct Pair {
    p: Roof,
    s: Roof,
    departures: Departures,
    arrivals: Arrivals,
    place: TempDir,
}

impl Pair {
    fn new() -> Self {
        Self::between(Roof::new(), Roof::new())
    }

    fn between(p: Roof, s: Roof) -> Self {
        let (departures, exit) = Departures::new();
        let arrivals = Arrivals::new(s.entrances.clone(), SECOND * 5);
        Self { p: Roof { exit, ..p }, s, departures, arrivals, place: TempDir::new().unwrap() }
    }

    /// Both serve, and one client is connected to the predecessor.
    async fn connected<A, B, M, N>(&self, of_p: A, of_s: B) -> Client<UnixStream>
    where
        A: IntoMake<unix::SocketAddr, M>,
        A::Make: Make<UnixListener>,
        B: IntoMake<unix::SocketAddr, N>,
        B::Make: Make<UnixListener>,
    {
        tokio::spawn(self.p.serve_as("http", self.listener("p"), of_p));
        tokio::spawn(self.s.serve_as("http", self.listener("s"), of_s));
        self.connect().await
    }

    async fn connect(&self) -> Client<UnixStream> {
        Client::new(UnixStream::connect(self.place.path().join("p")).await.unwrap())
    }

    fn listener(&self, name: &str) -> UnixListener {
        UnixListener::bind(self.place.path().join(name)).unwrap()
    }

    /// The drain of a restart that is past its point of no return; nothing is carried yet.
    fn begin(&mut self) -> JoinHandle<Report> {
        self.departures.expect();
        self.departures.open();
        self.end_of_p()
    }

    fn end_of_p(&self) -> JoinHandle<Report> {
        let claimed = [Name::new("http").unwrap()].into();
        self.p.gate.set(Gate::Ended(Ending::Claimed(Arc::new(claimed))));
        self.p.begin()
    }

    /// Carries what there is meanwhile.
    async fn during<F: Future>(&mut self, future: F) -> F::Output {
        let carry = async {
            loop {
                let offered = tokio::select! {
                    offered = self.departures.next() => Some(offered),
                    () = self.arrivals.changed() => None,
                };
                if let Some(offered) = offered {
                    self.offer(&offered);
                }
                self.answer();
            }
        };
        tokio::select! {
            biased;
            output = future => output,
            never = carry => never,
        }
    }

    /// Until nothing moves any more, on a paused clock.
    async fn settle(&mut self) {
        self.during(tokio::time::sleep(Duration::from_millis(1))).await;
    }

    fn offer(&mut self, offered: &Departing) {
        let Message::Offer(offers) = &offered.message else { panic!("{offered:?}") };
        let copies = offered.descriptors.iter().map(|socket| Some(OwnedFd::try_clone(socket).unwrap()));
        self.arrivals.offered(offers.iter().cloned().zip(copies).collect());
    }

    fn answer(&mut self) {
        for (number, message) in self.arrivals.say() {
            self.arrivals.went_out(number);
            match message {
                Message::Taken(ids) => self.departures.taken(&ids),
                Message::Declined(those) => self.departures.declined(those),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Says who answers, and what it was sent.
fn echo_as(name: &'static str) -> impl Clone + Send + 'static + Fn(Request<Incoming>) -> BoxReply {
    move |request| {
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            reply(format!("{name}{path}{}", String::from_utf8_lossy(&body)))
        })
    }
}

fn post(length: usize) -> String {
    format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n")
}
