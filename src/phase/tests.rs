//! Every phase meets every event; and whole lives, told as stories.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use tokio::signal::unix::SignalKind;

use super::*;
use crate::{
    Error, ErrorKind,
    generation::{Cause, State},
};

fn error() -> Error {
    Error::new(ErrorKind::Spawn, "for a test")
}

fn phases() -> Vec<Phase> {
    let steps = [
        Step::Spawning,
        Step::Introducing,
        Step::Awaiting,
        Step::Releasing,
        Step::Probation,
        Step::Dying,
        Step::Naming,
    ];
    let mut phases: Vec<_> = steps.into_iter().map(Phase::Restarting).collect();
    for flag in [false, true] {
        phases.push(Phase::Starting { predecessor: flag, restart: false });
        phases.push(Phase::Starting { predecessor: flag, restart: true });
        phases.push(Phase::Confirming { restart: flag });
        phases.push(Phase::OnProbation { restart: flag });
        phases.push(Phase::Restarting(Step::Preparing { met: flag }));
        phases.push(Phase::Restarting(Step::Closing { released: flag }));
        phases.extend([false, true].map(|released| Phase::Burying { error: error(), killed: flag, released }));
    }
    for heir in [Heir::Nobody, Heir::Successor, Heir::Settled] {
        phases.extend([0, 1, u8::MAX].map(|stops| Phase::Draining { heir, stops }));
    }
    phases.extend([Phase::Serving, Phase::Undoing { error: error() }, Phase::Done]);
    let cause = || Cause::Stopped { by: None };
    phases.extend([0, 1, u8::MAX].map(|stops| Phase::Withdrawing { cause: cause(), stops }));
    phases.extend([0, 1, u8::MAX].map(|stops| Phase::LameDuck { cause: cause(), stops }));
    phases
}

fn events() -> Vec<Event> {
    vec![
        Event::ReadyAsked,
        Event::TimeAsked(Duration::from_secs(1)),
        Event::RestartAsked,
        Event::RestartSignalled,
        Event::StopAsked(Some(SignalKind::terminate())),
        Event::ServeFailed(error()),
        Event::Met,
        Event::SupervisorKnows,
        Event::Confirmed,
        Event::TakenBack("why".into()),
        Event::PredecessorLetGo,
        Event::PredecessorGone,
        Event::Spawned,
        Event::SpawnFailed(error()),
        Event::Accepted,
        Event::NeedsTime(Duration::from_secs(1)),
        Event::Ready,
        Event::Replaced,
        Event::Stopping("signal 15".into()),
        Event::Refused(error()),
        Event::Failed(error()),
        Event::ChannelClosed,
        Event::Ended(None),
        Event::Ended(Some(ExitStatus::from_raw(9))),
        Event::ReadyDeadline,
        Event::ProbationOver,
        Event::EndDeadline,
        Event::LameDuckOver,
        Event::Prepared,
        Event::Unprepared(error()),
        Event::Released,
        Event::Unreleased(error()),
        Event::Undone(vec![error()]),
        Event::OthersDrained,
        Event::Left,
        Event::Drained,
    ]
}

/// The law, cell by cell: what may and what must happen in every phase at every event.
#[test]
fn every_phase_meets_every_event_and_the_invariants_hold() {
    for phase in phases() {
        for event in events() {
            let case = format!("{phase:?} on {event:?}");
            let (next, actions) = phase.clone().on(event.clone());
            let has = |wanted: fn(&Action) -> bool| actions.iter().any(wanted);

            // 1. The gate opens at COMMIT, at the predecessor's death, at one's own ready, or to take over again.
            if has(|action| matches!(action, Action::OpenGate)) {
                let entitled = match &phase {
                    Phase::Confirming { .. } => matches!(event, Event::Confirmed | Event::PredecessorGone),
                    Phase::Starting { predecessor, .. } => !predecessor && matches!(event, Event::ReadyAsked),
                    Phase::OnProbation { .. } | Phase::Restarting(Step::Probation) => true,
                    _ => false,
                };
                assert!(entitled, "{case}");
            }
            // 2. and 3. Nothing irrevocable but after a whole probation; COMMIT only after READY.
            if has(|action| matches!(action, Action::LetGo)) {
                assert!(matches!(phase, Phase::Restarting(Step::Naming)), "{case}");
            }
            if has(|action| matches!(action, Action::NameSuccessor)) {
                assert!(
                    matches!((&phase, &event), (Phase::Restarting(Step::Probation), Event::ProbationOver)),
                    "{case}"
                );
            }
            // Nor is it taken back after that.
            if matches!(phase, Phase::Restarting(Step::Naming)) {
                let onwards = matches!(next, Phase::Restarting(Step::Naming) | Phase::Draining { .. } | Phase::Done);
                assert!(onwards, "{case}");
            }
            if has(|action| matches!(action, Action::Confirm)) {
                assert!(matches!((&phase, &event), (Phase::Restarting(Step::Releasing), Event::Released)), "{case}");
            }
            // 4. Whoever waits for a restart is answered when it is over, and only then.
            let restarting =
                |phase: &Phase| matches!(phase, Phase::Restarting(_) | Phase::Burying { .. } | Phase::Undoing { .. });
            if restarting(&phase) && !restarting(&next) {
                let answers = actions.iter().filter(|a| matches!(a, Action::AnswerFailed(_) | Action::LetGo)).count();
                assert_eq!(answers, 1, "{case}: {actions:?}");
            } else {
                assert!(!has(|action| matches!(action, Action::AnswerFailed(_))), "{case}");
            }
            // 5. Serving again means that nothing of the failed successor is left alive here, or that it leaves by itself.
            if restarting(&phase) && matches!(next, Phase::Serving) {
                let seen_dead = matches!(event, Event::Ended(_) | Event::SpawnFailed(_) | Event::EndDeadline);
                assert!(seen_dead || matches!(event, Event::Unprepared(_) | Event::Undone(_)), "{case}");
            }
            // 6. What was given up is taken back once, when the successor is dead or leaves by itself, or this one ends.
            let released = match &phase {
                Phase::Restarting(step) => step.has_released(),
                Phase::Burying { released, .. } => *released,
                _ => false,
            };
            let undoing = |phase: &Phase| matches!(phase, Phase::Undoing { .. });
            let undoes = has(|action| matches!(action, Action::Undo));
            assert_eq!(undoes, undoing(&next) && !undoing(&phase), "{case}");
            assert!(!released || !matches!(next, Phase::Serving), "{case}");
            if undoes {
                let seen_dead = matches!(event, Event::Ended(_) | Event::SpawnFailed(_) | Event::EndDeadline);
                assert!(released && (seen_dead || has(|action| matches!(action, Action::Forget))), "{case}");
            }
            // A drain begins once, and a process that drains, or is certain to, never serves again.
            let begins = actions.iter().filter(|a| matches!(a, Action::BeginDrain(_) | Action::LetGo)).count();
            let drains = |phase: &Phase| matches!(phase, Phase::Draining { .. } | Phase::Done);
            assert_eq!(begins, usize::from(drains(&next) && !drains(&phase)), "{case}");
            let lame = |phase: &Phase| matches!(phase, Phase::LameDuck { .. });
            let ends = |phase: &Phase| drains(phase) || lame(phase) || matches!(phase, Phase::Withdrawing { .. });
            assert_eq!(
                has(|action| matches!(action, Action::BeginLameDuck(_))),
                lame(&next) && !lame(&phase),
                "{case}"
            );
            assert!(!lame(&next) || lame(&phase) || !ends(&phase), "{case}");
            assert!(ends(&next) || !ends(&phase), "{case}");
            assert!(drains(&next) || !drains(&phase), "{case}");
            // What is withdrawn is so before the drain, and the supervisor's answer always comes.
            let withdraws = matches!(actions.last(), Some(Action::Withdraw));
            let withdrawing = |phase: &Phase| matches!(phase, Phase::Withdrawing { .. });
            assert_eq!(withdraws, withdrawing(&next) && !withdrawing(&phase), "{case}: {actions:?}");
            let begins = has(|action| matches!(action, Action::BeginDrain(_)));
            assert!(!begins || withdrawing(&phase) || has(|action| matches!(action, Action::Withdraw)), "{case}");
            // Whoever comes to the control path is answered, once: at once, or when it is known whether it may come in.
            let waits = |phase: &Phase| matches!(phase, Phase::Restarting(Step::Preparing { met: true }));
            let answers = actions.iter().filter(|action| match action {
                Action::Welcome | Action::TurnAway(_) => true,
                Action::AnswerFailed(_) => waits(&phase),
                _ => false,
            });
            let answers = answers.count();
            let comes = usize::from(matches!(event, Event::Met));
            let waited = usize::from(waits(&phase));
            assert_eq!(waited + comes, answers + usize::from(waits(&next)), "{case}: {actions:?}");
            // `ready()` is answered wherever it is asked, but while COMMIT is awaited.
            if matches!(event, Event::ReadyAsked) {
                let awaited = matches!(phase, Phase::Starting { predecessor: true, .. } | Phase::Confirming { .. });
                assert_eq!(has(|action| matches!(action, Action::AnswerReady(_))), !awaited, "{case}");
            }
            // A spawn never meets another successor, and comes after the hooks.
            if has(|action| matches!(action, Action::Prepare)) {
                assert!(!restarting(&phase) && !ends(&phase), "{case}");
            }
            if has(|action| matches!(action, Action::Spawn | Action::Welcome)) {
                assert!(matches!(phase, Phase::Restarting(Step::Preparing { .. })), "{case}");
            }
            // A stop always ends in a drain.
            if matches!(event, Event::StopAsked(_) | Event::ServeFailed(_)) {
                assert!(ends(&next), "{case}");
            }
        }
    }
}

/// Plays events from a phase on; the names of all actions, in order.
fn play(mut phase: Phase, events: Vec<Event>) -> (Phase, Vec<String>) {
    let mut told = Vec::new();
    for event in events {
        let (next, actions) = phase.on(event);
        let name = |action: &Action| format!("{action:?}").split(['(', ' ']).next().unwrap().to_owned();
        told.extend(actions.iter().map(name));
        phase = next;
    }
    (phase, told)
}

#[test]
fn a_restart_that_goes_well() {
    let events = vec![
        Event::ReadyAsked,
        Event::RestartAsked,
        Event::Prepared,
        Event::Spawned,
        Event::Accepted,
        Event::NeedsTime(Duration::from_secs(5)),
        Event::Ready,
        Event::Released,
        Event::ProbationOver,
        Event::SupervisorKnows,
        Event::OthersDrained,
        Event::Left,
        Event::Drained,
    ];
    let (phase, told) = play(Phase::first(false), events);
    let wanted = [
        ["CloseLeftovers", "OpenGate", "OwnNames", "AnswerReady"].as_slice(),
        &["Prepare", "Spawn", "ExtendReadyDeadline", "Release", "ShutGate", "Confirm", "NameSuccessor", "LetGo"],
        &["RunExitHooks", "EndLast", "Finish"],
    ];
    assert_eq!(told, wanted.concat());
    assert_eq!(phase.state(), State::Done);
}

#[test]
fn a_successor_accepts_when_it_is_confirmed_and_owns_its_names_when_that_is_final() {
    let (phase, told) = play(Phase::first(true), vec![Event::ReadyAsked]);
    assert_eq!(
        (phase.state(), told.as_slice()),
        (State::Starting, ["CloseLeftovers", "SayReady"].map(String::from).as_slice())
    );
    let (phase, told) = play(phase, vec![Event::Confirmed, Event::RestartSignalled]);
    assert_eq!(
        (phase.state(), told),
        (State::Ready, ["GiveStderrBack", "OpenGate", "AnswerReady"].map(String::from).to_vec())
    );
    let (_, told) = play(phase, vec![Event::PredecessorLetGo]);
    assert_eq!(told, ["OpenGate", "OwnNames", "AnswerReady", "Prepare"], "a restart that came too early comes now");
}

#[test]
fn the_predecessors_death_confirms_whoever_is_or_will_be_ready() {
    for events in [vec![Event::ReadyAsked, Event::PredecessorGone], vec![Event::PredecessorGone, Event::ReadyAsked]] {
        let (phase, told) = play(Phase::first(true), events);
        assert!(matches!(phase, Phase::Serving));
        assert!(told.contains(&"OpenGate".into()), "{told:?}");
    }
}

#[test]
fn a_stop_before_ready_does_not_let_the_predecessor_go() {
    let (_, told) = play(Phase::first(true), vec![Event::StopAsked(None), Event::ReadyAsked]);
    assert_eq!(told, ["AnswerReady", "SayStopping", "Withdraw", "AnswerReady"], "its last words are still read");
    let (_, told) = play(Phase::first(true), vec![Event::TakenBack("deadline".into())]);
    assert_eq!(told, ["GiveStderrBack", "AnswerReady", "SayStopping", "Withdraw"]);
}

#[test]
fn a_death_on_probation_opens_the_gate_before_anything_else() {
    for death in [Event::ChannelClosed, Event::Ended(None), Event::Failed(error()), Event::Stopping(String::new())] {
        let (_, actions) = Phase::Restarting(Step::Probation).on(death);
        assert!(matches!(actions[0], Action::OpenGate), "{actions:?}");
    }
}

/// Or it would take the end of their channel for a death.
#[test]
fn one_that_stops_on_probation_is_told_that_its_predecessor_serves_on() {
    let (phase, told) = play(Phase::Restarting(Step::Probation), vec![Event::Stopping(String::new())]);
    assert_eq!(told, ["OpenGate", "TakeBack", "Forget", "Undo"]);
    let (phase, told) = play(phase, vec![Event::Undone(vec![])]);
    assert_eq!(told, ["AnswerFailed"]);
    assert!(matches!(phase, Phase::Serving));
}

#[test]
fn a_channel_that_ends_before_its_process_leaves_the_process_time_to_tell_how() {
    for step in [Step::Introducing, Step::Awaiting, Step::Releasing, Step::Probation] {
        let ended = Event::Ended(Some(ExitStatus::from_raw(5 << 8)));
        let (phase, told) = play(Phase::Restarting(step), vec![Event::ChannelClosed]);
        assert_eq!(told.last().map(String::as_str), Some("AwaitEnd"));
        let (phase, actions) = match step.has_released() {
            true => play(phase, vec![ended]).0.on(Event::Undone(vec![])),
            false => phase.on(ended),
        };
        let [Action::AnswerFailed(error)] = actions.as_slice() else { panic!("{actions:?}") };
        assert!(error.to_string().contains("exit status: 5"), "{error}");
        assert!(matches!(phase, Phase::Serving));
    }
}

#[test]
fn a_successor_that_ends_is_told_from_one_that_is_killed() {
    for (raw, kind) in [(3 << 8, ErrorKind::Exited), (9, ErrorKind::Killed), (0, ErrorKind::Exited)] {
        let (_, actions) = Phase::Restarting(Step::Awaiting).on(Event::Ended(Some(ExitStatus::from_raw(raw))));
        let [Action::AnswerFailed(error)] = actions.as_slice() else { panic!("{actions:?}") };
        assert_eq!(error.kind(), kind);
    }
}

#[test]
fn the_first_stop_in_a_restarts_drain_shortens_it_and_the_second_cuts() {
    let stop = || Event::StopAsked(None);
    let (_, told) = play(Phase::Draining { heir: Heir::Successor, stops: 0 }, vec![stop(), stop()]);
    assert_eq!(told, ["ShortenDrain", "CutDrain"]);
    let (_, told) = play(Phase::Serving, vec![stop(), Event::LameDuckOver, Event::SupervisorKnows, stop()]);
    assert_eq!(told, ["SayStopping", "BeginLameDuck", "Withdraw", "BeginDrain", "CutDrain"]);
}

/// systemd signals all generations at once, and the predecessor's word may come before the signal.
#[test]
fn a_stop_cuts_nothing_of_a_successor_that_its_predecessors_stop_has_ended_already() {
    for early in [true, false] {
        let mut events = vec![Event::TakenBack("stopped".into()), Event::SupervisorKnows];
        events.insert(if early { 1 } else { 2 }, Event::StopAsked(None));
        let (phase, told) = play(Phase::OnProbation { restart: false }, events);
        assert!(!told.contains(&"CutDrain".to_owned()), "{told:?}");
        assert_eq!(play(phase, vec![Event::StopAsked(None)]).1, ["CutDrain"]);
    }
}

#[test]
fn a_successor_is_lost_once_and_only_if_the_chain_ends_with_it() {
    let draining = || Phase::Draining { heir: Heir::Successor, stops: 0 };
    let death = || vec![Event::ChannelClosed, Event::Ended(None)];
    assert_eq!(play(draining(), death()).1, ["SuccessorLost"]);
    assert!(play(draining(), vec![Event::ChannelClosed]).1.is_empty(), "its process lives, and serves");
    for farewell in [Event::Replaced, Event::Stopping(String::new())] {
        assert!(play(draining(), [vec![farewell], death()].concat()).1.is_empty());
    }
    for fault in [Event::Failed(error()), Event::Refused(error())] {
        let told = play(draining(), [vec![fault], death()].concat()).1;
        assert_eq!(told, ["NoteUnheard"], "it may have said in order that it ends");
    }
    let torn = Event::Failed(Error::new(ErrorKind::Torn, "it died in the midst of a word"));
    assert_eq!(play(draining(), [vec![torn], death()].concat()).1, ["SuccessorLost"]);
}

#[test]
fn a_stop_on_probation_tells_the_successor_and_does_not_kill_it() {
    let (_, told) = play(Phase::Restarting(Step::Probation), vec![Event::StopAsked(None)]);
    let serves_on = ["TakeBack", "Forget", "OpenGate", "AnswerFailed", "SayStopping", "BeginLameDuck"];
    assert_eq!(told, serves_on, "until the lame duck is over, it is the one that accepts");
    let (_, told) = play(Phase::OnProbation { restart: false }, vec![Event::TakenBack("stopped".into())]);
    assert_eq!(told, ["SayStopping", "Withdraw"]);
}

#[test]
fn a_stop_before_probation_dismisses_the_successor() {
    for step in [Step::Spawning, Step::Introducing, Step::Awaiting, Step::Releasing] {
        let (_, told) = play(Phase::Restarting(step), vec![Event::StopAsked(None)]);
        assert_eq!(told, ["TakeBack", "Dismiss", "AnswerFailed", "SayStopping", "BeginLameDuck"]);
    }
}

/// In the moment between, it may stand still, or have closed its channel: nobody would end it after this generation, and its
/// duplicates of the listeners would outlive both.
#[test]
fn a_stop_dismisses_a_failed_successor_that_has_its_time_to_end() {
    for failure in [Event::ReadyDeadline, Event::Refused(error()), Event::Stopping(String::new())] {
        let (phase, _) = play(Phase::Restarting(Step::Awaiting), vec![failure]);
        let (_, told) = play(phase.clone(), vec![Event::StopAsked(None)]);
        assert_eq!(told, ["TakeBack", "Dismiss", "AnswerFailed", "SayStopping", "BeginLameDuck"]);
        let (_, told) = play(phase, vec![Event::ServeFailed(error())]);
        assert_eq!(told, ["TakeBack", "Dismiss", "AnswerFailed", "SayStopping", "Withdraw"]);
    }
}

/// Or one at the control path, which can't be killed, would take the end of their channel for a death.
#[test]
fn one_that_refuses_or_stops_is_told_that_its_predecessor_serves_on_when_it_takes_too_long() {
    for farewell in [Event::Refused(error()), Event::Stopping(String::new())] {
        let (_, told) = play(Phase::Restarting(Step::Awaiting), vec![farewell, Event::EndDeadline]);
        assert_eq!(told, ["AwaitEnd", "TakeBack", "Kill"]);
    }
}

#[test]
fn a_spawn_that_outlives_the_deadline_is_killed_when_it_comes() {
    let events = vec![Event::ReadyDeadline, Event::Spawned, Event::Ended(Some(ExitStatus::from_raw(9)))];
    let (phase, told) = play(Phase::Restarting(Step::Spawning), events);
    assert_eq!(told, ["TakeBack", "PutDown", "Kill", "AnswerFailed"]);
    assert!(matches!(phase, Phase::Serving));
}

#[test]
fn a_failed_serve_stops_the_generation_with_the_reason() {
    let (phase, _) = Phase::Serving.on(Event::ServeFailed(error()));
    let (_, actions) = phase.on(Event::SupervisorKnows);
    assert!(actions.iter().any(|action| matches!(action, Action::BeginDrain(Cause::Failed { .. }))));
}

#[test]
fn what_happens_while_the_supervisor_is_told_of_the_successor_happens_to_one_that_has_let_go() {
    for (event, then) in [
        (Event::StopAsked(None), "ShortenDrain"),
        (Event::Ended(None), "SuccessorLost"),
        (Event::ServeFailed(error()), "NoteFailure"),
    ] {
        let (phase, told) = play(Phase::Restarting(Step::Probation), vec![Event::ProbationOver, event]);
        assert_eq!(told, ["NameSuccessor", "LetGo", then]);
        assert!(matches!(phase, Phase::Draining { .. }));
    }
}

#[test]
fn a_second_stop_does_not_wait_for_the_supervisor() {
    let stop = || Event::StopAsked(None);
    let (_, told) = play(Phase::Serving, vec![stop(), Event::LameDuckOver, stop(), Event::SupervisorKnows]);
    assert_eq!(told, ["SayStopping", "BeginLameDuck", "Withdraw", "BeginDrain", "CutDrain"]);
}

#[test]
fn one_that_comes_to_the_control_path_goes_the_way_of_one_that_was_spawned() {
    let events =
        [Event::Met, Event::Prepared, Event::Spawned, Event::Accepted, Event::Ready, Event::Released, Event::Met];
    let (phase, told) = play(Phase::Serving, events.into());
    assert_eq!(told, ["Prepare", "Welcome", "Release", "ShutGate", "Confirm", "TurnAway"]);
    assert!(matches!(phase, Phase::Restarting(Step::Probation)));
    let (phase, told) = play(Phase::Serving, vec![Event::Met, Event::Prepared, Event::SpawnFailed(error())]);
    assert_eq!(told, ["Prepare", "Welcome", "AnswerFailed"]);
    assert_eq!(phase.state(), State::Ready);
}

/// A helper's end, a call of the application: the barrier is for the supervisor, and they are none of its business.
#[test]
fn what_does_not_concern_the_successor_lets_nobody_go_before_the_supervisor_knows() {
    for event in [Event::PredecessorGone, Event::TimeAsked(Duration::from_secs(1)), Event::NeedsTime(Duration::ZERO)] {
        let (phase, told) = play(Phase::Restarting(Step::Naming), vec![event]);
        assert!(told.is_empty(), "{told:?}");
        assert!(matches!(phase, Phase::Restarting(Step::Naming)));
    }
}

#[test]
fn one_that_ends_before_its_predecessor_has_let_go_owns_the_names_when_that_comes() {
    let stopped = || vec![Event::StopAsked(None), Event::PredecessorLetGo];
    let (_, told) = play(Phase::OnProbation { restart: false }, stopped());
    assert_eq!(told, ["SayStopping", "Withdraw", "OwnNamesAtLast"]);
    let draining = || Phase::Draining { heir: Heir::Nobody, stops: 1 };
    assert_eq!(play(draining(), vec![Event::PredecessorLetGo]).1, ["OwnNamesAtLast"]);
    // The channel's end says nothing: a predecessor that serves on closes it, too.
    assert!(play(draining(), vec![Event::PredecessorGone]).1.is_empty());
}

#[test]
fn a_hook_that_refuses_keeps_everybody_out() {
    let (phase, told) = play(Phase::Serving, vec![Event::RestartAsked, Event::Unprepared(error())]);
    assert_eq!(told, ["Prepare", "AnswerFailed"]);
    assert!(matches!(phase, Phase::Serving));
    let (_, told) = play(Phase::Serving, vec![Event::Met, Event::Unprepared(error())]);
    assert_eq!(told, ["Prepare", "AnswerFailed"]);
    let (_, told) = play(Phase::Serving, vec![Event::Met, Event::StopAsked(None)]);
    assert_eq!(told, ["Prepare", "AnswerFailed", "SayStopping", "BeginLameDuck"]);
}

#[test]
fn what_was_given_up_is_taken_back_when_the_successor_is_dead_and_not_before() {
    let (phase, told) = play(Phase::Restarting(Step::Awaiting), vec![Event::Ready, Event::Unreleased(error())]);
    assert_eq!(told, ["Release", "TakeBack", "PutDown"]);
    let (_, told) = play(phase, vec![Event::EndDeadline, Event::Ended(None), Event::Undone(vec![])]);
    assert_eq!(told, ["TakeBack", "Kill", "Undo", "AnswerFailed"]);
    // Not what nobody has given up.
    let (_, told) = play(Phase::Restarting(Step::Awaiting), vec![Event::Failed(error()), Event::Ended(None)]);
    assert_eq!(told, ["TakeBack", "PutDown", "AnswerFailed"]);
}

#[test]
fn a_stop_does_not_wait_for_what_is_taken_back() {
    let (phase, told) = play(Phase::Undoing { error: error() }, vec![Event::StopAsked(None), Event::Undone(vec![])]);
    assert_eq!(told, ["AnswerFailed", "SayStopping", "BeginLameDuck"]);
    assert_eq!(phase.state(), State::LameDuck);
}

#[test]
fn only_a_generation_that_clients_are_sent_to_has_a_lame_duck() {
    let not_ready = [
        Phase::first(false),
        Phase::first(true),
        Phase::Confirming { restart: false },
        Phase::OnProbation { restart: false },
    ];
    for phase in not_ready {
        let (_, actions) = phase.on(Event::StopAsked(None));
        assert!(!actions.iter().any(|action| matches!(action, Action::BeginLameDuck(_))), "{actions:?}");
    }
    let (_, told) = play(Phase::Serving, vec![Event::ServeFailed(error())]);
    assert_eq!(told, ["SayStopping", "Withdraw"], "its clients wait in a queue that nobody accepts from");
}

#[test]
fn a_listener_that_fails_ends_the_lame_duck() {
    let (phase, told) = play(Phase::Serving, vec![Event::StopAsked(None), Event::ServeFailed(error())]);
    assert_eq!(told, ["SayStopping", "BeginLameDuck", "NoteFailure", "Withdraw"]);
    assert!(matches!(phase, Phase::Withdrawing { stops: 1, .. }));
}

#[test]
fn what_could_not_be_taken_back_is_told_with_the_failure() {
    let (_, actions) = Phase::Undoing { error: error() }.on(Event::Undone(vec![error(), error()]));
    let [Action::AnswerFailed(told)] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(told.to_string(), "for a test; and for a test; and for a test");
}

#[test]
fn an_end_after_ready_is_not_told_as_one_before() {
    for (step, goal) in [(Step::Awaiting, "before it was ready"), (Step::Releasing, "before it was confirmed")] {
        let ended = [Event::ChannelClosed, Event::Ended(None), Event::Undone(vec![])];
        let (mut phase, mut last) = (Phase::Restarting(step), vec![]);
        for event in ended {
            (phase, last) = phase.on(event);
            if let [Action::AnswerFailed(error)] = last.as_slice() {
                assert!(error.to_string().contains(goal), "{error}");
                break;
            }
        }
        assert!(matches!(last[..], [Action::AnswerFailed(_)]) && matches!(phase, Phase::Serving), "{last:?}");
    }
}

#[test]
fn a_second_stop_ends_the_lame_duck_and_the_drain() {
    let stop = || Event::StopAsked(None);
    let (phase, told) = play(Phase::Serving, vec![stop(), stop(), Event::LameDuckOver]);
    assert_eq!(told, ["SayStopping", "BeginLameDuck", "Withdraw", "BeginDrain", "CutDrain"]);
    assert_eq!(phase.state(), State::Draining);
}
