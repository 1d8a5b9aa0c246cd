//! `limit` and `cursor` of lists.

use serde_json::{Value, json};
use std::fmt::Display;
use std::str::FromStr;

use super::error::ApiError;
use crate::limits;
use crate::store::{Page, Paged};

/// The page named by `limit` and `cursor`; 422 when one is out of bounds or no cursor of ours.
pub fn page<Id: FromStr>(limit: Option<u32>, cursor: Option<&str>) -> Result<Page<Id>, ApiError> {
    let limit = limit.unwrap_or(limits::PAGE_DEFAULT);
    if limit == 0 || limit > limits::PAGE_MAX {
        let message = format!("limit is {limit}; it must be from 1 to {}", limits::PAGE_MAX);
        return Err(ApiError::invalid("invalid_query", message));
    }
    let before = match cursor {
        None => None,
        Some(cursor) => Some(cursor.parse().map_err(|_| {
            let message = format!("cursor `{cursor}` is not a `next_cursor` of this list");
            ApiError::invalid("invalid_query", message)
        })?),
    };
    Ok(Page { limit, before })
}

/// A list's answer.
pub fn items<Row, Id: Display>(paged: &Paged<Row, Id>, show: impl Fn(&Row) -> Value) -> Value {
    let items: Vec<Value> = paged.rows.iter().map(show).collect();
    json!({ "items": items, "next_cursor": paged.next.as_ref().map(ToString::to_string) })
}
