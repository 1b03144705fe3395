//! What the server under test passes to its successor, and what it has found of its predecessor's.

use std::{
    collections::{BTreeSet, VecDeque},
    env,
    future::pending,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_hotrestart::{Error, Graceful, PassedState};

use super::{
    Fifo,
    server::{large, say},
};

/// Answers so far, by this generation, and by those before it as far as it knows.
static COUNT: AtomicU64 = AtomicU64::new(0);
/// What it was when it was passed on.
static PASSED: AtomicU64 = AtomicU64::new(0);
/// Closed when what the generations before have counted is in it.
static WHOLE: Semaphore = Semaphore::const_new(0);

/// Another answer.
pub fn count() {
    COUNT.fetch_add(1, Relaxed);
}

/// What the application keeps, as the documentation has it.
#[derive(Debug, Serialize, Deserialize)]
struct Sessions {
    users: Vec<String>,
    #[serde(default)] // new in version 2
    limit: Option<u32>,
}

/// An entry of `HR_STATE` or `HR_FINAL`.
#[derive(Clone, Debug)]
struct Entry {
    name: String,
    version: u32,
    deeds: Option<VecDeque<String>>,
}

/// `HR_STATE=<generation>:<name>:<version>:<deeds>,…`, where a star is any generation, and `HR_FINAL` likewise.
///
/// Deeds: a number of bytes; `trail`, the generations through which it has come; `sessions`, as JSON; `count`, of all
/// answers, also those of the generations before; `wait+` (at the FIFO `HR_HOLD`) before another; `fail`, `hang`, `panic`; and with slashes between them, one for each time, of which the last stays.
///
/// Says of each name there what has come: `state …`. `HR_KNOWS`: the newest version that this program can read; it refuses a
/// newer one, and `sessions` that are none.
pub fn inherit(graceful: &Graceful) -> Result<(), Error> {
    let (generation, entries) = (graceful.generation(), entries("HR_STATE", graceful.generation()));
    let known = env::var("HR_KNOWS").map_or(u32::MAX, |known| known.parse().expect("a version"));
    let names: BTreeSet<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let mut trail = String::new();
    for name in names {
        let state = graceful.passed_state(name);
        assert!(graceful.passed_state(name).is_none(), "it is given once");
        say(format_args!("state generation={generation} {}", told(name, state.as_ref())));
        let Some(state) = state else { continue };
        if state.version() > known {
            return Err(graceful.refuse(format!("{name} of version {}, this program knows {known}", state.version())));
        }
        match name {
            "trail" => trail = String::from_utf8(state.into_bytes()).expect("text") + ",",
            "sessions" => {
                let sessions: Sessions =
                    serde_json::from_slice(state.bytes()).map_err(|error| graceful.refuse(error))?;
                say(format_args!("sessions generation={generation} users={}", sessions.users.join(",")));
            }
            _ => {}
        }
    }
    trail += &generation.to_string();
    for (name, version, give) in providers(generation, entries, trail) {
        graceful.pass_state(&name, version, give)?;
    }
    Ok(())
}

/// The same of the final state, of which it says `final …` when it has come, or none will.
pub fn expect(graceful: &Graceful) -> Result<(), Error> {
    let (generation, entries) = (graceful.generation(), entries("HR_FINAL", graceful.generation()));
    let names: BTreeSet<_> = entries.iter().map(|entry| entry.name.clone()).collect();
    for name in names {
        let coming = graceful.final_state(&name);
        tokio::spawn(async move {
            let state = coming.await;
            if let Some(state) = state.as_ref().filter(|_| name == "count") {
                let before = state.bytes().try_into().map(u64::from_le_bytes).expect("a number");
                COUNT.fetch_add(before, Relaxed);
            }
            if name == "count" {
                WHOLE.close();
            }
            say(format_args!("final generation={generation} {}", told(&name, state.as_ref())));
        });
    }
    for (name, version, give) in providers(generation, entries, generation.to_string()) {
        graceful.pass_final_state(&name, version, give)?;
    }
    Ok(())
}

/// At the end: what was counted, and what of it was passed on.
pub fn tell_count(generation: u64) {
    let (count, passed) = (COUNT.load(Relaxed), PASSED.load(Relaxed));
    say(format_args!("count generation={generation} all={count} passed={passed}"));
}

fn told(name: &str, state: Option<&PassedState>) -> String {
    let Some(state) = state else {
        return format!("name={name} version=none");
    };
    let (bytes, length) = (state.bytes(), state.bytes().len());
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() < 100 && !text.contains(['\0', '\n', ' ']));
    let (version, intact, text) = (state.version(), bytes == large(length), text.unwrap_or_default());
    format!("name={name} version={version} length={length} intact={intact} text={text}")
}

type Providers = Vec<(String, u32, Box<dyn Fn() -> Giving + Send + Sync>)>;
type Giving = std::pin::Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>>;

fn providers(generation: u64, entries: Vec<Entry>, trail: String) -> Providers {
    let mut providers = Providers::new();
    for Entry { name, version, deeds } in entries {
        let Some(deeds) = deeds else { continue };
        let (deeds, trail, who) = (Mutex::new(deeds), trail.clone(), format!("generation={generation} name={name}"));
        let give = move || -> Giving {
            say(format_args!("asked {who}"));
            let mut deeds = deeds.lock().expect("no panic");
            let deed = deeds.front().cloned().expect("one at least");
            if deeds.len() > 1 {
                deeds.pop_front();
            }
            Box::pin(given(deed, trail.clone()))
        };
        providers.push((name, version, Box::new(give)));
    }
    providers
}

async fn given(deed: String, trail: String) -> Result<Vec<u8>, String> {
    let deed = match deed.strip_prefix("wait+") {
        Some(deed) => {
            Fifo::hold().await;
            deed
        }
        None => &deed,
    };
    match deed {
        "trail" => Ok(trail.into_bytes()),
        "sessions" => {
            let sessions = Sessions { users: vec!["alice".into(), "bob".into()], limit: Some(7) };
            serde_json::to_vec(&sessions).map_err(|error| error.to_string())
        }
        "count" => {
            WHOLE.acquire().await.expect_err("it is only ever closed");
            PASSED.store(COUNT.load(Relaxed), Relaxed);
            Ok(PASSED.load(Relaxed).to_le_bytes().into())
        }
        "fail" => Err("no space left".into()),
        "hang" => pending().await,
        "panic" => panic!("never mind"),
        bytes => Ok(large(bytes.parse().expect("a number"))),
    }
}

/// All of them, and what this generation is to give.
fn entries(variable: &str, generation: u64) -> Vec<Entry> {
    let text = env::var(variable).unwrap_or_default();
    let entries = text.split(',').filter(|entry| !entry.is_empty()).map(|entry| {
        let [number, name, version, deeds] = entry.split(':').collect::<Vec<_>>().try_into().expect("four words");
        let ours = number == "*" || number == generation.to_string();
        let deeds = ours.then(|| deeds.split('/').map(str::to_owned).collect());
        Entry { name: name.to_owned(), version: version.parse().expect("a number"), deeds }
    });
    entries.collect()
}
