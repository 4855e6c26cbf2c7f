//! Which addresses a browser may be sent to, and from which pages a browser may call.

use url::Url;

use crate::settings::is_loopback;

/// Why a redirect address cannot be registered (RFC 9700 section 2.1: it will be compared exactly, so it
/// must mean exactly one place).
pub fn redirect_fault(text: &str) -> Option<String> {
    let Ok(url) = Url::parse(text) else {
        return Some(format!("{text:?} is not an absolute address."));
    };
    if !is_web(&url) {
        return Some(format!("{text:?} must be https, or http on this machine's own address."));
    }
    if url.fragment().is_some() {
        return Some(format!("{text:?} must have no fragment."));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some(format!("{text:?} must name no user."));
    }
    text.contains('*').then(|| format!("{text:?} must have no wildcard: addresses are compared exactly."))
}

/// Why an origin cannot be registered (RFC 6454 section 6.1): it will be compared with the header exactly.
pub fn origin_fault(text: &str) -> Option<String> {
    let exact = Url::parse(text).is_ok_and(|url| is_web(&url) && url.origin().ascii_serialization() == text);
    (!exact).then(|| {
        format!("{text:?} must be an origin such as https://shop.example: no path, no slash, no wildcard; http only on this machine.")
    })
}

fn is_web(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.has_host(),
        "http" => url.host().is_some_and(|host| is_loopback(&host)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_goes_to_exactly_one_safe_place() {
        for good in [
            "https://shop.example/callback",
            "https://shop.example/callback?from=login",
            "http://127.0.0.1/callback",
            "http://[::1]:7000/cb",
            "http://localhost:3000/cb",
        ] {
            assert_eq!(redirect_fault(good), None, "{good}");
        }
        for bad in [
            "/callback",
            "http://shop.example/callback",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://shop.example/#here",
            "https://user@shop.example/",
            "https://*.shop.example/",
            "myapp://callback",
        ] {
            assert!(redirect_fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_exact() {
        for good in ["https://shop.example", "https://shop.example:8443", "http://localhost:3000"] {
            assert_eq!(origin_fault(good), None, "{good}");
        }
        for bad in
            ["https://shop.example/", "https://Shop.example", "http://shop.example", "*", "null", "shop"]
        {
            assert!(origin_fault(bad).is_some(), "{bad}");
        }
    }
}
