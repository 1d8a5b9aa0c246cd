//! Whether a request that changes something was sent for a page of somebody else.
//!
//! A browser says so itself: by `Origin`, which it sends with every request that is no GET or HEAD, and by `Sec-Fetch-Site`.
//! Neither is there for Alertmanager, the command line and scripts, and that is well: they have no cookies that a page
//! could make use of. `Host` alone proves nothing, for a foreign name may lead to this address (DNS rebinding); only where
//! it is a bare address, or `localhost`, a page of that very origin must have come from here.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::{HOST, HeaderName, ORIGIN};
use actix_web::http::{Method, StatusCode};

use super::connection::Acquaintance;
use super::error::ApiError;
use crate::config::Config;
use crate::outbound::Url;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// 403 for what a foreign page sends.
pub(super) fn judge(request: &HttpRequest, config: &Config) -> Result<(), ApiError> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    let values = |name: &HeaderName| -> Vec<Option<String>> {
        request.headers().get_all(name).map(|value| value.to_str().ok().map(str::to_owned)).collect()
    };
    let is_secure = request.conn_data::<Arc<Acquaintance>>().is_some_and(|acquaintance| acquaintance.is_secure);
    let said = Said { origin: &values(&ORIGIN), site: &values(&SEC_FETCH_SITE), host: &values(&HOST), is_secure };
    match said.is_foreign(&config.global.external_url) {
        false => Ok(()),
        true => {
            let message = format!(
                "this request was sent for a page of another origin; if it is Douse's own, `global.external_url` ({}) \
                 must be its address",
                config.global.external_url
            );
            Err(ApiError::new(StatusCode::FORBIDDEN, "foreign_origin", message))
        }
    }
}

/// What a request says of the page that it comes from; each header's values, `None` for what is no text.
struct Said<'a> {
    origin: &'a [Option<String>],
    site: &'a [Option<String>],
    host: &'a [Option<String>],
    is_secure: bool,
}

impl Said<'_> {
    fn is_foreign(&self, external_url: &str) -> bool {
        let is_own_site = match self.site {
            [] => true,
            [Some(site)] => matches!(site.as_str(), "same-origin" | "none"),
            _ => false,
        };
        let is_own_origin = match self.origin {
            [] => true,
            [Some(origin)] => self.is_own(origin, external_url),
            _ => false,
        };
        !(is_own_site && is_own_origin)
    }

    fn is_own(&self, origin: &str, external_url: &str) -> bool {
        // `null` is what a page says that hides where it comes from; no origin of ours is written so.
        let own = Url::parse(external_url).map(|url| url.origin().ascii_serialization());
        if own.is_ok_and(|own| own != "null" && own.eq_ignore_ascii_case(origin)) {
            return true;
        }
        let [Some(host)] = self.host else { return false };
        let scheme = if self.is_secure { "https" } else { "http" };
        is_bare(host) && format!("{scheme}://{host}").eq_ignore_ascii_case(origin)
    }
}

/// An address, or `localhost`, with or without a port: no name that somebody else could lead here.
fn is_bare(host: &str) -> bool {
    if host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let (name, port) = host.split_once(':').unwrap_or((host, "80"));
    let is_name = name.eq_ignore_ascii_case("localhost") && port.parse::<u16>().is_ok();
    let is_v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    is_name || is_v6.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_foreign(origin: &[&str], site: &[&str], host: &str) -> bool {
        let texts = |values: &[&str]| values.iter().map(|value| Some((*value).to_owned())).collect::<Vec<_>>();
        let (origin, site, host) = (texts(origin), texts(site), texts(&[host]));
        let said = Said { origin: &origin, site: &site, host: &host, is_secure: false };
        said.is_foreign("https://douse.example.org/")
    }

    #[test]
    fn only_pages_of_our_own_may_change_something() {
        for (origin, site, host, foreign) in [
            (&[][..], &[][..], "douse.example.org", false),
            (&["https://douse.example.org"], &["same-origin"], "whatever", false),
            (&["https://DOUSE.example.org"], &[], "whatever", false),
            (&["https://douse.example.org:8443"], &[], "douse.example.org", true),
            (&["http://douse.example.org"], &[], "douse.example.org", true),
            (&["https://evil.example"], &[], "douse.example.org", true),
            (&["null"], &[], "127.0.0.1:9494", true),
            (&[""], &[], "127.0.0.1:9494", true),
            (&["https://douse.example.org", "https://douse.example.org"], &[], "x", true),
            (&["https://douse.example.org"], &["cross-site"], "x", true),
            (&[], &["cross-site"], "127.0.0.1:9494", true),
            (&[], &["same-site"], "127.0.0.1:9494", true),
            (&[], &["none"], "127.0.0.1:9494", false),
            (&[], &["Same-Origin"], "127.0.0.1:9494", true),
            (&[], &["same-origin", "cross-site"], "127.0.0.1:9494", true),
        ] {
            assert_eq!(is_foreign(origin, site, host), foreign, "{origin:?} {site:?} {host}");
        }
    }

    #[test]
    fn a_host_proves_something_only_where_it_is_an_address() {
        for (origin, host, foreign) in [
            ("http://127.0.0.1:9494", "127.0.0.1:9494", false),
            ("http://[::1]:9494", "[::1]:9494", false),
            ("http://localhost:9494", "localhost:9494", false),
            ("http://localhost:3000", "localhost:9494", true),
            ("https://127.0.0.1:9494", "127.0.0.1:9494", true),
            // A name that leads here for a moment.
            ("http://rebound.example:9494", "rebound.example:9494", true),
            ("http://127.0.0.1.evil.example", "127.0.0.1.evil.example", true),
            ("http://localhost.evil.example", "localhost.evil.example", true),
            ("http://[::1].evil.example", "[::1].evil.example", true),
            ("http://127.0.0.1:9494:evil", "127.0.0.1:9494:evil", true),
        ] {
            assert_eq!(is_foreign(&[origin], &[], host), foreign, "{origin} {host}");
        }
    }
}
