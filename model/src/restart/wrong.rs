//! Variants that look as good as what production does. Each replaces one thing, and must break a law: else the model
//! could not see the fault, and its silence about the right one would mean nothing.

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrong {
    /// The successor is ready, and waits for no COMMIT.
    ReadyIsCommit,
    /// The successor has waited long enough for COMMIT, so its predecessor is dead.
    SuccessorHasATimer,
    /// A deadline acts when its time has come, and what lies in the channel is read after it.
    DeadlineFirst,
    /// The kernel says that the peer has hung up, and what it said before is not read first.
    EndBeforeWords,
    /// A channel that ends says enough, and ABORT is not said.
    AbortIsUnsaid,
    /// The same where it has said itself that it refuses, or stops.
    AbortIsUnsaidToWhoRefuses,
    /// The channel's end is read as an ABORT: without its predecessor, a successor gives up.
    EndIsAbort,
    /// COMMIT can't be sent, or ABORT, so the successor is dead.
    FailedSendIsDeath,
    /// A SIGKILL was sent, so the successor is dead.
    KillIsDeath,
    /// What was given up is taken back when the restart has failed, and not only when the successor is dead.
    UndoesAtOnce,
    /// What was given up is not taken back where there was no COMMIT.
    UndoesNothing,
    /// The channel's end alone says that a successor is dead, whoever else may hold it open.
    WaitsForHelper,
    /// One that has closed its channel will end by itself, so there is no deadline for that.
    WaitsForTheEnd,
    /// The supervisor learns at COMMIT who serves now, and not only after the probation.
    NamesAtCommit,
    /// A successor that dies while the supervisor is told its name is taken back as one on probation.
    TakesBackTheNamed,
    /// Both accept during the probation.
    BothAccept,
    /// A successor is ready, so its predecessor accepts nobody more while it gives up what only one may have.
    ShutsAtReady,
    /// A successor that has failed counts among the generations of which there are too many for another.
    CountsTheFailed,
    /// One that is told to stop with a successor on its way goes at once, and leaves that one as it is.
    LeavesSuccessor,
    /// A restart that is wanted too early is forgotten by one that ends.
    ForgetsWhoAsked,
}
