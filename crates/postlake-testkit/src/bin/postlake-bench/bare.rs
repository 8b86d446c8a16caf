//! The least that a server can do: hyper reads every body, drops it and answers 200.

use std::convert::Infallible;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::arguments::Arguments;
use crate::tls;

/// Serves until it is killed, with the certificate in `--tls` if that is given. Prints
/// `http://ADDRESS/`, or https, once it listens.
pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let folder: Option<PathBuf> = arguments.optional("tls")?;
    let tls = folder.map(|folder| tls::acceptor(&folder)).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(serve(tls))
}

async fn serve(tls: Option<TlsAcceptor>) -> Result<Value> {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .context("bind a port")?;
    let address = listener.local_addr().context("read the address")?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    println!("{scheme}://{address}/");
    std::io::stdout().flush().context("print the address")?;
    loop {
        let (stream, _) = listener.accept().await.context("accept a connection")?;
        stream.set_nodelay(true).context("set nodelay")?;
        let tls = tls.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(stream, tls).await {
                eprintln!("a connection broke: {error:#}");
            }
        });
    }
}

async fn converse(stream: TcpStream, tls: Option<TlsAcceptor>) -> Result<()> {
    let (http, service) = (http1::Builder::new(), service_fn(drop_body));
    match tls {
        None => http.serve_connection(TokioIo::new(stream), service).await?,
        Some(tls) => {
            let stream = tls.accept(stream).await.context("shake hands")?;
            http.serve_connection(TokioIo::new(stream), service).await?;
        }
    }
    Ok(())
}

async fn drop_body(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut body = request.into_body();
    // A frame that fails ends the body; the connection's own error is told above.
    while let Some(Ok(frame)) = body.frame().await {
        drop(frame);
    }
    Ok(Response::new(Full::new(Bytes::from_static(b"{}"))))
}
