//! What the benchmarks have in common.

#![allow(dead_code, unused_imports, reason = "each benchmark uses a part of it")]

mod fleet;
mod gaps;
mod options;
mod process;
mod stats;
mod subject;

pub(crate) use fleet::{Fleet, example};
pub(crate) use gaps::{Gap, Gaps};
pub(crate) use options::Harness;
pub(crate) use process::{cpu_time, raise_descriptor_limit, resident};
pub(crate) use stats::{Summary, ms, quantile};
pub(crate) use subject::{Kind, Subject};
