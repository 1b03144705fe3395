//! The pictures. What they show is decided beside them; here it is drawn.

mod axis;
mod bars;
mod canvas;
mod columns;
mod curves;
mod letters;
mod summary;
mod timeline;

pub(super) use bars::bars;
pub(super) use curves::curves;
pub(super) use summary::summary;
pub(super) use timeline::timeline;
