//! Every public body as it was reviewed (`golden/street`).

use portcullis_tests::client::{
    BACKEND, Client, HELPER, JWT_BEARER, PERSONAL, STOREFRONT, STRANGER, SUPPORT, claims_of,
};
use portcullis_tests::golden::compare;
use portcullis_tests::{Answer, Ground, Town};
use serde_json::{Value, json};

use super::code::{PARTNER_BACK, redeem};
use super::exchange::exchange;

pub async fn every_public_body_is_the_one_that_was_reviewed(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let same = |name: &str, seen: &Value| compare(name, seen, town.issuer());
    let get = async |path: &str| Answer::to(town.get(path)).await.json();

    same("metadata", &get("/.well-known/oauth-authorization-server").await);
    same("jwks", &get("/.well-known/jwks.json").await);
    same("rv-jwks", &get("/.well-known/rv-jwks.json").await);
    same("healthz", &get("/healthz").await);
    same("readyz", &get("/readyz").await);
    same("not-found", &get("/nowhere").await);
    same("method-not-allowed", &get("/oauth/token").await);

    let machine = town.token(&BACKEND, "client_credentials", &[]).await.with_status(200);
    same("token-client-credentials", &machine.json());
    same("claims-client-credentials", &claims_of(&machine.access_token()));
    let guest = town.token(&STOREFRONT, "client_credentials", &[("scope", "market:code:europe")]).await;
    same("claims-guest", &claims_of(&guest.access_token()));
    let jane = town.jane(&STOREFRONT).await;
    same("token-password", &jane.json());
    same("claims-customer", &claims_of(&jane.access_token()));
    let refreshed = town.refresh(&STOREFRONT, &jane.refresh_token()).await;
    same("token-refresh", &refreshed.json());
    let code = town.browser().code(&portcullis_tests::client::PARTNER, PARTNER_BACK, &[]).await;
    let login = redeem(&town, &portcullis_tests::client::PARTNER, &code, PARTNER_BACK).await;
    same("token-authorization-code", &login.json());
    same("claims-user", &claims_of(&login.access_token()));
    let wish =
        json!({ "owner": { "type": "Customer", "id": "custJaneAA" }, "custom_claim": { "cart": "b-17" } });
    let assertion = Client::assertion(wish, town.now());
    let behalf = town.token(&HELPER, JWT_BEARER, &[("assertion", &assertion)]).await;
    same("token-jwt-bearer", &behalf.json());
    same("claims-on-behalf", &claims_of(&behalf.access_token()));
    let exchanged = exchange(&town, &BACKEND, &jane.access_token(), &[]).await;
    let mut body = exchanged.json();
    // What is left of the subject's token.
    body["expires_in"] = "...".into();
    same("token-exchange", &body);
    let mut claims = claims_of(&exchanged.access_token());
    claims["act"]["from"] = "...".into();
    same("claims-exchange", &claims);
    let personal = town.token(&PERSONAL, "client_credentials", &[]).await;
    same("claims-personal", &claims_of(&personal.access_token()));

    same("introspect-access-token", &town.introspect(&jane.access_token()).await);
    same("introspect-refresh-token", &town.introspect(&refreshed.refresh_token()).await);
    same("introspect-inactive", &town.introspect("x").await);
    let info = async |token: &str| Answer::to(town.get("/oauth/tokeninfo").bearer_auth(token)).await.json();
    same("tokeninfo-integration", &info(&town.client_token(&SUPPORT).await).await);
    same("tokeninfo-customer", &info(&jane.access_token()).await);
    same("tokeninfo-invalid", &info("x").await);
    let mine =
        async |path: &str| Answer::to(town.get(path).bearer_auth(personal.access_token())).await.json();
    same("api-user", &mine("/api/user").await);
    same("api-roles", &mine("/api/roles").await);
    town.until_shop_has_reported().await;
    let mut guards = town.guards().await;
    guards["guards"][0]["behind"] = "...".into();
    guards["guards"][0]["guard"] = "shop/...".into();
    same("feed-guards", &guards);
    same("feed-unauthorized", &get("/feed/guards").await);

    same("revoke", &town.revoke(&BACKEND, &machine.access_token()).await.json());
    same("revoke-forbidden", &town.revoke(&STRANGER, &machine.access_token()).await.json());
    same("invalid-client", &town.token(&STRANGER, "client_credentials", &[]).await.json());
    same("invalid-grant-password", &town.password(&STOREFRONT, "x", "x").await.json());
    same("invalid-grant-refresh", &town.refresh(&STOREFRONT, "x").await.json());
    same("invalid-scope", &town.token(&BACKEND, "client_credentials", &[("scope", "admin")]).await.json());
    same("unsupported-grant-type", &town.token(&BACKEND, "implicit", &[]).await.json());
    same("unauthorized-client", &town.token(&BACKEND, "authorization_code", &[]).await.json());
    let empty = Client::assertion(json!({}), town.now());
    same("invalid-assertion", &town.token(&HELPER, JWT_BEARER, &[("assertion", &empty)]).await.json());
    let query = town.post("/oauth/token?client_secret=x");
    same("secret-in-query", &Answer::to(query).await.json());

    // What the guard says at the shop.
    same("shop-no-token", &Answer::to(town.at_shop(reqwest::Method::GET, "/api/orders", "")).await.json());
    same("shop-invalid-token", &town.shop("/api/orders", "x").await.json());
    same("shop-forbidden", &town.shop("/api/orders", &guest.access_token()).await.json());
    same("shop-revoked-token", &{
        town.until_shop_refuses(&machine.access_token()).await;
        town.shop("/api/orders", &machine.access_token()).await.json()
    });
}
