//! A request through the layer, and past it: around a service that does nothing, so that nothing hides its cost. What it adds
//! to an axum router, and in instructions, `benches/layer.rs` measures.

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
};

use divan::Bencher;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use tokio::runtime;
use tokio_hotrestart::Graceful;
use tower::{Service, service_fn};
use tower_layer::Layer;

#[divan::bench]
fn request(bencher: Bencher<'_, '_>) {
    ask(bencher, |service| service);
}

#[divan::bench]
fn layered_request(bencher: Bencher<'_, '_>) {
    ask(bencher, |service| Graceful::detached().layer().layer(service));
}

/// One after the other, with its body read to the end.
fn ask<S, B>(bencher: Bencher<'_, '_>, around: impl FnOnce(Plain) -> S)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Error: fmt::Debug, Data: fmt::Debug>,
{
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut service = {
        let _within = runtime.enter();
        around(service_fn(answer as fn(_) -> _))
    };
    bencher.with_inputs(|| Request::new(Full::default())).bench_local_values(|request| {
        runtime.block_on(async {
            let Ok(response) = service.call(request).await;
            response.into_body().collect().await.expect("it is in memory").to_bytes()
        })
    });
}

type Plain = tower::util::ServiceFn<fn(Request<Full<Bytes>>) -> Answer>;
type Answer = Ready<Result<Response<Full<Bytes>>, Infallible>>;

fn answer(_: Request<Full<Bytes>>) -> Answer {
    ready(Ok(Response::new("hello world".into())))
}
