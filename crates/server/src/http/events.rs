//! The feed as server-sent events: `id: <epoch>.<seq>` and the batches of an answer in base64. Ends when a
//! follower must begin anew; it then fetches the manifest.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::Stream;
use futures_util::stream;
use portcullis_authority::ledger::Position;
use portcullis_authority::registry::GuardAccount;

use crate::feed::Tail;
use crate::house::House;

/// How long one look waits; a beat comes each second.
const LOOK: Duration = Duration::from_secs(5);

/// The events after a position, for as long as the account that asked is what it was: a stream must not outlive
/// the secret that opened it.
pub fn of(
    house: Arc<House>,
    after: Position,
    account: String,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    let opened_by = known(&house, &account);
    // A stream that is opened while the server is leaving lasts until it goes; older ones end at once.
    let opened_while_leaving = house.departure.has_begun();
    stream::unfold((house, after, account), move |(house, after, account)| {
        let opened_by = opened_by.clone();
        async move {
            if house.departure.has_begun() != opened_while_leaving {
                return None;
            }
            if opened_by.is_none() || known(&house, &account) != opened_by {
                return None;
            }
            let (event, last) = match house.hub.tail(after, LOOK).await {
                Tail::Batches(bytes) if bytes.is_empty() => (Bytes::from_static(b": nothing yet\n\n"), after),
                Tail::Batches(bytes) => {
                    let last = last_of(&bytes).unwrap_or(after);
                    (Bytes::from(format!("id: {last}\ndata: {}\n\n", STANDARD.encode(&bytes))), last)
                }
                Tail::Gone | Tail::Elsewhere | Tail::Closing => return None,
            };
            Some((Ok(event), (house, last, account)))
        }
    })
}

/// The account with the hash of its secret, as the registry has it now.
fn known(house: &House, account: &str) -> Option<Arc<GuardAccount>> {
    house.authority.desk().registry.directory().guard(account).cloned()
}

/// The position after the last batch of an answer.
fn last_of(mut bytes: &[u8]) -> Option<Position> {
    let mut last = None;
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (batch, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        let word = |at: usize| Some(u64::from_be_bytes(batch.get(at..at + 8)?.try_into().ok()?));
        // "RVB1" | feed u32 | epoch u64 | first u64 | last u64 (design 1.3).
        last = Some(Position { epoch: word(8)?, seq: word(24)? });
        bytes = rest;
    }
    last
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;
    use crate::http::tests::house_at;

    #[actix_web::test]
    async fn nobody_hears_the_feed_whose_account_is_gone() {
        let (house, _) = house_at(1_800_000_000);
        let house = house.into_inner();
        assert!(known(&house, "g1").is_some());
        let mut events = Box::pin(of(house.clone(), house.hub.position(), "gone".into()));
        assert!(events.next().await.is_none());
    }
}
