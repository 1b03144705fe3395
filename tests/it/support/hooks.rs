//! Hooks of the server under test: what they do at each run is the test's affair, and they say when they do it.

use std::{
    collections::VecDeque,
    env,
    fmt::Display,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::sleep;
use tokio_hotrestart::{Graceful, hooks::Hook};

use super::{Fifo, Fleet, process, server::say};

/// `HR_HOOKS=<generation>:<moment>:<name>:<deeds>,…`, where a star is any generation.
///
/// The moments are `before_spawn`, `before_commit`, `after_predecessor`, `at_exit`. Deeds: `ok`, a number (of milliseconds,
/// and then well), `fail`, `hang`, `panic`, `burst` (a panic before there is a future), `wait` (at the
/// FIFO `HR_HOLD`, and then well), `wait+fail`, and with slashes between them, one for each run, of which the last stays. Those of an undo follow after a semicolon, or all are well.
/// `HR_HOOK_DEADLINE_MS` is for all of them.
pub fn register(graceful: &Graceful) {
    let hooks = env::var("HR_HOOKS").unwrap_or_default();
    hooks.split(',').filter(|hook| !hook.is_empty()).for_each(|hook| add(graceful, hook));
}

/// One of them.
pub fn add(graceful: &Graceful, hook: &str) {
    let [number, moment, name, deeds] = hook.split(':').collect::<Vec<_>>().try_into().expect("four words");
    let generation = graceful.generation();
    if number != "*" && number != generation.to_string() {
        return;
    }
    let (run, undo) = deeds.split_once(';').unwrap_or((deeds, "ok"));
    let script = |what, deeds| Script::new(format!("generation={generation} moment={what} name={name}"), deeds);
    let (run, undo) = (script(moment, run), script("undo", undo));
    let run = move || run.next();
    let hook = match moment {
        "before_spawn" => Hook::before_spawn(name, run),
        "before_commit" => Hook::before_commit(name, run, move || undo.next()),
        "after_predecessor" => Hook::after_predecessor(name, run),
        "at_exit" => Hook::at_exit(name, run),
        other => panic!("what moment is {other}?"),
    };
    let deadline = env::var("HR_HOOK_DEADLINE_MS").map(|time| Duration::from_millis(time.parse().expect("a number")));
    graceful.hook(match deadline {
        Ok(deadline) => hook.deadline(deadline),
        Err(_) => hook,
    });
}

/// Says `begun …` and, if it went well, `through …`. Dropped in its middle: `dropped …`.
struct Script {
    who: String,
    deeds: Arc<Mutex<VecDeque<String>>>,
}

impl Script {
    fn new(who: String, deeds: &str) -> Self {
        let deeds = deeds.split('/').map(str::to_owned).collect();
        Self { who, deeds: Arc::new(Mutex::new(deeds)) }
    }

    /// `alone`: no successor lives. (One that somebody else has started is not seen.)
    fn next(&self) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let alone = !process::children(std::process::id() as i32).into_iter().any(Fleet::lives);
        say(format_args!("begun {} alone={alone}", self.who));
        let deed = {
            let mut deeds = self.deeds.lock().expect("no panic");
            let deed = deeds.front().cloned().expect("one at least");
            if deeds.len() > 1 {
                deeds.pop_front();
            }
            deed
        };
        if deed == "burst" {
            panic!("no future");
        }
        let end = End { who: self.who.clone(), word: "dropped" };
        async move {
            // Whole, and not only the field that is written to.
            let mut end = end;
            let done = act(&deed).await.map_err(|error| error.to_string());
            end.word = if done.is_ok() { "through" } else { "failed" };
            done
        }
    }
}

async fn act(deed: &str) -> Result<(), impl Display + use<>> {
    match deed {
        "ok" => Ok(()),
        "fail" => Err("no space left"),
        "wait" => {
            Fifo::hold().await;
            Ok(())
        }
        "wait+fail" => {
            Fifo::hold().await;
            Err("no space left")
        }
        "hang" => pending().await,
        "panic" => panic!("never mind"),
        time => {
            sleep(Duration::from_millis(time.parse().expect("a number"))).await;
            Ok(())
        }
    }
}

/// Says how it ended, when it is over.
struct End {
    who: String,
    word: &'static str,
}

impl Drop for End {
    fn drop(&mut self) {
        say(format_args!("{} {}", self.word, self.who));
    }
}
