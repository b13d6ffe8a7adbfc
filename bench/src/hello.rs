//! The floor for REST: hyper's HTTP/1 server on one current-thread runtime. It reads the request and its body and answers a constant
//! JSON body of the size that pantry's answer has. No routes, no data.

use crate::Listen;
use crate::keyspace::{self, NAMESPACE};
use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::net::Ipv4Addr;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// Serves until it is killed.
///
/// # Errors
/// When the port is taken.
pub fn run(listen: &Listen) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let body = Bytes::from(format!(
        r#"{{"namespace":"{NAMESPACE}","key":"{}","value":"{}"}}"#,
        keyspace::key(0),
        keyspace::value(0)
    ));
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, listen.port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            // A connection's error ends the connection and nothing else.
            tokio::task::spawn_local(serve(stream, body.clone()));
        }
    })
}

async fn serve(stream: TcpStream, body: Bytes) -> Result<()> {
    stream.set_nodelay(true)?;
    let service = service_fn(move |request| answer(request, body.clone()));
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

async fn answer(
    request: Request<Incoming>,
    body: Bytes,
) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let status =
        if request.method() == Method::POST { StatusCode::CREATED } else { StatusCode::OK };
    // A body that breaks off breaks the connection, which hyper sees by itself.
    let _ = request.into_body().collect().await;
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/json; charset=utf-8")
        .body(Full::new(body))
}
