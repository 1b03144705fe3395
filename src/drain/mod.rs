//! The end of a generation: everybody is told, everything that was begun is waited for, and what outlives its
//! deadline is cut.
//!
//! A stop may begin with a *lame duck*: clients are told to go, and whoever comes is still served. The *drain* begins
//! when accepting has ended. Nobody is sent away in the same moment as all others, but by turns ([`Times`]); what is long
//! ends as its [`Policy`] says; and what is last to close answers until everything else is over.
//!
//! One `Drain` belongs to the handle. It broadcasts a level, from *serving* by five steps to *over*; a
//! [`Watch`] sees the level, a [`Tracker`] counts what must end first and says what that is, and a [`Report`] says how it
//! went. There is no timer per connection: a level is one atomic number and one wake-up of everybody who cares. Nor does
//! a request count anything that connections share: each has an account of its own, which is looked at when somebody asks.

mod account;
mod alarm;
mod census;
mod cut;
mod driver;
mod end_on_drain;
mod ending;
mod flights;
mod follower;
mod grace_over;
mod guard;
mod held;
mod in_turn;
mod input;
mod last_look;
mod ledger;
mod level;
mod outcome;
mod policy;
mod report;
mod schedule;
mod times;
mod tracked;
mod tracker;
mod turn;
mod watch;

pub(crate) use alarm::Alarm;
pub(crate) use cut::Cut;
pub(crate) use driver::Drain;
pub use end_on_drain::{DrainStream, EndOnDrain, EndOnDrainWith};
pub(crate) use ending::{Ending, Step};
pub(crate) use flights::Flight;
pub(crate) use follower::Follower;
pub use guard::{Guard, Kind};
pub use input::EndInput;
pub(crate) use last_look::last_look;
pub(crate) use level::Level;
pub(crate) use outcome::Outcome;
pub use outcome::Why;
pub use policy::Policy;
pub use report::{Report, Tally};
pub(crate) use schedule::later;
pub use times::Times;
pub use tracked::Tracked;
pub use tracker::Tracker;
pub(crate) use turn::Turn;
pub use watch::Watch;

#[cfg(test)]
mod tests;
