use std::{future::poll_fn, time::Duration};

use super::{NotHandedOver, Stream, stream::Socket};
use crate::{
    Cause, Error, ErrorKind, Tracker,
    drain::{Level, Outcome, Why},
    handover::{Exit, Fate, Lane, Parcel, Permit},
    name::Name,
    wire::Destination,
};

/// Hands a connection over, or gives it back. `cause`: why this generation ends, if it does.
pub(crate) async fn leave<S: Stream>(
    exit: Exit,
    tracker: Tracker,
    cause: Option<Cause>,
    stream: S,
    protocol: Result<Name, Error>,
    state: Vec<u8>,
) -> Result<(), NotHandedOver<S>> {
    let protocol = match protocol.and_then(|protocol| may_leave(&exit, cause, &state).map(|()| protocol)) {
        Ok(protocol) => protocol,
        Err(why) => return Err(NotHandedOver::Back { stream, state, why }),
    };
    // It stays in the reactor, and whole, while it waits: if the exit closes meanwhile, nothing has happened to it.
    let stream = stream.into_tracked(&tracker);
    let permit = match room(&exit, &tracker).await {
        Ok(permit) => permit,
        Err(why) => return Err(NotHandedOver::Back { stream: S::of_tracked(stream), state, why }),
    };
    let (io, rest) = stream.take_out();
    let socket = match io.into_socket() {
        Ok(socket) => socket,
        Err(error) => return Err(lost("take the connection out of the runtime", error)),
    };
    let to = Destination::Protocol(protocol);
    let fate = exit.leave(permit, Parcel { to, socket, read: Vec::new(), state, waited: Duration::ZERO }).await;
    match fate {
        Fate::Taken => {
            rest.guard().set_outcome(Outcome::HandedOver);
            Ok(())
        }
        Fate::Back(Parcel { socket, state, .. }, why) => match S::Io::of_socket(socket) {
            Ok(io) => {
                let why = Error::new(ErrorKind::Refused, why);
                Err(NotHandedOver::Back { stream: S::of_tracked(rest.put_back(io)), state, why })
            }
            Err(error) => Err(lost("register a connection again that was not taken", error)),
        },
        Fate::Undecided => {
            rest.guard().set_outcome(Outcome::Cut(Why::Undecided));
            let why = "the successor had not decided when this generation gave the connection up";
            Err(NotHandedOver::Lost { why: Error::new(ErrorKind::Deadline, why) })
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
fn may_leave(exit: &Exit, cause: Option<Cause>, state: &[u8]) -> Result<(), Error> {
    if state.len() > Parcel::LONGEST {
        let fault = format!("{} bytes of state, and {} may go with a connection", state.len(), Parcel::LONGEST);
        return Err(Error::new(ErrorKind::State, fault));
    }
    if exit.is_open() {
        return Ok(());
    }
    Err(match cause {
        None => Error::new(ErrorKind::Nobody, "this generation has no successor"),
        Some(Cause::Replaced { .. }) => Error::new(ErrorKind::Nobody, exit.why_closed()),
        Some(cause) => Error::new(ErrorKind::Ending, format!("this generation has no successor: {cause}")),
    })
}

fn lost<S>(what: &str, error: std::io::Error) -> NotHandedOver<S> {
    NotHandedOver::Lost { why: Error::io(ErrorKind::Connection, what, error) }
}
