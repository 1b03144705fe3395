//! Successors that come to a path by themselves. The loop's part is played by `Restart`, as far as these events go.

use super::*;
use crate::{
    ErrorKind,
    phase::{Action, Event, Phase},
    process::Successor,
};

/// A restart under way, seen from the predecessor, and the successor's end of the channel.
struct Restart {
    successor: Successor,
    phase: Phase,
    /// The failure that the askers were told.
    failed: Option<crate::Error>,
    lost: bool,
}

impl Restart {
    fn begin() -> (Self, Channel) {
        let (ours, theirs) = channels();
        let successor = Successor::met(ours, 4711, legacy(&["http"]));
        let (phase, _) = Phase::first(false).on(Event::ReadyAsked).0.on(Event::RestartAsked);
        let (phase, actions) = phase.on(Event::Prepared);
        assert!(matches!(actions[..], [Action::Spawn]));
        (Self { successor, phase, failed: None, lost: false }, theirs)
    }

    fn live(&mut self, event: Event) {
        let (phase, actions) = std::mem::replace(&mut self.phase, Phase::Done).on(event);
        self.phase = phase;
        for action in actions {
            match action {
                Action::TakeBack(why) => self.successor.say(&Message::Abort { why }, Vec::new()),
                Action::Confirm => self.successor.say(&Message::Commit, Vec::new()),
                Action::LetGo => self.successor.say(&Message::LetGo, Vec::new()),
                Action::PutDown | Action::Kill => self.successor.kill(),
                Action::AnswerFailed(error) => self.failed = Some(error),
                Action::SuccessorLost => self.lost = true,
                // No hooks.
                Action::Release => self.live(Event::Released),
                Action::Undo => self.live(Event::Undone(vec![])),
                _ => {}
            }
        }
    }

    /// The next thing that the successor does.
    async fn step(&mut self) -> Event {
        let event = timeout(PATIENCE, self.successor.next()).await.expect("something happens");
        let event = event.expect("it is offered nothing");
        self.live(event.clone());
        event
    }

    /// Up to ACCEPTED.
    async fn until_accepted() -> (Self, Channel) {
        let (mut restart, mut theirs) = Self::begin();
        assert!(matches!(restart.step().await, Event::Spawned));
        assert!(matches!(hear(&mut theirs).await.unwrap().0, Message::Hello(_)));
        assert!(matches!(hear(&mut theirs).await.unwrap().0, Message::Sockets(_)));
        theirs.say(&Message::Arrived { sockets: 1 }, Vec::new());
        theirs.say(&Message::Accepted { version: 1, capabilities: Vec::new() }, Vec::new());
        assert!(matches!(restart.step().await, Event::Accepted));
        is_said(hear(&mut theirs).await, &Message::End { sockets: 1 });
        (restart, theirs)
    }

    /// Up to COMMIT: the successor serves, on probation.
    async fn until_confirmed() -> (Self, Channel) {
        let (mut restart, mut theirs) = Self::until_accepted().await;
        theirs.say(&Message::Ready { claimed: vec![0] }, Vec::new());
        assert!(matches!(restart.step().await, Event::Ready));
        is_said(hear(&mut theirs).await, &Message::Commit);
        (restart, theirs)
    }

    /// It is over, the predecessor serves, and whoever asked was told this.
    #[track_caller]
    fn has_failed(self, kind: ErrorKind) {
        assert!(matches!(self.phase, Phase::Serving), "{:?}", self.phase);
        assert_eq!(self.failed.expect("the askers were told").kind(), kind);
    }
}

#[tokio::test]
async fn hello_is_said_at_once_with_the_pid_that_the_kernel_sees_and_lends_no_standard_error() {
    let (restart, mut theirs) = Restart::begin();
    // No await in between: it lies in the kernel when `met` returns.
    let mut left = theirs.unread();
    let Some(Ok(Some((Message::Hello(hello), handles)))) = theirs.next_of(&mut left) else {
        panic!("HELLO comes first");
    };
    assert_eq!((hello.successor_pid, hello.generation, hello.watchdog_milliseconds), (4711, 7, 1500));
    assert_eq!((hello.ancestors.len(), handles.len(), hello.stderr), (1, 1, false));
    assert_eq!(restart.successor.identity().pid(), 4711);
    assert!(!restart.successor.is_spawned());
}

#[tokio::test]
async fn a_deadline_hears_first_that_it_has_come() {
    let (mut restart, _theirs) = Restart::begin();
    assert!(matches!(restart.successor.next_now(), Some(Event::Spawned)));
    assert!(restart.successor.next_now().is_none());
}

#[tokio::test]
async fn dies_with_hello_unread() {
    let (mut restart, theirs) = Restart::begin();
    drop(theirs);
    assert!(matches!(restart.step().await, Event::Spawned));
    assert!(matches!(restart.step().await, Event::Ended(None)));
    restart.has_failed(ErrorKind::Exited);
}

#[tokio::test]
async fn dies_after_accepted() {
    let (mut restart, theirs) = Restart::until_accepted().await;
    drop(theirs);
    assert!(matches!(restart.step().await, Event::Ended(None)));
    restart.has_failed(ErrorKind::Exited);
}

#[tokio::test]
async fn dies_in_its_probation() {
    let (mut restart, theirs) = Restart::until_confirmed().await;
    drop(theirs);
    assert!(matches!(restart.step().await, Event::Ended(None)));
    restart.has_failed(ErrorKind::Probation);
}

#[tokio::test]
async fn dies_while_the_predecessor_drains_and_what_it_had_claimed_is_still_known() {
    let (mut restart, mut theirs) = Restart::until_confirmed().await;
    restart.live(Event::ProbationOver);
    restart.live(Event::SupervisorKnows);
    is_said(hear(&mut theirs).await, &Message::LetGo);
    drop(theirs);
    assert!(matches!(restart.step().await, Event::Ended(None)));
    assert!(restart.lost);
    assert_eq!(restart.successor.claimed(), [Name::new("http").unwrap()]);
}

#[tokio::test]
async fn what_it_said_before_it_died_is_heard() {
    let (mut restart, mut theirs) = Restart::until_accepted().await;
    theirs.say(&Message::Stopping { why: "no config".into() }, Vec::new());
    drop(theirs);
    assert!(matches!(restart.step().await, Event::Stopping(_)));
    assert!(matches!(restart.step().await, Event::Ended(None)));
    assert!(restart.failed.as_ref().unwrap().to_string().ends_with("no config"));
    restart.has_failed(ErrorKind::Exited);
}

#[tokio::test]
async fn refuses_and_is_over_when_its_channel_is() {
    let (mut restart, mut theirs) = Restart::begin();
    restart.step().await;
    let refusal = wire::Refusal::NoDescriptors;
    theirs.say(&Message::Refused { refusal, oldest: 1, newest: 1, why: "too few".into() }, Vec::new());
    assert!(matches!(restart.step().await, Event::Refused(_)));
    // What it says after that does not count, and does not hide its end.
    theirs.say(&Message::Ready { claimed: vec![0] }, Vec::new());
    drop(theirs);
    assert!(matches!(restart.step().await, Event::Ended(None)));
    restart.has_failed(ErrorKind::NoDescriptors);
}

#[tokio::test]
async fn talks_nonsense_and_is_told_abort_and_then_nothing_more() {
    let (mut restart, mut theirs) = Restart::until_accepted().await;
    theirs.say(&Message::Commit, Vec::new());
    assert!(matches!(restart.step().await, Event::Failed(_)));
    // ABORT comes before the end: without it, the end would say that this process is dead.
    assert!(matches!(hear(&mut theirs).await.unwrap().0, Message::Abort { .. }));
    assert!(hear(&mut theirs).await.is_none());
    drop(theirs);
    assert!(matches!(restart.step().await, Event::Ended(None)));
    restart.has_failed(ErrorKind::Protocol);
}

/// Without ABORT, the channel's end would say to one that was not confirmed that this process is dead, and both would serve.
#[tokio::test]
async fn is_told_abort_although_this_process_could_not_send_something_else() {
    let (mut restart, mut theirs) = Restart::until_accepted().await;
    let (socket, descriptor) = legacy(&["http"]).sockets.remove(0);
    let too_many = sys::MAX_DESCRIPTORS + 1;
    // The kernel takes no such number of descriptors; COMMIT makes no sense without what was to come before.
    restart.successor.say(&Message::Sockets(vec![socket; too_many]), vec![descriptor; too_many]);
    restart.successor.say(&Message::Commit, Vec::new());
    assert!(matches!(restart.step().await, Event::Failed(_)));
    assert!(matches!(hear(&mut theirs).await.unwrap().0, Message::Abort { .. }));
    drop(theirs);
    assert!(matches!(restart.step().await, Event::Ended(None)));
    restart.has_failed(ErrorKind::Socket);
}

/// It may stand still for a day, and what is on its way to it stays open here.
#[tokio::test]
async fn gets_no_more_sockets_after_abort() {
    let names: Vec<_> = (0..1000).map(|number| number.to_string()).collect();
    let (ours, mut theirs) = channels();
    let legacy = legacy(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let last = Arc::downgrade(&legacy.sockets[999].1);
    let mut successor = Successor::met(ours, 0, legacy);
    assert!(matches!(successor.next().await, Some(Event::Spawned)));
    assert!(matches!(hear(&mut theirs).await.unwrap().0, Message::Hello(_)));
    let Some((Message::Sockets(batch), _)) = hear(&mut theirs).await else { panic!("sockets") };
    successor.say(&Message::Abort { why: "late".into() }, Vec::new());
    assert!(last.upgrade().is_none(), "it is not kept for one that does not get it");
    theirs.say(&Message::Arrived { sockets: batch.len() as u32 }, Vec::new());
    theirs.say(&Message::Stopping { why: "told to".into() }, Vec::new());
    let heard = timeout(PATIENCE, successor.next()).await.expect("it is heard");
    assert!(matches!(heard, Some(Event::Stopping(_))), "what was on its way is no nonsense: {heard:?}");
    assert!(matches!(hear(&mut theirs).await.unwrap().0, Message::Abort { .. }));
    drop(successor);
    assert!(hear(&mut theirs).await.is_none());
}

#[tokio::test]
async fn dies_in_the_midst_of_a_word() {
    let (ours, theirs) = sys::socket_pair().unwrap();
    let mut successor = Successor::met(Channel::new(ours).unwrap(), 0, legacy(&[]));
    let ready = Message::Ready { claimed: vec![] }.encode();
    sys::send(std::os::fd::AsFd::as_fd(&theirs), &ready[..7], &[]).unwrap();
    drop(theirs);
    assert!(matches!(successor.next().await, Some(Event::Spawned)));
    let Some(Event::Failed(error)) = successor.next().await else { panic!("it is torn") };
    assert_eq!(error.kind(), ErrorKind::Torn);
    assert!(matches!(successor.next().await, Some(Event::Ended(None))));
}

#[tokio::test]
async fn lives_on_after_abort_and_the_restart_is_over_all_the_same() {
    let (mut restart, mut theirs) = Restart::until_accepted().await;
    restart.live(Event::ReadyDeadline);
    assert!(matches!(hear(&mut theirs).await.unwrap().0, Message::Abort { .. }));
    // Once for its own end, and once for a kill's, which reaches nobody here.
    restart.live(Event::EndDeadline);
    restart.live(Event::EndDeadline);
    restart.has_failed(ErrorKind::Deadline);
}

#[tokio::test]
async fn a_thousand_sockets_come_in_batches_that_are_acknowledged() {
    let names: Vec<_> = (0..1000).map(|number| number.to_string()).collect();
    let (ours, mut theirs) = channels();
    let mut successor = Successor::met(ours, 0, legacy(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    let receive = async {
        assert!(matches!(hear(&mut theirs).await.unwrap().0, Message::Hello(_)));
        let mut arrived = 0;
        while arrived < 1000 {
            let Some((Message::Sockets(batch), descriptors)) = hear(&mut theirs).await else { panic!("sockets") };
            assert_eq!(batch.len(), descriptors.len());
            arrived += batch.len();
            theirs.say(&Message::Arrived { sockets: batch.len() as u32 }, Vec::new());
        }
        is_said(hear(&mut theirs).await, &Message::End { sockets: 1000 });
        theirs.say(&Message::Accepted { version: 1, capabilities: vec![] }, Vec::new());
        theirs.flush().await;
    };
    let pass = async {
        assert!(matches!(successor.next().await, Some(Event::Spawned)));
        assert!(matches!(successor.next().await, Some(Event::Accepted)));
    };
    timeout(PATIENCE, async { tokio::join!(receive, pass) }).await.expect("both come to an end");
}
