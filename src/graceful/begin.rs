//! What a generation begins with, and its loop's beginning.

use std::{
    sync::{Arc, Mutex, Weak},
    time::SystemTime,
};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    life::{Ground, Leaving, Life, NEWS, end_with},
    meter,
    service::Service,
    settings::Settings,
    shared::Shared,
};
use crate::{
    State, Successor,
    accept::{Gate, Gatekeeper},
    control::Door,
    drain::Drain,
    estate::{Inherited, Providers},
    handover::{Arrivals, Departures, Entrances},
    phase::Phase,
    process::{Introduction, Lingering},
    sockets::Registry,
    status::LastRestart,
};

/// Everything that was found, taken or opened before the loop runs. A detached handle begins with nothing.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    pub(super) settings: Settings,
    pub(super) ground: Option<Ground>,
    pub(super) introduction: Option<Introduction>,
    pub(super) registry: Registry,
    pub(super) door: Option<Door>,
    pub(super) service: Option<Service>,
}

impl Beginning {
    /// Accepts what the predecessor has passed, spawns the loop, and gives what a handle needs of it.
    pub(super) fn begin(self) -> Arc<Shared> {
        let Self { settings, ground, introduction, registry, door, service } = self;
        let (asks, asked) = mpsc::unbounded_channel();
        let (failed, failures) = mpsc::unbounded_channel();
        let (failed_restart, failed_restarts) = mpsc::unbounded_channel();
        let since = SystemTime::now();
        let (mut ancestors, mut stderr, mut predecessor, mut last_restart) = (Vec::new(), None, None, None);
        let (mut generation, mut predecessor_pid) = (0, None);
        let (mut state, mut refuser) = (Vec::new(), Weak::new());
        if let Some(introduction) = introduction {
            generation = introduction.generation;
            predecessor_pid = Some(introduction.predecessor_pid);
            ancestors = introduction.ancestors.into_iter().map(|(who, handle)| (who, Arc::new(handle))).collect();
            stderr = introduction.stderr;
            state = introduction.state;
            let accepted = introduction.answer.accept();
            refuser = accepted.refuser();
            predecessor = Some(accepted);
            let this = Successor { pid: std::process::id(), generation };
            last_restart = Some(LastRestart { at: since, outcome: Ok(this) });
        }
        let is_successor = predecessor.is_some();
        let (inherited, expected) = Inherited::new(state);
        let entrances = Entrances::default();
        if !is_successor {
            entrances.close("this generation has no predecessor");
        }
        let drain = Drain::new();
        let (departures, exit) = Departures::new();
        let arrivals = Arrivals::new(entrances.clone(), settings.unclaimed);
        let shared = Arc::new(Shared {
            generation,
            is_successor,
            asks,
            failed,
            state: watch::Sender::new(State::Starting),
            cause: watch::Sender::new(None),
            report: watch::Sender::new(None),
            registry: registry.into(),
            hooks: Mutex::default(),
            last_names: Arc::default(),
            gate: Gatekeeper::new(if is_successor { Gate::Shut } else { Gate::Open }),
            tracker: drain.tracker(),
            drain,
            token: CancellationToken::new(),
            providers: Providers::default(),
            final_providers: Providers::default(),
            inherited,
            refuser,
            exit,
            entrances,
        });
        let times = settings.on_stop.clone();
        let life = Life {
            shared: Arc::clone(&shared),
            settings,
            phase: Phase::first(is_successor),
            ground,
            predecessor,
            departures,
            arrivals,
            expected: Some(expected).filter(|_| is_successor),
            ancestors,
            stderr,
            successor: None,
            deadline: None,
            overheard: 0,
            ready_askers: Vec::new(),
            restart_askers: Vec::new(),
            stop_askers: Vec::new(),
            candidate: None,
            door,
            service,
            awaits_supervisor: false,
            dying: None,
            lingering: Lingering::default(),
            since,
            last_restart,
            confirmed: !is_successor,
            owns_names: !is_successor,
            restart_began: Instant::now(),
            part_began: Instant::now(),
            parts: Vec::new(),
            leaving: Leaving::Others,
            is_cut: false,
            work: None,
            released: None,
            state: Vec::new(),
            final_state: None,
            expecting: None,
            departing: None,
            aftermath: None,
            last_word: None,
            failures: failed_restart,
            failed_restarts,
            news: Instant::now() + NEWS,
            asks: asked,
            failed: failures,
        };
        meter::begin(generation);
        let life = async move {
            crate::log::info!(predecessor_pid, "starting");
            life.run().await;
        };
        let life = tokio::spawn(crate::log::generation(generation).around(life));
        let end = end_with(life, Arc::clone(&shared), times);
        tokio::spawn(crate::log::generation(generation).around(end));
        shared
    }
}
