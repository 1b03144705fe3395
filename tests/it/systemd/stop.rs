//! `systemctl stop`, at each moment: what was accepted is finished, and nobody is left.

use std::process::{Child, Stdio};

use super::{SERVICE, UNIT, reload, stop, stopped, up};
use crate::support::{Fleet, Manager, Setup, echo, http::Client, process};

/// Begun. It ends when the unit has stopped.
fn begin(manager: &Manager) -> Child {
    manager.systemctl(["stop", SERVICE]).stdin(Stdio::null()).spawn().expect("systemctl starts")
}

#[track_caller]
fn ended(mut stop: Child, manager: &Manager, fleet: &mut Fleet) {
    assert!(stop.wait().expect("our child").success());
    stopped(manager, fleet);
}

/// Asks what takes two seconds to answer.
fn asked(fleet: &Fleet) -> Client {
    let mut client = Client::served(fleet.http);
    client.ask("/slow/2000");
    client
}

#[track_caller]
fn answered(mut client: Client, generation: u64) {
    let answer = client.answer().expect("finished, not cut");
    assert_eq!((answer.generation, &answer.body[..]), (generation, &b"slept 2000 ms"[..]));
}

#[test]
fn after_a_reload_it_drains_when_the_predecessor_is_gone() {
    let Some(manager) = Manager::start() else { return };
    let (mut fleet, first) = up(&manager, UNIT, Setup::new(), &[]);
    reload(&manager, &mut fleet, 0);
    fleet.until("done generation=0");
    process::until(|| !Fleet::lives(first));
    let client = asked(&fleet);
    let stop = begin(&manager);
    fleet.until("ending generation=1 ");
    answered(client, 1);
    let done = fleet.until("done generation=1");
    assert_eq!((done.number("cut"), done.number("code")), (0, 0));
    ended(stop, &manager, &mut fleet);
}

/// The main process has nothing to wait for, and its predecessor has.
#[test]
fn after_a_reload_it_drains_what_the_predecessor_still_has() {
    let Some(manager) = Manager::start() else { return };
    let (mut fleet, _) = up(&manager, UNIT, Setup::new(), &[]);
    let client = asked(&fleet);
    reload(&manager, &mut fleet, 0);
    let stop = begin(&manager);
    fleet.until("ending generation=1 ");
    answered(client, 0);
    for generation in 0..2 {
        let done = fleet.until(&format!("done generation={generation}"));
        assert_eq!((done.number("cut"), done.number("code"), &done["lost"]), (0, 0, "false"));
    }
    ended(stop, &manager, &mut fleet);
}

#[test]
fn after_a_reload_it_drains_what_both_have() {
    let Some(manager) = Manager::start() else { return };
    let (mut fleet, _) = up(&manager, UNIT, Setup::new(), &[]);
    let old = asked(&fleet);
    reload(&manager, &mut fleet, 0);
    let new = asked(&fleet);
    let stop = begin(&manager);
    answered(old, 0);
    answered(new, 1);
    ended(stop, &manager, &mut fleet);
}

/// It has accepted somebody, and is told by its predecessor and by systemd that it ends.
#[test]
fn in_a_probation_it_drains_what_the_successor_has_accepted() {
    let Some(manager) = Manager::start() else { return };
    let (mut fleet, _) = up(&manager, UNIT, Setup::new().with("PROBATION_MS", "60000"), &[]);
    manager.ctl(["reload", "--no-block", SERVICE]);
    fleet.until("ready generation=1");
    let client = asked(&fleet);
    let stop = begin(&manager);
    fleet.until("ending generation=1 ");
    answered(client, 1);
    let done = fleet.until("done generation=1");
    assert_eq!((done.number("cut"), done.number("code")), (0, 0));
    ended(stop, &manager, &mut fleet);
}

/// Its clients would stay for ever.
#[test]
fn three_generations_end_by_the_deadline() {
    let Some(manager) = Manager::start() else { return };
    let (mut fleet, _) = up(&manager, UNIT, Setup::new().with("STOP_DEADLINE_MS", "200"), &[]);
    let _oldest = echo::Client::served(fleet.echo);
    reload(&manager, &mut fleet, 0);
    let _middle = echo::Client::served(fleet.echo);
    reload(&manager, &mut fleet, 1);
    let _newest = echo::Client::served(fleet.echo);
    stop(&manager, &mut fleet);
}

/// systemd lets what stands still go on, for it to get the signal.
fn nobody_is_left_when_stopped_at(step: &str) {
    let Some(manager) = Manager::start() else { return };
    let setup = Setup::new().with("AT", format!("{step}:hold")).with("STOP_DEADLINE_MS", "200");
    let (mut fleet, _) = up(&manager, UNIT, setup, &[]);
    let _client = echo::Client::served(fleet.echo);
    // A reload that the server is slow to tell of would be waited for.
    manager.ctl(["reload", "--no-block", SERVICE]);
    fleet.until_held(step.split_once(':').expect("generation:step").1);
    stop(&manager, &mut fleet);
    assert!(echo::echo(fleet.echo).is_err());
}

macro_rules! each {
    ($($name:ident($step:literal)),* $(,)?) => {
        $(#[test] fn $name() { super::nobody_is_left_when_stopped_at($step); })*
    };
}

mod in_the_midst_of_a_restart_it_leaves_nobody {
    each! {
        before_the_spawn("0:Spawn"),
        when_the_sockets_are_accepted("0:Accepted"),
        before_commit("0:Confirm"),
        before_the_successor_is_named("0:NameSuccessor"),
        before_the_predecessor_lets_go("0:LetGo"),
        while_the_successor_starts("1:ReadyAsked"),
        before_the_successor_is_ready("1:SayReady"),
        when_the_successor_is_confirmed("1:Confirmed"),
        before_the_successor_is_alone("1:PredecessorLetGo"),
    }
}
