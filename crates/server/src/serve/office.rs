//! The operators' listener: bound beside the public one, with few workers and no more than its own routes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{HttpServer, web};
use portcullis_authority::operators::{Staff, StaffBook as _};
use portcullis_authority::refusal::Trouble;
use portcullis_store::Store;

use super::tls::Certificates;
use super::{DRAIN, FAREWELL, KEEP_ALIVE, bind, trouble};
use crate::house::House;
use crate::http;
use crate::lodge::Lodge;
use crate::settings::{Mode, Settings};

/// Operators are few, and what is slow they ask of others.
const WORKERS: usize = 2;
const CONNECTIONS: usize = 256;

/// The listener, and the certificate that it shows.
pub struct Office {
    pub address: SocketAddr,
    pub server: Server,
    pub certificates: Option<Arc<Certificates>>,
}

/// Opens it, if it is wanted.
///
/// # Errors
/// Trouble with the address or the certificate, and in production an account with public credentials.
pub async fn open(
    settings: &Settings,
    house: web::Data<House>,
    store: Store,
) -> Result<Option<Office>, Trouble> {
    if settings.mode == Mode::Production {
        refuse_demo(&store.staff().await?)?;
    }
    let admin = &settings.admin;
    if !admin.enabled {
        return Ok(None);
    }
    let (listener, address) = bind("admin.port", (admin.address, admin.port))?;
    let lodge = web::Data::new(Lodge::new(house, store));
    let patience = Duration::from_millis(settings.limits.head_ms);
    let server = HttpServer::new(move || http::admin::door(lodge.clone()))
        .workers(WORKERS)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(patience)
        .client_disconnect_timeout(FAREWELL)
        .tls_handshake_timeout(patience)
        .max_connections(CONNECTIONS)
        .shutdown_timeout(DRAIN)
        .disable_signals();
    let certificates = admin.tls.as_ref().map(Certificates::open).transpose()?;
    let server = match &certificates {
        Some(certificates) => server.listen_rustls_0_23(listener, certificates.config()?),
        None => server.listen(listener),
    };
    tracing::info!(%address, "operators come in here");
    Ok(Some(Office { address, server: server.map_err(trouble)?.run(), certificates }))
}

/// An account that everybody can read about opens no production.
fn refuse_demo(staff: &Staff) -> Result<(), Trouble> {
    match staff.operators.iter().find(|operator| operator.demo && !operator.disabled) {
        Some(_) => Err(Trouble::new(
            "operators",
            "there is an operator whose credentials are public, made by serve --demo; production needs books of its own",
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use portcullis_authority::operators::{Operator, OperatorRole};

    use super::*;

    fn staff(demo: bool, disabled: bool) -> Staff {
        let operator = Operator::new("o", "owner@example.com", vec![OperatorRole::Owner], 0);
        let operator = Operator { disabled, demo, ..operator };
        Staff { version: 1, operators: vec![operator] }
    }

    #[test]
    fn production_opens_for_no_account_with_public_credentials() {
        assert!(refuse_demo(&staff(true, false)).is_err());
        assert!(refuse_demo(&staff(true, true)).is_ok(), "a closed one comes in nowhere");
        assert!(refuse_demo(&staff(false, false)).is_ok());
    }
}
