use std::{
    cell::RefCell,
    convert::Infallible,
    future::{Ready, pending, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::FutureExt;
use http::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, RETRY_AFTER},
};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Bytes;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tower::{ServiceBuilder, service_fn, util::BoxCloneService};
use tower_http::timeout::TimeoutLayer;
use tower_layer::Layer;
use tower_service::Service;

use super::{DrainLayer, DrainService};
use crate::{
    Cause, Graceful, Report,
    drain::{Drain, Kind, Times, Watch},
};

const SECOND: Duration = Duration::from_secs(1);

fn stopped() -> Cause {
    Cause::Stopped { by: None }
}

fn begin(drain: &Drain) {
    drain.begin(stopped(), &Times::for_stop());
}

/// Both stages.
fn ended(drain: &Drain) -> impl Future<Output = Report> + use<> {
    let drain = drain.clone();
    async move {
        drain.run().await;
        drain.end_last();
        drain.run_last().await
    }
}

fn layer_of(drain: &Drain) -> DrainLayer {
    DrainLayer::counted_by(drain.tracker())
}

fn request() -> Request<()> {
    Request::new(())
}

/// Answers at once, with this body.
fn answering<B: Clone>(
    body: B,
) -> impl Service<Request<()>, Response = Response<B>, Error = Infallible, Future = Ready<Result<Response<B>, Infallible>>>
{
    service_fn(move |_| ready(Ok(Response::new(body.clone()))))
}

/// What a future has now.
fn now<F: Future>(future: F) -> F::Output {
    future.now_or_never().expect("it is ready")
}

/// A body that a test writes frame by frame.
struct Written(mpsc::UnboundedReceiver<Result<Frame<Bytes>, &'static str>>);

type Writer = mpsc::UnboundedSender<Result<Frame<Bytes>, &'static str>>;

fn written() -> (Writer, Written) {
    let (writer, frames) = mpsc::unbounded_channel();
    (writer, Written(frames))
}

impl Body for Written {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.0.poll_recv(cx)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(42)
    }
}

/// Answers once, with this body.
fn writing(body: Written) -> impl Service<Request<()>, Response = Response<Written>, Error = Infallible> {
    let mut body = Some(body);
    service_fn(move |_| ready(Ok(Response::new(body.take().expect("it is called once")))))
}

// ---------------------------------------------------------------------------------------------------- counting

#[test]
fn a_request_is_in_flight_from_its_call_until_the_end_of_its_body() {
    let layer = DrainLayer::new(Watch::never());
    let (writer, body) = written();
    let mut service = layer.layer(writing(body));
    assert_eq!(layer.in_flight(), 0);
    let future = service.call(request());
    assert_eq!(layer.in_flight(), 1, "before anybody polls");
    let mut body = now(future).unwrap().into_body();
    assert!(body.frame().now_or_never().is_none());
    writer.send(Ok(Frame::data("hello".into()))).unwrap();
    assert!(now(body.frame()).unwrap().unwrap().is_data());
    assert_eq!((layer.in_flight(), service.in_flight()), (1, 1));
    drop(writer);
    assert!(now(body.frame()).is_none());
    assert_eq!(layer.in_flight(), 0, "also while somebody holds the body");
    assert!(now(body.frame()).is_none());
    assert_eq!((body.is_end_stream(), body.size_hint().exact()), (true, Some(0)));
}

#[test]
fn a_body_that_is_dropped_in_its_middle_is_no_longer_in_flight() {
    let layer = DrainLayer::new(Watch::never());
    let (writer, body) = written();
    let mut body = now(layer.layer(writing(body)).call(request())).unwrap().into_body();
    writer.send(Ok(Frame::data("hello".into()))).unwrap();
    assert!(now(body.frame()).is_some());
    assert_eq!(layer.in_flight(), 1);
    drop(body);
    assert_eq!((layer.in_flight(), writer.is_closed()), (0, true));
}

#[test]
fn a_body_that_fails_is_in_flight_until_it_is_dropped() {
    let layer = DrainLayer::new(Watch::never());
    let (writer, body) = written();
    let mut body = now(layer.layer(writing(body)).call(request())).unwrap().into_body();
    writer.send(Err("broken")).unwrap();
    assert_eq!(now(body.frame()).unwrap().unwrap_err(), "broken");
    assert_eq!(layer.in_flight(), 1);
    drop(body);
    assert_eq!(layer.in_flight(), 0);
}

#[test]
fn a_future_that_is_dropped_is_no_longer_in_flight() {
    let layer = DrainLayer::new(Watch::never());
    let mut service = layer.layer(service_fn(|_: Request<()>| pending::<Result<Response<()>, Infallible>>()));
    drop(service.call(request()));
    assert_eq!(layer.in_flight(), 0);
    let mut future = service.call(request());
    assert!((&mut future).now_or_never().is_none());
    let other = service.call(request());
    assert_eq!(layer.in_flight(), 2);
    drop(future);
    drop(other);
    assert_eq!(layer.in_flight(), 0);
}

#[test]
fn a_response_that_is_dropped_and_an_error_are_no_longer_in_flight() {
    let layer = DrainLayer::new(Watch::never());
    let mut fails = layer.layer(service_fn(|_: Request<()>| ready(Err::<Response<()>, _>("no"))));
    let mut future = fails.call(request());
    assert_eq!((&mut future).now_or_never().unwrap().unwrap_err(), "no");
    assert_eq!(layer.in_flight(), 0, "also while somebody holds the future");
    let response = now(layer.layer(answering("hello")).call(request())).unwrap();
    assert_eq!(layer.in_flight(), 1);
    drop(response);
    assert_eq!(layer.in_flight(), 0);
}

#[test]
fn a_service_that_panics_leaves_nothing_in_flight() {
    let layer = DrainLayer::new(Watch::never());
    let mut at_once =
        layer.layer(service_fn(|_: Request<()>| -> Ready<Result<Response<()>, Infallible>> { panic!("a bug") }));
    catch_unwind(AssertUnwindSafe(|| at_once.call(request()))).unwrap_err();
    let mut later =
        layer.layer(service_fn(|_: Request<()>| async { panic!("a bug") as Result<Response<()>, Infallible> }));
    let future = later.call(request());
    catch_unwind(AssertUnwindSafe(|| now(future))).unwrap_err();
    assert_eq!(layer.in_flight(), 0);
}

#[test]
fn clones_count_together_and_layers_of_one_watch_each_by_itself() {
    let watch = Watch::never();
    let (one, other) = (DrainLayer::new(watch.clone()), DrainLayer::new(watch));
    let service = one.clone().layer(service_fn(|_: Request<()>| pending::<Result<Response<()>, Infallible>>()));
    let _first = service.clone().call(request());
    let _second = service.clone().call(request());
    assert_eq!((one.in_flight(), other.in_flight()), (2, 0));
}

#[test]
fn what_the_inner_future_and_body_hold_is_gone_before_the_request_is() {
    struct Notes(DrainLayer, Rc<RefCell<Vec<usize>>>);
    impl Drop for Notes {
        fn drop(&mut self) {
            self.1.borrow_mut().push(self.0.in_flight());
        }
    }
    let (layer, seen) = (DrainLayer::new(Watch::never()), Rc::default());
    let mut service = layer.layer(service_fn(|_: Request<()>| {
        let notes = Notes(layer.clone(), Rc::clone(&seen));
        async move {
            let _notes = notes;
            pending::<Result<Response<()>, Infallible>>().await
        }
    }));
    drop(service.call(request()));
    let body = Rc::new(Notes(layer.clone(), Rc::clone(&seen)));
    let mut service = layer.layer(answering(body.clone()));
    let response = now(service.call(request()));
    drop((service, body));
    drop(response);
    assert_eq!(*seen.borrow(), [1, 1]);
}

// ------------------------------------------------------------------------------------------------- the drain waits

#[tokio::test(start_paused = true)]
async fn the_drain_waits_until_the_last_frame_of_the_body() {
    let drain = Drain::new();
    let (writer, body) = written();
    let response = now(layer_of(&drain).layer(writing(body)).call(request())).unwrap();
    let began = Instant::now();
    begin(&drain);
    let running = tokio::spawn(ended(&drain));
    let reading = tokio::spawn(async move { response.into_body().collect().await.map(|all| all.to_bytes()) });
    for word in ["one ", "two"] {
        sleep(SECOND).await;
        writer.send(Ok(Frame::data(word.into()))).unwrap();
    }
    sleep(SECOND).await;
    assert!(!running.is_finished());
    drop(writer);
    let report = running.await.unwrap();
    assert_eq!((began.elapsed(), report.of(Kind::Request).finished), (SECOND * 3, 1));
    assert_eq!(reading.await.unwrap().unwrap(), "one two");
}

#[tokio::test(start_paused = true)]
async fn under_a_detached_handle_the_drain_waits_for_the_requests_of_all_its_layers() {
    let graceful = Graceful::detached();
    let slow = |time| {
        graceful.layer().layer(service_fn(move |_: Request<()>| async move {
            sleep(time).await;
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }))
    };
    let answered = [SECOND, SECOND * 2].map(|time| {
        let call = slow(time).call(request());
        tokio::spawn(async move { call.await.map(drop) })
    });
    assert_eq!((graceful.layer().in_flight(), graceful.tracker().len()), (2, 2));
    let report = graceful.drain().await;
    assert_eq!((report.took(), report.of(Kind::Request).finished), (SECOND * 2, 2));
    assert!(answered.iter().all(|task| task.is_finished()));
}

// ----------------------------------------------------------------------------------------------------- telling

/// The `connection` of the response to such a request.
fn connection(layer: &DrainLayer, version: Version, method: Method, status: StatusCode) -> Option<String> {
    let asked = Request::builder().version(version).method(method).body(()).unwrap();
    let mut service = layer.layer(service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::builder().status(status).header(CONNECTION, "as it was").body(()).unwrap()))
    }));
    let response = now(service.call(asked)).unwrap();
    assert_eq!(response.headers().get_all(CONNECTION).iter().count(), 1);
    Some(response.headers()[CONNECTION].to_str().unwrap().to_owned()).filter(|value| value != "as it was")
}

#[tokio::test(start_paused = true)]
async fn every_http1_response_says_close_once_the_grace_is_over_and_no_other() {
    let drain = Drain::new();
    let layer = layer_of(&drain);
    let cases = [
        (Version::HTTP_11, Method::GET, StatusCode::OK, true),
        (Version::HTTP_10, Method::GET, StatusCode::OK, true),
        (Version::HTTP_09, Method::GET, StatusCode::OK, true),
        (Version::HTTP_11, Method::POST, StatusCode::INTERNAL_SERVER_ERROR, true),
        (Version::HTTP_11, Method::GET, StatusCode::SWITCHING_PROTOCOLS, false),
        (Version::HTTP_11, Method::CONNECT, StatusCode::OK, false),
        (Version::HTTP_11, Method::CONNECT, StatusCode::NO_CONTENT, false),
        (Version::HTTP_11, Method::CONNECT, StatusCode::FORBIDDEN, true),
        (Version::HTTP_2, Method::GET, StatusCode::OK, false),
        (Version::HTTP_2, Method::CONNECT, StatusCode::FORBIDDEN, false),
        (Version::HTTP_3, Method::GET, StatusCode::OK, false),
    ];
    for (version, method, status, _) in cases.clone() {
        assert_eq!(connection(&layer, version, method, status), None, "in normal service");
    }
    let _kept = drain.tracker().guard();
    begin(&drain);
    sleep(SECOND * 5).await;
    for (version, method, status, closes) in cases {
        let said = connection(&layer, version, method.clone(), status);
        assert_eq!(said.as_deref(), closes.then_some("close"), "{version:?} {method} {status}");
    }
}

/// How many of a thousand responses say `close` now.
fn told(layer: &DrainLayer) -> usize {
    let says = |_: &i32| connection(layer, Version::HTTP_11, Method::GET, StatusCode::OK).is_some();
    (0..1_000).filter(says).count()
}

#[tokio::test(start_paused = true)]
async fn the_chance_of_close_grows_over_the_grace_from_none_to_one() {
    let drain = Drain::new();
    let layer = layer_of(&drain);
    begin(&drain);
    for quarter in 0..=4 {
        assert!(told(&layer).abs_diff(250 * quarter) <= 10, "{quarter} quarters of the grace");
        sleep(SECOND * 5 / 4).await;
    }
    assert_eq!(told(&layer), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_lame_duck_marks_more_and_more_and_refuses_nobody_until_the_drain_begins() {
    let drain = Drain::new();
    let layer = layer_of(&drain).refuse_late(SECOND);
    drain.begin_lame_duck(stopped(), &Times::for_stop().lame_duck(SECOND * 4));
    for quarter in 0..=4 {
        assert!(told(&layer).abs_diff(250 * quarter) <= 10, "{quarter} quarters of the lame duck");
        assert_eq!(now(layer.layer(answering(())).call(request())).unwrap().status(), 200);
        sleep(SECOND).await;
    }
    begin(&drain);
    assert_eq!(now(layer.layer(answering(())).call(request())).unwrap().status(), 503);
}

#[test]
fn at_once_every_response_says_close_from_the_beginning() {
    let drain = Drain::new();
    let layer = layer_of(&drain);
    drain.begin(stopped(), &Times::for_stop().at_once());
    assert_eq!(told(&layer), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_told_request_is_told_in_the_report() {
    let drain = Drain::new();
    let mut service = layer_of(&drain).layer(answering(()));
    drain.begin(stopped(), &Times::for_stop().at_once());
    let (first, second) = (service.call(request()), service.call(request()));
    drop(first);
    drop(now(second));
    let tally = ended(&drain).await.of(Kind::Request);
    assert_eq!((tally.finished, tally.told), (2, 1));
}

#[test]
fn layers_of_one_watch_end_together() {
    let drain = Drain::new();
    let layers = [(); 2].map(|()| DrainLayer::new(drain.watch()));
    assert_eq!(layers.each_ref().map(told), [0, 0]);
    drain.begin(stopped(), &Times::for_stop().at_once());
    assert_eq!(layers.each_ref().map(told), [1_000, 1_000]);
}

// ------------------------------------------------------------------------------------------------- refusing late ones

#[tokio::test(start_paused = true)]
async fn late_requests_are_answered_503_without_the_service_and_are_not_counted() {
    let drain = Drain::new();
    let layer = layer_of(&drain).refuse_late(SECOND * 7);
    let calls = Rc::new(RefCell::new(0));
    let mut service = layer.layer(service_fn(|_: Request<()>| {
        *calls.borrow_mut() += 1;
        pending::<Result<Response<Full<Bytes>>, Infallible>>()
    }));
    let early = service.call(request());
    begin(&drain);
    let future = service.call(request());
    assert_eq!((*calls.borrow(), layer.in_flight()), (1, 1), "what came before goes on");
    let response = now(future).unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        (&response.headers()[RETRY_AFTER], &response.headers()[CONNECTION]),
        (&"7".parse().unwrap(), &"close".parse().unwrap())
    );
    let mut body = response.into_body();
    assert_eq!((body.is_end_stream(), body.size_hint().exact()), (true, Some(0)));
    assert!(now(body.frame()).is_none());
    drop(early);
    assert_eq!(layer.in_flight(), 0);
}

#[test]
fn a_late_request_over_http2_is_refused_without_a_word_of_its_connection() {
    let drain = Drain::new();
    begin(&drain);
    let mut service = layer_of(&drain).refuse_late(SECOND).layer(answering(()));
    let asked = Request::builder().version(Version::HTTP_2).body(()).unwrap();
    let response = now(service.call(asked)).unwrap();
    assert_eq!((response.status().as_u16(), response.headers().contains_key(CONNECTION)), (503, false));
}

#[test]
fn retry_after_is_in_seconds_rounded_up() {
    let drain = Drain::new();
    begin(&drain);
    for (after, said) in [
        (Duration::ZERO, "0"),
        (Duration::from_nanos(1), "1"),
        (SECOND, "1"),
        (Duration::from_millis(1_500), "2"),
        (Duration::MAX, "18446744073709551615"),
    ] {
        let response = now(layer_of(&drain).refuse_late(after).layer(answering(())).call(request())).unwrap();
        assert_eq!(response.headers()[RETRY_AFTER], said);
    }
}

#[test]
fn nothing_is_refused_unless_it_is_asked_for() {
    let drain = Drain::new();
    begin(&drain);
    assert_eq!(now(layer_of(&drain).layer(answering(())).call(request())).unwrap().status(), 200);
}

#[test]
fn readiness_is_the_inner_services_also_when_it_refuses() {
    #[derive(Clone)]
    struct Broken;
    impl Service<Request<()>> for Broken {
        type Response = Response<()>;
        type Error = &'static str;
        type Future = Ready<Result<Response<()>, &'static str>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            Poll::Ready(Err("broken"))
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            unreachable!("it is never ready")
        }
    }
    let drain = Drain::new();
    begin(&drain);
    let mut service = layer_of(&drain).refuse_late(SECOND).layer(Broken);
    assert_eq!(now(std::future::poll_fn(|cx| service.poll_ready(cx))), Err("broken"));
}

// ------------------------------------------------------------------------------------------------- passing through

#[test]
fn data_trailers_and_what_is_known_of_the_size_pass_through() {
    let (writer, body) = written();
    let mut body = now(DrainLayer::new(Watch::never()).layer(writing(body)).call(request())).unwrap().into_body();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(42), false));
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    writer.send(Ok(Frame::data("hello".into()))).unwrap();
    writer.send(Ok(Frame::trailers(trailers.clone()))).unwrap();
    drop(writer);
    assert_eq!(now(body.frame()).unwrap().unwrap().into_data().unwrap(), "hello");
    assert_eq!(now(body.frame()).unwrap().unwrap().into_trailers().unwrap(), trailers);
    assert!(now(body.frame()).is_none());
    let empty = now(DrainLayer::new(Watch::never()).layer(answering(Empty::<Bytes>::new())).call(request())).unwrap();
    assert!(empty.body().is_end_stream());
}

#[test]
fn head_and_extensions_of_the_response_pass_through() {
    let mut service = DrainLayer::new(Watch::never()).layer(service_fn(|_: Request<()>| {
        let response = Response::builder().status(418).header("x", "y").extension(7_u8).body(()).unwrap();
        ready(Ok::<_, Infallible>(response))
    }));
    let response = now(service.call(request())).unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["x"]), (418, &"y".parse().unwrap()));
    assert_eq!(response.extensions().get(), Some(&7_u8));
}

#[test]
fn the_handler_finds_the_watch_in_the_requests_extensions() {
    let drain = Drain::new();
    let mut service = layer_of(&drain).layer(service_fn(|request: Request<()>| {
        let watch = request.extensions().get::<Watch>().expect("the layer puts it there");
        ready(Ok::<_, Infallible>(Response::new(watch.is_draining())))
    }));
    let mut asks = || service.call(request());
    assert!(format!("{:?}", now(asks()).unwrap().body()).contains("false"));
    begin(&drain);
    assert!(format!("{:?}", now(asks()).unwrap().body()).contains("true"));
}

#[test]
fn the_inner_service_can_be_reached_and_taken_out() {
    let mut service: DrainService<u8> = DrainLayer::new(Watch::never()).layer(7);
    *service.get_mut() += 1;
    assert_eq!((*service.get_ref(), service.clone().into_inner()), (8, 8));
    assert!(format!("{service:?}").starts_with("DrainService { inner: 8"));
}

// ------------------------------------------------------------------------------------------------- in company

#[test]
fn services_futures_bodies_and_errors_that_are_not_send_will_do() {
    let held = Rc::new(RefCell::new(Vec::new()));
    let mut service = DrainLayer::new(Watch::never()).layer(service_fn(|request: Request<Rc<str>>| {
        let held = Rc::clone(&held);
        async move {
            held.borrow_mut().push(request.into_body());
            Ok::<_, Rc<str>>(Response::new(held))
        }
    }));
    drop(now(service.call(Request::new("hello".into()))).unwrap());
    assert_eq!(*held.borrow(), ["hello".into()]);
}

#[tokio::test(start_paused = true)]
async fn it_composes_with_service_builder_box_clone_service_and_timeouts_on_both_sides() {
    let layer = DrainLayer::new(Watch::never());
    let timeout = |seconds| TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, SECOND * seconds);
    let service = ServiceBuilder::new().layer(timeout(2)).layer(layer.clone()).layer(timeout(3)).service_fn(
        |_: Request<Full<Bytes>>| async {
            sleep(SECOND * 5).await;
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("late"))))
        },
    );
    let mut service = BoxCloneService::new(service);
    let response = service.call(Request::new(Full::default())).await.unwrap();
    assert_eq!((response.status(), layer.in_flight()), (StatusCode::GATEWAY_TIMEOUT, 0));
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "");
}

#[tokio::test]
async fn an_axum_router_takes_it_by_layer_and_by_route_layer() {
    use axum::{Router, body::Body, routing::get};
    let layer = DrainLayer::new(Watch::never()).refuse_late(SECOND);
    let routes = || Router::new().route("/", get(|| async { "hello" }));
    for app in [
        routes().layer(layer.clone()),
        routes().route_layer(layer.clone()),
        Router::new().fallback_service(layer.layer(routes())),
    ] {
        let mut app: Router = app;
        let response = app.call(Request::new(Body::empty())).await.unwrap();
        assert_eq!(layer.in_flight(), 1);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
        assert_eq!(layer.in_flight(), 0);
    }
}

#[cfg(feature = "axum")]
mod extractor {
    use axum::{Extension, Router, body::Body, routing::get};

    use super::*;

    async fn ask(mut app: Router) -> (u16, String) {
        let response = app.call(Request::new(Body::empty())).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn app() -> Router {
        Router::new().route("/", get(|watch: Watch| async move { watch.is_draining().to_string() }))
    }

    #[tokio::test]
    async fn the_watch_comes_from_the_layer_or_from_axums_extension() {
        let drain = Drain::new();
        begin(&drain);
        assert_eq!(ask(app().layer(layer_of(&drain))).await, (200, "true".into()));
        assert_eq!(ask(app().layer(Extension(drain.watch()))).await, (200, "true".into()));
        assert_eq!(ask(app().layer(Extension(Watch::never()))).await, (200, "false".into()));
    }

    #[tokio::test]
    async fn without_either_it_is_a_500_that_says_what_is_missing_and_optionally_none() {
        let said = "this request has no `drain::Watch`: add `.layer(graceful.layer())`, or \
            `.layer(Extension(graceful.watch()))`, to the router";
        assert_eq!(ask(app()).await, (500, said.into()));
        let optional =
            || Router::new().route("/", get(|watch: Option<Watch>| async move { watch.is_some().to_string() }));
        assert_eq!(ask(optional()).await, (200, "false".into()));
        assert_eq!(ask(optional().layer(Extension(Watch::never()))).await, (200, "true".into()));
    }
}
