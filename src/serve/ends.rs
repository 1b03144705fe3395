//! How a connection ends that does not end by itself: by its policy, because it has waited too long, at the deadline.

use std::mem;

use super::{Connection, Handler, Io, clock::Wait, farewell::Farewell, phase::Phase, transport::Transport};
use crate::{
    Error, ErrorKind,
    drain::{Outcome, Why},
};

impl<T: Io, S: Handler> Connection<T, S> {
    /// Cuts what is too long by its policy: an HTTP/1 answer with its connection, HTTP/2's with its stream.
    pub(super) fn close(&mut self) -> Result<(), Error> {
        match mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Http1(http1) => {
                let Some((transport, ..)) = http1.into_parts() else { return Ok(()) };
                self.link.guard().set_outcome(Outcome::Cut(Why::Policy));
                let error = Error::new(ErrorKind::Connection, "an answer was closed by its policy in the drain");
                if self.link.ends_by_close() {
                    transport.reset();
                    return Err(error);
                }
                self.phase = Phase::Ending(Farewell::new(transport, Err(error)));
            }
            #[cfg(feature = "http2")]
            Phase::Http2(mut http2) => {
                http2.close_due(&self.link.watch);
                self.phase = Phase::Http2(http2);
            }
            phase => self.phase = phase,
        }
        Ok(())
    }

    /// It has waited too long.
    pub(super) fn let_go(&mut self) {
        match mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Sniffing(mut sniffer, service) => {
                let seen = sniffer.last_look();
                let is_half = sniffer.has_read();
                if let Some(protocol) = seen {
                    self.phase = Phase::Sniffing(sniffer, service);
                    return self.begin(protocol);
                }
                let transport = self.transport(sniffer.into_io());
                self.phase = self.farewell(transport, is_half);
            }
            Phase::Http1(http1) => {
                let Some((mut transport, read, herald)) = http1.into_parts() else { return };
                let is_idle = self.clock.waiting().wait == Wait::Idle;
                let seen = if is_idle { transport.last_look() } else { None };
                self.phase = match seen {
                    Some(seen) => {
                        transport.rewind([read, seen].concat().into());
                        self.phase_http1(transport, herald)
                    }
                    None => self.farewell(transport, !is_idle || !read.is_empty()),
                };
            }
            #[cfg(feature = "http2")]
            Phase::Http2(mut http2) => {
                if !http2.is_told() {
                    http2.tell(&self.link);
                    self.phase = Phase::Http2(http2);
                    return;
                }
                // No stream runs, and the client has not answered: neither the PING, nor perhaps the preface.
                drop(http2);
                let Some(io) = self.link.take_home() else { return };
                self.phase = Phase::Ending(Farewell::new(self.transport(io), Ok(())));
            }
            phase @ (Phase::Away(..) | Phase::Ending(_) | Phase::Ended) => self.phase = phase,
        }
    }

    /// Ends what waits for a head, or for the rest of one.
    fn farewell(&self, transport: Transport<T>, is_half: bool) -> Phase<T, S> {
        let result = if is_half {
            self.link.guard().set_outcome(Outcome::Cut(Why::HalfOpen));
            let after = self.clock.since().map(|since| since.elapsed()).unwrap_or_default();
            Err(Error::new(ErrorKind::Connection, format!("no complete request head within {after:?}")))
        } else {
            self.link.set_let_go();
            Ok(())
        };
        Phase::Ending(Farewell::new(transport, result))
    }

    /// The deadline.
    pub(super) fn cut(&mut self) -> Result<(), Error> {
        self.link.leave_home();
        let is_in_its_middle = match mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Sniffing(mut sniffer, _) => sniffer.last_look().is_some() || sniffer.has_read(),
            Phase::Http1(_) if self.link.is_ending() => false,
            Phase::Http1(http1) if self.link.waiting().wait == Wait::Idle => {
                // Nobody will answer what lies there.
                let parts = http1.into_parts();
                parts.is_some_and(|(transport, read, _)| !read.is_empty() || transport.has_unread())
            }
            Phase::Http1(http1) if self.link.ends_by_close() => http1.into_parts().is_some_and(|(transport, ..)| {
                transport.reset();
                true
            }),
            Phase::Http1(_) => true,
            #[cfg(feature = "http2")]
            Phase::Http2(http2) => http2.waiting().wait != Wait::Idle,
            Phase::Away(..) | Phase::Ending(_) | Phase::Ended => false,
        };
        if !is_in_its_middle {
            return Ok(());
        }
        self.link.guard().set_outcome(Outcome::Cut(Why::Deadline));
        Err(Error::new(ErrorKind::Connection, "cut at the drain's deadline"))
    }
}
