//! Real clients, as they are installed: each keeps one connection over ten restarts, and never learns of them.
//!
//! Between two of its requests a client asks a conductor, at another address, and waits for the answer as for any other.
//! Meanwhile the server is replaced, so that each request is answered by another generation.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use hyper_util::{client::legacy, rt::TokioExecutor};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{Fleet, Setup, doors, drain::accepted, not_run, process};

const RESTARTS: u64 = 10;

/// `None` where this line of shell fails.
#[track_caller]
fn have(probe: &str) -> Option<()> {
    let probed = Command::new("sh").args(["-c", probe]).output().expect("a shell");
    if !probed.status.success() {
        not_run("CLIENTS", &format!("no client to test with: {probe}: {probed:?}"));
    }
    probed.status.success().then_some(())
}

/// Beside this file.
fn script(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/it/clients", name].iter().collect()
}

/// A server whose answers tell the client's address, and nobody is let go for idling.
fn server() -> (Fleet, SocketAddr) {
    let mut fleet = Setup::new().with("DOORS", "make").with("GRACE_MS", "60000").start();
    let door = doors::address(&mut fleet, "make");
    (fleet, door)
}

/// Restarts this generation, and waits for its end: it has handed so many connections over, and had no others. The
/// successor's pid.
#[track_caller]
fn replace(fleet: &mut Fleet, generation: u64, pid: i32, connections: u64) -> i32 {
    let successor = fleet.restart(generation, pid);
    let done = fleet.until(&format!("done generation={generation}"));
    let counts = ["handed", "finished", "raced", "cut"].map(|count| done.number(count));
    assert_eq!(counts, [connections, 0, 0, 0], "{}", fleet.log());
    successor
}

/// `<peer> <generation>` for each request: the same peer, and each generation once.
#[track_caller]
fn kept_its_connection(answers: &[String]) {
    let (peers, generations): (Vec<_>, Vec<_>) =
        answers.iter().map(|answer| answer.split_once(' ').unwrap_or_else(|| panic!("{answers:?}"))).unzip();
    assert!(peers.iter().all(|peer| *peer == peers[0]), "{answers:?}");
    assert!(generations.into_iter().eq((0..=RESTARTS).map(|number| number.to_string())), "{answers:?}");
}

/// A client that is a program: it finds the server's and the conductor's URL and how often it is to ask the conductor
/// behind its own arguments, and says on stdout what it was answered.
#[track_caller]
fn program(client: &mut Command) {
    let (mut fleet, door) = server();
    let conductor = TcpListener::bind("127.0.0.1:0").unwrap();
    client.arg(format!("http://{door}/peer")).arg(format!("http://{}/", conductor.local_addr().unwrap()));
    client.arg(RESTARTS.to_string()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = client.spawn().expect("just seen");
    let mut pid = fleet.first();
    for generation in 0..RESTARTS {
        let Some(asked) = next(&conductor, &mut client) else { break };
        pid = replace(&mut fleet, generation, pid, 1);
        answer(asked);
    }
    let (mut said, mut failed) = (String::new(), String::new());
    client.stdout.take().expect("piped").read_to_string(&mut said).unwrap();
    client.stderr.take().expect("piped").read_to_string(&mut failed).unwrap();
    assert!(client.wait().expect("our child").success(), "{failed}");
    let answers: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    kept_its_connection(&answers);
    fleet.stop(pid, RESTARTS);
}

/// Who asks the conductor next. `None`: the client has ended before.
fn next(conductor: &TcpListener, client: &mut Child) -> Option<TcpStream> {
    conductor.set_nonblocking(true).unwrap();
    let (mut asked, mut ended) = (None, false);
    process::until(|| {
        asked = conductor.accept().ok();
        ended = client.try_wait().expect("our child").is_some();
        asked.is_some() || ended
    });
    asked.map(|(stream, _)| stream)
}

/// Of a request whose head is all.
fn answer(mut asked: TcpStream) {
    asked.set_nonblocking(false).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        asked.read_exact(&mut byte).expect("a request");
        head.extend(byte);
    }
    asked.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").expect("it waits");
}

#[test]
fn curl_keeps_its_connection() {
    let Some(()) = have("curl --version") else { return };
    // As many URLs as it is to fetch, one after the other.
    let fetch = r#"
        server=$1 conductor=$2 rounds=$3
        set -- "$server"
        for _ in $(seq "$rounds"); do set -- "$@" "$conductor" "$server"; done
        exec curl --silent --show-error --fail --keepalive-time 60 --write-out ' %header{x-generation}\n' "$@"
    "#;
    program(Command::new("sh").args(["-c", fetch, "sh"]));
}

#[test]
fn pythons_http_client_keeps_its_connection() {
    let Some(()) = have("python3 -c 'import http.client'") else { return };
    program(Command::new("python3").arg(script("http_client.py")));
}

#[test]
fn pythons_requests_session_keeps_its_connection() {
    let Some(()) = have("python3 -c 'import requests'") else { return };
    program(Command::new("python3").arg(script("requests_session.py")));
}

#[test]
fn nodes_agent_keeps_its_connection() {
    let Some(()) = have("node --version") else { return };
    program(Command::new("node").arg(script("agent.js")));
}

#[test]
fn hypers_client_pool_keeps_its_connection() {
    let (mut fleet, door) = server();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let client = legacy::Client::builder(TokioExecutor::new()).build_http::<http_body_util::Empty<&[u8]>>();
    let ask = || {
        runtime.block_on(async {
            let answer = client.get(format!("http://{door}/peer").parse().expect("a URI")).await.expect("an answer");
            let generation = answer.headers()["x-generation"].to_str().expect("ASCII").to_owned();
            let body = http_body_util::BodyExt::collect(answer.into_body()).await.expect("all of it").to_bytes();
            format!("{} {generation}", String::from_utf8_lossy(&body))
        })
    };
    let (mut pid, mut answers) = (fleet.first(), vec![ask()]);
    for generation in 0..RESTARTS {
        pid = replace(&mut fleet, generation, pid, 1);
        answers.push(ask());
    }
    kept_its_connection(&answers);
    drop(client);
    fleet.stop(pid, RESTARTS);
}

/// Busy all the while, on sixteen connections, and each of them is the one that it began with.
#[test]
fn wrk_keeps_its_connections() {
    let Some(()) = have("command -v wrk") else { return };
    let (mut fleet, door) = server();
    let mut wrk = Command::new("wrk");
    wrk.args(["-t", "1", "-c", "16", "-d", "600s", "-s"]).arg(script("peers.lua")).arg(format!("http://{door}/peer"));
    wrk.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut wrk = accepted(&fleet, 16, |_| wrk.spawn().expect("just seen"));
    let mut pid = fleet.first();
    for generation in 0..RESTARTS {
        pid = replace(&mut fleet, generation, pid, 16);
    }
    // It reports then, as at its end.
    kill(Pid::from_raw(wrk.id() as i32), Signal::SIGINT).unwrap();
    let mut said = String::new();
    wrk.stdout.take().expect("piped").read_to_string(&mut said).unwrap();
    assert!(wrk.wait().unwrap().success() && said.contains("16 peers, 0 errors\n"), "{said}");
    fleet.stop(pid, RESTARTS);
}
