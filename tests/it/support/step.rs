//! Something befalls a process at a step of the restart: no timing, no hook in the crate. The loop logs each event, and each
//! action before it carries it out, and says at debug level what goes over the channel; and this subscriber does what
//! the test asked for when the right one comes.

use std::{
    env,
    fmt::{self, Write as _},
    panic::catch_unwind,
    process,
    sync::{Arc, Mutex},
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::fault::{self, Fault};

/// `HR_AT=<generation>:<step>:<fault>,…`: in that generation, just before that action is carried out or just when that event
/// has come, the process says `struck …` (`held …`) and this befalls it. Each once.
#[derive(Clone, Debug)]
pub struct Step {
    wanted: Arc<Mutex<Vec<(String, Fault)>>>,
    /// The generation that a process with a predecessor is until it knows better.
    guessed: Option<u64>,
}

impl Step {
    /// Waits for nothing before it is told of its generation; but the first successor of all can be told from its environment.
    /// `None`: no generation wants any.
    pub fn of_environment() -> Option<Self> {
        env::var_os("HR_AT")?;
        fault::begin();
        let step = Self { wanted: Arc::default(), guessed: env::var_os("TOKIO_HOTRESTART_CHANNEL").map(|_| 1) };
        step.guessed.inspect(|guessed| step.want(*guessed));
        Some(step)
    }

    /// From now on those of the environment that concern this generation.
    pub fn begin(&self, generation: u64) {
        if self.guessed != Some(generation) {
            self.wanted.lock().expect("no panic").clear();
            self.want(generation);
        }
    }

    fn want(&self, generation: u64) {
        let text = env::var("HR_AT").expect("as it was");
        let steps = text.split(',').filter(|step| !step.is_empty()).map(|step| step.split(':').collect::<Vec<_>>());
        let ours = steps.filter_map(|step| {
            let [number, wanted, what] = step.try_into().expect("generation:step:what");
            (number == generation.to_string()).then(|| (wanted.to_owned(), Fault::of(what)))
        });
        self.wanted.lock().expect("no panic").extend(ours);
    }
}

impl<S: Subscriber> Layer<S> for Step {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if self.wanted.lock().expect("no panic").is_empty() {
            return;
        }
        let mut names = Names::default();
        event.record(&mut names);
        let (step, fault) = {
            let mut wanted = self.wanted.lock().expect("no panic");
            let Some(at) = wanted.iter().position(|(step, _)| *step == names.word || *step == names.sentence) else {
                return;
            };
            wanted.remove(at)
        };
        let (step, pid) = (step.replace(' ', "_"), process::id());
        let done = if fault == Fault::Hold { "held" } else { "struck" };
        super::server::say(format_args!("{done} at={step} fault={} pid={pid}", fault.word()));
        // A panic in a subscriber does the loop no harm, and here it must be seen: nothing has befallen anybody.
        if catch_unwind(|| fault.strike()).is_err() {
            process::exit(99);
        }
        super::server::say(format_args!("suffers at={step} pid={pid}"));
    }
}

/// By which a step is known: the sentence of the event, up to its first comma, or the first word of the field that says what it is (`Confirm`,
/// `Ready`, `TAKEN`).
#[derive(Default)]
struct Names {
    word: String,
    sentence: String,
}

impl Visit for Names {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        write!(text, "{value:?}").expect("a String takes everything");
        match field.name() {
            "event" | "action" | "reply" | "what" => {
                let is_part = |c: char| !c.is_alphanumeric();
                self.word = text.trim_matches('"').split(is_part).next().unwrap_or_default().to_owned();
            }
            "message" => self.sentence = text.split(',').next().unwrap_or_default().to_owned(),
            _ => {}
        }
    }
}
