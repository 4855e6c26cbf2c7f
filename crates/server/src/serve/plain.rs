//! The plain address beside the one with TLS, where the settings ask for one (`http/plain.rs` answers there).

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::HttpServer;
use actix_web::dev::Server;
use portcullis_authority::refusal::Trouble;
use tokio::sync::watch;

use super::{CONNECTIONS, DRAIN, FAREWELL, bind, close, trouble};
use crate::http::plain::{Elsewhere, door};
use crate::settings::Settings;

/// # Errors
/// Trouble with the address.
pub fn open(settings: &Settings) -> Result<Option<(SocketAddr, Server)>, Trouble> {
    let Some(port) = settings.tls.as_ref().and_then(|tls| tls.redirect_port) else { return Ok(None) };
    let elsewhere = Elsewhere::of(&settings.issuer).ok_or_else(|| trouble("the issuer does not read"))?;
    let (listener, address) = bind("tls.redirect_port", (settings.listen.address, port))?;
    let server = HttpServer::new(move || door(elsewhere.clone()))
        .workers(1)
        .client_request_timeout(Duration::from_millis(settings.limits.head_ms))
        .client_disconnect_timeout(FAREWELL)
        .max_connections(CONNECTIONS)
        .shutdown_timeout(DRAIN)
        .disable_signals()
        .listen(listener)
        .map_err(trouble)?;
    Ok(Some((address, server.run())))
}

/// Answers until somebody says stop. It may break without taking the real address with it.
pub async fn send_over(server: Server, stopped: watch::Receiver<bool>) {
    let closed = close(server.handle(), stopped);
    let (ended, ()) = futures_util::future::join(server, closed).await;
    if let Err(why) = ended {
        tracing::error!(%why, "nobody is sent over to https any more");
    }
}
