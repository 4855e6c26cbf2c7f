//! The grammar of scopes, and private markets.

use portcullis_authority::refusal::Code;

use crate::house::House;

async fn guest(house: &House, scope: &str) -> Result<Vec<String>, Code> {
    let form = [("client_id", "shop"), ("grant_type", "client_credentials"), ("scope", scope)];
    let reply = house.token(&form).await.map_err(|refusal| refusal.code)?;
    let claims = house.claims(&reply.access_token);
    assert_eq!((reply.scope.as_str(), claims.scope.as_str()), (scope, scope), "echoed as it was asked");
    Ok(claims.market.map(|market| [market.id, market.stock_location_ids].concat()).unwrap_or_default())
}

#[tokio::test]
async fn a_scope_is_echoed_and_means_markets() {
    let house = House::new();
    for (scope, meant) in [
        ("market:all", vec![]),
        ("market:id:MktEurope1", vec!["MktEurope1", "StockMilan", "StockParis"]),
        ("market:code:usa", vec!["MktUsaAAAA", "StockTexas"]),
        ("market:code:usa,market:id:MktUsaAAAA", vec!["MktUsaAAAA", "StockTexas"]),
        (
            "market:code:usa market:code:europe market:code:usa",
            vec!["MktUsaAAAA", "MktEurope1", "StockMilan", "StockParis", "StockTexas"],
        ),
        ("market:code:europe stock_location:code:paris", vec!["MktEurope1", "StockParis"]),
        ("store:code:duomo", vec!["MktEurope1", "StockMilan", "StockParis"]),
        ("market:all market:code:usa", vec!["MktUsaAAAA", "StockTexas"]),
    ] {
        assert_eq!(guest(&house, scope).await.unwrap(), meant, "{scope}");
    }
}

#[tokio::test]
async fn no_scope_and_an_empty_one_are_the_default() {
    let house = House::new();
    for form in [&[][..], &[("scope", "")], &[("scope", " , ")]] {
        let reply = house.by("int", &[&[("grant_type", "client_credentials")], form].concat()).await.unwrap();
        assert_eq!(reply.scope, "market:all");
    }
    house.change_application("int", |a| {
        a.scopes = vec!["market:code:usa".into(), "market:code:europe".into()]
    });
    assert_eq!(house.client_credentials("int").await.scope, "market:code:usa market:code:europe");
}

#[tokio::test]
async fn what_is_no_scope_of_the_organization_is_refused() {
    let house = House::new();
    for scope in [
        "market",
        "market:",
        "market:1234",
        "market:id:",
        "market:id:nowhere",
        "market:code:plain",
        "market:id:MktPlainBB",
        "Market:all",
        "market:all2",
        "market:ALL",
        "sku:id:x",
        "market:id:MktEurope",
        "market:code:europe market:code:nowhere",
        "stock_location:code:milan",
        "market:code:usa stock_location:code:milan",
        "market:code:europe market:code:geo",
        "provisioning-api",
        "market:code:eur\u{f6}pe",
        "market:code:\"europe\"",
        "market:code:europe\tmarket:all",
    ] {
        assert_eq!(guest(&house, scope).await, Err(Code::InvalidScope), "{scope}");
    }
    let refusal = house.by("me", &[("grant_type", "client_credentials"), ("scope", "market:all")]).await;
    assert_eq!(refusal.unwrap_err().code, Code::InvalidScope);
}

#[tokio::test]
async fn an_application_asks_for_its_own_scopes_only() {
    let house = House::new();
    house.change_application("shop", |a| a.scopes = vec!["market:code:europe".into()]);
    assert!(guest(&house, "market:id:MktEurope1").await.is_ok(), "the same market by its other name");
    for scope in ["market:all", "market:code:usa", "market:code:europe market:code:usa"] {
        assert_eq!(guest(&house, scope).await, Err(Code::InvalidScope), "{scope}");
    }
    house.change_application("shop", |a| a.scopes = vec!["market:code:closed".into()]);
    assert_eq!(
        guest(&house, "market:all").await,
        Err(Code::InvalidScope),
        "a market that is gone opens nothing"
    );
}

#[tokio::test]
async fn leaving_a_stock_location_out_does_not_open_the_others() {
    let house = House::new();
    let own = vec!["market:code:europe".into(), "market:code:usa".into(), "stock_location:code:milan".into()];
    house.change_application("shop", |a| a.scopes = own);
    for scope in ["market:code:europe", "market:code:europe stock_location:code:milan"] {
        assert_eq!(guest(&house, scope).await.unwrap(), ["MktEurope1", "StockMilan"], "{scope}");
    }
    let usa = guest(&house, "market:code:usa").await.unwrap();
    assert_eq!(usa, ["MktUsaAAAA", "StockTexas"], "a market whose stock locations are not named keeps them");
}

#[tokio::test]
async fn a_store_without_a_market_does_not_open_every_market() {
    let house = House::new();
    for market in [None, Some("MktGone")] {
        house.memory.change_holdings(|all| {
            let store = all.fences.iter_mut().find(|fence| fence.code == "duomo").expect("in the seed");
            store.market = market.map(str::to_owned);
        });
        assert_eq!(guest(&house, "store:code:duomo").await, Err(Code::InvalidScope), "{market:?}");
    }
}

#[tokio::test]
async fn a_private_market_is_for_customers_of_its_group() {
    let house = House::new();
    let scopes = ["market:code:vips", "store:code:lounge", "market:code:europe market:id:MktVipsAAA"];
    for scope in scopes {
        assert_eq!(guest(&house, scope).await, Err(Code::InvalidScope), "{scope}");
        for (name, may) in [("eva", false), ("vip", true)] {
            let (email, password) = (format!("{name}@acme.example"), format!("{name}s-password"));
            let form = [("client_id", "shop"), ("grant_type", "password"), ("username", &email)];
            let more = [("password", password.as_str()), ("scope", scope)];
            let answer = house.token(&[&form[..], &more].concat()).await;
            assert_eq!(answer.is_ok(), may, "{name} {scope}");
        }
    }
}
