//! State that goes from one generation to the next: who provides it here, and what has come.

mod inherited;
mod providers;
mod taking;
#[cfg(test)]
mod tests;

pub(crate) use inherited::{Expected, Inherited};
pub(crate) use providers::Providers;
pub(crate) use taking::{DEADLINE, Taken, Taking};
