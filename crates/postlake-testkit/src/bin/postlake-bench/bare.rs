//! The least that a server can do: hyper reads every body, drops it and answers 200.

use std::convert::Infallible;
use std::io::Write as _;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

/// Serves until it is killed. Prints `http://ADDRESS/` once it listens.
pub(crate) fn run() -> Result<Value> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(serve())
}

async fn serve() -> Result<Value> {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .context("bind a port")?;
    println!(
        "http://{}/",
        listener.local_addr().context("read the address")?
    );
    std::io::stdout().flush().context("print the address")?;
    loop {
        let (stream, _) = listener.accept().await.context("accept a connection")?;
        stream.set_nodelay(true).context("set nodelay")?;
        tokio::spawn(async move {
            let served = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(drop_body))
                .await;
            if let Err(error) = served {
                eprintln!("a connection broke: {error}");
            }
        });
    }
}

async fn drop_body(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut body = request.into_body();
    // A frame that fails ends the body; the connection's own error is told above.
    while let Some(Ok(frame)) = body.frame().await {
        drop(frame);
    }
    Ok(Response::new(Full::new(Bytes::from_static(b"{}"))))
}
