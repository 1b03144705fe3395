//! The one loop: whatever happens is an event, `phase` says what follows, `carry` does it.

use std::{
    collections::{HashSet, VecDeque},
    mem,
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{
    asker::Asker,
    connections::moving,
    meter::{self, Part},
    service::{Service, drained},
    settings::Settings,
    shared::{Ask, Shared},
    waits::{aftermath, deadline, door, dying, final_state, predecessor, service, signal, successor, work},
    work::{FinalState, Work},
};
use crate::{
    Cause, Error, ErrorKind, PassedState, State,
    accept::{Ending, Gate},
    control::{Door, Visitor},
    drain::{Guard, Report, Times},
    estate::Expected,
    handover::{Arrivals, Departures},
    hooks::Running,
    phase::{Event, Phase},
    pidfile::PidFile,
    process::{Borrowed, Lingering, Predecessor, Program, Successor},
    signal::Inbox,
    status::LastRestart,
    wire,
};

/// How often systemd and a successor are told how things are: often enough for an operator who looks.
pub(super) const NEWS: Duration = Duration::from_secs(5);
pub(super) const NEWS_OF_A_DRAIN: Duration = Duration::from_secs(1);

/// More messages than a channel holds: an unread one costs the kernel a whole buffer, and of the smallest 278 fit into a
/// socket's queue by default.
pub(super) const MOST_QUEUED: usize = 4096;

/// How long a predecessor that has been told of this generation's end may take to say who owns what both have. It answers
/// at once, unless it stands still.
const LAST_WORD: Duration = Duration::from_secs(5);

/// What belongs to a process and not to a detached handle.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) signals: Inbox,
    pub(super) program: Program,
    pub(super) pid_file: Option<PidFile>,
}

/// Everything that the loop owns. Nobody else changes any of it.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Settings,
    pub(super) phase: Phase,
    /// `None`: detached.
    pub(super) ground: Option<Ground>,
    pub(super) predecessor: Option<Predecessor>,
    /// Connections that the successor is offered, and those that the predecessor offers.
    pub(super) departures: Departures,
    pub(super) arrivals: Arrivals,
    /// The predecessor's final state, as long as it may come.
    pub(super) expected: Option<Expected>,
    pub(super) ancestors: Vec<(wire::Ancestor, Arc<OwnedFd>)>,
    pub(super) stderr: Option<Borrowed>,
    pub(super) successor: Option<Successor>,
    /// The one deadline of a restart that is running now, and what it says.
    pub(super) deadline: Option<(Instant, Event)>,
    /// How much the successor has said since that came.
    pub(super) overheard: usize,
    pub(super) ready_askers: Vec<oneshot::Sender<Result<(), Error>>>,
    pub(super) restart_askers: Vec<Asker>,
    /// Operators who wait for this generation's end.
    pub(super) stop_askers: Vec<Visitor>,
    /// A successor that came by itself, until it is welcomed or turned away.
    pub(super) candidate: Option<Visitor>,
    pub(super) door: Option<Door>,
    pub(super) service: Option<Service>,
    pub(super) awaits_supervisor: bool,
    /// The process of a successor that has failed, and may not be dead yet.
    pub(super) dying: Option<Arc<OwnedFd>>,
    /// Those that may serve and are to end. This process outlives them: nobody else would see to it that they do.
    pub(super) lingering: Lingering,
    pub(super) since: SystemTime,
    pub(super) last_restart: Option<LastRestart>,
    /// This generation has accepted, or may have.
    pub(super) confirmed: bool,
    /// What is in the file system under this generation's names is its own to remove.
    pub(super) owns_names: bool,
    pub(super) restart_began: Instant,
    /// When the part of it began that is measured now.
    pub(super) part_began: Instant,
    /// How long those took that are over: measured when the restart has succeeded.
    pub(super) parts: Vec<(Part, Duration)>,
    pub(super) leaving: Leaving,
    /// A second stop has come: nothing gets any time any more.
    pub(super) is_cut: bool,
    pub(super) work: Option<Work>,
    /// What was given up for the successor that is on its way, by whom it is taken back.
    pub(super) released: Option<Running>,
    /// What the successor gets besides sockets.
    pub(super) state: Vec<PassedState>,
    pub(super) final_state: Option<FinalState>,
    /// Keeps a generation that stops until it has its predecessor's.
    pub(super) expecting: Option<Guard>,
    /// The process of a predecessor that has closed its channel, as long as it may live: an application can do this and that
    /// after its drain.
    pub(super) departing: Option<Arc<OwnedFd>>,
    /// What runs because the predecessor is gone.
    pub(super) aftermath: Option<Running>,
    /// When this generation ends at the latest, once its drain is over and nobody lingers.
    pub(super) last_word: Option<Instant>,
    /// The failures of restarts, with the last words that were waited for.
    pub(super) failures: mpsc::UnboundedSender<Error>,
    pub(super) failed_restarts: mpsc::UnboundedReceiver<Error>,
    /// When the next are due.
    pub(super) news: Instant,
    pub(super) asks: mpsc::UnboundedReceiver<Ask>,
    pub(super) failed: mpsc::UnboundedReceiver<Error>,
}

/// How far the drain is, seen from here.
#[derive(Debug)]
pub(super) enum Leaving {
    /// Everything is waited for but what is last to close.
    Others,
    /// The exit hooks run.
    Hooks,
    /// What is last to close ends.
    Last,
    Over(Box<Report>),
}

/// A loop that has panicked carries nothing out any more, and its signals are swallowed: without this, the process would
/// serve on, deaf to everything but SIGKILL. So it drains and ends, and its supervisor starts another.
pub(super) async fn end_with(running: JoinHandle<()>, shared: Arc<Shared>, times: Times) {
    if !running.await.is_err_and(|error| error.is_panic()) {
        return;
    }
    let why = Error::new(ErrorKind::Internal, "the loop that carries restarts and stops out has panicked");
    crate::log::error!(error = %why, "this generation stops");
    // Neither is known here: whether paths are ours to remove, and whether a successor serves.
    shared.registry().close(&HashSet::new(), false, &HashSet::new());
    shared.gate.set(Gate::EndedButForTheLast(Ending::Emptied));
    shared.drain.failed(why.clone());
    shared.drain.begin(Cause::Failed { why: why.clone() }, &times);
    shared.token.cancel();
    shared.cause.send_if_modified(|cause| cause.is_none() && cause.replace(Cause::Failed { why }).is_none());
    shared.drain.run().await;
    shared.end_last();
    let report = shared.drain.run_last().await;
    meter::state(shared.state.send_replace(State::Done), State::Done);
    shared.report.send_replace(Some(report));
}

impl Life {
    pub(super) async fn run(mut self) {
        while !matches!(self.phase, Phase::Done) {
            if let Some(event) = self.next().await {
                match event {
                    Event::StopAsked(_) | Event::ServeFailed(_) => self.hear_predecessor_out(),
                    Event::Drained => {
                        if let Some(successor) = self.successor.as_mut().filter(|_| !self.is_cut) {
                            successor.let_stderr_go().await;
                        }
                    }
                    _ => {}
                }
                self.live(event);
            }
        }
        // Whoever asks from here on finds the loop gone, and knows what that means.
    }

    /// One event, and those that follow from its actions at once.
    pub(super) fn live(&mut self, event: Event) {
        let (mut events, was) = (VecDeque::from([event]), self.phase.state());
        while let Some(event) = events.pop_front() {
            crate::log::debug!(phase = %self.phase.state(), ?event, "event");
            self.measure(&event);
            let (phase, actions) = mem::replace(&mut self.phase, Phase::Done).on(event);
            self.phase = phase;
            // Before the actions: whoever is answered by one of them and looks sees the state that the answer means.
            let now = self.phase.state();
            self.shared.state.send_if_modified(|state| mem::replace(state, now) != now);
            if !self.has_deadline() {
                self.deadline = None;
            }
            for action in actions {
                crate::log::debug!(?action, "action");
                events.extend(self.carry_out(action));
            }
        }
        // Once: a lame duck that has no time is nothing to tell of.
        let now = self.phase.state();
        if now != was {
            meter::state(was, now);
            self.tell_status();
        }
    }

    /// The next thing that happens. `None`: what happened concerns nobody.
    async fn next(&mut self) -> Option<Event> {
        let (is_over, is_asked) = (matches!(self.leaving, Leaving::Over(_)), self.is_asked());
        let (draining, news) = (self.is_draining() && matches!(self.leaving, Leaving::Others), self.has_news());
        let ends = is_over && !self.awaits_visitors() && self.lingering.is_empty();
        if ends && self.last_word.is_none() {
            self.last_word = Some(Instant::now() + LAST_WORD);
        }
        let last_word = self.last_word.filter(|_| ends);
        let awaits_word = self.awaits_last_word() || self.awaits_successors_end();
        let due = self.deadline.as_ref().map(|(at, _)| *at);
        let company = if draining { self.company() } else { Vec::new() };
        let (ends_last, watch) = (matches!(self.leaving, Leaving::Last), self.shared.drain.watch());
        tokio::select! {
            biased;
            event = signal(&mut self.ground) => Some(event),
            Some(ask) = self.asks.recv() => self.hear(ask),
            Some(why) = self.failed.recv() => Some(Event::ServeFailed(why)),
            // These are seldom ready, and never twice. Beneath the channels they would wait while ten thousand connections pass.
            () = service(&mut self.service) => self.supervisor_knows(),
            () = deadline(due) => self.due(),
            () = sleep_until(self.news), if news => {
                self.tell_news();
                None
            }
            event = predecessor(&mut self.predecessor) => self.heard_of_predecessor(event),
            event = successor(&mut self.successor) => {
                self.hear_replies();
                event
            }
            moving = moving(&mut self.departures, &mut self.arrivals, &watch) => {
                self.move_on(moving);
                None
            }
            done = work(&mut self.work) => self.done(done),
            taken = final_state(&mut self.final_state) => {
                self.pass_final_state(taken);
                None
            }
            outcome = aftermath(&mut self.aftermath) => {
                self.aftermath = None;
                self.note_hooks(&outcome.failures);
                self.after_predecessor();
                None
            }
            () = dying(self.dying.as_ref()) => self.is_dead(),
            () = self.lingering.next() => None,
            () = dying(self.departing.as_ref()) => {
                self.departing = None;
                self.after_predecessor();
                None
            }
            visitor = door(&mut self.door), if is_asked => self.see_in(visitor),
            Some(why) = self.failed_restarts.recv() => {
                self.note_outcome(Err(why));
                None
            }
            () = drained(self.shared.drain.clone(), company), if draining => Some(Event::OthersDrained),
            report = self.shared.drain.run_last(), if ends_last => {
                self.leaving = Leaving::Over(Box::new(report));
                None
            }
            () = std::future::ready(()), if ends && !awaits_word => self.drained(),
            () = deadline(last_word) => self.drained(),
        }
    }

    fn hear(&mut self, ask: Ask) -> Option<Event> {
        match ask {
            Ask::Ready(answer) => {
                self.ready_askers.push(answer);
                Some(Event::ReadyAsked)
            }
            Ask::Restart(answer) => {
                self.restart_askers.push(Asker::Method(answer));
                Some(Event::RestartAsked)
            }
            Ask::Time(by) => Some(Event::TimeAsked(by)),
            #[cfg(test)]
            Ask::Panic => panic!("asked to"),
            Ask::Hooked => {
                self.after_predecessor();
                None
            }
            Ask::Registered => {
                self.keep_store();
                None
            }
            // Also while it is only certain: a second stop would cut what this one is to wait for.
            Ask::Drain if matches!(self.phase.state(), State::LameDuck | State::Draining | State::Done) => None,
            Ask::Stop | Ask::Drain => Some(Event::StopAsked(None)),
        }
    }

    /// Until the predecessor has let go, it is the one to be asked. What it is asked for concerns the server: a stop that
    /// came to a successor on probation would end that one, and the server would serve on.
    fn is_asked(&self) -> bool {
        self.owns_names || self.predecessor.as_ref().is_some_and(Predecessor::is_gone)
    }

    /// Who has come before a successor serves, and has not said yet what is wanted, is passed on to it when that is said.
    /// After a stop there is nobody to be passed on to.
    fn awaits_visitors(&self) -> bool {
        self.door.as_ref().is_some_and(|door| !door.is_open())
    }

    /// A generation that ended on probation removes nothing, unless its predecessor has let go at the same time: then nobody
    /// else would, and the path would be there, and the pid file, and systemd would not know that nobody follows.
    fn awaits_last_word(&self) -> bool {
        self.confirmed && !self.owns_names && self.predecessor.as_ref().is_some_and(Predecessor::may_let_go)
    }

    /// The channel of the only one that serves has ended, as it does a moment before a process is dead: with ten thousand
    /// sockets to close that is no short one. An end within it would say that all is well.
    fn awaits_successors_end(&self) -> bool {
        self.phase.relies_on_successor() && self.successor.as_ref().is_some_and(Successor::is_ending)
    }

    /// What the successor has said comes first: of its end the reactor need not have heard.
    fn drained(&mut self) -> Option<Event> {
        let in_time = self.last_word.is_some_and(|at| Instant::now() < at);
        self.said_by_now(in_time).or(Some(Event::Drained))
    }

    fn said_by_now(&mut self, is_heard: bool) -> Option<Event> {
        let said = self.successor.as_mut().filter(|_| is_heard).and_then(Successor::next_now);
        self.hear_replies();
        said
    }

    fn see_in(&mut self, visitor: Option<Visitor>) -> Option<Event> {
        match visitor {
            Some(visitor) => self.receive(visitor),
            None => {
                self.door = None;
                None
            }
        }
    }

    /// A deadline acts only when the channel is dry: a READY that lies in it came in time. But one that never stops talking
    /// does not put it off for ever. (An EXTEND is a new deadline, as it is meant to be.)
    fn due(&mut self) -> Option<Event> {
        match self.said_by_now(self.overheard < MOST_QUEUED) {
            Some(event) => {
                self.overheard += 1;
                Some(event)
            }
            None => self.deadline.take().map(|(_, event)| event),
        }
    }

    pub(super) fn is_withdrawing(&self) -> bool {
        matches!(self.phase, Phase::Withdrawing { .. })
    }

    fn is_draining(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. } | Phase::Done)
    }

    /// A successor serves, which nobody can take back.
    pub(super) fn is_replaced(&self) -> bool {
        self.shared.cause.borrow().as_ref().is_some_and(Cause::is_replaced)
    }

    fn has_deadline(&self) -> bool {
        use Phase::{Burying, LameDuck, Restarting, Withdrawing};
        matches!(self.phase, Restarting(_) | Burying { .. } | LameDuck { .. } | Withdrawing { .. })
    }

    fn has_news(&self) -> bool {
        meter::IS_ON || self.service.is_some() || self.is_draining() && self.successor.is_some()
    }

    fn tell_news(&mut self) {
        let until_next = if self.is_draining() { NEWS_OF_A_DRAIN } else { NEWS };
        self.news = Instant::now() + until_next;
        self.tell_status();
        self.tell_what_is_waited_for();
        if meter::IS_ON {
            meter::connections(&self.shared.tracker.census());
            meter::draining(self.draining_ancestors().len());
        }
    }
}
