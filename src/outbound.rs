//! The one HTTP client of the engine, and the addresses that it never connects to.
//!
//! Whoever may choose a URL, or the answer of a name server, must not be able to make Douse ask what only this machine may
//! ask: its own loopback services, link-local neighbours, a cloud's metadata. So an address is looked at when it is
//! connected to, after names were resolved; redirects are not followed; no proxy of the environment is used. What
//! `outbound.allow` names is allowed. So is loopback where the operator wrote it: as `localhost` or as an address.
//! Called by `engine/fetch` and `engine/ledger`; the command line has its own client, for it goes where its user says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use thiserror::Error;

pub use reqwest::Url;

use crate::limits;

/// Metadata services outside of the link-local range: AWS over IPv6, Alibaba, Azure, Oracle.
const METADATA: [IpAddr; 4] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// Makes requests; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Outbound {
    filter: Arc<Filter>,
    /// Made when it is first needed: most engines ask nobody.
    client: Arc<OnceLock<Client>>,
}

/// What to send.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Vec<u8>>,
    /// For all of it, from the name's resolution to the answer's last byte.
    pub within: Duration,
    /// A longer answer is an error.
    pub bytes_max: usize,
}

impl Request {
    /// A `GET` of JSON.
    pub fn get(url: Url, within: Duration, bytes_max: usize) -> Self {
        let headers = vec![("accept", "application/json".to_owned())];
        Self { method: Method::GET, url, headers, body: None, within, bytes_max }
    }

    /// A `POST` of JSON.
    pub fn post(url: Url, json: String, within: Duration, bytes_max: usize) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { method: Method::POST, url, headers, body: Some(json.into_bytes()), within, bytes_max }
    }
}

/// What came back, whatever its status is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Why nothing came back.
#[derive(Debug, Error)]
pub enum OutboundError {
    /// The address is one that Douse does not connect to.
    #[error("{0} is not connected to: it is {1}; `outbound.allow` may name it")]
    Forbidden(String, &'static str),
    /// The URL is not `http` or `https`, or names no host.
    #[error("`{0}` is no address of HTTP")]
    NotHttp(String),
    /// The answer is too long.
    #[error("its answer is larger than {0} bytes")]
    TooLarge(usize),
    /// No connection, no answer in time, or a broken one.
    #[error("{}", deepest(.0))]
    Http(#[from] reqwest::Error),
}

impl OutboundError {
    /// Whether the same request may work later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Http(_))
    }
}

/// The innermost reason: reqwest's own words only say that the request failed.
fn deepest(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

impl Outbound {
    /// Connects to what `allow` names, too.
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self { filter: Arc::new(Filter { allow }), client: Arc::default() }
    }

    /// Sends `request` and reads the answer to its end.
    pub async fn send(&self, request: Request) -> Result<Answer, OutboundError> {
        self.filter.judge(&request.url)?;
        let bytes_max = request.bytes_max;
        let mut building = self.client()?.request(request.method, request.url).timeout(request.within);
        for (name, value) in request.headers {
            building = building.header(name, value);
        }
        if let Some(body) = request.body {
            building = building.body(body);
        }
        let mut response = building.send().await?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > bytes_max {
                return Err(OutboundError::TooLarge(bytes_max));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }

    fn client(&self) -> Result<Client, reqwest::Error> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let client = Client::builder()
            .connect_timeout(limits::OUTBOUND_CONNECT_TIMEOUT)
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(FilteredNames(Arc::clone(&self.filter)))
            .user_agent(concat!("douse/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(self.client.get_or_init(|| client).clone())
    }
}

/// Which addresses may be connected to.
#[derive(Debug, Default)]
struct Filter {
    allow: Vec<IpNet>,
}

impl Filter {
    /// What can be told before a name is resolved: an address in a URL is never resolved.
    fn judge(&self, url: &Url) -> Result<(), OutboundError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(OutboundError::NotHttp(url.to_string()));
        }
        let Some(host) = url.host_str() else { return Err(OutboundError::NotHttp(url.to_string())) };
        // However an address was written, the URL holds it in its usual form.
        let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() else { return Ok(()) };
        // Written by the operator, who means it; only what everybody's machine has is not meant by accident.
        match self.objection(address) {
            Some(kind) if kind != LOOPBACK => Err(OutboundError::Forbidden(address.to_string(), kind)),
            _ => Ok(()),
        }
    }

    /// Why `address` is not connected to.
    fn objection(&self, address: IpAddr) -> Option<&'static str> {
        let plain = plain(address);
        let is_allowed = |address: &IpAddr| self.allow.iter().any(|network| network.contains(address));
        if is_allowed(&address) || is_allowed(&plain) {
            return None;
        }
        kind(plain)
    }
}

const LOOPBACK: &str = "a loopback address";

/// What is special about an address; `None` = nothing.
fn kind(address: IpAddr) -> Option<&'static str> {
    if METADATA.contains(&address) {
        return Some("a metadata service");
    }
    let (is_link_local, is_broadcast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.is_broadcast() || v4.octets()[0] == 0),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), false),
    };
    match () {
        () if address.is_loopback() => Some(LOOPBACK),
        () if is_link_local => Some("a link-local address"),
        () if address.is_unspecified() || address.is_multicast() || is_broadcast => Some("no host's address"),
        () => None,
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, by NAT64 (RFC 6052) or 6to4 (RFC 3056).
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let of = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => of(high, low),
        // `::1` and `::` are themselves.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => of(high, low),
        [0x2002, high, low, ..] => of(high, low),
        _ => address,
    }
}

/// Resolves names as the machine does, and leaves out what may not be connected to.
struct FilteredNames(Arc<Filter>);

impl Resolve for FilteredNames {
    fn resolve(&self, name: Name) -> Resolving {
        let filter = Arc::clone(&self.0);
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let found = permitted(&filter, &name, found)?;
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// The addresses of `name` that may be connected to; an error if there are none left.
fn permitted(filter: &Filter, name: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, OutboundError> {
    let is_localhost = name.eq_ignore_ascii_case("localhost");
    let mut refused = None;
    let mut left = Vec::new();
    for address in found {
        match filter.objection(address.ip()) {
            Some(kind) if !(is_localhost && kind == LOOPBACK) => {
                refused = Some(OutboundError::Forbidden(format!("{name} ({})", address.ip()), kind));
            }
            _ => left.push(address),
        }
    }
    match refused {
        Some(refused) if left.is_empty() => Err(refused),
        _ => Ok(left),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn filter(allow: &[&str]) -> Filter {
        Filter { allow: allow.iter().map(|network| network.parse().unwrap()).collect() }
    }

    #[test]
    fn what_only_this_machine_may_ask_is_not_connected_to_however_it_is_written() {
        let strict = filter(&[]);
        for (address, is_refused) in [
            ("127.0.0.1", true),
            ("127.8.9.10", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("::127.0.0.1", true),
            ("64:ff9b::7f00:1", true),
            ("2002:7f00:1::", true),
            ("169.254.169.254", true),
            ("::ffff:169.254.169.254", true),
            ("64:ff9b::a9fe:a9fe", true),
            ("fe80::1", true),
            ("fd00:ec2::254", true),
            ("100.100.100.200", true),
            ("168.63.129.16", true),
            ("0.0.0.0", true),
            ("0.1.2.3", true),
            ("::", true),
            ("255.255.255.255", true),
            ("224.0.0.1", true),
            ("ff02::1", true),
            ("10.0.0.1", false),
            ("192.168.1.1", false),
            ("172.16.0.1", false),
            ("203.0.113.9", false),
            ("fd12::1", false),
            ("2001:db8::1", false),
            ("64:ff9b::a00:1", false),
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            assert_eq!(strict.objection(parsed).is_some(), is_refused, "{address}");
            let found = permitted(&strict, "some.example", vec![SocketAddr::new(parsed, 80)]);
            assert_eq!(found.is_err(), is_refused, "a name that leads to {address}");
            let wide = filter(&["0.0.0.0/0", "::/0"]);
            assert_eq!(wide.objection(parsed), None, "{address} is allowed");
        }
        let metadata = filter(&["169.254.169.254/32"]);
        assert_eq!(metadata.objection("::ffff:169.254.169.254".parse().unwrap()), None);
        assert!(metadata.objection("169.254.169.253".parse().unwrap()).is_some());
    }

    #[test]
    fn loopback_is_meant_where_it_is_written_and_nowhere_else() {
        let strict = filter(&[]);
        for (url, is_taken) in [
            ("http://127.0.0.1:9093", true),
            ("http://[::1]:9093", true),
            ("http://0x7f.1:9093", true),
            ("http://169.254.169.254/latest", false),
            ("http://[fd00:ec2::254]/", false),
            ("http://2852039166/", false),
            ("http://[::ffff:a9fe:a9fe]/", false),
            ("http://0.0.0.0:9093", false),
            ("http://[fe80::1]/", false),
            ("http://10.0.0.1", true),
            ("https://am.example", true),
            ("ftp://am.example", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(strict.judge(&Url::parse(url).unwrap()).is_ok(), is_taken, "{url}");
        }
        let loopback = || vec!["127.0.0.1:0".parse().unwrap()];
        assert!(permitted(&strict, "localhost", loopback()).is_ok());
        assert!(permitted(&strict, "localhost.evil.example", loopback()).is_err());
        assert!(permitted(&strict, "localhost", vec!["169.254.169.254:0".parse().unwrap()]).is_err());
        let mixed = vec!["127.0.0.1:0".parse().unwrap(), "203.0.113.9:0".parse().unwrap()];
        assert_eq!(permitted(&strict, "both.example", mixed).unwrap().len(), 1, "the rest is left");
    }

    /// A server that answers each connection with `answer`, and counts them.
    async fn server(answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let mut buffer = [0; 4_096];
                let _request = stream.read(&mut buffer).await;
                let _answered = stream.write_all(answer.as_bytes()).await;
                if answer.is_empty() {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                }
            }
        });
        (address, asked)
    }

    async fn ask(url: &str, bytes_max: usize) -> Result<Answer, OutboundError> {
        Outbound::default().send(Request::get(Url::parse(url).unwrap(), Duration::from_millis(500), bytes_max)).await
    }

    #[tokio::test]
    async fn an_answer_is_bounded_in_size_and_time_and_leads_nowhere_else() {
        let (address, _) = server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n12345").await;
        let url = format!("http://{address}/");
        assert_eq!(ask(&url, 5).await.unwrap(), Answer { status: 200, body: b"12345".to_vec() });
        assert!(matches!(ask(&url, 4).await, Err(OutboundError::TooLarge(4))));
        let named = format!("http://localhost:{}/", address.port());
        assert_eq!(ask(&named, 5).await.unwrap().status, 200, "the operator wrote `localhost`");

        let (elsewhere, asked) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let text = format!("HTTP/1.1 302 Found\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n");
        let (redirecting, _) = server(text.leak()).await;
        assert_eq!(ask(&format!("http://{redirecting}/"), 5).await.unwrap().status, 302);
        assert_eq!(asked.load(Ordering::SeqCst), 0);

        let (silent, _) = server("").await;
        let error = ask(&format!("http://{silent}/"), 5).await.unwrap_err();
        assert!(error.is_retryable() && error.to_string() == "no answer in time", "{error}");
        let error = ask("http://169.254.169.254/latest/meta-data", 5).await.unwrap_err();
        assert!(!error.is_retryable() && error.to_string().contains("outbound.allow"), "{error}");
    }
}
