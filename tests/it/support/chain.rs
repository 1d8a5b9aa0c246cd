//! The whole way of an alert with real programs: a host's service breaks, Prometheus sees it, Alertmanager tells Douse,
//! Douse logs in by sshd.

use super::alertmanager::Alertmanager;
use super::engine::{Engine, Setup, WEBHOOK_TOKEN};
use super::host::Host;
use super::prometheus::Prometheus;
use super::sshd::free_address;

/// A running chain. What tells stops before what is told.
pub struct Chain {
    _prometheus: Prometheus,
    pub alertmanager: Alertmanager,
    pub engine: Engine,
    pub host: Host,
}

impl Chain {
    /// One host named `web1` that runs `nginx`, and an engine with the setup's runbooks.
    pub fn start(setup: Setup) -> Self {
        let host = Host::start(&["nginx"]);
        let address = free_address();
        let engine = setup.server(host.sshd.server_yaml("web1")).address(address).start();
        let alertmanager = Alertmanager::start(&engine.webhook(), WEBHOOK_TOKEN);
        let prometheus = Prometheus::start(&[host.metrics_address()], &alertmanager);
        Self { _prometheus: prometheus, alertmanager, engine, host }
    }
}
