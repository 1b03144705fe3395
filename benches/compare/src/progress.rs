use std::{io::IsTerminal, time::Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::results::Run;

/// What is being done: on a terminal a line that changes, elsewhere a line for each run.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    done: usize,
    all: usize,
    began: Instant,
}

impl Progress {
    pub(crate) fn of(all: usize) -> Self {
        let bar = std::io::stdout().is_terminal().then(|| {
            let style = ProgressStyle::with_template("[{pos}/{len}] {elapsed} of some {duration}  {wide_msg}");
            ProgressBar::new(all as u64).with_style(style.expect("the template is valid"))
        });
        Self { bar, done: 0, all, began: Instant::now() }
    }

    pub(crate) fn begins(&self, scenario: &str, system: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{scenario}: {system}"));
        }
    }

    pub(crate) fn ends(&mut self, result: &anyhow::Result<Run>, what: &str) {
        self.done += 1;
        let line = match result {
            Ok(Run { lost, reconnects, per_second, .. }) => {
                format!("{what}: {lost} lost, {reconnects} reconnects, {per_second:.0}/s")
            }
            Err(error) => format!("{what}: {error:#}"),
        };
        match &self.bar {
            Some(bar) => {
                bar.println(line);
                bar.inc(1);
            }
            None => println!("[{}/{}] {:>4} s  {line}", self.done, self.all, self.began.elapsed().as_secs()),
        }
    }
}
