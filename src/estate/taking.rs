use std::{
    collections::{BTreeMap, VecDeque},
    fmt, mem,
    time::Duration,
};

use super::providers::{Giving, Provider};
use crate::{Error, ErrorKind, guarded::guarded, name::Name, state::PassedState};

/// How long a provider may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// Providers at work, each in a task of its own. Dropped, it stops them.
pub(crate) struct Taking {
    under_way: VecDeque<UnderWay>,
    taken: Taken,
}

struct UnderWay {
    name: Name,
    version: u32,
    given: Giving,
}

/// What they have given, by name.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) states: Vec<PassedState>,
    /// And why not.
    pub(crate) failed: Vec<(Name, String)>,
}

impl Taking {
    pub(super) fn begin(providers: BTreeMap<Name, Provider>) -> Self {
        let begin = |(name, Provider { version, give }): (Name, Provider)| {
            let given = guarded(async move { give().await }, DEADLINE);
            UnderWay { name, version, given: Box::pin(async move { given.await.unwrap_or_else(Err) }) }
        };
        Self { under_way: providers.into_iter().map(begin).collect(), taken: Taken::default() }
    }

    /// What all have given, when the last has.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(crate) async fn next(&mut self) -> Taken {
        while let Some(UnderWay { given, .. }) = self.under_way.front_mut() {
            let given = given.as_mut().await;
            if let Some(UnderWay { name, version, .. }) = self.under_way.pop_front() {
                self.taken.add(name, version, given);
            }
        }
        mem::take(&mut self.taken)
    }
}

impl Taken {
    fn add(&mut self, name: Name, version: u32, given: Result<Vec<u8>, String>) {
        let (most, most_together) = (PassedState::MOST_BYTES, PassedState::MOST_BYTES_TOGETHER);
        let together: usize = self.states.iter().map(|state| state.bytes().len()).sum();
        let why = match given {
            Ok(bytes) if bytes.len() > most => format!("has {} bytes, the limit is {most}", bytes.len()),
            Ok(bytes) if together + bytes.len() > most_together => {
                format!("makes it {} bytes together, the limit is {most_together}", together + bytes.len())
            }
            Ok(bytes) => return self.states.push(PassedState::new(name, version, bytes)),
            Err(why) => why,
        };
        crate::log::error!(%name, why, "take the state for the successor");
        self.failed.push((name, why));
    }

    /// Everything, or the first failure.
    pub(crate) fn all(self) -> Result<Vec<PassedState>, Error> {
        let failure = self.errors().next();
        failure.map_or(Ok(self.states), Err)
    }

    /// The failures, for whoever is told of them.
    pub(crate) fn errors(&self) -> impl Iterator<Item = Error> {
        let what = |(name, why): &(Name, String)| format!("the state {name:?} for the successor {why}");
        self.failed.iter().map(move |failed| Error::new(ErrorKind::State, what(failed)))
    }
}

impl fmt::Debug for Taking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.under_way.iter().map(|it| &it.name).collect();
        f.debug_struct("Taking").field("under_way", &names).field("taken", &self.taken).finish()
    }
}
