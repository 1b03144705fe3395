use std::{
    future::{Future, poll_fn},
    time::Duration,
};

use tokio::sync::watch;

use super::{LOST, NotHandedOver, Stream};
use crate::{
    Cause, Error, ErrorKind, Guard, Tracker,
    drain::{Level, Outcome, Why},
    handover::{
        Exit, Fate, Lane, Parcel, Permit,
        socket::{Socket, register, shut_down},
    },
    name::Name,
    wire::Destination,
};

/// Hands a connection over, or gives it back. `cause`: why this generation ends, if it does.
///
/// It counts from the call on, and not only once somebody polls: nobody reads from it or writes to it meanwhile, and the drain
/// is to know of it.
pub(crate) fn leave<S: Stream>(
    exit: Exit,
    tracker: Tracker,
    cause: watch::Receiver<Option<Cause>>,
    stream: S,
    protocol: Result<Name, Error>,
    state: Vec<u8>,
) -> impl Future<Output = Result<(), NotHandedOver<S>>> {
    let stream = stream.into_tracked(&tracker);
    async move {
        let back = |stream, state, why| Err(NotHandedOver::Back { stream: S::of_tracked(stream), state, why });
        let protocol = match protocol.and_then(|protocol| may_leave(&exit, &cause, &state).map(|()| protocol)) {
            Ok(protocol) => protocol,
            Err(why) => return back(stream, state, why),
        };
        // It stays in the reactor, and whole, while it waits: if the exit closes meanwhile, nothing has happened to it.
        let permit = match room(&exit, &tracker).await {
            Ok(permit) => permit,
            Err(why) => return back(stream, state, why),
        };
        let (io, rest) = stream.take_out();
        let socket = match io.into_socket() {
            Ok(socket) => socket,
            Err(error) => return Err(lost(rest.guard(), "take the connection out of the runtime", error)),
        };
        let to = Destination::Protocol(protocol);
        let fate = exit.leave(permit, Parcel { to, socket, read: Vec::new(), state, waited: Duration::ZERO }).await;
        match fate {
            Fate::Taken => {
                rest.guard().set_outcome(Outcome::HandedOver);
                Ok(())
            }
            Fate::Back(Parcel { socket, state, .. }, why) => match register(socket) {
                // A helper of a successor that has died may hold its copy.
                Ok(io) => {
                    let stream = rest.put_back(io).before_close(shut_down);
                    back(stream, state, Error::new(ErrorKind::Refused, why))
                }
                Err(error) => Err(lost(rest.guard(), "register a connection again that was not taken", error)),
            },
            Fate::Undecided => {
                rest.guard().set_outcome(Outcome::Cut(Why::Undecided));
                let why = "the successor had not decided when this generation gave the connection up";
                Err(NotHandedOver::Lost { why: Error::new(ErrorKind::Deadline, why) })
            }
        }
    }
}

/// Until the deadline only: the final state, which goes first, may be on its way for as long, and nobody closes the exit then.
async fn room(exit: &Exit, tracker: &Tracker) -> Result<Permit, Error> {
    let mut room = exit.room(Lane::Raw);
    tokio::select! {
        biased;
        permit = poll_fn(|cx| room.poll(cx)) => {
            permit.ok_or_else(|| Error::new(ErrorKind::Refused, exit.why_closed()))
        }
        () = tracker.watch().reached(Level::Over) => {
            Err(Error::new(ErrorKind::Deadline, "it had no turn until the drain's deadline"))
        }
    }
}

/// What can be said at once.
fn may_leave(exit: &Exit, cause: &watch::Receiver<Option<Cause>>, state: &[u8]) -> Result<(), Error> {
    if state.len() > Parcel::LONGEST {
        let fault = format!("{} bytes of state, and {} may go with a connection", state.len(), Parcel::LONGEST);
        return Err(Error::new(ErrorKind::State, fault));
    }
    if exit.is_open() {
        return Ok(());
    }
    Err(match cause.borrow().clone() {
        None => Error::new(ErrorKind::Nobody, "this generation has no successor"),
        Some(Cause::Replaced { .. }) => Error::new(ErrorKind::Nobody, exit.why_closed()),
        Some(cause) => Error::new(ErrorKind::Ending, format!("this generation has no successor: {cause}")),
    })
}

fn lost<S>(guard: &Guard, what: &str, error: std::io::Error) -> NotHandedOver<S> {
    guard.set_outcome(LOST);
    NotHandedOver::Lost { why: Error::io(ErrorKind::Connection, what, error) }
}
