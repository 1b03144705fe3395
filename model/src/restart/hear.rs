//! What another process says and does becomes an event, as in `process`.

use super::{
    Restart, World, Wrong,
    carry::error,
    channel::{Channel, Down, Up},
    life::Life,
    world::{Being, Body, Deadline, Successor, Talk},
};
use crate::phase::{Event, Phase};

impl<const N: usize> Restart<N> {
    /// What its successor has said, or its channel's end.
    pub(super) fn hear_successor(&self, world: &World<N>, who: usize) -> Option<Heard> {
        let successor = world.processes[who].successor?;
        let channel = &world.processes[successor.who].channel;
        match (successor.body, successor.talk) {
            (Body::Spawning | Body::Gone, _) | (_, Talk::Over) => None,
            (Body::Come, _) => Some(Heard::Come),
            (_, Talk::Heard) if !channel.up.is_empty() => Some(Heard::Word),
            // What it says is not listened to any more, and thrown away until the end.
            (_, Talk::HeardEnough) if channel.below_has_ended && !channel.is_held => Some(Heard::End),
            (_, Talk::Heard) if channel.is_at_its_end_above() => Some(Heard::End),
            _ => None,
        }
    }

    /// What the end of its successor's process brings: first what that one has said, whoever holds its channel open.
    pub(super) fn see_dead(&self, world: &World<N>, who: usize) -> Option<Heard> {
        let successor = world.processes[who].successor?;
        let it = &world.processes[successor.who];
        if successor.body != Body::Alive || it.being != Being::Dead || self.wrong == Some(Wrong::WaitsForHelper) {
            return None;
        }
        Some(match successor.talk {
            Talk::Heard if !it.channel.up.is_empty() => Heard::Word,
            Talk::Heard => Heard::End,
            Talk::HeardEnough | Talk::Over => Heard::Death,
        })
    }

    /// What a deadline must not overtake.
    pub(super) fn hear_now(&self, world: &World<N>, who: usize) -> Option<Heard> {
        let heard = self.hear_successor(world, who);
        let is_deaf = world.processes[who].successor.is_some_and(|it| it.talk == Talk::HeardEnough);
        heard.filter(|_| !is_deaf).or_else(|| self.see_dead(world, who))
    }

    pub(super) fn note(&self, world: &mut World<N>, who: usize, heard: Heard) {
        let event = heard.become_event(world, who);
        self.live(world, who, event);
    }

    /// Its one deadline has come. It acts only when the channel is dry: a READY that lies in it came in time.
    pub(super) fn due(&self, world: &mut World<N>, who: usize) {
        let heard = self.hear_now(world, who);
        if let Some(heard) = heard.filter(|_| self.wrong != Some(Wrong::DeadlineFirst)) {
            return self.note(world, who, heard);
        }
        let it = &mut world.processes[who];
        let deadline = it.deadline.take().expect("it is armed");
        let successor = it.successor.map(|it| it.who);
        let is_last = matches!(it.life.phase(), Phase::Burying { killed: true, .. });
        it.probation_is_over |= deadline == Deadline::Probation;
        world.seen.overtaken |= heard.is_some();
        if let (Deadline::End, true, Some(heir)) = (deadline, is_last, successor) {
            world.processes[heir].outwaited = world.processes[heir].killed;
        }
        let event = match deadline {
            Deadline::Ready => Event::ReadyDeadline,
            Deadline::Probation => Event::ProbationOver,
            Deadline::End => Event::EndDeadline,
            Deadline::Supervisor => Event::SupervisorKnows,
            Deadline::LameDuck => Event::LameDuckOver,
        };
        self.live(world, who, event);
    }

    /// Whether its predecessor has said something that it has not heard, or has ended.
    pub(super) fn is_spoken_to(&self, world: &World<N>, who: usize) -> bool {
        let channel = &world.processes[who].channel;
        !channel.below_has_ended && (!channel.down.is_empty() || channel.above_has_ended)
    }

    pub(super) fn hear_predecessor(&self, world: &mut World<N>, who: usize) {
        let it = &mut world.processes[who];
        let skips = self.wrong == Some(Wrong::EndBeforeWords) && it.channel.above_has_ended;
        if it.channel.down.is_empty() || skips {
            return self.take_for_dead(world, who);
        }
        let event = match it.channel.down.remove(0) {
            Down::Commit => Event::Confirmed,
            Down::Abort => {
                it.took_back = true;
                Event::TakenBack(String::new())
            }
            Down::LetGo => Event::PredecessorLetGo,
            said @ (Down::Legacy | Down::Declined) => unreachable!("{said:?} is said only first"),
        };
        self.live(world, who, event);
    }

    /// The channel's end without ABORT, or this process can't hear any more: it closes its end, too.
    pub(super) fn take_for_dead(&self, world: &mut World<N>, who: usize) {
        let it = &mut world.processes[who];
        it.channel.close_below();
        if it.took_back {
            return;
        }
        it.gone = true;
        let event = match self.wrong {
            Some(Wrong::EndIsAbort) => Event::TakenBack(String::new()),
            _ => Event::PredecessorGone,
        };
        self.live(world, who, event);
    }

    /// One that has begun hears what it was started for.
    pub(super) fn meet(&self, world: &mut World<N>, who: usize) {
        let it = &mut world.processes[who];
        if it.channel.down.first() == Some(&Down::Legacy) {
            it.channel.down.remove(0);
            it.being = Being::Lives;
            it.life = Life::first(true);
            it.channel.say_up(Up::Accepted);
        } else {
            it.being = Being::Over;
            it.channel.close_below();
        }
    }
}

/// What there is to be heard of a successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is there.
    Come,
    Word,
    /// The channel's.
    End,
    /// The process's.
    Death,
}

impl Heard {
    fn become_event<const N: usize>(self, world: &mut World<N>, who: usize) -> Event {
        let mut successor = world.processes[who].successor.expect("there is one to be heard");
        let channel = &mut world.processes[successor.who].channel;
        let event = self.of(&mut successor, channel);
        world.processes[who].successor = Some(successor);
        event
    }

    fn of(self, successor: &mut Successor, channel: &mut Channel) -> Event {
        match self {
            Self::Come => {
                successor.body = Body::Elsewhere;
                Event::Spawned
            }
            Self::Word => {
                let said = channel.up.remove(0);
                if matches!(said, Up::Refused | Up::Nonsense) {
                    successor.talk = Talk::HeardEnough;
                }
                match said {
                    Up::Accepted => Event::Accepted,
                    Up::Ready => Event::Ready,
                    Up::Refused => Event::Refused(error()),
                    Up::Stopping => Event::Stopping(String::new()),
                    Up::Replaced => Event::Replaced,
                    Up::Nonsense => Event::Failed(error()),
                }
            }
            Self::End => {
                successor.talk = Talk::Over;
                // Nothing else will ever tell of the end of a process that somebody else has started.
                if successor.body == Body::Elsewhere {
                    successor.body = Body::Gone;
                    return Event::Ended(None);
                }
                Event::ChannelClosed
            }
            Self::Death => {
                successor.body = Body::Gone;
                successor.talk = Talk::Over;
                Event::Ended(None)
            }
        }
    }
}
