use std::{
    hint::spin_loop,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{JoinHandle, spawn},
};

/// Neighbours who want all of the processor, until this is dropped.
pub(super) struct Spinners {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Spinners {
    pub(super) fn start(threads: usize) -> Self {
        let over = Arc::<AtomicBool>::default();
        let spinner = |_| {
            let over = Arc::clone(&over);
            spawn(move || {
                while !over.load(Relaxed) {
                    spin_loop();
                }
            })
        };
        let threads = (0..threads).map(spinner).collect();
        Self { over, threads }
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("it only spins");
        }
    }
}
