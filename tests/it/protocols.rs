//! Every way that HTTP can be served, through restarts.

use std::{net::SocketAddr, time::Duration};

use ::load::{Exchange, Load, Mode};

use crate::{
    load::{kept, server, survive, told},
    support::{Fleet, Setup, Tunnel, doors, http::Client},
};

/// On kept-alive and on fresh connections, and at last over HTTP/2.
fn loads(to: SocketAddr) -> Vec<Load> {
    let load = |mode| Load::new(to, mode).clients(4).think(Duration::from_millis(2));
    vec![
        load(Mode::KeepAlive(Exchange::get())),
        load(Mode::KeepAlive(Exchange::post(100_000))),
        load(Mode::Fresh(Exchange::get())),
        #[cfg(feature = "http2")]
        load(Mode::Http2 { exchange: Exchange::get(), streams: 4 }),
    ]
}

#[test]
fn tls_loses_nothing() {
    let place = doors::certificate();
    let mut tunnel = None;
    let loads = |fleet: &mut Fleet| {
        let tunnel = tunnel.insert(Tunnel::to(doors::address(fleet, "tls"), place.path()));
        loads(tunnel.address)
    };
    told(&survive(server().with("DOORS", "tls").with("TLS", place.path()), loads).0);
}

/// With handover and without.
#[track_caller]
fn kept_or_told(door: &str) {
    let survive = |setup: Setup| survive(setup.with("DOORS", door), |fleet| loads(doors::address(fleet, door))).0;
    kept(&survive(server())[..3]);
    told(&survive(server().without_handover()));
}

#[test]
fn a_service_made_by_a_closure_loses_nothing() {
    kept_or_told("closure");
}

#[test]
fn a_make_service_loses_nothing() {
    kept_or_told("make");
}

/// Nobody knows whose its connections would be.
#[test]
fn an_accept_loop_of_ones_own_loses_nothing() {
    told(&survive(server().with("DOORS", "loop"), |fleet| loads(doors::address(fleet, "loop"))).0);
}

#[test]
fn the_clients_address_is_known_behind_every_door_in_each_generation() {
    let place = doors::certificate();
    let mut fleet = server().with("DOORS", "make closure loop tls").with("TLS", place.path()).start();
    let doors = ["make", "closure", "loop"].map(|door| doors::address(&mut fleet, door));
    let tunnel = Tunnel::to(doors::address(&mut fleet, "tls"), place.path());
    let mut pid = fleet.first();
    for generation in 0..3 {
        for door in doors {
            let mut client = Client::connect(door);
            let local = client.stream.local_addr().unwrap();
            let answer = client.get("/peer");
            let seen = String::from_utf8(answer.body).unwrap();
            assert_eq!((answer.generation, seen), (generation, local.to_string()));
        }
        let answer = Client::connect(tunnel.address).get("/peer");
        assert_eq!(answer.generation, generation);
        assert!(answer.body.starts_with(b"127.0.0.1:"), "{answer:?}");
        pid = fleet.restart(generation, pid);
    }
}
