//! Successors made by hand, over a path: this test comes to a real server's control path, says that it wants to take over,
//! and then ends or misbehaves at each step. The server serves on, under clients, as it was.

use std::{
    io::Read,
    os::{fd::AsRawFd, unix::net::UnixStream},
    time::Duration,
};

use tokio_hotrestart::{Error, ErrorKind};

use crate::{
    fake,
    support::{
        Clients, Control, Fleet, Footprint, Setup,
        echo::{Client, echo},
        frames::{self, Wire},
        process,
    },
};

/// Long enough for a good successor on a slow machine, short enough to be waited out.
const DEADLINE: &str = "1500";

/// A probation that is not over before what ends it has happened, on a slow machine as well.
const PROBATION: &str = "3000";

/// A bound for a broken run, and never part of what is tested.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

/// This test, as a server sees it that was asked to let it take over.
#[derive(Debug)]
pub struct Heir(UnixStream);

impl Heir {
    #[track_caller]
    pub fn come(at: &Control) -> Self {
        let heir = Self(at.connect());
        heir.wire().say(&frames::want(frames::TAKE_OVER));
        heir
    }

    #[allow(clippy::disallowed_methods, reason = "the frames are sent by hand")]
    pub fn wire(&self) -> Wire {
        Wire(self.0.as_raw_fd())
    }

    pub fn stream(&self) -> &UnixStream {
        &self.0
    }

    /// Hears the server out, which has given it up then.
    pub fn leaves_last(self) -> Option<Self> {
        while self.wire().next().is_some() {}
        None
    }

    /// Takes these steps, as `fake` names them.
    pub fn plays(&self, steps: &str) {
        steps.split(' ').filter(|step| !step.is_empty()).for_each(|step| fake::play(step, &self.wire()));
    }
}

/// A server with clients on, which must notice nothing but why.
pub struct Trial {
    at: Control,
    first: Fleet,
    before: Footprint,
}

impl Trial {
    pub fn new() -> Self {
        Self::of("")
    }

    /// For a successor that takes these steps.
    pub fn of(steps: &str) -> Self {
        let probation = if steps.contains("READY") { PROBATION } else { "50" };
        Self::with(|setup| setup.with("PROBATION_MS", probation))
    }

    /// On a server with something else, too.
    pub fn with(more: impl FnOnce(Setup) -> Setup) -> Self {
        let at = Control::new();
        let first = more(at.setup().with("READY_DEADLINE_MS", DEADLINE)).start();
        let before = Footprint::of(first.first());
        Self { at, first, before }
    }

    /// A successor comes, misbehaves, and is (at the latest now) gone. Why the restart failed.
    #[track_caller]
    pub fn fails(&self, misbehaves: impl FnOnce(Heir) -> Option<Heir>, kind: ErrorKind) -> Error {
        let clients = Clients::on(&self.first);
        let heir = misbehaves(Heir::come(&self.at));
        let mut why = None;
        process::until(|| {
            let status = self.at.status();
            why = status.last_restart.and_then(|last| last.outcome.err());
            why.is_some() && status.state == "ready"
        });
        drop(heir);
        let why = why.expect("just seen");
        assert_eq!(why.kind(), kind, "{why}");
        assert_eq!((why.exit_status(), why.stderr()), (None, None), "it is none of its children");
        clients.until_served();
        assert_eq!(clients.off(), 0, "a restart that fails ends no connection");
        self.before.returns(self.first.first());
        why
    }

    /// A good one comes, and nobody is lost.
    #[track_caller]
    pub fn succeeds(mut self) {
        let clients = Clients::on(&self.first);
        let mut second = self.at.setup().spawn();
        second.until("ready generation=1");
        self.first.until("done generation=0");
        clients.until_served();
        clients.off();
        second.stop(second.first(), 1);
        second.until_all_have_ended();
    }
}

/// It takes these steps and is gone.
#[track_caller]
fn gone_after(steps: &str, kind: ErrorKind) -> String {
    let trial = Trial::of(steps);
    let leaves = |heir: Heir| {
        heir.plays(steps);
        None
    };
    let why = trial.fails(leaves, kind);
    trial.succeeds();
    why.to_string()
}

/// It takes these steps and is silent, but does not go before the server has given it up.
#[track_caller]
fn silent_after(steps: &str, kind: ErrorKind) -> String {
    let trial = Trial::of(steps);
    let waits = |heir: Heir| {
        heir.plays(steps);
        heir.leaves_last()
    };
    let why = trial.fails(waits, kind);
    trial.succeeds();
    why.to_string()
}

// ----------------------------------------------------------------------------------------------------------------- ends

#[test]
fn it_ends_before_it_has_heard_anything() {
    let why = gone_after("", ErrorKind::Exited);
    assert!(why.contains("before it was ready: its status is unknown"), "{why}");
}

#[test]
fn it_ends_after_hello() {
    gone_after("hear:HELLO", ErrorKind::Exited);
}

#[test]
fn it_ends_with_all_sockets_in_its_hands() {
    gone_after("take", ErrorKind::Exited);
}

#[test]
fn it_ends_before_it_is_ready() {
    gone_after("take ACCEPTED EXTEND", ErrorKind::Exited);
}

#[test]
fn it_ends_when_it_has_said_ready() {
    // READY is heard first, so this is an end on probation.
    gone_after("take ACCEPTED READY", ErrorKind::Probation);
}

#[test]
fn it_ends_on_probation() {
    let why = gone_after("take ACCEPTED READY hear:COMMIT", ErrorKind::Probation);
    assert!(why.contains("within its probation"), "{why}");
}

#[test]
fn it_says_that_it_ends_before_it_is_ready_and_does() {
    let why = gone_after("take ACCEPTED STOPPING", ErrorKind::Exited);
    assert!(why.ends_with("confirmed for good: signal 15"), "{why}");
}

#[test]
fn it_says_that_it_ends_on_probation_and_does() {
    gone_after("take ACCEPTED READY hear:COMMIT STOPPING", ErrorKind::Exited);
}

#[test]
fn it_refuses() {
    let why = gone_after("take refuse:the_licence_has_expired", ErrorKind::Refused);
    assert_eq!(why, "the successor refused: the licence has expired");
}

#[test]
fn it_speaks_no_common_version() {
    let why = gone_after("hear:HELLO REFUSED", ErrorKind::Version);
    assert!(why.ends_with("this one 1 to 1, the successor 2 to 3"), "{why}");
}

#[test]
fn it_ends_in_the_midst_of_a_message() {
    let why = gone_after("take half:ACCEPTED", ErrorKind::Torn);
    assert!(why.contains("ended after 13 bytes"), "{why}");
}

/// Nobody serves then but a supervisor's next start.
#[test]
fn it_ends_when_the_server_has_let_go() {
    let at = Control::new();
    let mut first = at.setup().with("STOP_DEADLINE_MS", "200").start();
    let mut client = Client::served(first.echo);
    let heir = Heir::come(&at);
    heir.plays("take ACCEPTED READY hear:LET-GO");
    first.until("ending generation=0 ");
    client.line().expect("it drains");
    drop(heir);
    let done = first.until("done generation=0");
    assert_eq!((&done["lost"], done.number("code"), done.number("cut")), ("true", 1, 1));
    assert_eq!(first.first_exit().code(), Some(1), "so that a supervisor acts now");
    first.until_all_have_ended();
    assert!(client.line().is_err() && echo(first.echo).is_err());
}

/// It serves, as far as the server knows, and says that it ends by itself: that is no loss.
#[test]
fn it_is_stopped_when_the_server_has_let_go() {
    let at = Control::new();
    let mut first = at.setup().with("STOP_DEADLINE_MS", "200").start();
    let client = Client::served(first.echo);
    let heir = Heir::come(&at);
    heir.plays("take ACCEPTED READY hear:LET-GO STOPPING");
    first.until("ending generation=0 ");
    drop((heir, client));
    let done = first.until("done generation=0");
    assert_eq!((&done["lost"], done.number("code"), done.number("cut")), ("false", 0, 0));
}

// ----------------------------------------------------------------------------------------------------------- is silent

#[test]
fn it_is_silent_from_the_beginning() {
    let why = silent_after("", ErrorKind::Deadline);
    assert_eq!(why, "the successor was not ready by its deadline");
}

#[test]
fn it_is_silent_with_all_sockets_in_its_hands() {
    silent_after("take ACCEPTED", ErrorKind::Deadline);
}

/// The process is not the server's to kill: it only stops waiting.
#[test]
fn it_is_silent_and_stays_for_ever() {
    let trial = Trial::new();
    let stays = |heir: Heir| {
        heir.plays("take ACCEPTED");
        Some(heir)
    };
    trial.fails(stays, ErrorKind::Deadline);
    trial.succeeds();
}

#[test]
fn it_says_that_it_ends_and_stays() {
    silent_after("take ACCEPTED STOPPING", ErrorKind::Exited);
}

#[test]
fn it_refuses_and_stays() {
    silent_after("hear:HELLO refuse:no_room", ErrorKind::Refused);
}

/// It sees that it is not wanted: ABORT with the reason, and the end.
#[test]
fn a_silent_one_is_told_that_it_is_given_up() {
    let trial = Trial::new();
    let listens = |heir: Heir| {
        heir.plays("take ACCEPTED");
        let why = heir.wire().until("ABORT");
        assert_eq!(why[2..], *b"the successor was not ready by its deadline");
        let mut rest = Vec::new();
        assert_eq!((&heir.0).read_to_end(&mut rest).unwrap(), 0);
        None
    };
    trial.fails(listens, ErrorKind::Deadline);
    trial.succeeds();
}

#[test]
fn it_asks_for_more_time_and_gets_it() {
    let at = Control::new();
    let mut first = at.setup().with("READY_DEADLINE_MS", DEADLINE).start();
    let late = at.setup().with("EXTEND_MS", "60000").with("START_DELAY_MS", "2000");
    let mut second = late.spawn();
    second.until("ready generation=1");
    first.until("done generation=0");
}

// ----------------------------------------------------------------------------------------------------------- misspeaks

#[test]
fn it_speaks_garbage() {
    let why = silent_after("hear:HELLO say:HTTP/1.1_400_Bad_Request", ErrorKind::Protocol);
    assert!(why.contains("what is no message"), "{why}");
}

#[test]
fn it_speaks_garbage_on_probation() {
    silent_after("take ACCEPTED READY hear:COMMIT say:HTTP/1.1_400_Bad_Request", ErrorKind::Protocol);
}

#[test]
fn it_accepts_in_a_version_that_was_not_offered() {
    let why = silent_after("take speak:9", ErrorKind::Version);
    assert!(why.ends_with("this one 1 to 1, the successor 9 to 9"), "{why}");
}

#[test]
fn it_accepts_before_the_sockets_have_been_passed() {
    silent_after("hear:HELLO ACCEPTED", ErrorKind::Protocol);
}

#[test]
fn it_is_ready_before_it_has_accepted() {
    let why = silent_after("take READY", ErrorKind::Protocol);
    assert!(why.contains("READY before ACCEPTED"), "{why}");
}

#[test]
fn it_claims_what_was_not_passed() {
    let why = silent_after("take ACCEPTED claim:99", ErrorKind::Protocol);
    assert!(why.contains("claimed a socket that was not passed"), "{why}");
}

#[test]
fn it_says_what_is_the_predecessors_to_say() {
    silent_after("take COMMIT", ErrorKind::Protocol);
}

#[test]
fn it_says_twice_what_it_wants() {
    let trial = Trial::new();
    let repeats = |heir: Heir| {
        heir.wire().say(&frames::want(frames::TAKE_OVER));
        heir.leaves_last()
    };
    trial.fails(repeats, ErrorKind::Protocol);
    trial.succeeds();
}

// --------------------------------------------------------------------------------------------------------- descriptors

/// What is passed to the server by mistake is closed there.
fn floods(frame: &[u8], most: usize) -> impl FnOnce(Heir) -> Option<Heir> + '_ {
    move |heir| {
        heir.plays("take");
        let (mut ours, passed) = UnixStream::pair().unwrap();
        #[allow(clippy::disallowed_methods, reason = "numbers are what is passed")]
        let number = passed.as_raw_fd();
        heir.wire().pass(frame, &vec![number; most]);
        drop(passed);
        ours.set_read_timeout(PATIENCE).unwrap();
        assert_eq!(ours.read(&mut [0]).unwrap(), 0, "nobody holds the other end any more");
        heir.leaves_last()
    }
}

#[test]
fn it_passes_descriptors_with_a_message_that_has_none() {
    let mut accepted = frames::accepted(1);
    accepted[8] = 3;
    let trial = Trial::new();
    // Surplus: closed, and the conversation goes on until the deadline.
    trial.fails(floods(&accepted, 3), ErrorKind::Deadline);
    trial.succeeds();
}

#[test]
fn it_passes_fewer_descriptors_than_it_says() {
    let mut accepted = frames::accepted(1);
    accepted[8] = 9;
    let trial = Trial::new();
    // No successor passes any, so none is taken in, nor counted.
    trial.fails(floods(&accepted, 3), ErrorKind::Deadline);
    trial.succeeds();
}

#[test]
fn it_passes_descriptors_that_belong_to_no_message() {
    let trial = Trial::new();
    let floods = |heir: Heir| {
        heir.plays("take");
        let (mut ours, passed) = UnixStream::pair().unwrap();
        #[allow(clippy::disallowed_methods, reason = "numbers are what is passed")]
        let number = passed.as_raw_fd();
        // Half a frame, byte by byte, each with as many as the kernel passes at once.
        for byte in &frames::accepted(1)[..8] {
            heir.wire().pass(&[*byte], &[number; 253]);
        }
        drop(passed);
        ours.set_read_timeout(PATIENCE).unwrap();
        assert_eq!(ours.read(&mut [0]).unwrap(), 0, "nobody holds the other end any more");
        heir.leaves_last()
    };
    trial.fails(floods, ErrorKind::Deadline);
    trial.succeeds();
}

#[test]
fn it_passes_descriptors_with_its_wish() {
    let at = Control::new();
    let first = at.start();
    let before = Footprint::of(first.first());
    let visitor = Heir(at.connect());
    let (mut ours, passed) = UnixStream::pair().unwrap();
    #[allow(clippy::disallowed_methods, reason = "numbers are what is passed")]
    visitor.wire().pass(&frames::want(3), &[passed.as_raw_fd(); 5]);
    drop(passed);
    assert_eq!(visitor.wire().until("ANSWER")[0], 3, "a status");
    drop(visitor);
    ours.set_read_timeout(PATIENCE).unwrap();
    assert_eq!(ours.read(&mut [0]).unwrap(), 0, "nobody holds the other end any more");
    before.returns(first.first());
}
