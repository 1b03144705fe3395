//! What can happen next, and what it does.

use super::{
    Handover, World, Wrong,
    ids::Ids,
    kernel::{Frame, Pipe},
    world::{Hand, Process},
    wrong,
};
use crate::transfer::{Giving, Taking, giving, taking};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    // The predecessor.
    /// It composes an OFFER.
    Offer(Ids),
    OfferGoes(Send),
    PredecessorHears,
    PredecessorHearsEnd,
    DrainDeadline,
    /// It has nothing more to do with the successor, and lives on.
    PredecessorCloses,
    PredecessorDies,
    /// It knows that the successor's process is dead, and listens no longer to who else has that one's end.
    Reaps,
    PredecessorReads(usize),

    // The successor.
    SuccessorHears,
    SuccessorHearsEnd,
    /// It finds places, and composes one TAKEN for all of these.
    Admit(Ids),
    Decline(usize),
    AnswerGoes(Send),
    SuccessorBabbles,
    SuccessorHangsUp,
    SuccessorDies,
    /// The same, but a process that it has started holds its end of the channel.
    SuccessorLeavesHelper,
    SuccessorReads(usize),

    // What only wrong variants do.
    Timer(usize),
    EndHalf,
}

/// What becomes of the first frame that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Send {
    /// The kernel accepts all of it, or the rest.
    Whole,
    /// The kernel accepts some of it.
    Part,
    /// It fails: the other end is closed.
    PeerGone,
    /// It fails for want of something in this process.
    Want,
}

impl Step {
    /// Whether the law "it always ends" may count on it: it is no accident, no deadline, and waits for no client.
    pub(super) fn comes_by_itself(self) -> bool {
        match self {
            Self::Offer(_) | Self::PredecessorHears | Self::PredecessorHearsEnd => true,
            Self::PredecessorCloses | Self::Reaps => true,
            Self::SuccessorHears | Self::SuccessorHearsEnd | Self::Admit(_) | Self::Decline(_) => true,
            Self::OfferGoes(send) | Self::AnswerGoes(send) => send != Send::Want,
            _ => false,
        }
    }
}

impl<const N: usize> Handover<N> {
    pub(super) fn possible(&self, world: &World<N>, steps: &mut Vec<Step>) {
        if world.predecessor.lives {
            self.of_predecessor(world, steps);
        }
        if world.successor.lives {
            self.of_successor(world, steps);
        }
    }

    fn of_predecessor(&self, world: &World<N>, steps: &mut Vec<Step>) {
        steps.push(Step::PredecessorDies);
        let reads = world.which(|it| it.at_predecessor == Hand::Owns && !it.read_by_predecessor);
        steps.extend(reads.iter().map(Step::PredecessorReads));
        let undecided = world.which(|it| it.giving == Giving::Offered);
        let unsettled = world.which(|it| !it.giving.is_settled());
        if !world.late {
            steps.push(Step::DrainDeadline);
        }
        if world.predecessor.open {
            // In their order, as many at once as the window has room for.
            let room = self.window.saturating_sub(undecided.iter().count());
            if world.offering.is_none() {
                let waiting: Vec<_> = world.which(|it| it.giving == Giving::Waiting).iter().collect();
                let batches = 1..=room.min(waiting.len());
                steps.extend(batches.map(|count| Step::Offer(waiting[..count].iter().copied().collect())));
            }
            if world.offering.is_some() {
                self.sends(world.successor, &world.to_successor, Step::OfferGoes, steps);
            }
            if !world.disbelieves && !self.is_busy_writing(world.offering.is_some()) {
                hearing(
                    (world.predecessor, &world.to_predecessor.frames, world.successor),
                    (Step::PredecessorHears, Step::PredecessorHearsEnd),
                    steps,
                );
            }
            if unsettled.is_empty() && world.offering.is_none() {
                steps.push(Step::PredecessorCloses);
            }
        }
        let is_held_open = !world.successor.lives && world.successor.open;
        if is_held_open && self.wrong != Some(Wrong::WaitsForHelper) {
            steps.push(Step::Reaps);
        }
        match self.wrong {
            Some(Wrong::TimerTakesBack) => steps.extend(undecided.iter().map(Step::Timer)),
            // It waits for what it says before to be in the kernel, and for room there.
            Some(Wrong::TimerRevokes)
                if world.offering.is_none()
                    && !world.to_successor.torn
                    && world.to_successor.frames.len() < self.room =>
            {
                steps.extend(undecided.iter().map(Step::Timer));
            }
            Some(Wrong::EndsItsHalfEarly)
                if unsettled == undecided && world.offering.is_none() && !world.half_ended =>
            {
                steps.push(Step::EndHalf);
            }
            _ => {}
        }
    }

    fn of_successor(&self, world: &World<N>, steps: &mut Vec<Step>) {
        steps.push(Step::SuccessorDies);
        let reads = world.which(|it| it.at_successor == Hand::Owns && !it.read_by_successor);
        steps.extend(reads.iter().map(Step::SuccessorReads));
        let held = world.which(|it| it.taking == Some(Taking::Held));
        let orphaned = world.which(|it| it.taking == Some(Taking::Orphaned));
        steps.extend(held.subsets().map(Step::Admit));
        steps.extend(orphaned.iter().map(|id| Step::Admit([id].into_iter().collect())));
        steps.extend(held.iter().chain(orphaned.iter()).map(Step::Decline));
        if !world.successor.open {
            return;
        }
        steps.push(Step::SuccessorLeavesHelper);
        steps.push(Step::SuccessorHangsUp);
        if !self.is_busy_writing(!world.answers.is_empty()) {
            let peer = Process { open: world.predecessor.open && !world.half_ended, ..world.predecessor };
            hearing(
                (world.successor, &world.to_successor.frames, peer),
                (Step::SuccessorHears, Step::SuccessorHearsEnd),
                steps,
            );
        }
        if !world.answers.is_empty() {
            self.sends(world.predecessor, &world.to_predecessor, Step::AnswerGoes, steps);
        }
        let room = world.to_predecessor.frames.len() < self.room && !world.to_predecessor.torn;
        if !world.babbled && world.predecessor.open && room {
            steps.push(Step::SuccessorBabbles);
        }
    }

    /// What can become of a frame on its way to `peer`.
    fn sends(&self, peer: Process, pipe: &Pipe, goes: fn(Send) -> Step, steps: &mut Vec<Step>) {
        if !peer.open {
            steps.push(goes(Send::PeerGone));
        } else if pipe.frames.len() < self.room {
            steps.push(goes(Send::Whole));
            if !pipe.torn {
                steps.push(goes(Send::Part));
            }
        }
        // The kernel looks for what it needs before it looks whether anybody is there, and has room.
        steps.push(goes(Send::Want));
    }

    fn is_busy_writing(&self, writes: bool) -> bool {
        writes && self.wrong == Some(Wrong::WritesBeforeItReads)
    }

    pub(super) fn carry_out(&self, world: &mut World<N>, step: Step) {
        match step {
            Step::Offer(ids) => {
                world.give(ids, giving::Event::Offered);
                world.offering = Some(ids);
            }
            Step::OfferGoes(send) => self.offer_goes(world, send),
            Step::PredecessorHears => match world.to_predecessor.first() {
                Frame::Taken(ids) => world.give(ids, giving::Event::Taken),
                Frame::Declined(ids) => world.give(ids, giving::Event::Declined),
                _ => {
                    world.give(world.all(), wrong::nonsense(self.wrong));
                    world.disbelieves = true;
                }
            },
            Step::PredecessorHearsEnd => {
                world.predecessor.heard_end = true;
                world.give(world.all(), wrong::end(self.wrong, world.to_predecessor.torn));
            }
            Step::DrainDeadline => {
                world.late = true;
                world.give(world.all(), giving::Event::Deadline);
            }
            Step::PredecessorCloses => world.close_predecessors_end(),
            Step::PredecessorDies => {
                world.predecessor.lives = false;
                world.close_predecessors_end();
            }
            Step::Reaps => {
                world.close_successors_end();
                if self.wrong == Some(Wrong::DeathIsTheEnd) {
                    world.give(world.all(), giving::Event::ChannelEnded);
                }
            }
            Step::PredecessorReads(id) => world.connections[id].read_by_predecessor = true,

            Step::SuccessorHears => match world.to_successor.first() {
                Frame::Offer(ids) => {
                    for id in ids.iter() {
                        world.connections[id].taking = Some(Taking::first());
                        world.connections[id].at_successor = Hand::Holds;
                    }
                }
                Frame::Revoke(ids) => {
                    let held = world.which(|it| it.taking == Some(Taking::Held));
                    let revoked = ids.iter().filter(|&id| held.contains(id)).collect();
                    world.take(revoked, taking::Event::HungUp);
                }
                frame => unreachable!("the predecessor does not say {frame:?}"),
            },
            Step::SuccessorHearsEnd => {
                world.successor.heard_end = true;
                world.take(world.all(), taking::Event::PredecessorGone);
            }
            Step::Admit(ids) => {
                let say = world.take(ids, taking::Event::Admitted);
                if !say.is_empty() {
                    world.answers.push(Frame::Taken(say));
                }
                if self.wrong == Some(Wrong::ReadsBeforeTaken) {
                    say.iter().for_each(|id| world.connections[id].at_successor = Hand::Owns);
                }
            }
            Step::Decline(id) => {
                world.connections[id].declined = true;
                let say = world.take([id].into_iter().collect(), taking::Event::Declined);
                if !say.is_empty() {
                    world.answers.push(Frame::Declined(say));
                }
            }
            Step::AnswerGoes(send) => self.answer_goes(world, send),
            Step::SuccessorBabbles => {
                world.babbled = true;
                world.to_predecessor.accept(Frame::Nonsense);
            }
            Step::SuccessorHangsUp => hang_up(world),
            Step::SuccessorDies => {
                world.successor.lives = false;
                world.close_successors_end();
            }
            Step::SuccessorLeavesHelper => {
                world.successor.lives = false;
                world.answers.clear();
            }
            Step::SuccessorReads(id) => world.connections[id].read_by_successor = true,

            Step::Timer(id) => {
                let id = [id].into_iter().collect();
                world.give(id, giving::Event::Declined);
                if self.wrong == Some(Wrong::TimerRevokes) && world.successor.open {
                    world.to_successor.accept(Frame::Revoke(id));
                }
            }
            Step::EndHalf => world.half_ended = true,
        }
    }

    fn offer_goes(&self, world: &mut World<N>, send: Send) {
        let ids = world.offering.expect("something is offered");
        match send {
            Send::Whole => {
                world.to_successor.accept(Frame::Offer(ids));
                world.offering = None;
                ids.iter().for_each(|id| world.connections[id].on_offer = true);
            }
            Send::Part => world.to_successor.torn = true,
            Send::PeerGone => {
                world.offering = None;
                if self.wrong == Some(Wrong::FailedSendIsTheEnd) {
                    world.give(world.all(), giving::Event::ChannelEnded);
                }
            }
            // Nothing is written there any more, so nothing more is offered.
            Send::Want => {
                world.offering = None;
                world.give(ids, giving::Event::LeftOut);
                world.give(world.which(|it| it.giving == Giving::Waiting), giving::Event::LeftOut);
            }
        }
    }

    fn answer_goes(&self, world: &mut World<N>, send: Send) {
        let frame = world.answers[0];
        match send {
            Send::Whole => {
                world.answers.remove(0);
                world.to_predecessor.accept(frame);
                if let Frame::Taken(ids) = frame {
                    world.take(ids, wrong::accepted(self.wrong));
                    if self.wrong == Some(Wrong::HangsUpUnheard) {
                        hang_up(world);
                    }
                }
            }
            Send::Part => world.to_predecessor.torn = true,
            // What was said before this one, and what is behind it, is decided with it.
            Send::PeerGone => {
                world.answers.clear();
                world.take(world.all(), taking::Event::PredecessorGone);
            }
            Send::Want => {
                world.answers.remove(0);
                if let Frame::Taken(ids) = frame {
                    world.take(ids, taking::Event::Unsaid);
                }
                if self.wrong != Some(Wrong::StaysAfterUnsaid) {
                    hang_up(world);
                }
            }
        }
    }
}

/// What `who` can read: a frame, or, when there is none and the peer's end is closed, the end.
fn hearing((who, frames, peer): (Process, &[Frame], Process), (hears, hears_end): (Step, Step), steps: &mut Vec<Step>) {
    if !frames.is_empty() {
        steps.push(hears);
    } else if !peer.open && !who.heard_end {
        steps.push(hears_end);
    }
}

/// The successor closes its end and lives on.
fn hang_up<const N: usize>(world: &mut World<N>) {
    world.take(world.all(), taking::Event::HungUp);
    world.close_successors_end();
}
