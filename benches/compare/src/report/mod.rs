//! What was found, for readers: a page with pictures, a picture and a table for README, and a table for the terminal.

mod files;
mod how;
mod number;
mod page;
mod palette;
mod plot;
#[cfg(test)]
mod sample;
mod scale;
mod scenario;
mod standing;
mod table;

pub(crate) use files::{redraw, write};
pub(crate) use number::median;
pub(crate) use standing::{Better, Figure, Part, behind, undecided};
pub(crate) use table::table;
