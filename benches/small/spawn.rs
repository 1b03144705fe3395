//! For how long whoever starts a process stands still, by how much memory is resident: until the call returns. What a fork
//! costs after that, when the parent writes to pages that it shares now, shows in `benches/stall.rs`.

#![expect(unsafe_code, reason = "it compares with a plain fork")]

use std::{env, ffi::CStr, hint::black_box, ptr};

use divan::{Bencher, counter::BytesCount};
use nix::{
    libc,
    sys::wait::waitpid,
    unistd::{ForkResult, Pid, fork},
};

use crate::sys::{self, Command, Handed, Kinship, Process};

const MIB: usize = 1 << 20;

/// `SPAWN_GIB` adds one. To see that it works, the smallest is enough.
fn sizes() -> Vec<usize> {
    if env::args().any(|argument| argument == "--test") {
        return vec![16];
    }
    let more = env::var("SPAWN_GIB").ok().map(|gib| 1024 * gib.parse::<usize>().expect("SPAWN_GIB is a number"));
    [16, 256, 1024].into_iter().chain(more).collect()
}

/// Written, for untouched memory is not there. No page is like another, so that none is merged. Given back at the end.
fn resident(mib: usize) -> Vec<u64> {
    (0..(mib * MIB / 8) as u64).collect()
}

/// As the crate does it where nobody else needs to be the parent.
#[divan::bench(args = sizes(), sample_count = 30, sample_size = 1)]
fn posix_spawn(bencher: Bencher<'_, '_>, mib: usize) {
    start(bencher, mib, Kinship::Child);
}

/// As the crate does it under a manager that follows its own children only: `clone` with the caller's memory.
#[divan::bench(args = sizes(), sample_count = 30, sample_size = 1)]
fn clone_of_a_sibling(bencher: Bencher<'_, '_>, mib: usize) {
    start(bencher, mib, Kinship::Sibling);
}

fn start(bencher: Bencher<'_, '_>, mib: usize, kinship: Kinship) {
    let memory = resident(mib);
    let program = || Command {
        program: PROGRAM.to_str().expect("ASCII").into(),
        arguments: vec![PROGRAM.to_str().expect("ASCII").into()],
        environment: Vec::new(),
        directory: None,
    };
    bencher
        .with_inputs(program)
        .bench_local_values(|program| Started(sys::spawn(&program, &Handed::default(), kinship).expect("it starts")));
    black_box(memory);
}

const PROGRAM: &CStr = c"/bin/true";

/// Its end is waited for when its start has been timed.
struct Started(Process);

impl Drop for Started {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[divan::bench(args = sizes(), sample_count = 30, sample_size = 1)]
fn fork_and_exec(bencher: Bencher<'_, '_>, mib: usize) {
    let memory = resident(mib);
    let (arguments, environment) = ([PROGRAM.as_ptr(), ptr::null()], [ptr::null()]);
    bencher.bench_local(|| {
        // SAFETY: The child calls nothing but two functions that are async-signal-safe.
        match unsafe { fork() }.expect("a process") {
            ForkResult::Child => {
                // SAFETY: The program is a string, and both lists end with a null pointer.
                unsafe { libc::execve(PROGRAM.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
                // SAFETY: Nothing of this process runs in the child.
                unsafe { libc::_exit(127) }
            }
            ForkResult::Parent { child } => Forked(child),
        }
    });
    black_box(memory);
}

struct Forked(Pid);

impl Drop for Forked {
    fn drop(&mut self) {
        waitpid(self.0, None).expect("it is this process's child");
    }
}
