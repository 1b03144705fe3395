//! The one loop: whatever happens is an event, `phase` says what follows, `carry` does it.

use std::{
    collections::{HashSet, VecDeque},
    mem,
    os::fd::OwnedFd,
    sync::Arc,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    settings::Settings,
    shared::{Ask, Shared},
};
use crate::{
    Cause, Error, ErrorKind, State,
    accept::{Ending, Gate},
    drain::{Drain, Report, Times},
    generation,
    phase::{Event, Phase},
    pidfile::PidFile,
    process::{Borrowed, Introduction, Predecessor, Program, Successor},
    signal::Inbox,
    sockets::Registry,
    wire,
};

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
    pub(super) ancestors: Vec<(wire::Ancestor, Arc<OwnedFd>)>,
    pub(super) stderr: Option<Borrowed>,
    pub(super) successor: Option<Successor>,
    /// The one deadline of a restart that is running now, and what it says.
    pub(super) deadline: Option<(Instant, Event)>,
    pub(super) ready_askers: Vec<oneshot::Sender<Result<(), Error>>>,
    pub(super) restart_askers: Vec<oneshot::Sender<Result<generation::Successor, Error>>>,
    /// This generation has accepted, or may have.
    pub(super) confirmed: bool,
    /// What is in the file system under this generation's names is its own to remove.
    pub(super) owns_names: bool,
    pub(super) restart_began: Instant,
    pub(super) report: Option<Report>,
    asks: mpsc::UnboundedReceiver<Ask>,
    failed: mpsc::UnboundedReceiver<Error>,
}

/// Spawns the loop, and gives what a handle needs of it.
pub(super) fn begin(settings: Settings, ground: Option<Ground>, inherited: Option<Introduction>) -> Arc<Shared> {
    let (asks, asked) = mpsc::unbounded_channel();
    let (failed, failures) = mpsc::unbounded_channel();
    let mut ancestors = Vec::new();
    let mut stderr = None;
    let mut predecessor = None;
    let mut registry = Registry::default();
    let mut generation = 0;
    if let Some(introduction) = inherited {
        crate::log::debug!(
            generation = introduction.generation,
            predecessor = introduction.predecessor_pid,
            sockets = introduction.sockets.len(),
            "inherited"
        );
        generation = introduction.generation;
        registry = Registry::inherit(introduction.sockets, Vec::new());
        ancestors = introduction.ancestors.into_iter().map(|(who, handle)| (who, Arc::new(handle))).collect();
        stderr = introduction.stderr;
        predecessor = Some(introduction.answer.accept());
    }
    let is_successor = predecessor.is_some();
    let drain = Drain::new();
    let shared = Arc::new(Shared {
        generation,
        is_successor,
        asks,
        failed,
        state: watch::Sender::new(State::Starting),
        cause: watch::Sender::new(None),
        report: watch::Sender::new(None),
        registry: registry.into(),
        gate: watch::Sender::new(if is_successor { Gate::Shut } else { Gate::Open }),
        tracker: drain.tracker(),
        drain,
        token: CancellationToken::new(),
    });
    let life = Life {
        shared: Arc::clone(&shared),
        settings,
        phase: Phase::first(is_successor),
        ground,
        predecessor,
        ancestors,
        stderr,
        successor: None,
        deadline: None,
        ready_askers: Vec::new(),
        restart_askers: Vec::new(),
        confirmed: !is_successor,
        owns_names: !is_successor,
        restart_began: Instant::now(),
        report: None,
        asks: asked,
        failed: failures,
    };
    let times = life.settings.on_stop.clone();
    tokio::spawn(end_with(tokio::spawn(life.run()), Arc::clone(&shared), times));
    shared
}

/// A loop that has panicked carries nothing out any more, and its signals are swallowed: without this, the process would
/// serve on, deaf to everything but SIGKILL. So it drains and ends, and its supervisor starts another.
async fn end_with(running: JoinHandle<()>, shared: Arc<Shared>, times: Times) {
    if !running.await.is_err_and(|error| error.is_panic()) {
        return;
    }
    let why = Error::new(ErrorKind::Internal, "the loop that carries restarts and stops out has panicked");
    crate::log::error!(error = %why, "this generation stops");
    // Neither is known here: whether paths are ours to remove, and whether a successor serves.
    shared.registry().close(&HashSet::new(), false);
    shared.gate.send_replace(Gate::Ended(Ending::Emptied));
    shared.drain.failed(why.clone());
    shared.drain.begin(Cause::Failed { why: why.clone() }, &times);
    shared.token.cancel();
    shared.cause.send_if_modified(|cause| cause.is_none() && cause.replace(Cause::Failed { why }).is_none());
    let report = shared.drain.run().await;
    shared.state.send_replace(State::Done);
    shared.report.send_replace(Some(report));
}

impl Life {
    async fn run(mut self) {
        while !matches!(self.phase, Phase::Done) {
            if let Some(event) = self.next().await {
                self.live(event);
            }
        }
        // Whoever asks from here on finds the loop gone, and knows what that means.
    }

    /// One event, and those that follow from its actions at once.
    fn live(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            crate::log::debug!(?event, "event");
            let (phase, actions) = mem::replace(&mut self.phase, Phase::Done).on(event);
            self.phase = phase;
            // Before the actions: whoever is answered by one of them and looks sees the state that the answer means.
            self.shared.state.send_if_modified(|state| mem::replace(state, self.phase.state()) != self.phase.state());
            if !self.is_restarting() {
                self.deadline = None;
            }
            for action in actions {
                crate::log::debug!(?action, "action");
                events.extend(self.carry_out(action));
            }
        }
    }

    /// The next thing that happens. `None`: what happened concerns nobody.
    async fn next(&mut self) -> Option<Event> {
        let draining = self.is_draining();
        let due = self.deadline.as_ref().map(|(at, _)| *at);
        tokio::select! {
            biased;
            event = signal(&mut self.ground) => Some(event),
            Some(ask) = self.asks.recv() => self.hear(ask),
            Some(why) = self.failed.recv() => Some(Event::ServeFailed(why)),
            event = predecessor(&mut self.predecessor) => event,
            event = successor(&mut self.successor) => Some(event),
            () = deadline(due) => self.due(),
            report = self.shared.drain.run(), if draining => {
                self.report = Some(report);
                Some(Event::Drained)
            }
        }
    }

    fn hear(&mut self, ask: Ask) -> Option<Event> {
        match ask {
            Ask::Ready(answer) => {
                self.ready_askers.push(answer);
                Some(Event::ReadyAsked)
            }
            Ask::Restart(answer) => {
                self.restart_askers.push(answer);
                Some(Event::RestartAsked)
            }
            Ask::Time(by) => Some(Event::TimeAsked(by)),
            #[cfg(test)]
            Ask::Panic => panic!("asked to"),
            Ask::Drain if self.is_draining() => None,
            Ask::Stop | Ask::Drain => Some(Event::StopAsked(None)),
        }
    }

    /// A deadline acts only when the channel is dry: a READY that lies in it came in time.
    fn due(&mut self) -> Option<Event> {
        match self.successor.as_mut().and_then(Successor::next_now) {
            Some(event) => Some(event),
            None => self.deadline.take().map(|(_, event)| event),
        }
    }

    fn is_draining(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. } | Phase::Done)
    }

    fn is_restarting(&self) -> bool {
        matches!(self.phase, Phase::Restarting(_) | Phase::Burying { .. })
    }
}

async fn signal(ground: &mut Option<Ground>) -> Event {
    match ground {
        Some(ground) => ground.signals.next().await,
        None => std::future::pending().await,
    }
}

async fn predecessor(predecessor: &mut Option<Predecessor>) -> Option<Event> {
    match predecessor {
        Some(predecessor) => predecessor.next().await,
        None => std::future::pending().await,
    }
}

async fn successor(successor: &mut Option<Successor>) -> Event {
    match successor {
        Some(successor) => successor.next().await,
        None => std::future::pending().await,
    }
}

async fn deadline(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
