//! Many clients of one server, each on a connection that it keeps, and what becomes of each.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{http::Client, process};

/// A bound for a broken run, and never part of what is tested.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client's request has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Answered by this generation, and the connection stays.
    Kept(u64),
    /// Answered by this generation, with `connection: close`.
    Told(u64),
    /// Not answered: the connection has ended.
    Ended,
}

#[derive(Debug)]
pub struct Crowd {
    members: Vec<Member>,
    /// How many requests have been sent: each differs from all others, and so does its answer.
    asked: usize,
}

#[derive(Debug)]
struct Member {
    client: Client,
    /// What is on its way.
    words: Option<String>,
}

impl Crowd {
    /// So many, each served once.
    #[track_caller]
    pub fn served(to: SocketAddr, many: usize) -> Self {
        let members = (0..many).map(|_| Member { client: Client::served(to), words: None });
        Self { members: members.collect(), asked: 0 }
    }

    /// Each asks once, all at a time. How many came to what. Whoever was told or has lost its connection is gone from here
    /// on.
    #[track_caller]
    pub fn ask(&mut self) -> BTreeMap<Fate, usize> {
        self.send();
        self.answers()
    }

    /// Asks on and on, until generation 0 keeps nobody any more: what everybody has come to in the end.
    #[track_caller]
    pub fn settle(&mut self) -> BTreeMap<Fate, usize> {
        let mut settled = BTreeMap::new();
        loop {
            let mut fates = self.ask();
            let open = fates.remove(&Fate::Kept(0));
            let gone = |fate: &Fate| !matches!(fate, Fate::Kept(_));
            // Those who are kept ask once more in the next round.
            fates.into_iter().filter(|(fate, _)| open.is_none() || gone(fate)).for_each(|(fate, many)| {
                *settled.entry(fate).or_default() += many;
            });
            if open.is_none() {
                return settled;
            }
        }
    }

    /// Asks on and on, until this generation keeps all: on the way, they are kept by others.
    #[track_caller]
    pub fn until_kept_by(&mut self, generation: u64) {
        process::until(|| {
            let fates = self.ask();
            assert!(fates.keys().all(|fate| matches!(fate, Fate::Kept(_))), "{fates:?}");
            fates.keys().eq([&Fate::Kept(generation)])
        });
    }

    /// Whoever waits for no answer asks.
    pub fn send(&mut self) {
        for member in self.members.iter_mut().filter(|member| member.words.is_none()) {
            self.asked += 1;
            member.ask(format!("request {}", self.asked));
        }
    }

    /// What those who wait have come to.
    #[track_caller]
    pub fn answers(&mut self) -> BTreeMap<Fate, usize> {
        let mut fates = BTreeMap::new();
        self.members.retain_mut(|member| match member.words.is_some().then(|| member.fate()) {
            None => true,
            Some(fate) => {
                *fates.entry(fate).or_default() += 1;
                matches!(fate, Fate::Kept(_))
            }
        });
        fates
    }

    /// All ask on and on, until so many wait and everybody else is answered, again and again, by the same generation as ever.
    #[track_caller]
    pub fn until_waiting(&mut self, many: usize) {
        let (mut rounds, mut before) = (0, Vec::new());
        let end = Instant::now() + PATIENCE;
        while rounds < 3 {
            self.send();
            process::until(|| {
                let told = self.look();
                assert_eq!(told, 0, "nobody is told");
                self.waiting().len() <= many
            });
            let waiting = self.waiting();
            assert!(Instant::now() < end, "{} wait, not {many}", waiting.len());
            rounds = if waiting.len() == many && waiting == before { rounds + 1 } else { 0 };
            before = waiting;
        }
    }

    /// Takes the answers that are there. Whoever was told is gone from here on: how many.
    #[track_caller]
    pub fn look(&mut self) -> usize {
        let before = self.members.len();
        self.members.retain_mut(|member| !matches!(member.look(), Some(Fate::Told(_))));
        before - self.members.len()
    }

    /// How many they are.
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// Whoever waits for no answer leaves.
    pub fn leave_but_for_who_waits(&mut self) {
        self.members.retain(|member| member.words.is_some());
    }

    /// The places of those whose requests are on their way.
    fn waiting(&self) -> Vec<usize> {
        let waits = |(place, member): (usize, &Member)| member.words.is_some().then_some(place);
        self.members.iter().enumerate().filter_map(waits).collect()
    }
}

impl Member {
    fn ask(&mut self, words: String) {
        let length = words.len();
        let request = format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n{words}");
        // If nobody is there to read it, the answer will tell.
        let _ = self.client.stream.write_all(request.as_bytes());
        self.words = Some(words);
    }

    #[track_caller]
    fn fate(&mut self) -> Fate {
        let words = self.words.take().expect("it has asked");
        match self.client.answer() {
            Ok(answer) => {
                assert_eq!(String::from_utf8_lossy(&answer.body), words, "its own answer");
                if answer.close { Fate::Told(answer.generation) } else { Fate::Kept(answer.generation) }
            }
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => Fate::Ended,
            Err(error) => panic!("neither an answer nor an end: {error}"),
        }
    }

    /// Takes the answer, if it is there.
    #[track_caller]
    fn look(&mut self) -> Option<Fate> {
        self.client.stream.set_nonblocking(true).expect("a socket");
        let is_there = self.client.stream.peek(&mut [0]).is_ok();
        self.client.stream.set_nonblocking(false).expect("a socket");
        let fate = (self.words.is_some() && is_there).then(|| self.fate());
        assert_ne!(fate, Some(Fate::Ended));
        fate
    }
}
