//! Where a request comes from: the connection's other end, or what a trusted proxy says of it.
//!
//! `X-Forwarded-For` is written by whoever likes to. It is believed from its end on, as long as the hop that added an entry is
//! in `web.trusted_proxies`; the first address that is not is the client's.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::HeaderName;
use actix_web::{HttpRequest, web};
use ipnet::IpNet;

use crate::engine::Engine;
use crate::limits;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address; `None` where the connection has no address.
pub fn address(request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    let Some(engine) = request.app_data::<web::Data<Engine>>() else { return Some(peer) };
    let trusted = &engine.policy().config.web.trusted_proxies;
    if trusted.is_empty() {
        return Some(peer);
    }
    let forwarded: Vec<Option<&str>> =
        request.headers().get_all(&X_FORWARDED_FOR).map(|value| value.to_str().ok()).collect();
    Some(client(peer, &forwarded, trusted))
}

/// The first hop, seen from here, that is no trusted proxy.
fn client(peer: IpAddr, forwarded: &[Option<&str>], trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut nearest = peer;
    let entries = forwarded.iter().rev().flat_map(|line| {
        // A line that is no text is one entry that nobody can read.
        let entries: Vec<Option<&str>> = line.map_or_else(|| vec![None], |line| line.rsplit(',').map(Some).collect());
        entries
    });
    for entry in entries.take(limits::FORWARDED_MAX) {
        if !is_trusted(&nearest) {
            break;
        }
        // What cannot be read was not written by a proxy of ours: who added it is the last that is known.
        let Some(address) = entry.and_then(hop) else { break };
        nearest = address;
    }
    nearest
}

/// `192.0.2.7`, `192.0.2.7:1234`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:1234`.
fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarded_address_is_believed_from_trusted_proxies_only() {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "::1/128"].map(|text| text.parse().unwrap()).to_vec();
        for (peer, forwarded, expected) in [
            ("192.0.2.1", &["203.0.113.9"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            // The client wrote the first entry itself.
            ("10.0.0.1", &["127.0.0.1, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            ("10.0.0.1", &["127.0.0.1", "203.0.113.9 , 10.0.0.2"], "203.0.113.9"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("::1", &["[2001:db8::1]:555"], "2001:db8::1"),
            ("10.0.0.1", &["203.0.113.9:555"], "203.0.113.9"),
            ("10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["", ""], "10.0.0.1"),
        ] {
            let lines: Vec<_> = forwarded.iter().copied().map(Some).collect();
            let found = client(peer.parse().unwrap(), &lines, &trusted);
            assert_eq!(found.to_string(), expected, "{peer} {forwarded:?}");
        }
        let ten: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(client(ten, &[Some("203.0.113.9"), None], &trusted), ten, "a line that is no text");
        let many = vec!["10.0.0.2"; 10_000].join(",");
        assert_eq!(client(ten, &[Some(&many)], &trusted).to_string(), "10.0.0.2");
    }
}
