//! The predecessor's side: it offers, and hears what became of it.

/// What the predecessor knows of a connection that has been taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Giving {
    /// Not offered yet: nobody else has ever seen it.
    Waiting,
    /// The successor may have it. Here it is only held.
    Offered,
    /// The successor's.
    Taken,
    /// This process's again, whole.
    Back,
    /// Let go without an answer: the successor may still take it, and then it is served; or it is cut.
    Undecided,
}

/// What can happen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// Its OFFER is about to be given to the kernel. From here on a send that fails decides nothing.
    Offered,
    /// Its OFFER has not gone out as a whole for want of something in this process, and never will.
    LeftOut,
    /// TAKEN.
    Taken,
    /// DECLINED.
    Declined,
    /// The channel has ended, and everything that was in it has been read.
    ChannelEnded,
    /// The successor talks nonsense. It may have taken the connection, but its word for it is worth nothing any more.
    Garbled,
    /// The deadline of this process's drain.
    Deadline,
}

/// What follows for the copy that is held here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Nothing,
    /// Close it: the successor serves the connection.
    LetGo,
    /// Serve it here.
    TakeBack,
    /// Close it, and count the connection as undecided.
    GiveUp,
}

impl Giving {
    /// Of a connection that has just been taken apart.
    pub(crate) fn first() -> Self {
        Self::Waiting
    }

    /// What follows from `event`. Total: an event that means nothing here leaves everything as it is.
    pub(crate) fn on(self, event: Event) -> (Self, Action) {
        match self {
            Self::Waiting => self.waiting(event),
            Self::Offered => self.offered(event),
            // It is settled. The same word twice changes nothing, and neither does one that comes after the deadline.
            Self::Taken | Self::Back | Self::Undecided => (self, Action::Nothing),
        }
    }

    /// Whether nothing that happens changes it any more.
    #[allow(dead_code, reason = "tests and the model checker ask")]
    pub(crate) fn is_settled(self) -> bool {
        matches!(self, Self::Taken | Self::Back | Self::Undecided)
    }

    fn waiting(self, event: Event) -> (Self, Action) {
        match event {
            Event::Offered => (Self::Offered, Action::Nothing),
            // Nobody else can have it, so it is this process's whatever the reason; the drain ends it, if it was that.
            Event::LeftOut | Event::ChannelEnded | Event::Garbled | Event::Deadline => (Self::Back, Action::TakeBack),
            // An answer to what was never said.
            Event::Taken | Event::Declined => (self, Action::Nothing),
        }
    }

    fn offered(self, event: Event) -> (Self, Action) {
        match event {
            Event::Taken => (Self::Taken, Action::LetGo),
            Event::Declined | Event::LeftOut => (Self::Back, Action::TakeBack),
            // The successor says nothing more, and had not said TAKEN as a whole: it has never touched the connection.
            Event::ChannelEnded => (Self::Back, Action::TakeBack),
            // The successor may have read from it already, or do so in a moment.
            Event::Garbled | Event::Deadline => (Self::Undecided, Action::GiveUp),
            Event::Offered => (self, Action::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Action as Do, Event as On, Giving as Is};

    const STATES: [Is; 5] = [Is::Waiting, Is::Offered, Is::Taken, Is::Back, Is::Undecided];
    const EVENTS: [On; 7] =
        [On::Offered, On::LeftOut, On::Taken, On::Declined, On::ChannelEnded, On::Garbled, On::Deadline];

    #[test]
    fn each_state_goes_through_each_event_as_the_table_says() {
        let table = |state, event| match (state, event) {
            (Is::Waiting, On::Offered) => (Is::Offered, Do::Nothing),
            (Is::Waiting, On::Taken | On::Declined) => (Is::Waiting, Do::Nothing),
            (Is::Waiting, _) => (Is::Back, Do::TakeBack),
            (Is::Offered, On::Offered) => (Is::Offered, Do::Nothing),
            (Is::Offered, On::Taken) => (Is::Taken, Do::LetGo),
            (Is::Offered, On::LeftOut | On::Declined | On::ChannelEnded) => (Is::Back, Do::TakeBack),
            (Is::Offered, On::Garbled | On::Deadline) => (Is::Undecided, Do::GiveUp),
            (settled, _) => (settled, Do::Nothing),
        };
        for state in STATES {
            for event in EVENTS {
                assert_eq!(state.on(event), table(state, event), "{state:?} at {event:?}");
            }
        }
    }

    #[test]
    fn the_copy_is_disposed_of_once_and_exactly_when_it_is_settled() {
        for state in STATES {
            for event in EVENTS {
                let (next, action) = state.on(event);
                let settles = next.is_settled() && !state.is_settled();
                assert_eq!(action != Do::Nothing, settles, "{state:?} at {event:?}");
                assert!(next.is_settled() || !state.is_settled(), "{state:?} at {event:?}");
            }
        }
    }

    #[test]
    fn what_is_offered_comes_back_only_by_the_successors_word_its_end_or_because_it_never_went() {
        for event in EVENTS {
            let back = Is::Offered.on(event).0 == Is::Back;
            assert_eq!(back, matches!(event, On::Declined | On::ChannelEnded | On::LeftOut), "{event:?}");
        }
    }

    #[test]
    fn a_deadline_takes_nothing_back_that_was_offered() {
        let (state, _) = Is::first().on(On::Offered);
        let (state, action) = state.on(On::Deadline);
        assert_eq!(action, Do::GiveUp);
        for late in EVENTS {
            assert_eq!(state.on(late), (Is::Undecided, Do::Nothing), "{late:?}");
        }
    }
}
