//! The three cookies that the pages use. Both are random, unreadable for scripts, and sent along only when
//! the browser itself goes to our pages. Over TLS their names make the browser keep them to this very
//! host (`__Host-`), so that no neighbour can plant one.

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};

/// Which cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jar {
    /// Who has signed in here.
    Session,
    /// Ties a form to the browser that it was shown in; see `form.rs`.
    Form,
    /// Accounts have come in from here before; see the authority's `limits`.
    Device,
}

/// How long a browser keeps a device's cookie, days.
const DEVICE_DAYS: i64 = 180;

impl Jar {
    /// Reads the cookie of a request. `secure` as in [`Jar::bake`].
    pub fn read(self, request: &HttpRequest, secure: bool) -> Option<String> {
        request.cookie(self.name(secure)).map(|cookie| cookie.value().to_owned())
    }

    /// Makes the cookie; it ends with the browser, and what it stands for ends earlier. Only a device's
    /// outlives the browser. `secure` is whether the issuer is reached over TLS.
    pub fn bake(self, value: &str, secure: bool) -> Cookie<'static> {
        let mut cookie = Cookie::build(self.name(secure), value.to_owned())
            .path("/")
            .http_only(true)
            .secure(secure)
            .same_site(SameSite::Lax)
            .finish();
        if self == Self::Device {
            cookie.set_max_age(Duration::days(DEVICE_DAYS));
        }
        cookie
    }

    /// Takes the cookie back.
    pub fn empty(self, secure: bool) -> Cookie<'static> {
        let mut cookie = self.bake("", secure);
        cookie.make_removal();
        cookie
    }

    fn name(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Self::Session, true) => "__Host-portcullis-session",
            (Self::Session, false) => "portcullis-session",
            (Self::Form, true) => "__Host-portcullis-form",
            (Self::Form, false) => "portcullis-form",
            (Self::Device, true) => "__Host-portcullis-device",
            (Self::Device, false) => "portcullis-device",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_tls_a_cookie_belongs_to_this_host_alone() {
        let baked = Jar::Session.bake("value", true).to_string();
        assert_eq!(baked, "__Host-portcullis-session=value; HttpOnly; SameSite=Lax; Secure; Path=/");
        assert!(!baked.contains("Domain"));
    }

    #[test]
    fn without_tls_the_name_promises_nothing() {
        let baked = Jar::Form.bake("value", false).to_string();
        assert_eq!(baked, "portcullis-form=value; HttpOnly; SameSite=Lax; Path=/");
    }

    #[test]
    fn an_emptied_cookie_ends_at_once_in_the_same_place() {
        let baked = Jar::Session.empty(true).to_string();
        assert!(baked.starts_with("__Host-portcullis-session=;"), "{baked}");
        assert!(baked.contains("Max-Age=0") && baked.contains("Secure") && baked.contains("Path=/"));
    }
}
