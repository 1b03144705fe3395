//! The successor's side: it is offered, and decides.

/// What the successor knows of a connection that it was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Taking {
    /// It has a descriptor, and has said nothing.
    Held,
    /// The same, and there is nobody left to tell.
    Orphaned,
    /// TAKEN is being said. Nobody knows yet whether the predecessor will hear it.
    Saying,
    /// This process's: it reads and writes it.
    Own,
    /// Not this process's, and never touched.
    GivenUp,
}

/// What can happen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// There is a place for it.
    Admitted,
    /// There is none.
    Declined,
    /// The kernel has accepted the whole frame that says TAKEN.
    WentOut,
    /// The predecessor can hear nothing any more, and holds nothing: a send failed because of that, or the channel was
    /// read to its end.
    PredecessorGone,
    /// TAKEN could not be said as a whole for want of something in this process, and never will be.
    Unsaid,
    /// This process closes the channel, because the predecessor talks nonsense or nothing can be said there any more.
    HungUp,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Nothing,
    /// Say TAKEN, and leave the connection alone until that has gone out.
    SayTaken,
    /// Close it, which no client sees, for the predecessor has it too; and say DECLINED.
    Decline,
    /// Serve it.
    Begin,
    /// Close it.
    Close,
}

impl Taking {
    /// Of a connection whose OFFER has just been read.
    pub(crate) fn first() -> Self {
        Self::Held
    }

    /// What follows from `event`. Total: an event that means nothing here leaves everything as it is.
    pub(crate) fn on(self, event: Event) -> (Self, Action) {
        match self {
            Self::Held => self.held(event),
            Self::Orphaned => self.orphaned(event),
            Self::Saying => self.saying(event),
            // It is settled: what is its own stays so, and what was closed can't be had again.
            Self::Own | Self::GivenUp => (self, Action::Nothing),
        }
    }

    /// Whether nothing that happens changes it any more.
    pub(crate) fn is_settled(self) -> bool {
        matches!(self, Self::Own | Self::GivenUp)
    }

    fn held(self, event: Event) -> (Self, Action) {
        match event {
            Event::Admitted => (Self::Saying, Action::SayTaken),
            Event::Declined => (Self::GivenUp, Action::Decline),
            Event::PredecessorGone => (Self::Orphaned, Action::Nothing),
            Event::HungUp => (Self::GivenUp, Action::Close),
            // Said of something else.
            Event::WentOut | Event::Unsaid => (self, Action::Nothing),
        }
    }

    fn orphaned(self, event: Event) -> (Self, Action) {
        match event {
            Event::Admitted => (Self::Own, Action::Begin),
            Event::Declined => (Self::GivenUp, Action::Close),
            // Nobody is left who could serve it but this process: a channel that is closed now gives nothing back.
            Event::HungUp | Event::PredecessorGone | Event::WentOut | Event::Unsaid => (self, Action::Nothing),
        }
    }

    fn saying(self, event: Event) -> (Self, Action) {
        match event {
            Event::WentOut | Event::PredecessorGone => (Self::Own, Action::Begin),
            // The predecessor reads to the channel's end, finds no TAKEN, and has it back.
            Event::Unsaid | Event::HungUp => (Self::GivenUp, Action::Close),
            // It has decided: the kernel may have half of the frame.
            Event::Admitted | Event::Declined => (self, Action::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Action as Do, Event as On, Taking as Is};

    const STATES: [Is; 5] = [Is::Held, Is::Orphaned, Is::Saying, Is::Own, Is::GivenUp];
    const EVENTS: [On; 6] = [On::Admitted, On::Declined, On::WentOut, On::PredecessorGone, On::Unsaid, On::HungUp];

    #[test]
    fn each_state_goes_through_each_event_as_the_table_says() {
        let table = |state, event| match (state, event) {
            (Is::Held, On::Admitted) => (Is::Saying, Do::SayTaken),
            (Is::Held, On::Declined) => (Is::GivenUp, Do::Decline),
            (Is::Held, On::PredecessorGone) => (Is::Orphaned, Do::Nothing),
            (Is::Held, On::HungUp) => (Is::GivenUp, Do::Close),
            (Is::Orphaned, On::Admitted) => (Is::Own, Do::Begin),
            (Is::Orphaned, On::Declined) => (Is::GivenUp, Do::Close),
            (Is::Saying, On::WentOut | On::PredecessorGone) => (Is::Own, Do::Begin),
            (Is::Saying, On::Unsaid | On::HungUp) => (Is::GivenUp, Do::Close),
            (same, _) => (same, Do::Nothing),
        };
        for state in STATES {
            for event in EVENTS {
                assert_eq!(state.on(event), table(state, event), "{state:?} at {event:?}");
            }
        }
    }

    #[test]
    fn it_begins_or_is_closed_once_and_exactly_when_it_is_settled() {
        for state in STATES {
            for event in EVENTS {
                let (next, action) = state.on(event);
                let settles = next.is_settled() && !state.is_settled();
                assert_eq!(matches!(action, Do::Begin | Do::Close | Do::Decline), settles, "{state:?} at {event:?}");
                assert_eq!(action == Do::Begin, settles && next == Is::Own, "{state:?} at {event:?}");
            }
        }
    }

    #[test]
    fn it_is_touched_only_when_taken_has_gone_out_or_nobody_is_left_to_hear_it() {
        for state in STATES {
            for event in EVENTS {
                if state.on(event).1 == Do::Begin {
                    let heard = state == Is::Saying && event == On::WentOut;
                    let nobody = state == Is::Orphaned || event == On::PredecessorGone;
                    assert!(heard || nobody, "{state:?} at {event:?}");
                }
            }
        }
    }

    #[test]
    fn what_was_said_is_not_unsaid_by_a_change_of_mind() {
        let (saying, _) = Is::first().on(On::Admitted);
        assert_eq!(saying.on(On::Declined), (Is::Saying, Do::Nothing));
    }

    #[test]
    fn what_a_dead_predecessor_has_offered_can_still_be_taken() {
        let (orphaned, _) = Is::first().on(On::PredecessorGone);
        assert_eq!(orphaned.on(On::Admitted), (Is::Own, Do::Begin));
    }
}
