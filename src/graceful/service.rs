//! What systemd is told, and when: this process as a service.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use tokio::time::timeout_at;

use super::{life::Life, store::Store};
use crate::{
    State,
    drain::Drain,
    estate,
    phase::Event,
    process::{DEATH, Successor},
    status::LastRestart,
    sys,
    systemd::{Environment, Notice, Notifier, Watchdog},
};

/// How long systemd may take to hear what was said to it, before this process goes on without knowing. A barrier takes 0
/// to 22 ms; a manager that hangs must not hang the server.
const PATIENCE: Duration = Duration::from_secs(1);

/// Beyond what a successor may take: for the probation's end and the telling.
const MARGIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Service {
    notifier: Notifier,
    /// As systemd has told the first generation.
    watchdog_interval: Option<Duration>,
    watchdog: Watchdog,
    /// Whether systemd takes this process for the main one: the word of another does not count (`NotifyAccess=main`).
    is_main: bool,
    /// Whether it is systemd's own child.
    is_child: bool,
    pub(super) store: Option<Store>,
    has_said_stopping: bool,
    status: String,
    /// Successors that were stopped on probation, and may still drain.
    stragglers: Vec<Arc<OwnedFd>>,
}

impl Service {
    /// Of the first generation of a unit, which is its main process from the first moment on.
    pub(super) fn first(notifier: Notifier, environment: &Environment, stores: bool) -> Self {
        let is_child = environment.names_this_process();
        Self::new(notifier, environment.watchdog_interval(), is_child, stores).into_main()
    }

    /// Of one that a main process has started, which tells it how often systemd wants to hear from its heir.
    pub(super) fn heir(
        notifier: Notifier,
        environment: &Environment,
        interval: Option<Duration>,
        stores: bool,
    ) -> Self {
        Self::new(notifier, interval, environment.names_this_process(), stores)
    }

    fn new(notifier: Notifier, watchdog_interval: Option<Duration>, is_child: bool, stores: bool) -> Self {
        let (watchdog, status, stragglers) = (Watchdog::new(watchdog_interval), String::new(), Vec::new());
        let (is_main, has_said_stopping, store) = (false, false, stores.then(Store::default));
        Self { notifier, watchdog_interval, watchdog, is_main, is_child, store, has_said_stopping, status, stragglers }
    }

    fn into_main(self) -> Self {
        Self { is_main: true, ..self }
    }

    /// What it has to do by itself: ping, and send what could not be sent at once. Returns when systemd has heard what was
    /// said before a barrier. Cancel safe.
    pub(super) async fn next(&mut self) {
        loop {
            let Self { notifier, watchdog, is_main, .. } = self;
            tokio::select! {
                biased;
                () = watchdog.tick(), if *is_main => notifier.say(&[Notice::Watchdog]),
                () = notifier.next() => return,
            }
        }
    }

    pub(super) fn is_main(&self) -> bool {
        self.is_main
    }

    /// Then its successor must be another.
    pub(super) fn is_managers_child(&self) -> bool {
        self.is_main && self.is_child
    }

    pub(super) fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog_interval
    }

    /// Only on a real stop, never by a generation that was replaced: that one is the main process no more.
    pub(super) fn say_stopping(&mut self) {
        // One that becomes the main process only at its end has not said it yet.
        if self.is_main && !self.has_said_stopping {
            self.has_said_stopping = true;
            self.notifier.say(&[Notice::Stopping]);
        }
    }

    fn empty_store(&mut self) {
        if let Self { notifier, store: Some(store), .. } = self {
            store.empty(notifier);
        }
    }

    fn say(&mut self, notices: &[Notice<'_>]) {
        if self.is_main {
            self.notifier.say(notices);
        }
    }
}

/// The end of a process. One that can't be watched counts as dead: whoever waits has a deadline for the rest.
pub(super) async fn death(handle: &OwnedFd) {
    match sys::watch(handle.as_fd()) {
        // An error means that the reactor is gone, and then nothing is awaited any more.
        Ok(process) => drop(process.readable().await),
        Err((_, error)) => crate::log::warn!(%error, "watch another generation"),
    }
}

/// The end of a drain, and of those that drain beside it. When a unit's main process ends at a stop, systemd sends SIGTERM
/// to what is left of it, a second time: a predecessor that still answers a request would cut it, as an operator's second
/// signal asks. So the main process ends last, but for one that is late. (Of a generation that has taken over from another
/// unit this is more than is needed, and ends by the same deadline.)
///
/// # Cancel safety
///
/// It can be waited for again.
pub(super) async fn drained(drain: Drain, company: Vec<Arc<OwnedFd>>) {
    drain.run().await;
    let all = async {
        for handle in &company {
            death(handle).await;
        }
    };
    if timeout_at(drain.end().expect("it has begun"), all).await.is_err() {
        crate::log::warn!("another generation of this unit still drains: it is not waited for any longer");
    }
}

impl Life {
    /// This process is the ready generation, and nobody can take that back. A predecessor that has let go has told systemd
    /// so; one that is dead has not, and where systemd listens to others than the main process, this mends it.
    pub(super) fn tell_ready(&mut self) {
        let status = self.status_line();
        let dropped = self.shared.registry().dropped();
        let Some(service) = &mut self.service else { return };
        service.is_main = true;
        match self.shared.is_successor {
            true => service.say(&[Notice::Ready, Notice::MainPid(std::process::id()), Notice::Status(&status)]),
            // Which process is the main one is systemd's to know: a script may stand between it and the first generation.
            false => service.say(&[Notice::Ready, Notice::Status(&status)]),
        }
        service.status = status;
        if let Some(store) = &mut service.store {
            store.is_also_of(dropped);
        }
        self.fill_store();
    }

    /// A restart has begun, and may take so long.
    pub(super) fn tell_reloading(&mut self) {
        let hooks = self.shared.hooks().longest().saturating_add(estate::DEADLINE);
        let restart = self.settings.ready_deadline.saturating_add(self.settings.probation);
        let time = restart.saturating_add(hooks).saturating_add(MARGIN);
        if let Some(service) = &mut self.service {
            service.say(&[Notice::Reloading, Notice::ExtendTimeout(time)]);
        }
    }

    /// The unit is as before: a reload is answered by READY alone, and why it failed is in the status.
    pub(super) fn tell_restart_failed(&mut self) {
        let status = self.status_line();
        if let Some(service) = &mut self.service {
            service.say(&[Notice::Ready, Notice::Status(&status)]);
            service.status = status;
        }
    }

    pub(super) fn tell_more_time(&mut self, by: Duration) {
        if let Some(service) = &mut self.service {
            service.say(&[Notice::ExtendTimeout(by.saturating_add(MARGIN))]);
        }
    }

    /// Before the lame duck, with which a stop takes longer than units give one.
    pub(super) fn tell_stopping(&mut self) {
        let times = &self.settings.on_stop;
        let drain = times.until_drain().saturating_add(times.until_deadline());
        let time = drain.saturating_add(self.shared.hooks().longest_end()).saturating_add(MARGIN);
        if let Some(service) = &mut self.service {
            service.say_stopping();
            service.say(&[Notice::ExtendTimeout(time)]);
        }
    }

    /// From here systemd watches the successor, in place of this process. `Some`: nobody needs to be told.
    pub(super) fn name_successor(&mut self) -> Option<Event> {
        let successor = self.successor.as_ref().expect("a successor on probation is held until it has ended");
        let (pid, spawned) = (successor.identity().pid, successor.is_spawned());
        let is_mute = successor.accepts_unconfirmed();
        let Some(service) = self.service.as_mut().filter(|service| service.is_main) else {
            return Some(Event::SupervisorKnows);
        };
        if !spawned {
            // Somebody else has started it, so it is a service of its own, and this one ends when it has drained. It is no
            // stop, which systemd would give its own time only.
            service.say(&[Notice::Ready]);
            return Some(Event::SupervisorKnows);
        }
        // One datagram, for after it this process's word counts no more.
        match is_mute {
            false => service.say(&[Notice::MainPid(pid), Notice::Ready]),
            // It was not told where systemd listens, or how often that wants to hear from it.
            true => service.say(&[Notice::MainPid(pid), Notice::Ready, Notice::NoWatchdog]),
        }
        service.is_main = false;
        self.await_supervisor();
        None
    }

    /// A stop is certain. `Some`: nobody else holds anything that clients could queue up in.
    pub(super) fn withdraw(&mut self) -> Option<Event> {
        self.drop_work();
        self.withdraw_from_systemd();
        self.dying = self.dying.take().filter(|handle| !sys::has_ended(handle.as_fd()));
        if self.dying.is_some() {
            self.set_deadline(DEATH, Event::SupervisorKnows);
        }
        self.has_withdrawn()
    }

    fn withdraw_from_systemd(&mut self) {
        let names = self.shared.registry().all_names();
        let Some(service) = &mut self.service else { return };
        if let Some(store) = &mut service.store {
            store.is_also_of(names);
        }
        if !service.is_main {
            return;
        }
        service.say_stopping();
        service.empty_store();
        if service.store.is_some() {
            self.await_supervisor();
        }
    }

    pub(super) fn supervisor_knows(&mut self) -> Option<Event> {
        self.awaits_supervisor = false;
        self.has_withdrawn()
    }

    /// A successor that was killed at the stop is dead, and its duplicates with it.
    pub(super) fn is_dead(&mut self) -> Option<Event> {
        self.dying = None;
        // It may also die while nobody waits for that, and a restart is under way that waits for the supervisor alone.
        if self.is_withdrawing() { self.has_withdrawn() } else { None }
    }

    fn has_withdrawn(&self) -> Option<Event> {
        let awaits_death = self.dying.is_some() && self.is_withdrawing();
        (!self.awaits_supervisor && !awaits_death).then_some(Event::SupervisorKnows)
    }

    /// It is the main process after all, of a unit that ends.
    pub(super) fn own_service_at_last(&mut self) {
        if let Some(service) = &mut self.service {
            service.is_main = true;
            service.say_stopping();
            service.empty_store();
        }
    }

    /// What systemd keeps is what has a name here, from the moment on from which this is the main process.
    pub(super) fn fill_store(&mut self) {
        let now = self.shared.registry().stored();
        if let Some(Service { notifier, store: Some(store), .. }) = &mut self.service {
            store.become_what_is(now, notifier);
        }
    }

    /// A name more or less. Not before this generation is ready; and from a stop on the store stays empty.
    pub(super) fn keep_store(&mut self) {
        let serves = self.owns_names && matches!(self.phase.state(), State::Ready | State::Restarting);
        if serves && self.service.as_ref().is_some_and(|service| service.is_main && service.store.is_some()) {
            self.fill_store();
        }
    }

    pub(super) fn note_straggler(&mut self, successor: &Successor) {
        if let Some(service) = &mut self.service {
            service.stragglers.retain(|handle| !sys::has_ended(handle.as_fd()));
            service.stragglers.extend(successor.handle().map(Arc::new));
        }
    }

    /// Those that may still drain in the unit whose main process this is.
    pub(super) fn company(&self) -> Vec<Arc<OwnedFd>> {
        let Some(service) = self.service.as_ref().filter(|service| service.is_main) else {
            return Vec::new();
        };
        let ancestors = self.ancestors.iter().map(|(_, handle)| handle);
        ancestors.chain(&service.stragglers).cloned().collect()
    }

    fn await_supervisor(&mut self) {
        if let Some(service) = &mut self.service {
            service.notifier.barrier();
        }
        self.awaits_supervisor = true;
        self.set_deadline(PATIENCE, Event::SupervisorKnows);
    }

    /// The line that `systemctl status` shows, if it has changed.
    pub(super) fn tell_status(&mut self) {
        if !self.service.as_ref().is_some_and(Service::is_main) {
            return;
        }
        let status = self.status_line();
        if let Some(service) = self.service.as_mut().filter(|service| service.status != status) {
            service.say(&[Notice::Status(&status)]);
            service.status = status;
        }
    }

    fn status_line(&self) -> String {
        let state = self.phase.state();
        let mut line = format!("generation {}: {state}", self.shared.generation);
        match state {
            State::Draining => line.push_str(&format!(", waits for {}", self.shared.tracker.waits_for())),
            // Without ages: a line that says the same is not said again.
            _ => line.extend(self.shared.tracker.open().map(|open| format!(", {open}"))),
        }
        for it in self.draining_ancestors() {
            line.push_str(&format!("; generation {} (pid {}) drains", it.generation, it.pid));
            if !it.waits_for.is_empty() {
                line.push_str(&format!(", waits for {}", it.waits_for));
            }
        }
        // For as long as it is the last one: whoever has reloaded looks when it suits them, and not just then.
        if let Some(LastRestart { outcome: Err(why), .. }) = &self.last_restart {
            line.push_str(&format!("; the last restart failed: {}", why.message()));
        }
        line
    }
}
