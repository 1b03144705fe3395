use std::{cmp::Reverse, fmt};

use tokio::time::Instant;

use super::{Kind, account::Account};
use crate::status::ConnectionStatus;

/// What is open at a moment, by kind and state. `Display`: what a drain waits for.
#[derive(Debug)]
pub(super) struct Census {
    at: Instant,
    /// Of each kind the idle ones, then the active ones.
    groups: [[Group; 2]; Kind::COUNT],
}

#[derive(Clone, Copy, Debug)]
struct Group {
    count: u64,
    oldest: Instant,
}

const CONNECTIONS: [Kind; 5] = [Kind::Handshake, Kind::Fresh, Kind::Http1, Kind::Http2, Kind::Upgraded];

impl Census {
    pub(super) fn new() -> Self {
        let at = Instant::now();
        Self { at, groups: [[Group { count: 0, oldest: at }; 2]; Kind::COUNT] }
    }

    pub(super) fn add(&mut self, account: &Account) {
        let group = &mut self.groups[account.kind() as usize][usize::from(account.is_active())];
        group.count += 1;
        group.oldest = group.oldest.min(account.since());
    }

    /// Of which only the number is known, not when they came.
    pub(super) fn add_requests(&mut self, count: usize) {
        self.groups[Kind::Request as usize][usize::from(true)].count += count as u64;
    }

    /// But for `serve`s, which are no connections: the sockets that they accept from are listed by name. Nor is state.
    pub(super) fn statuses(&self) -> Vec<ConnectionStatus> {
        let kinds = Kind::ALL.into_iter().filter(|kind| !matches!(kind, Kind::Serve | Kind::State));
        let groups = kinds.flat_map(|kind| {
            let [idle, active] = self.groups[kind as usize];
            [(kind, "idle", idle), (kind, "active", active)]
        });
        let open = groups.filter(|(_, _, group)| group.count > 0);
        open.map(|(kind, state, Group { count, oldest })| ConnectionStatus {
            kind: kind.to_string(),
            state: state.to_owned(),
            count,
            oldest: self.at - oldest,
        })
        .collect()
    }

    fn of(&self, kind: Kind) -> Group {
        let [idle, active] = self.groups[kind as usize];
        Group { count: idle.count + active.count, oldest: idle.oldest.min(active.oldest) }
    }

    /// All but `serve`s, in words, with or without the age of the oldest.
    pub(super) fn open(&self, age: bool) -> Option<String> {
        let rest = [(Kind::Request, "request"), (Kind::Task, "task"), (Kind::Other, "guard")];
        let rest = rest.into_iter().filter_map(|(kind, name)| counted(self.of(kind).count, name));
        let said: Vec<_> = self.connections(age).into_iter().chain(rest).collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    /// `3 connections: oldest 41 s, 2 upgraded, 1 http2`
    fn connections(&self, age: bool) -> Option<String> {
        let mut kinds = CONNECTIONS.map(|kind| (kind, self.of(kind)));
        kinds.sort_by_key(|(_, group)| Reverse(group.count));
        let count = kinds.iter().map(|(_, group)| group.count).sum();
        let oldest = kinds.iter().map(|(_, group)| group.oldest).min()?;
        let age = age.then(|| format!("oldest {} s", (self.at - oldest).as_secs()));
        let kinds = kinds.iter().filter(|(_, group)| group.count > 0);
        let said: Vec<_> =
            age.into_iter().chain(kinds.map(|(kind, group)| format!("{} {kind}", group.count))).collect();
        Some(format!("{}: {}", counted(count, "connection")?, said.join(", ")))
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.open(true) {
            Some(open) => f.write_str(&open),
            // A make-service that is never ready holds up the last `serve`: "nothing" would be no answer to "why?".
            None if self.of(Kind::State).count > 0 => f.write_str("the final state to arrive"),
            None if self.of(Kind::Serve).count > 0 => f.write_str("the end of accepting"),
            None => f.write_str("nothing"),
        }
    }
}

fn counted(count: u64, name: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!("1 {name}")),
        _ => Some(format!("{count} {name}s")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::{super::Drain, *};

    fn status(kind: &str, state: &str, count: u64, oldest: u64) -> ConnectionStatus {
        let (kind, state) = (kind.to_owned(), state.to_owned());
        ConnectionStatus { kind, state, count, oldest: Duration::from_secs(oldest) }
    }

    #[tokio::test(start_paused = true)]
    async fn it_lists_what_is_open_by_kind_and_state_with_the_age_of_the_oldest() {
        let tracker = Drain::new().tracker();
        assert_eq!(tracker.census(), []);
        let _serve = tracker.guard_of(Kind::Serve);
        let idle = tracker.guard_of(Kind::Http1);
        sleep(Duration::from_secs(30)).await;
        let younger = tracker.guard_of(Kind::Http1);
        let active = tracker.guard_of(Kind::Http1);
        active.set_active(true);
        let rest = [Kind::Handshake, Kind::Fresh, Kind::Upgraded, Kind::Other].map(|kind| tracker.guard_of(kind));
        let task = tracker.spawn(std::future::pending::<()>());
        sleep(Duration::from_secs(11)).await;
        let others =
            [status("upgraded", "active", 1, 11), status("other", "active", 1, 11), status("task", "active", 1, 11)];
        let half_open = [status("in handshake", "active", 1, 11), status("fresh", "idle", 1, 11)];
        let http1 = [status("http1", "idle", 2, 41), status("http1", "active", 1, 11)];
        assert_eq!(tracker.census(), [&half_open[..], &http1, &others].concat());
        drop(idle);
        assert_eq!(tracker.census()[2], status("http1", "idle", 1, 11));
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        drop((younger, rest));
        assert_eq!(tracker.census(), [status("http1", "active", 1, 11)]);
        drop(active);
        assert_eq!(tracker.census(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_changes_its_kind_keeps_its_age() {
        let tracker = Drain::new().tracker();
        let guard = tracker.guard_of(Kind::Handshake);
        sleep(Duration::from_secs(3)).await;
        guard.set_kind(Kind::Http2);
        assert_eq!(tracker.census(), [status("http2", "idle", 1, 3)]);
        guard.set_kind(Kind::Upgraded);
        assert_eq!(tracker.census(), [status("upgraded", "active", 1, 3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn in_words_it_counts_connections_and_then_what_else_there_is() {
        let tracker = Drain::new().tracker();
        assert_eq!(tracker.waits_for(), "nothing");
        let _serve = tracker.guard_of(Kind::Serve);
        assert_eq!(tracker.waits_for(), "the end of accepting");
        let task = tracker.guard_of(Kind::Task);
        assert_eq!(tracker.waits_for(), "1 task");
        drop(task);
        let _http2 = tracker.guard_of(Kind::Http2);
        sleep(Duration::from_millis(41_900)).await;
        assert_eq!(tracker.waits_for(), "1 connection: oldest 41 s, 1 http2");
        let _upgraded = [(); 2].map(|()| tracker.guard_of(Kind::Upgraded));
        assert_eq!(tracker.waits_for(), "3 connections: oldest 41 s, 2 upgraded, 1 http2");
        let _others = [Kind::Task, Kind::Other, Kind::Other].map(|kind| tracker.guard_of(kind));
        assert_eq!(tracker.waits_for(), "3 connections: oldest 41 s, 2 upgraded, 1 http2; 1 task; 2 guards");
    }

    #[test]
    fn guards_that_come_and_go_in_many_threads_are_all_counted_and_all_leave() {
        let tracker = Drain::new().tracker();
        let kept = std::thread::scope(|scope| {
            let threads = [(); 8].map(|()| {
                scope.spawn(|| {
                    let mut open = Vec::new();
                    for turn in 0..2_000 {
                        open.push(tracker.guard_of(Kind::Http1));
                        // From the middle, so that others move into its place.
                        if turn % 10 != 0 {
                            drop(open.swap_remove(open.len() / 2));
                        }
                        if turn % 100 == 0 {
                            let count: u64 = tracker.census().iter().map(|status| status.count).sum();
                            assert!((1..=8 * 201).contains(&count), "{count}");
                        }
                    }
                    open.iter().for_each(|guard| guard.set_active(true));
                    open
                })
            });
            threads.map(|thread| thread.join().unwrap())
        });
        let census = tracker.census();
        assert_eq!((census.len(), census[0].state.as_str(), census[0].count), (1, "active", 8 * 200));
        assert_eq!(tracker.len(), 8 * 200);
        drop(kept);
        assert_eq!((tracker.census(), tracker.is_empty()), (vec![], true));
    }
}
