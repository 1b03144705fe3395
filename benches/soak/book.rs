//! What clients have lost, and whether a kill explains it.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use load::{Befallen, Incident, Opened, Outcome};
use tokio::{sync::Notify, time::Instant};

use super::held::Held;

/// What clients have lost, and whether a kill explains it: nothing else does.
///
/// Before a process is killed it stands still, and the connections that it holds are written down. So a loss is explained
/// where its connection was in that list, and by nothing else; and where nobody was left to accept, what was asked until the
/// next server was up.
pub(super) struct Book {
    began: Instant,
    pages: Mutex<Pages>,
    violated: Notify,
}

#[derive(Default)]
struct Pages {
    /// Whose process was killed.
    victims: Clients,
    /// Whose process drains as at a stop since then, because it was the killed one that would have had them: one that asks just
    /// as its idle connection ends has to ask again, but nobody is cut.
    orphans: Clients,
    /// When nobody served, because the last one had been killed.
    down: Vec<Span>,
    /// When somebody who could have accepted was held up by us.
    held_up: Vec<Span>,
    /// When a process was killed that may have had a datagram.
    mute: Vec<Span>,
    explained: BTreeMap<String, u64>,
    /// Of these, who met the end of an idle connection of an orphan's.
    raced: u64,
    /// Ends of connections that a server has announced, as clients have seen them.
    told: u64,
    sent_back: u64,
    /// Reconnects that a kill explains.
    bereaved: u64,
    violations: Vec<String>,
    log: VecDeque<String>,
}

/// What a process held that was killed, or whose successor was.
#[derive(Default)]
struct Clients {
    /// Of each client's end: when that was.
    tcp: HashMap<SocketAddr, Instant>,
    /// Of a Unix socket's clients nothing is known but how many connections there were, and those that have asked.
    unix: VecDeque<(Instant, usize, HashSet<Instant>)>,
}

#[derive(Clone, Copy)]
struct Span {
    from: Instant,
    to: Option<Instant>,
}

/// Until this is dropped, somebody who accepts may be held up.
pub(super) struct Hold<'a> {
    book: &'a Book,
    number: usize,
}

/// Some of the figures.
pub(super) struct Figures {
    pub(super) explained: BTreeMap<String, u64>,
    pub(super) raced: u64,
    pub(super) told: u64,
    pub(super) sent_back: u64,
    pub(super) bereaved: u64,
}

impl Book {
    /// How long a client waits for anything: longer than anything is held up.
    pub(super) const PATIENCE: Duration = Duration::from_secs(20);
    /// How long after a kill a loss is still its: whoever waits for longer than its patience, and some more, has lost to
    /// something else.
    const EXCUSED: Duration = Duration::from_secs(25);

    pub(super) fn new() -> Self {
        Self { began: Instant::now(), pages: Mutex::default(), violated: Notify::new() }
    }

    /// Writes a line of what is done, with the time since the beginning.
    pub(super) fn log(&self, line: &str) {
        let line = format!("{:>9.3} {line}", self.began.elapsed().as_secs_f64());
        println!("{line}");
        let mut pages = self.pages();
        pages.log.push_back(line);
        if pages.log.len() > 30 {
            pages.log.pop_front();
        }
    }

    pub(super) fn last_operations(&self) -> Vec<String> {
        self.pages().log.iter().cloned().collect()
    }

    /// An invariant does not hold.
    pub(super) fn violated(&self, invariant: String) {
        println!("{:>9.3} VIOLATED {invariant}", self.began.elapsed().as_secs_f64());
        self.pages().violations.push(invariant);
        self.violated.notify_one();
    }

    /// Waits for the first violation.
    pub(super) async fn until_violated(&self) {
        while self.violations().is_empty() {
            self.violated.notified().await;
        }
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.pages().violations.clone()
    }

    /// What a load tells of its clients.
    pub(super) fn witness(
        self: &Arc<Self>,
        kind: &'static str,
        keeps: bool,
    ) -> impl Fn(Incident) + Send + Sync + 'static {
        let book = Arc::clone(self);
        move |Incident { what, connection }| match (what, connection) {
            (Befallen::Lost { why, outcome: Outcome::Raced }, Some(Opened { local, asked })) => {
                book.raced(kind, local, asked, &why);
            }
            (Befallen::Lost { why, .. }, Some(Opened { local, asked })) => book.lost(kind, local, asked, &why),
            (Befallen::Lost { why, .. }, None) => book.lost(kind, None, book.began, &why),
            (Befallen::Reconnected { told }, Some(Opened { local, asked })) if keeps => {
                book.reconnected(kind, local, asked, told);
            }
            (Befallen::Reconnected { .. }, _) => {}
        }
    }

    /// A request was lost.
    pub(super) fn lost(&self, kind: &str, local: Option<SocketAddr>, asked: Instant, why: &str) {
        let explains = |pages: &mut Pages| pages.explains(kind == "unix", local, asked);
        self.lost_unless(explains, kind, local, asked, why);
    }

    /// It met the end of its connection before any byte of the answer. Whether that idled, or was cut while the server read or
    /// had the request, can't be seen from here; so only such are excused as are not long in that.
    fn raced(&self, kind: &str, local: Option<SocketAddr>, asked: Instant, why: &str) {
        let is_idle = !matches!(kind, "slow" | "post" | "pipelined");
        let explains = |pages: &mut Pages| {
            if pages.explains(kind == "unix", local, asked) {
                return true;
            }
            let raced = is_idle && pages.orphans.explain(kind == "unix", local, asked);
            pages.raced += u64::from(raced);
            raced
        };
        self.lost_unless(explains, kind, local, asked, why);
    }

    fn lost_unless(
        &self,
        explains: impl FnOnce(&mut Pages) -> bool,
        kind: &str,
        local: Option<SocketAddr>,
        asked: Instant,
        why: &str,
    ) {
        let mut pages = self.pages();
        if explains(&mut pages) {
            *pages.explained.entry(kind.to_owned()).or_default() += 1;
            return;
        }
        drop(pages);
        let age = asked.elapsed();
        self.violated(format!("nothing is lost: {kind}, {why}; {local:?}, connection asked for {age:?} ago"));
    }

    /// A client of HTTP/1.1 that keeps its connection has another one.
    fn reconnected(&self, kind: &str, local: Option<SocketAddr>, asked: Instant, told: bool) {
        let mut pages = self.pages();
        if told {
            pages.told += 1;
        } else if pages.explains_an_end(kind == "unix", local, asked) {
            pages.bereaved += 1;
        } else {
            drop(pages);
            self.violated(format!("no kept-alive connection ends without a word: {kind}, {local:?}"));
        }
    }

    /// A connection of lines has ended.
    pub(super) fn ended(&self, kind: &str, local: Option<SocketAddr>, asked: Instant, why: &str) {
        let mut pages = self.pages();
        if pages.explains(false, local, asked) {
            pages.bereaved += 1;
        } else if why == "closed" {
            pages.sent_back += 1;
        } else {
            drop(pages);
            self.violated(format!("a connection of {kind} ends in order: {why}; {local:?}"));
        }
    }

    /// Those who hold these connections are about to be killed.
    pub(super) fn condemn(&self, held: &Held, stopped: Instant) {
        let mut pages = self.pages();
        pages.victims.add(held);
        pages.mute.push(Span { from: stopped - Duration::from_secs(1), to: Some(Instant::now()) });
    }

    /// Those who hold these can't hand them over any more.
    pub(super) fn orphan(&self, held: &Held) {
        self.pages().orphans.add(held);
    }

    /// Nobody is left who accepts.
    pub(super) fn down(&self, since: Instant) {
        let mut pages = self.pages();
        let span = Span { from: since - Duration::from_millis(100), to: None };
        pages.down.push(span);
        pages.mute.push(span);
    }

    /// Somebody is.
    pub(super) fn up(&self) {
        let mut pages = self.pages();
        let now = Instant::now();
        let Pages { down, mute, .. } = &mut *pages;
        for span in down.iter_mut().chain(mute).filter(|span| span.to.is_none()) {
            span.to = Some(now);
        }
    }

    /// Somebody who accepts is held up from now on.
    pub(super) fn hold(&self) -> Hold<'_> {
        let mut pages = self.pages();
        pages.held_up.push(Span { from: Instant::now(), to: None });
        Hold { book: self, number: pages.held_up.len() - 1 }
    }

    /// For how much of that time somebody was down or held up.
    pub(super) fn explained_of(&self, from: Instant, to: Instant) -> Duration {
        let pages = self.pages();
        let within = |span: &Span| (span.from.max(from), span.to.unwrap_or(to).min(to));
        let mut spans: Vec<_> = pages.held_up.iter().chain(&pages.down).map(within).collect();
        spans.retain(|(begin, end)| begin < end);
        spans.sort();
        // Those that overlap count once.
        let (mut explained, mut until) = (Duration::ZERO, from);
        for (begin, end) in spans {
            explained += end.saturating_duration_since(begin.max(until));
            until = until.max(end);
        }
        explained
    }

    /// Whether a killed process may have taken a datagram that was sent then.
    pub(super) fn explains_datagram(&self, sent: Instant) -> bool {
        self.pages().mute.iter().any(|span| span.from <= sent && span.to.is_none_or(|end| sent <= end))
    }

    pub(super) fn figures(&self) -> Figures {
        let pages = self.pages();
        let Pages { raced, told, sent_back, bereaved, .. } = *pages;
        Figures { explained: pages.explained.clone(), raced, told, sent_back, bereaved }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn explains(&mut self, is_unix: bool, local: Option<SocketAddr>, asked: Instant) -> bool {
        let explains = explains(asked);
        let down = self.down.iter().any(|span| span.from <= asked && span.to.is_none_or(explains));
        down || self.victims.explain(is_unix, local, asked)
    }

    /// The same of an end without a word between two requests.
    fn explains_an_end(&mut self, is_unix: bool, local: Option<SocketAddr>, asked: Instant) -> bool {
        self.explains(is_unix, local, asked) || self.orphans.explain(is_unix, local, asked)
    }
}

/// Of what is noticed now on a connection that was asked for then: whether what befell its process at some moment is why.
fn explains(asked: Instant) -> impl Fn(Instant) -> bool + Copy {
    let now = Instant::now();
    move |moment| asked <= moment && now <= moment + Book::EXCUSED
}

impl Clients {
    fn add(&mut self, held: &Held) {
        let now = Instant::now();
        // Those that explain nothing any more: ends come again, and a run may be long.
        self.tcp.retain(|_, moment| *moment + Book::EXCUSED >= now);
        self.unix.retain(|(moment, ..)| *moment + Book::EXCUSED >= now);
        self.tcp.extend(held.clients.iter().map(|client| (*client, now)));
        self.unix.push_back((now, held.unix, HashSet::new()));
    }

    fn explain(&mut self, is_unix: bool, local: Option<SocketAddr>, asked: Instant) -> bool {
        let explains = explains(asked);
        if local.and_then(|local| self.tcp.get(&local)).is_some_and(|moment| explains(*moment)) {
            return true;
        }
        // Each of them once: else two kills would explain one connection's losses.
        let of_them = |(killed, _, who): &(Instant, usize, HashSet<Instant>)| explains(*killed) && who.contains(&asked);
        if is_unix && self.unix.iter().any(of_them) {
            return true;
        }
        let place = self.unix.iter_mut().find(|(killed, held, who)| explains(*killed) && who.len() < *held);
        is_unix && place.is_some_and(|(_, _, who)| who.insert(asked))
    }
}

impl Hold<'_> {
    /// For so long the queue has room for the datagrams of one that stands still, also on a machine that is busy.
    const FULL: Duration = Duration::from_millis(1500);
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let (now, mut pages) = (Instant::now(), self.book.pages());
        let span = Span { to: Some(now), ..pages.held_up[self.number] };
        pages.held_up[self.number] = span;
        if now - span.from > Self::FULL {
            // And then it has those to read that have filled it.
            pages.mute.push(Span { to: Some(now + Self::FULL), ..span });
        }
    }
}
