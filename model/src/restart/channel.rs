//! The channel between a predecessor and its successor, as the kernel has it.

/// What a predecessor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Down {
    /// HELLO, the sockets, the state, END.
    Legacy,
    /// To one at the control path, in place of that: not now.
    Declined,
    Commit,
    Abort,
    LetGo,
}

/// What a successor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Up {
    Accepted,
    Ready,
    Refused,
    Stopping,
    Replaced,
    /// No message of ours.
    Nonsense,
}

impl Up {
    /// After it, no successor serves that was not confirmed for good.
    pub(super) fn is_the_end(self) -> bool {
        matches!(self, Self::Refused | Self::Stopping | Self::Nonsense)
    }
}

/// What lies in a queue outlives its writer, and dies with its reader.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Channel {
    pub(super) down: Vec<Down>,
    pub(super) up: Vec<Up>,
    /// The predecessor says nothing more, and perhaps listens no more.
    pub(super) above_has_ended: bool,
    above_is_deaf: bool,
    pub(super) below_has_ended: bool,
    /// A process that the successor has started holds its end open.
    pub(super) is_held: bool,
}

impl Channel {
    /// `false`: the send fails, for the other end is closed.
    pub(super) fn say_down(&mut self, what: Down) -> bool {
        let arrives = !self.below_has_ended;
        if arrives {
            self.down.push(what);
        }
        arrives
    }

    pub(super) fn say_up(&mut self, what: Up) {
        if !self.below_has_ended && !self.above_is_deaf {
            self.up.push(what);
        }
    }

    /// The predecessor closes its end, or is dead.
    pub(super) fn close_above(&mut self) {
        self.above_has_ended = true;
        self.above_is_deaf = true;
        self.up.clear();
    }

    /// It ends the half in which it speaks.
    pub(super) fn shut_writing_above(&mut self) {
        self.above_has_ended = true;
    }

    /// The successor closes its end, or is dead.
    pub(super) fn close_below(&mut self) {
        self.below_has_ended = true;
        self.down.clear();
    }

    /// Whether the predecessor reads that there is nothing more.
    pub(super) fn is_at_its_end_above(&self) -> bool {
        self.up.is_empty() && self.below_has_ended && !self.is_held
    }

    /// Whether the successor reads that there is nothing more.
    pub(super) fn is_at_its_end_below(&self) -> bool {
        self.down.is_empty() && self.above_has_ended
    }
}
