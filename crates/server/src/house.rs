//! The house: what every request handler may reach. Made once by `serve.rs`, shared by all workers.

use std::sync::Arc;

use portcullis_authority::Authority;

use crate::departure::Departure;
use crate::feed::Hub;
use crate::settings::Settings;
use crate::telemetry::{Board, Tracing};

/// Shared by all request handlers as `web::Data<House>`.
pub struct House {
    pub authority: Authority,
    pub hub: Arc<Hub>,
    /// Whether this server is about to go.
    pub departure: Departure,
    /// What is counted for those who watch.
    pub board: Arc<Board>,
    /// Who makes spans of requests, if anybody wants them.
    pub traces: Tracing,
    /// With the port that was really bound, see [`Settings::with_port`].
    pub settings: Settings,
}
