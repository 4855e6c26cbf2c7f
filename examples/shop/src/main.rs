//! The program: settings in, a shop out.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use actix_web::{App, HttpServer, rt};
use clap::Parser;
use portcullis_shop::follow::{Followed, follow};
use portcullis_shop::settings::Settings;
use portcullis_shop::touch::Touch;
use portcullis_shop::{Shop, Stock, tls};

#[actix_web::main]
async fn main() -> ExitCode {
    match serve(Settings::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("portcullis-shop: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: Settings) -> std::io::Result<()> {
    let stock = stock(&settings)?;
    let followed = follow(&settings)?;
    let metrics = followed.metrics();
    let Followed { guard, view, feed, redis } = followed;
    let hint = feed.key_hint();
    let shop = Shop::new(guard.clone());
    let is_ready = move || Followed::is_ready(&guard, &view);
    let app = shop
        .stock(stock)
        .commerce_layer_profile(settings.commerce_layer)
        .catalog_when_stale(settings.catalog_when_stale)
        .metrics(metrics)
        .ready_when(is_ready.clone())
        .on_unknown_key(move || hint.wake())
        .app();
    let server = HttpServer::new(move || App::new().configure(app.clone())).workers(2);
    let server = match (&settings.tls_cert, &settings.tls_key) {
        (Some(cert), Some(key)) => server.bind_rustls_0_23(settings.listen, tls::server(cert, key)?),
        _ => server.bind(settings.listen),
    };
    let server =
        server.map_err(|why| std::io::Error::other(format!("--listen {}: {why}", settings.listen)))?;
    let addresses: Vec<_> = server.addrs().iter().map(ToString::to_string).collect();
    println!("portcullis-shop ready at {} (issuer {})", addresses.join(", "), settings.issuer);
    rt::spawn(watch(Touch::new(&settings, Instant::now()), is_ready));
    server.run().await?;
    // The feed is followed for as long as anybody may be served.
    drop((feed, redis));
    Ok(())
}

/// Looks each second whether the shop is in touch with its feed, for as long as it is open.
async fn watch(mut touch: Touch, is_ready: impl Fn() -> bool) {
    loop {
        if let Some(said) = touch.look(is_ready(), Instant::now()) {
            eprintln!("portcullis-shop: {said}");
        }
        rt::time::sleep(Duration::from_secs(1)).await;
    }
}

fn stock(settings: &Settings) -> std::io::Result<Stock> {
    let Some(file) = &settings.stock else { return Ok(Stock::built_in()) };
    let wrong = |why: String| std::io::Error::other(format!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|why| wrong(why.to_string()))?;
    Stock::from_json(&text).map_err(wrong)
}
