use std::{
    pin::{Pin, pin},
    task::Context,
};

use tokio::{
    task::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

/// A timer that is made when it is first needed, and left alone where it can be: one that rings early is set anew then.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Whether that time has come; if not, the task is woken when it does.
    pub(crate) fn poll(&mut self, at: Instant, cx: &mut Context<'_>) -> bool {
        let is_set = self.rings_by(at);
        let alarm = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if !is_set && alarm.deadline() != at {
            alarm.as_mut().reset(at);
        }
        // Unconstrained: a task that has used up its budget is told "pending" too, and would be woken by nobody.
        while pin!(unconstrained(alarm.as_mut())).poll(cx).is_ready() {
            if Instant::now() >= at {
                return true;
            }
            alarm.as_mut().reset(at);
        }
        false
    }

    /// Whether it is set, to that time or to an earlier one: then it wakes the task that has polled it last.
    #[inline]
    pub(crate) fn rings_by(&self, at: Instant) -> bool {
        self.0.as_ref().is_some_and(|alarm| alarm.deadline() <= at && !alarm.is_elapsed())
    }

    #[inline]
    pub(crate) fn has_rung(&self) -> bool {
        self.0.as_ref().is_some_and(|alarm| alarm.is_elapsed())
    }
}
