//! How long a log-in has to wait after failures, by account and by address: longer each time, never for good.
//!
//! An attempt counts as failed before its password is looked at, so that a thousand at once are a thousand. Accounts that
//! do not exist are counted like others. Addresses are not trusted further than that: who has logged in from one before does
//! not wait for what strangers do to the account.

use std::net::IpAddr;
use std::time::Duration;

use crate::audit::canonical::sha256_hex;
use crate::clock::Timestamp;
use crate::limits;
use crate::store::login_failures::{self, FailuresRow};
use crate::store::{Db, StoreError};

/// The account and the address of one attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    account: String,
    address: String,
}

/// Whether an attempt may be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It may, and counts as failed from now on. `is_last_free`: if it fails, the next one has to wait.
    Taken { is_last_free: bool },
    /// Not for so long.
    Wait(Duration),
}

impl Attempt {
    /// An attempt to log in to `account`, whether there is one or not.
    pub fn new(account: &str, ip_address: Option<&str>) -> Self {
        // A password typed into the wrong field must not be kept.
        Self { account: format!("account:{}", sha256_hex(account.as_bytes())), address: address_key(ip_address) }
    }

    /// Takes a turn, unless failures before have to be waited for.
    pub fn begin(&self, db: &mut Db, is_known_address: bool, now: Timestamp) -> Result<Turn, StoreError> {
        let account = recent(login_failures::lock(db, &self.account, now)?, now);
        let address = recent(login_failures::lock(db, &self.address, now)?, now);
        let of_account = account.blocked_until.filter(|_| !is_known_address);
        if let Some(until) = of_account.max(address.blocked_until).filter(|until| *until > now) {
            return Ok(Turn::Wait(until.since(now)));
        }
        let account = failed(account, limits::LOGIN_FAILURES_OF_ACCOUNT, now);
        let address = failed(address, limits::LOGIN_FAILURES_OF_ADDRESS, now);
        login_failures::put(db, &account)?;
        login_failures::put(db, &address)?;
        let is_first = |row: &FailuresRow, free: u32| i64::from(row.count) == i64::from(free);
        let is_last_free = is_first(&account, limits::LOGIN_FAILURES_OF_ACCOUNT)
            || is_first(&address, limits::LOGIN_FAILURES_OF_ADDRESS);
        Ok(Turn::Taken { is_last_free })
    }

    /// It did not fail: the account's failures are forgotten, and the address has one fewer. Not all of them, or who has
    /// one account could try all others.
    pub fn succeeded(&self, db: &mut Db, now: Timestamp) -> Result<(), StoreError> {
        login_failures::forget(db, &self.account)?;
        let row = login_failures::lock(db, &self.address, now)?;
        let count = row.count.saturating_sub(1).max(0);
        // The wait was for if it failed.
        login_failures::put(db, &FailuresRow { count, blocked_until: None, ..row })
    }
}

/// One key for all addresses that one customer has: an IPv6 network of 64 bits.
fn address_key(ip_address: Option<&str>) -> String {
    match ip_address.and_then(|text| text.parse::<IpAddr>().ok()).map(|address| address.to_canonical()) {
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("address:{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Some(address @ IpAddr::V4(_)) => format!("address:{address}"),
        None => "address:unknown".to_owned(),
    }
}

/// The row, or none, if its last failure is long ago.
fn recent(row: FailuresRow, now: Timestamp) -> FailuresRow {
    if now.since(row.last_at) < limits::LOGIN_FAILURES_KEPT {
        return row;
    }
    FailuresRow { count: 0, blocked_until: None, ..row }
}

fn is_over(count: i32, free: u32) -> bool {
    i64::from(count) >= i64::from(free)
}

fn failed(row: FailuresRow, free: u32, now: Timestamp) -> FailuresRow {
    let count = row.count.saturating_add(1);
    let blocked_until = is_over(count, free).then(|| now.plus(wait(count, free)));
    FailuresRow { count, last_at: now, blocked_until, ..row }
}

/// How long to wait after so many failures, of which `free` cost nothing.
fn wait(count: i32, free: u32) -> Duration {
    let over = u32::try_from(count).unwrap_or(0).saturating_sub(free);
    limits::LOGIN_WAIT_MIN.saturating_mul(1_u32 << over.min(16)).min(limits::LOGIN_WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_minute() {
        let waits: Vec<u64> = (5..14).map(|count| wait(count, 5).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(wait(i32::MAX, 5), limits::LOGIN_WAIT_MAX, "nobody is locked out for good");
    }

    #[test]
    fn an_ipv6_customer_is_one_address() {
        let key = |text: &str| address_key(Some(text));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("nonsense"), address_key(None));
    }

    #[test]
    fn what_is_typed_into_the_wrong_field_is_not_kept() {
        let attempt = Attempt::new("my secret password", None);
        assert!(!format!("{attempt:?}").contains("secret"), "{attempt:?}");
    }
}
