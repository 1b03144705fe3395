//! Stops a process at a step of the restart: no timing, no hook in the crate. The loop logs each event and each action
//! before it carries it out, and this subscriber does what the test asked for when the right one comes.

use std::{
    fmt::{self, Write as _},
    sync::{Arc, Mutex},
};

use nix::sys::signal::{Signal, raise};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

/// `HR_AT=<generation>:<event or action>:<kill|hold>,…`: in that generation, just before that action is carried out or
/// just when that event has come, the process is killed, or says `held …` and stops until SIGCONT. Each once.
#[derive(Clone, Debug)]
pub struct Step {
    wanted: Arc<Mutex<Vec<(String, bool)>>>,
}

impl Step {
    /// Waits for nothing before it is told of its generation. `None`: no generation wants any.
    pub fn of_environment() -> Option<Self> {
        std::env::var_os("HR_AT").map(|_| Self { wanted: Arc::default() })
    }

    /// From now on those of the environment that concern this generation.
    pub fn begin(&self, generation: u64) {
        let text = std::env::var("HR_AT").expect("as it was");
        let steps = text.split(',').filter(|step| !step.is_empty()).map(|step| step.split(':').collect::<Vec<_>>());
        let ours = steps.filter_map(|step| {
            let [number, wanted, what] = step.try_into().expect("generation:step:what");
            (number == generation.to_string()).then(|| (wanted.to_owned(), what == "kill"))
        });
        self.wanted.lock().expect("no panic").extend(ours);
    }
}

impl<S: Subscriber> Layer<S> for Step {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut name = Name(String::new());
        event.record(&mut name);
        let (step, kill) = {
            let mut wanted = self.wanted.lock().expect("no panic");
            let Some(at) = wanted.iter().position(|(step, _)| *step == name.0) else {
                return;
            };
            wanted.remove(at)
        };
        if kill {
            raise(Signal::SIGKILL).expect("killed");
        }
        super::server::say(format_args!("held at={step} pid={}", std::process::id()));
        raise(Signal::SIGSTOP).expect("stopped");
    }
}

/// The first word of the field `event` or `action`: `Confirm`, `Ready`, `LetGo`.
struct Name(String);

impl Visit for Name {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if matches!(field.name(), "event" | "action") {
            let mut text = String::new();
            write!(text, "{value:?}").expect("a String takes everything");
            self.0 = text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned();
        }
    }
}
