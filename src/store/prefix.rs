//! The beginning of an id, as people type it: the one row whose id begins so.
//!
//! A prefix of a UUID is a range of UUIDs, and both engines order ids as UUIDs do; so no text is compared.

use diesel::prelude::*;
use uuid::Uuid;

use super::schema::{alerts, api_tokens, approval_batches, executions, sessions};
use super::{Db, StoreError, each_backend};
use crate::id::{AlertId, BatchId, ExecutionId, SessionId, TokenId};

/// All UUIDs that begin with some hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prefix {
    first: Uuid,
    last: Uuid,
}

/// What a prefix names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Named<Id> {
    One(Id),
    Several,
    None,
}

impl Prefix {
    /// Reads 4 to 32 hex digits, with or without hyphens; `None` if it is no such thing.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        if !(4..=32).contains(&digits.len()) || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
            return None;
        }
        let first = Uuid::parse_str(&format!("{digits:0<32}")).ok()?;
        let last = Uuid::parse_str(&format!("{digits:f<32}")).ok()?;
        Some(Self { first, last })
    }
}

macro_rules! named {
    ($(#[$doc:meta])* $name:ident, $table:ident, $id:ident) => {
        $(#[$doc])*
        pub fn $name(db: &mut Db, prefix: Prefix) -> Result<Named<$id>, StoreError> {
            let (first, last) = ($id(prefix.first), $id(prefix.last));
            let found: Vec<$id> = each_backend!(db, c => $table::table
                .filter($table::id.ge(first))
                .filter($table::id.le(last))
                .limit(2)
                .select($table::id)
                .load(c))?;
            Ok(match found.as_slice() {
                [] => Named::None,
                [id] => Named::One(*id),
                [_, _, ..] => Named::Several,
            })
        }
    };
}

named!(
    /// The execution that a prefix names.
    execution, executions, ExecutionId
);
named!(
    /// The alert that a prefix names.
    alert, alerts, AlertId
);
named!(
    /// The batch approval that a prefix names.
    batch, approval_batches, BatchId
);
named!(
    /// The API token that a prefix names.
    token, api_tokens, TokenId
);
named!(
    /// The session that a prefix names.
    session, sessions, SessionId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_range() {
        let prefix = Prefix::parse("0198c1d2-00").unwrap();
        assert_eq!(prefix.first.to_string(), "0198c1d2-0000-0000-0000-000000000000");
        assert_eq!(prefix.last.to_string(), "0198c1d2-00ff-ffff-ffff-ffffffffffff");
        let whole = Prefix::parse("0198c1d2-0000-7000-8000-00000000000a").unwrap();
        assert_eq!(whole.first, whole.last);
        for wrong in ["", "019", "0198x", "0198c1d2-0000-7000-8000-00000000000a0", "nginx"] {
            assert_eq!(Prefix::parse(wrong), None, "{wrong}");
        }
    }
}
