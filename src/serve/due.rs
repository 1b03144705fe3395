#[cfg(feature = "http2")]
use std::time::Duration;

use tokio::time::Instant;

use super::{Connection, Handler, Io, clock::Wait, phase::Phase, settings::Settings};
use crate::drain::{Level, later};

/// What a connection does by itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    /// Says that it should go.
    #[cfg_attr(not(feature = "http2"), allow(dead_code))] // an HTTP/1 connection is told with a response
    Tell,
    /// Cuts what is too long by its policy.
    Close,
    /// Ends a wait that has taken too long.
    LetGo,
}

/// How long a client that was told to go may take to do so once it idles.
#[cfg(feature = "http2")]
const TIME_TO_GO: Duration = Duration::from_secs(5);

impl<T: Io, S: Handler> Connection<T, S> {
    /// What this connection does next by itself, and when. Notes what it waits for.
    pub(super) fn due(&mut self) -> Option<(Instant, Due)> {
        let wait = self.note_wait()?;
        let end = self.end_of(wait).map(|at| (at, Due::LetGo));
        if self.level == Level::Serving {
            return end;
        }
        let dues = [self.tell_at().zip(Some(Due::Tell)), self.close_at(wait).zip(Some(Due::Close)), end];
        // The first of those that are due at the same time: nobody is let go untold.
        dues.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// `None`: it ends already.
    pub(super) fn note_wait(&mut self) -> Option<Wait> {
        let waiting = match &self.phase {
            Phase::Sniffing(..) => self.clock.waiting(), // for its first head, since it was made
            Phase::Http1(_) => self.link.note_waiting(),
            #[cfg(feature = "http2")]
            Phase::Http2(http2) => http2.waiting(),
            Phase::Away(..) | Phase::Ending(_) | Phase::Ended => return None,
        };
        self.clock.note(waiting, waiting.wait == Wait::Head || self.is_timed());
        Some(waiting.wait)
    }

    /// When a wait has taken too long.
    ///
    /// The drain brings the end of a wait nearer and does nothing else: once half-open connections have had their time,
    /// one may stay so for as long as that was, from whenever it began; and one that idles, or has never said a word, has
    /// its turn to be let go.
    fn end_of(&self, wait: Wait) -> Option<Instant> {
        let (Settings { head_deadline, idle_deadline, .. }, since) = (&*self.link.settings, self.clock.since());
        match wait {
            Wait::Busy => None,
            Wait::Head => {
                let too_long = later(since?, *head_deadline);
                let sooner = match &self.phase {
                    Phase::Sniffing(sniffer, _) if !sniffer.has_read() => self.let_go_at(since),
                    _ if self.may_leave() => None,
                    _ => {
                        self.link.watch.half_open_from(self.level).zip(since).map(|(limit, since)| later(since, limit))
                    }
                };
                sooner.into_iter().chain([too_long]).min()
            }
            // Whoever is told goes by itself. Until it has answered, a request of its own may be on its way.
            #[cfg(feature = "http2")]
            Wait::Idle if self.is_told() => Some(later(since?, TIME_TO_GO)),
            Wait::Idle => {
                let too_long = idle_deadline.and_then(|limit| Some(later(since?, limit)));
                too_long.into_iter().chain(self.let_go_at(since)).min()
            }
        }
    }

    /// The turn of one from which nothing is awaited: it idles, or has never said a word. None, if it waits for room on its
    /// way to the successor.
    fn let_go_at(&self, since: Option<Instant>) -> Option<Instant> {
        if self.level < Level::Draining || self.may_leave() {
            return None;
        }
        self.link.watch.let_go_at(self.link.guard().turn(), since)
    }

    /// When it is told as a whole. An HTTP/1 connection is told with a response, which costs it no alarm.
    fn tell_at(&self) -> Option<Instant> {
        match &self.phase {
            #[cfg(feature = "http2")]
            Phase::Http2(http2) if http2.may_be_told(self.level) => self.link.watch.tell_at(self.link.guard().turn()),
            _ => None,
        }
    }

    /// When the policy of an answer under way wants it cut.
    fn close_at(&self, wait: Wait) -> Option<Instant> {
        match &self.phase {
            // Not of one that has been given, whose client only does not close.
            Phase::Http1(_) if wait == Wait::Busy && !self.link.is_ending() => {
                self.link.watch.close_at(self.link.policy())
            }
            #[cfg(feature = "http2")]
            Phase::Http2(http2) => http2.close_at(&self.link.watch),
            _ => None,
        }
    }

    /// Whether it may matter since when a connection idles. Where it cannot, no request costs a look at the clock.
    pub(super) fn is_timed(&self) -> bool {
        self.link.settings.idle_deadline.is_some() || self.level > Level::Serving
    }

    #[cfg(feature = "http2")]
    fn is_told(&self) -> bool {
        matches!(&self.phase, Phase::Http2(http2) if http2.is_told())
    }
}
