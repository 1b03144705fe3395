use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{Notify, Semaphore};

use super::{Lane, departure::Departure};
use crate::wire::MOST_UNDECIDED;

/// How many may be undecided at a time: each lane has its share.
const SERVE: usize = 48;
const RAW: usize = 16;
const _: () = assert!(SERVE + RAW == MOST_UNDECIDED);

/// What those who leave and those who carry them out share.
pub(super) struct Inbox {
    is_open: AtomicBool,
    serve: Arc<Semaphore>,
    raw: Arc<Semaphore>,
    content: Mutex<Content>,
    came: Notify,
}

#[derive(Default)]
struct Content {
    was_expected: bool,
    has_opened: bool,
    closed: Option<String>,
    /// At most as many as there are permits.
    waiting: VecDeque<Departure>,
}

impl Inbox {
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    pub(super) fn lane(&self, lane: Lane) -> &Arc<Semaphore> {
        match lane {
            Lane::Serve => &self.serve,
            Lane::Raw => &self.raw,
        }
    }

    pub(super) fn why_closed(&self) -> String {
        let no_successor = || "this generation has no successor".to_owned();
        self.content().closed.clone().unwrap_or_else(no_successor)
    }

    /// Into the inbox; where that is closed, back at once. Both under one lock, so that none comes in behind the last.
    pub(super) fn put(&self, departure: Departure) {
        let mut content = self.content();
        let Some(why) = content.closed.clone() else {
            content.waiting.push_back(departure);
            drop(content);
            return self.came.notify_one();
        };
        drop(content);
        departure.stay(&why);
    }

    pub(super) fn expect(&self) {
        let mut content = self.content();
        content.was_expected = true;
        if content.closed.is_none() {
            self.is_open.store(true, Ordering::Release);
        }
    }

    pub(super) fn was_expected(&self) -> bool {
        self.content().was_expected
    }

    /// Once; and never again once it was closed.
    pub(super) fn open(&self) {
        self.expect();
        let mut content = self.content();
        if content.closed.is_some() || content.has_opened {
            return;
        }
        content.has_opened = true;
        drop(content);
        self.serve.add_permits(SERVE);
        self.raw.add_permits(RAW);
    }

    /// For ever. What waits is back, and whoever waits for room is told that there will be none. The first reason stays.
    pub(super) fn close(&self, why: &str) {
        let mut content = self.content();
        content.closed.get_or_insert_with(|| why.to_owned());
        self.is_open.store(false, Ordering::Release);
        let waiting = std::mem::take(&mut content.waiting);
        drop(content);
        self.serve.close();
        self.raw.close();
        waiting.into_iter().for_each(|departure| departure.stay(why));
    }

    /// Those that wait, in turn: as many as fit, the first whatever it weighs.
    pub(super) fn take(&self, most: usize, mut bytes: usize) -> Vec<Departure> {
        let waiting = &mut self.content().waiting;
        let mut taken = Vec::new();
        while let Some(first) = waiting.front() {
            let fits = taken.is_empty() || (taken.len() < most && first.length() <= bytes);
            if !fits {
                break;
            }
            bytes = bytes.saturating_sub(first.length());
            taken.extend(waiting.pop_front());
        }
        taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.content().waiting.is_empty()
    }

    /// Something has come since this was last asked for. For one who waits; cancel safe.
    pub(super) async fn came(&self) {
        self.came.notified().await;
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // Each change is one assignment, so a panic leaves nothing half done.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Inbox {
    /// Neither open nor closed.
    fn default() -> Self {
        Self {
            is_open: AtomicBool::new(false),
            serve: Arc::new(Semaphore::new(0)),
            raw: Arc::new(Semaphore::new(0)),
            content: Mutex::default(),
            came: Notify::new(),
        }
    }
}
