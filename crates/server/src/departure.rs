//! The end of a server, announced before it comes: readiness says no and connections are closed after their
//! next answer, while everything is still answered. So whoever shares out the requests has time to look
//! elsewhere, and nobody meets a door that has just been shut.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::web;
use tokio::sync::watch;

use crate::house::House;

/// Whether this server is about to go.
#[derive(Debug, Default)]
pub struct Departure(AtomicBool);

impl Departure {
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Makes of the wish to stop the moment at which to stop: `delay` later, and announced until then.
pub fn announced(
    house: web::Data<House>,
    mut wished: watch::Receiver<bool>,
    delay: Duration,
) -> watch::Receiver<bool> {
    let (now, stopped) = watch::channel(false);
    tokio::spawn(async move {
        // An error means that nobody can say stop any more, which is the same wish.
        let _ = wished.wait_for(|wished| *wished).await;
        house.departure.begin();
        house.hub.let_go();
        if !delay.is_zero() {
            tracing::info!(?delay, "not ready any more; the door closes after the delay");
            tokio::time::sleep(delay).await;
        }
        now.send_replace(true);
    });
    stopped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::house_at;

    #[actix_web::test]
    async fn a_departure_is_announced_before_the_door_closes() {
        let (house, _) = house_at(1_800_000_000);
        let (wish, wished) = watch::channel(false);
        let mut stopped = announced(house.clone(), wished, Duration::from_millis(200));
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!house.departure.has_begun() && !*stopped.borrow());
        wish.send_replace(true);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(house.departure.has_begun() && !*stopped.borrow(), "announced, and open");
        assert!(stopped.wait_for(|stopped| *stopped).await.is_ok());
    }
}
