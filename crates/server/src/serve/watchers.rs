//! The listener for those who watch the server, and what goes on for them beside the requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::{HttpServer, web};
use portcullis_authority::refusal::Trouble;
use portcullis_store::Store;
use tokio::task::JoinHandle;

use super::{Certificates, FAREWELL, KEEP_ALIVE, bind, trouble};
use crate::house::House;
use crate::http;
use crate::settings::Settings;
use crate::telemetry::{Window, follow, glance};

/// Watchers are one or two and ask every few seconds.
const WORKERS: usize = 1;
const CONNECTIONS: usize = 64;

/// A listener, and what goes on for it.
pub(super) struct Watchers {
    address: SocketAddr,
    server: Server,
    upkeep: [JoinHandle<()>; 2],
}

impl Watchers {
    /// Answers until the handle says stop. Says where.
    pub fn attend(self, upkeep: &mut Vec<JoinHandle<()>>) -> (SocketAddr, ServerHandle) {
        let handle = self.server.handle();
        upkeep.extend(self.upkeep);
        upkeep.push(tokio::spawn(async {
            if let Err(why) = self.server.await {
                tracing::error!(%why, "metrics are no longer shown");
            }
        }));
        (self.address, handle)
    }
}

/// Opens it, if it is wanted.
///
/// # Errors
/// Trouble with the address.
pub(super) fn open(
    settings: &Settings,
    house: &web::Data<House>,
    store: Store,
    certificates: Vec<(&'static str, Arc<Certificates>)>,
) -> Result<Option<Watchers>, Trouble> {
    let metrics = &settings.metrics;
    if !metrics.enabled {
        return Ok(None);
    }
    let board = house.board.clone();
    store.on_group({
        let board = board.clone();
        Arc::new(move |deeds: usize, took: Duration| board.grouped(deeds, took))
    });
    let (listener, address) = bind("metrics.port", (metrics.address, metrics.port))?;
    let window = web::Data::new(Window::new(house.clone(), store, certificates));
    let upkeep =
        [tokio::spawn(follow(board, house.hub.clone())), tokio::spawn(glance(window.clone().into_inner()))];
    let patience = Duration::from_millis(settings.limits.head_ms);
    let server = HttpServer::new(move || http::metrics::door(window.clone()))
        .workers(WORKERS)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(patience)
        .client_disconnect_timeout(FAREWELL)
        .max_connections(CONNECTIONS)
        .shutdown_timeout(1)
        .disable_signals()
        .listen(listener)
        .map_err(trouble)?
        .run();
    tracing::info!(%address, "metrics are shown here");
    Ok(Some(Watchers { address, server, upkeep }))
}
