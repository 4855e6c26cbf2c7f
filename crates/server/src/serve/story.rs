//! What `portcullis serve --demo` says: what is running, who may come in, and what to paste next.

use std::net::SocketAddr;

use crate::demo;

/// The story, for a server with this issuer whose operators come in there, if they may.
pub fn story(issuer: &str, office: Option<SocketAddr>) -> String {
    let login = match office {
        Some(office) => format!("portcullis login --demo --server http://{office}"),
        None => "to let it in, start with PORTCULLIS__ADMIN__ENABLED=true".to_owned(),
    };
    format!(
        "\
The demo shop is open. Everything below is public: do not keep anything real in it.
  client id            secret                      what it is
  demo-backend         demo-backend-secret         integration, may do everything
  demo-support         demo-support-secret         integration, reads and changes orders
  demo-storefront      (none)                      sales channel, guests and customers
  demo-vendor-helper   demo-vendor-helper-secret   integration for the vendor's own assertions
  demo-cli             (none)                      webapp with PKCE, http://127.0.0.1/callback
  demo-dashboard       demo-dashboard-secret       webapp, http://localhost:3000/callback
  demo-provisioning    demo-provisioning-secret    personal credential of Ringo
  guard shop           demo-guard-secret           the example shop, see below
  customer jane@example.com, jane-buys-a-lamp; user ringo@example.com, ringo-keeps-the-beat
  operator {owner}, {password}
    {login}

Start the example shop in a second terminal (port 8081):
  PORTCULLIS_ISSUER={issuer} PORTCULLIS_GUARD_SECRET=demo-guard-secret \\
    cargo run -p portcullis-shop -- --environment test
In a third: get a token, use it at the shop, revoke it and be refused.
  TOKEN=$(curl -s {issuer}/oauth/token -d grant_type=client_credentials \\
    -d client_id=demo-backend -d client_secret=demo-backend-secret | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')
  curl -i -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:8081/api/orders
  curl -i {issuer}/oauth/revoke -d client_id=demo-backend -d client_secret=demo-backend-secret -d token=$TOKEN
  curl -i -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:8081/api/orders
",
        owner = demo::OWNER,
        password = demo::PASSWORD,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fits_a_screen_and_tells_what_the_seed_says() {
        let office = "127.0.0.1:8090".parse().ok();
        let told = story("http://127.0.0.1:8080", office);
        assert!(told.lines().count() <= 24, "{}", told.lines().count());
        assert!(told.contains("portcullis login --demo --server http://127.0.0.1:8090\n"), "{told}");
        assert!(story("http://127.0.0.1:8080", None).contains("PORTCULLIS__ADMIN__ENABLED=true\n"));
        let seed = include_str!("../../../../deploy/config/demo.toml");
        let values = |key: &str| {
            let front = format!("{key} = \"");
            let lines = seed.lines().filter_map(move |line| line.strip_prefix(&front)?.strip_suffix('"'));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        for key in ["client_id", "secret", "email", "password"] {
            assert!(!values(key).is_empty());
            for value in values(key) {
                assert!(told.contains(&value), "{value}");
            }
        }
    }
}
