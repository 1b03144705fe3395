//! What a test has logged, with the fields of the spans around it.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, LazyLock, Mutex},
};

use tracing::{
    Dispatch, Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
    subscriber::{DefaultGuard, NoSubscriber},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

/// What this thread logs goes there, until the guard is dropped.
///
/// While a process has made one subscriber only, `tracing` asks the thread that comes first to an event whether that
/// is wanted, and keeps the answer for all threads: a test in another thread, which has no subscriber, would silence
/// the event for the one that waits for it. With two more, which stay, it asks every subscriber.
pub(crate) fn subscribe(subscriber: impl Into<Dispatch>) -> DefaultGuard {
    static NOT_ALONE: LazyLock<[Dispatch; 2]> = LazyLock::new(|| [(); 2].map(|()| Dispatch::new(NoSubscriber::new())));
    LazyLock::force(&NOT_ALONE);
    tracing::dispatcher::set_default(&subscriber.into())
}

/// Of this thread, until it is dropped.
pub(crate) struct Captured {
    lines: Arc<Mutex<Vec<Line>>>,
    _until: DefaultGuard,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    level: String,
    fields: BTreeMap<&'static str, String>,
}

impl Captured {
    pub(crate) fn new() -> Self {
        let lines = Arc::default();
        let subscriber = tracing_subscriber::registry().with(Capture(Arc::clone(&lines)));
        Self { lines, _until: subscribe(subscriber) }
    }

    /// By this crate, at this level.
    pub(crate) fn said(&self, level: &str) -> Vec<Line> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|line| line.level.eq_ignore_ascii_case(level)).cloned().collect()
    }
}

impl Line {
    pub(crate) fn message(&self) -> &str {
        self.of("message")
    }

    /// In alphabetical order, those of the spans included.
    pub(crate) fn fields(&self) -> Vec<&'static str> {
        self.fields.keys().copied().collect()
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    pub(crate) fn of(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

struct Capture(Arc<Mutex<Vec<Line>>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capture {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Line::default();
        attributes.record(&mut fields);
        context.span(id).expect("it has just been made").extensions_mut().insert(fields);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if !event.metadata().target().starts_with("tokio_hotrestart") {
            return;
        }
        let mut line = Line { level: event.metadata().level().to_string(), ..Line::default() };
        for span in context.event_scope(event).into_iter().flatten() {
            line.fields.extend(span.extensions().get::<Line>().cloned().unwrap_or_default().fields);
        }
        event.record(&mut line);
        self.0.lock().unwrap().push(line);
    }
}
