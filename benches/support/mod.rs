//! What the benchmarks have in common.

#![allow(dead_code, unused_imports, reason = "each benchmark uses a part of it")]

mod fleet;
mod gaps;
mod idle;
mod options;
mod process;
mod stats;
mod subject;

pub(crate) use fleet::{Fleet, example};
pub(crate) use gaps::{Gap, Gaps};
pub(crate) use idle::{ask_again, ask_once};
pub(crate) use options::Harness;
pub(crate) use process::{client_ports, cpu_time, forget_peak, now, peak, raise_descriptor_limit, resident};
pub(crate) use stats::{Summary, ms, quantile};
pub(crate) use subject::{Kind, Subject};
