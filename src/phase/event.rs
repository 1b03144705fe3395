//! The closed list of what can happen to a process.

use std::{process::ExitStatus, time::Duration};

use tokio::signal::unix::SignalKind;

use crate::Error;

#[derive(Clone, Debug)]
pub(crate) enum Event {
    // The application and its signals.
    /// `ready()` was called.
    ReadyAsked,
    /// `extend_ready_deadline` was called.
    TimeAsked(Duration),
    /// A restart is wanted by a method, which waits for the answer.
    RestartAsked,
    /// The same by a signal, to which nobody can answer: one that comes too early is kept.
    RestartSignalled,
    StopAsked(Option<SignalKind>),
    /// A `serve` can never accept again.
    ServeFailed(Error),

    /// A successor that somebody else has started is at the control path.
    Met,
    /// What had to be said to the supervisor has reached it, or never will. At a stop also: nobody else holds the sockets any
    /// more, neither the supervisor nor a successor that was killed on its way.
    SupervisorKnows,

    // What the predecessor does.
    /// COMMIT.
    Confirmed,
    /// ABORT.
    TakenBack(String),
    /// LET GO: it is past its point of no return.
    PredecessorLetGo,
    /// The channel's end without ABORT: it is dead.
    PredecessorGone,

    // What the successor does.
    Spawned,
    SpawnFailed(Error),
    /// ACCEPTED, after all sockets.
    Accepted,
    /// EXTEND.
    NeedsTime(Duration),
    /// READY.
    Ready,
    /// REPLACED: the chain goes on beyond it.
    Replaced,
    /// STOPPING: it ends by itself, and why.
    Stopping(String),
    /// REFUSED: it ends by itself.
    Refused(Error),
    /// What it said is no message of ours, or we could not speak to it.
    Failed(Error),
    /// The channel's end. Its process may still live.
    ChannelClosed,
    /// Its process has ended, and its channel has been read to the end. `None`: nobody knows how.
    Ended(Option<ExitStatus>),

    // Time. Before each of these the channel was read dry.
    ReadyDeadline,
    ProbationOver,
    /// A successor that has closed its channel, or was killed, had its time to end.
    EndDeadline,

    /// The lame duck has had its time.
    LameDuckOver,

    // What was begun here and has come to its end.
    /// The hooks before a spawn agree, and the state for the successor is there.
    Prepared,
    /// One refused, or failed: no successor is started.
    Unprepared(Error),
    /// What only one process may have has been given up.
    Released,
    /// A hook failed to give it up.
    Unreleased(Error),
    /// What was given up is here again, but for these.
    Undone(Vec<Error>),
    /// Nothing is left of the drain but what is last to close.
    OthersDrained,
    /// The exit hooks have run.
    Left,
    /// Nothing is left of the drain.
    Drained,
}
