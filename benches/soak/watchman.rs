//! How many processes there are, at any time.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::fleet::Fleet;

/// All that may drain, the one that serves, its successor, and two that would take over.
const MOST: usize = 8 + 1 + 1 + 2;

/// A child is buried by then, also by somebody who stood still on a busy machine.
const BURIED: Duration = Duration::from_secs(30);

/// Looks again and again. The most that there were.
pub(super) async fn watch(fleet: Arc<Fleet>, enough: CancellationToken) -> anyhow::Result<usize> {
    let (mut most, mut dead) = (0, HashMap::new());
    while !enough.is_cancelled() {
        let (living, zombies) = fleet.processes()?;
        most = most.max(living.len());
        if living.len() > MOST {
            fleet.book.violated(format!("there are at most {MOST} processes: {living:?}"));
        }
        dead.retain(|who, _| zombies.contains(who));
        for zombie in zombies {
            let since = *dead.entry(zombie).or_insert_with(Instant::now);
            if since.elapsed() > BURIED {
                fleet.book.violated(format!("no zombies: {zombie} has been one for {:?}", since.elapsed()));
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
    Ok(most)
}
