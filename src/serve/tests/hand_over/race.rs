use std::{future::poll_fn, sync::mpsc};

use tokio::task::yield_now;

use super::*;
use crate::{
    handover::{Lane, Permit},
    serve::{link::Ticket, settings::Settings},
};

/// As many as it takes: 75 of 20,000 went wrong where "no request in the service, its body dropped, everything flushed" was
/// the sign.
const ROUNDS: usize = 20_000;

const NEXT: &str = "GET /next HTTP/1.1\r\nhost: test\r\n\r\n";

/// The body looks like a request. If the connection moved between the drop and hyper's notice of it, the successor would
/// serve that: a request which nobody has made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_another_thread_drops_just_then_is_never_parsed_as_a_request() {
    let (to_drop, dropping) = mpsc::channel::<(Request<Incoming>, Vec<Permit>)>();
    let dropping = std::thread::spawn(move || dropping.into_iter().for_each(drop));
    let others = Arc::new(Mutex::new(Vec::new()));
    let (mut departures, exit) = Departures::new();
    departures.expect();
    departures.open();
    let roof = Roof::new();
    // So that each is taken apart at the first moment at which it may be.
    roof.drain.begin(Cause::Stopped { by: None }, &times(3600, 3600));
    let settings = || {
        let mut settings = Settings::new();
        settings.exit = exit.clone();
        settings.socket = Some(Name::new("http").unwrap());
        settings
    };
    let held = others.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let is_upload = request.method() == "POST";
        if is_upload {
            to_drop.send((request, std::mem::take(&mut *held.lock().unwrap()))).unwrap();
        }
        async move { reply(if is_upload { "early" } else { "next" }) }
    });
    let (mut moved, body) = (0, "GET /smuggled HTTP/1.1\r\nhost: test\r\n\r\n".repeat(4));
    for round in 0..ROUNDS {
        let (client, server) = UnixStream::pair().unwrap();
        let mut client = Client::new(client);
        let upload = post(body.len()) + &body;
        // All of the body is there, or comes when half of it was answered.
        let at = [upload.len(), upload.len() - body.len() / 2, upload.len() - body.len()][round % 3];
        client.send(&upload[..at]).await;
        // Nobody may leave before the upload has come to its handler.
        let mut all = Vec::new();
        for _ in 0..48 {
            let mut room = exit.room(Lane::Serve);
            all.extend(poll_fn(|cx| room.poll(cx)).await);
        }
        *others.lock().unwrap() = all;
        let ticket = Ticket { guard: roof.drain.tracker().guard(), slot: None, family: None };
        let service = IntoService::into_service(service.clone());
        let connection = Connection::of_serve(server, service, roof.drain.watch(), ticket, Arc::new(settings()));
        let mut served = tokio::spawn(connection);
        yield_now().await;
        // Refused, where hyper has closed a connection whose body nobody reads.
        let _is_closed = client.io.write_all(format!("{}{NEXT}", &upload[at..]).as_bytes()).await;
        let _is_closed = client.io.shutdown().await;
        tokio::select! {
            _ended = &mut served => {}
            offered = departures.next() => {
                let Message::Offer(offers) = &offered.message else { panic!("{offered:?}") };
                let (offer, socket) = (&offers[0], &offered.descriptors[0]);
                let rest = std::os::unix::net::UnixStream::from(OwnedFd::try_clone(socket).unwrap());
                let (mut rest, mut read) = (UnixStream::from_std(rest).unwrap(), offer.read.clone());
                rest.read_to_end(&mut read).await.unwrap();
                let read = String::from_utf8(read).unwrap();
                assert!(["", NEXT].contains(&&*read), "in the middle of a body: {read:?}");
                moved += 1;
                departures.taken(&[offer.id]);
                served.await.unwrap().unwrap();
            }
        }
    }
    // In the others hyper has closed the connection: half of the body was still to come.
    assert!(moved > 0);
    drop(service);
    dropping.join().unwrap();
}
