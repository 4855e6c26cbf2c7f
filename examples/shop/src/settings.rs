//! What an operator tells the shop, on the command line or by environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use portcullis_guard::{Environment, OnStale};

/// A small commerce service behind the Portcullis guard: orders, SKUs and customers over JSON:API.
#[derive(Clone, Parser)]
#[command(version, name = "portcullis-shop")]
pub struct Settings {
    /// Where to listen.
    #[arg(long, env = "PORTCULLIS_SHOP_LISTEN", default_value = "127.0.0.1:8081")]
    pub listen: SocketAddr,
    /// The authorization server, byte for byte what tokens say in `iss`.
    #[arg(long, env = "PORTCULLIS_ISSUER", default_value = "http://127.0.0.1:8080")]
    pub issuer: String,
    /// The name of this service in the `aud` of tokens.
    #[arg(long, env = "PORTCULLIS_AUDIENCE", default_value = "commerce-api")]
    pub audience: String,
    /// Where keys, policy and revocations come from, when that is not the issuer's own address.
    #[arg(long, env = "PORTCULLIS_FEED_URL")]
    pub feed_url: Option<String>,
    /// A PEM file with the certificates to trust for the issuer, instead of the public ones
    #[arg(long, env = "PORTCULLIS_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// A Redis that carries the feed as well. The shop then follows both, and either alone keeps it open.
    #[arg(long, env = "PORTCULLIS_REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    /// A PEM file with the certificates to trust for Redis, instead of the public ones.
    #[arg(long, env = "PORTCULLIS_REDIS_CA", value_name = "FILE")]
    pub redis_ca: Option<PathBuf>,
    /// The name of the feed to follow.
    #[arg(long, env = "PORTCULLIS_FEED", default_value = "live:eu1")]
    pub feed: String,
    /// Under what name this guard asks for the feed.
    #[arg(long, env = "PORTCULLIS_GUARD_ID", default_value = "shop")]
    pub guard_id: String,
    /// The secret of that name. Better given in the environment, where other users cannot read it.
    #[arg(long, env = "PORTCULLIS_GUARD_SECRET", hide_env_values = true)]
    pub guard_secret: String,
    /// Which tokens to accept, by their claim `test`.
    #[arg(long, env = "PORTCULLIS_ENVIRONMENT", value_enum, default_value = "live")]
    pub environment: World,
    /// Accept tokens of the Commerce Layer profile (`typ: JWT`), and answer a forbidden action with 401 as
    /// their API does.
    #[arg(long, env = "PORTCULLIS_COMMERCE_LAYER")]
    pub commerce_layer: bool,
    /// What becomes of good tokens at the catalog (`GET /api/skus`) while the shop has lost touch with the
    /// feed: deny, introspect:300ms (ask the issuer) or allow-up-to:900s (rely on what is known). Elsewhere
    /// the shop denies.
    #[arg(long, env = "PORTCULLIS_SHOP_CATALOG_WHEN_STALE", value_name = "POLICY", default_value = "deny")]
    pub catalog_when_stale: OnStale,
    /// A JSON file with what new shelves hold; a built-in stock unless given.
    #[arg(long, env = "PORTCULLIS_SHOP_STOCK")]
    pub stock: Option<PathBuf>,
    /// A PEM file with this service's certificate chain; without it the shop speaks plain HTTP.
    #[arg(long, env = "PORTCULLIS_SHOP_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// A PEM file with the key of that certificate.
    #[arg(long, env = "PORTCULLIS_SHOP_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

/// The claim `test`, in words.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum World {
    /// Tokens that say `test: false`.
    Live,
    /// Tokens that say `test: true`.
    Test,
    /// Both: the data of one organization is then shared by its live and its test tokens.
    Any,
}

impl From<World> for Environment {
    fn from(world: World) -> Self {
        match world {
            World::Live => Self::Live,
            World::Test => Self::Test,
            World::Any => Self::Any,
        }
    }
}
