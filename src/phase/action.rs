//! What the loop is to do.

use std::time::Duration;

use crate::{Error, generation::Cause};

#[derive(Clone, Debug)]
pub(crate) enum Action {
    // Towards the application.
    /// `ready()` returns.
    AnswerReady(Result<(), Error>),
    /// All who asked for the restart that was under way, and the one at the control path that it was for, learn that it
    /// failed; nothing is left of the successor here.
    /// Without an asker it is logged all the same.
    AnswerFailed(Error),
    /// A restart that was signalled before `ready()` waits for it: an application that forgets it would wonder.
    NoteEarlyRestart,
    /// Who asks now is refused. A successor that serves already is not concerned.
    Refuse(Error),
    /// This generation accepts.
    OpenGate,
    /// This generation accepts nobody for now, its listeners are out of the reactor.
    ShutGate,
    /// Sockets that were passed and not claimed are closed.
    CloseLeftovers,
    /// This process is the ready generation, and nobody can take that back: the pid file names it, and paths in the file
    /// system are its to remove.
    OwnNames,

    // Towards the predecessor.
    /// Its pipe is our standard error no more: it is told enough, or nobody reads it any longer.
    GiveStderrBack,
    SayReady,
    SayExtend(Duration),
    SayStopping(String),

    // Before the successor.
    /// Run the hooks that may refuse a restart, and collect what the successor gets besides sockets.
    Prepare,

    // Towards the successor.
    /// Spawn it if nothing forbids that here (PID 1, too many that drain), and start the ready deadline.
    Spawn,
    /// The one at the control path is taken for the successor, if nothing forbids that, as after a spawn.
    Welcome,
    /// The one at the control path is refused, and no restart begins for it.
    TurnAway(Error),
    ExtendReadyDeadline(Duration),
    /// Run the hooks that give up what only one process may have.
    Release,
    /// Run their undos: nobody else has it any more.
    Undo,
    /// COMMIT, and start the probation.
    Confirm,
    /// ABORT {why}; its process goes on by itself.
    TakeBack(String),
    /// Start the time in which it may end by itself, before it is killed. None, but for one that may have accepted somebody,
    /// and was asked to end.
    PutDown,
    /// SIGKILL, and start the deadline by which it must be seen dead.
    Kill,
    /// Nobody will see how it ends. SIGKILL, if it can't have accepted anybody yet; else it was asked to end, and a kill
    /// would cut whom it serves: it has a stop's time.
    Dismiss,
    /// Start the time in which a successor that closed its channel may end by itself, so that its own status is seen.
    AwaitEnd,
    /// Stop caring for it: what is left of it is reaped when it ends, which one that knows of no deadline of ours has a stop's
    /// time for.
    Forget,
    /// The supervisor is told who the main process is now, which nobody can take back; it is done when the supervisor
    /// knows.
    NameSuccessor,
    /// The point of no return: let the listeners go, tell successor and predecessor, rewrite the pid file, answer
    /// the askers.
    LetGo,

    // Drain.
    /// Tell those who look that this generation is ready no more; it accepts as before.
    BeginLameDuck(Cause),
    /// The supervisor is told of the stop, and gives the sockets back that it keeps; and a successor that was killed gives
    /// back its own by its death. As long as anybody holds one, clients queue up in it, whom nobody will serve. It is done
    /// when the supervisor knows.
    Withdraw,
    BeginDrain(Cause),
    /// The predecessor has let go to a generation that ends already: what it had passed on is this one's to clear away.
    OwnNamesAtLast,
    /// For the report.
    NoteFailure(Error),
    /// The successor serves, as far as is known, and is not heard any more.
    NoteUnheard(Error),
    /// The successor is dead and nobody serves but a supervisor's next start: hurry, and say so in the report.
    SuccessorLost,
    /// A first stop while this process drains for another reason.
    ShortenDrain,
    /// A second stop.
    CutDrain,
    RunExitHooks,
    /// Everything else is over: what is last to close ends now.
    EndLast,
    Finish,
}
