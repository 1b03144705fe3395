//! The steps of a restart (4) and of handing over (7) at which something can befall a generation, numbered as in `faults.md`.

use crate::support::fault::Fault;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    Predecessor,
    Successor,
}

impl Side {
    pub fn generation(self) -> u64 {
        match self {
            Self::Predecessor => 0,
            Self::Successor => 1,
        }
    }
}

macro_rules! steps {
    ($($side:ident { $($step:ident = $name:literal: $mark:literal,)* })*) => {
        /// In the order in which they come.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Step {
            $($($step,)*)*
        }

        impl Step {
            pub const ALL: &[Self] = &[$($(Self::$step,)*)*];

            /// As the table has it.
            pub fn name(self) -> &'static str {
                match self { $($(Self::$step => $name,)*)* }
            }

            /// By which the subscriber (`support/step.rs`) knows it.
            pub fn mark(self) -> &'static str {
                match self { $($(Self::$step => $mark,)*)* }
            }

            pub fn side(self) -> Side {
                match self { $($(Self::$step => Side::$side,)*)* }
            }
        }
    };
}

// The crate's log is the interface: a mark is the name of an event, an action or an answer, or a sentence that is logged.
// Whoever renames one in `src` renames it here.
steps! {
    Predecessor {
        Asked = "asked": "Prepare",
        Spawns = "spawns": "Spawn",
        HelloSaid = "has said HELLO": "Spawned",
        AcceptedHeard = "hears ACCEPTED": "Accepted",
        ReadyHeard = "hears READY": "Ready",
        Commits = "says COMMIT": "Confirm",
        OnProbation = "has said COMMIT": "the successor is ready and serves",
        ProbationOver = "ends the probation": "ProbationOver",
        LetsGo = "lets go": "LetGo",
        FinalEndSaid = "has said FINAL END": "FINAL END is said",
        TakenApart = "takes a connection apart": "a connection was taken apart",
        Offers = "says OFFER": "OFFER is said",
        Offered = "has said OFFER": "OFFER was said",
        TakenHeard = "hears TAKEN": "Taken",
        DeclinedHeard = "hears DECLINED": "Declined",
        TakesBack = "takes it back": "a connection was not handed over",
        Drained = "has drained": "OthersDrained",
        Ends = "ends": "Finish",
    }
    Successor {
        Begins = "begins": "begun",
        HelloHeard = "hears HELLO": "HELLO was heard",
        EndHeard = "hears END": "END was heard",
        Initialised = "is initialised": "ReadyAsked",
        SaysReady = "says READY": "SayReady",
        CommitHeard = "hears COMMIT": "Confirmed",
        Opens = "opens the gate": "OpenGate",
        Serves = "serves": "AnswerReady",
        LetGoHeard = "hears LET GO": "PredecessorLetGo",
        OwnsNames = "owns the names": "OwnNames",
        FinalEndHeard = "hears FINAL END": "FINAL END was heard",
        OfferHeard = "hears OFFER": "OFFER was heard",
        SaysTaken = "says TAKEN": "TAKEN",
        TakenSaid = "has said TAKEN": "an answer to OFFER has gone out",
        Declines = "declines it": "a connection was declined",
        SaysDeclined = "says DECLINED": "DECLINED",
        DeclinedSaid = "has said DECLINED": "an answer to OFFER has gone out",
        Alone = "is alone": "PredecessorGone",
    }
}

impl Step {
    /// Whether it comes only where the successor does not take what it is offered.
    pub fn is_of_declining(self) -> bool {
        matches!(self, Self::DeclinedHeard | Self::TakesBack | Self::Declines | Self::SaysDeclined | Self::DeclinedSaid)
    }
}

/// Something at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    pub step: Step,
    pub fault: Fault,
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { step, fault } = self;
        write!(f, "{:?} {}: {}", step.side(), step.name(), fault.word())
    }
}

#[test]
fn the_crate_says_what_each_step_is_known_by() {
    let sources: Vec<_> = crate::tidy::sources().into_values().collect();
    // A sentence or a name in quotes, up to its first comma, or a variant where its enum lists it.
    let says = |mark: &str| {
        let quoted = ["\"", ","].map(|end| format!("\"{mark}{end}"));
        let is_variant = |line: &str| {
            let rest = line.trim_start().strip_prefix(mark);
            rest.is_some_and(|rest| rest == "," || rest.ends_with("),") && rest.starts_with('(') || rest == " {")
        };
        let is_said = |source: &String| quoted.iter().any(|it| source.contains(it)) || source.lines().any(is_variant);
        sources.iter().any(is_said)
    };
    // The test server's own.
    let marks = Step::ALL.iter().filter(|step| **step != Step::Begins).map(|step| step.mark());
    let unsaid: Vec<_> = marks.filter(|mark| !says(mark)).collect();
    assert!(unsaid.is_empty(), "nothing in src says {unsaid:?}");
    assert!(!says("no such step"));
}
