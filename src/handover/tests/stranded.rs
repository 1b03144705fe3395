//! Nobody is stranded, whatever happens in whichever order: both ends over the kernel's two queues, by a seeded die.

use std::collections::VecDeque;

use tokio::{task::unconstrained, time::advance};

use super::*;

const ROUNDS: u64 = 120;
const CONNECTIONS: usize = 25;
const STEPS: u64 = 400;
const UNCLAIMED: Duration = Duration::from_secs(5);

/// How the talk between the two ends, at a random moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// When all is done.
    None,
    PredecessorDies,
    SuccessorDies,
    /// The predecessor's drain deadline.
    Deadline,
    /// The predecessor can make nothing of what it hears.
    Garbled,
    /// The successor can't say something, and hangs up.
    Fault,
    /// The predecessor offers nothing more.
    Stall,
    /// The successor is told to stop.
    Stop,
}

const TURNS: [Turn; 8] = [
    Turn::None,
    Turn::PredecessorDies,
    Turn::SuccessorDies,
    Turn::Deadline,
    Turn::Garbled,
    Turn::Fault,
    Turn::Stall,
    Turn::Stop,
];

/// What the predecessor has of a connection.
enum Here {
    Own(Parcel),
    Away(Leaving),
    /// It is away, and nobody waits for it.
    GivenAway,
    Taken,
    Undecided,
    /// It died with the predecessor.
    Died,
}

#[derive(Clone, Copy, Default, Debug)]
struct Seen {
    taken: usize,
    back: usize,
    undecided: usize,
    unheard: usize,
}

struct World {
    die: Die,
    turn: Turn,
    departures: Option<Departures>,
    exit: Exit,
    arrivals: Option<Arrivals>,
    entrances: Entrances,
    tickets: Vec<(Door, Option<Ticket>)>,
    hall: Arc<Hall>,
    to_successor: VecDeque<Vec<(Offer, Option<OwnedFd>)>>,
    outbox: VecDeque<(u64, Message)>,
    to_predecessor: VecDeque<Message>,
    connections: Vec<(Here, Client)>,
    seen: Seen,
}

#[tokio::test(start_paused = true)]
async fn every_connection_comes_to_exactly_one_owner_or_is_closed_whatever_happens() {
    let mut seen = Seen::default();
    // Unconstrained: with a budget, what is ready would be told to be pending after so many polls.
    unconstrained(async {
        for round in 0..ROUNDS {
            let mut world = World::new(round, seen);
            let turn_at = world.die.roll(STEPS);
            for step in 0..STEPS {
                if step == turn_at {
                    world.turn();
                }
                world.step().await;
            }
            world.end().await;
            seen = world.check(round);
        }
    })
    .await;
    let Seen { taken, back, undecided, unheard } = seen;
    assert!(taken > 500 && back > 200 && undecided > 20 && unheard > 20, "the die is loaded: {seen:?}");
}

impl World {
    fn new(round: u64, seen: Seen) -> Self {
        let (mut departures, exit) = Departures::new();
        departures.open();
        let entrances = Entrances::default();
        let tickets = [Door::Serve(name("http")), Door::Protocol(name("chat"))].map(|door| (door, None)).into();
        let connections = (0..CONNECTIONS).map(|number| {
            let (mut parcel, client) = parcel(if number % 3 == 0 { chat() } else { http() });
            parcel.state = vec![number as u8];
            (Here::Own(parcel), client)
        });
        Self {
            die: Die(round + 1),
            turn: Turn::None,
            departures: Some(departures),
            exit,
            arrivals: Some(Arrivals::new(entrances.clone(), UNCLAIMED)),
            entrances,
            tickets,
            hall: Hall::of(usize::MAX),
            to_successor: VecDeque::new(),
            outbox: VecDeque::new(),
            to_predecessor: VecDeque::new(),
            connections: connections.collect(),
            seen,
        }
    }

    async fn step(&mut self) {
        match self.die.roll(21) {
            0..=4 => self.leave(),
            5 => self.give_away(),
            6..=7 => self.offer(),
            8..=9 => self.deliver(),
            10..=12 => self.decide(),
            13..=15 => self.send(),
            16..=17 => self.hear(),
            18 => self.walk(),
            19 => self.look(),
            _ => advance(Duration::from_millis(self.die.roll(1000))).await,
        }
    }

    fn leave(&mut self) {
        let (at, lane) =
            (self.die.roll(CONNECTIONS as u64) as usize, [Lane::Serve, Lane::Raw][self.die.roll(2) as usize]);
        let Some(permit) = self.exit.try_room(lane).filter(|_| self.departures.is_some()) else { return };
        let here = &mut self.connections[at].0;
        *here = match std::mem::replace(here, Here::GivenAway) {
            Here::Own(parcel) => Here::Away(self.exit.leave(permit, parcel)),
            other => other,
        };
    }

    fn give_away(&mut self) {
        let at = self.die.roll(CONNECTIONS as u64) as usize;
        let here = &mut self.connections[at].0;
        if self.die.roll(8) == 0 && matches!(here, Here::Away(_)) {
            *here = Here::GivenAway;
        }
    }

    /// What has come back is asked for now and then, and may leave again.
    fn look(&mut self) {
        for (here, _) in &mut self.connections {
            let Here::Away(leaving) = here else { continue };
            *here = match fate(leaving) {
                None => continue,
                Some(Fate::Taken) => Here::Taken,
                Some(Fate::Back(parcel, _)) => Here::Own(parcel),
                Some(Fate::Undecided) => Here::Undecided,
            };
            match here {
                Here::Own(_) => self.seen.back += 1,
                Here::Taken => self.seen.taken += 1,
                _ => self.seen.undecided += 1,
            }
        }
    }

    fn offer(&mut self) {
        let Some(departures) = &mut self.departures else { return };
        let Some(departing) = departures.next().now_or_never() else { return };
        if self.die.roll(8) == 0 {
            let number = departing.number;
            drop(departing);
            departures.left_out(number);
            return;
        }
        let mut carried = carried(departing);
        if self.die.roll(8) == 0 {
            // The successor has no room for it.
            carried[0].1 = None;
        }
        if self.arrivals.is_some() {
            self.to_successor.push_back(carried);
        }
    }

    fn deliver(&mut self) {
        let Some(arrivals) = &mut self.arrivals else { return };
        if let Some(offers) = self.to_successor.pop_front() {
            arrivals.offered(offers);
        }
    }

    fn decide(&mut self) {
        let Some(arrivals) = &mut self.arrivals else { return };
        self.outbox.extend(arrivals.say());
    }

    fn send(&mut self) {
        let Some(arrivals) = &mut self.arrivals else { return };
        if self.departures.is_none() {
            // It fails. That decides nothing: there may be more to read.
            return;
        }
        if let Some((number, message)) = self.outbox.pop_front() {
            self.to_predecessor.push_back(message);
            arrivals.went_out(number);
        }
    }

    fn hear(&mut self) {
        let Some(departures) = &mut self.departures else { return };
        match self.to_predecessor.pop_front() {
            Some(Message::Taken(ids)) => departures.taken(&ids),
            Some(Message::Declined(those)) => departures.declined(those),
            Some(message) => panic!("{message:?}"),
            None => {}
        }
    }

    /// An entrance is opened, or closed.
    fn walk(&mut self) {
        let at = self.die.roll(2) as usize;
        let (door, ticket) = &mut self.tickets[at];
        *ticket = match ticket.take() {
            Some(_) => None,
            None => Some(self.entrances.open(door.clone(), Arc::clone(&self.hall) as _)),
        };
    }

    fn turn(&mut self) {
        self.turn = TURNS[self.die.roll(TURNS.len() as u64) as usize];
        match self.turn {
            Turn::None => {}
            Turn::PredecessorDies => self.predecessor_dies(),
            Turn::SuccessorDies => {
                self.arrivals = None;
                self.successor_has_ended();
            }
            Turn::Deadline => {
                self.departures.as_mut().unwrap().deadline();
                self.predecessor_ends();
            }
            Turn::Garbled => {
                self.departures.as_mut().unwrap().garbled();
                self.predecessor_ends();
            }
            Turn::Fault => {
                let mut arrivals = self.arrivals.take().unwrap();
                if let Some((number, _)) = self.outbox.pop_front() {
                    arrivals.unsaid(number);
                }
                arrivals.hung_up();
                self.successor_has_ended();
            }
            Turn::Stall => self.departures.as_mut().unwrap().close("the successor says nothing"),
            Turn::Stop => self.entrances.close("a stop"),
        }
    }

    fn predecessor_dies(&mut self) {
        for (here, _) in &mut self.connections {
            *here = match std::mem::replace(here, Here::Died) {
                Here::Own(_) => Here::Died,
                Here::Away(_) => Here::GivenAway,
                other => other,
            };
        }
        self.departures = None;
    }

    /// Nothing is undecided any more, so it closes the channel; and the successor reads to its end.
    fn predecessor_ends(&mut self) {
        assert!(self.departures.as_ref().unwrap().is_empty());
        self.look();
        self.departures = None;
    }

    /// The predecessor reads on, and then comes the end.
    fn successor_has_ended(&mut self) {
        self.outbox.clear();
        self.to_successor.clear();
        while !self.to_predecessor.is_empty() {
            self.hear();
        }
        self.departures.as_mut().unwrap().channel_ended();
    }

    /// All that is on its way arrives, and what is left when the predecessor is done is the successor's.
    async fn end(&mut self) {
        for _ in 0..100 {
            if self.departures.as_ref().is_none_or(Departures::is_empty) {
                break;
            }
            advance(UNCLAIMED).await;
            self.offer();
            self.deliver();
            self.decide();
            self.send();
            self.hear();
        }
        if self.departures.is_some() {
            self.predecessor_ends();
        }
        while !self.to_successor.is_empty() {
            self.deliver();
        }
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.predecessor_gone();
            advance(UNCLAIMED).await;
            assert!(arrivals.say().is_empty(), "there is nobody to tell");
            assert_eq!(arrivals.next_deadline(), None);
        }
    }

    fn check(mut self, round: u64) -> Seen {
        self.look();
        let mut theirs: Vec<Vec<OwnedFd>> = (0..CONNECTIONS).map(|_| Vec::new()).collect();
        for parcel in self.hall.own() {
            theirs[usize::from(parcel.state[0])].push(parcel.socket);
        }
        for (at, ((here, mut client), theirs)) in self.connections.into_iter().zip(theirs).enumerate() {
            let context = format!("connection {at} of round {round}, {:?}", self.turn);
            let may_be_lost = match here {
                Here::Own(_) | Here::Taken => false,
                Here::GivenAway | Here::Undecided | Here::Died => true,
                Here::Away(_) => panic!("stranded: {context}"),
            };
            let is_taken = matches!(here, Here::Taken);
            self.seen.unheard += usize::from(!theirs.is_empty() && matches!(here, Here::GivenAway));
            let ours = match here {
                Here::Own(parcel) => Some(parcel.socket),
                _ => None,
            };
            let mut owners: Vec<_> = ours.into_iter().chain(theirs).collect();
            assert!(owners.len() <= 1, "two owners: {context}");
            assert!(may_be_lost || !owners.is_empty(), "no owner: {context}");
            assert!(!is_taken || owners.len() == 1, "taken by nobody: {context}");
            match owners.pop() {
                Some(owner) => is_the_only_owner_of(owner, &mut client),
                None => client.sees_its_end(&format!("a copy is left: {context}")),
            }
        }
        self.seen
    }
}

/// As random as it has to be, and the same each time.
struct Die(u64);

impl Die {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % sides
    }
}
