//! Bodies of requests, bounded in size and time. A JSON body is read whatever its content type; none at all reads as `{}`.

use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::error::ApiError;
use crate::limits;

/// No larger buffer is made on the word of `Content-Length` alone.
const BELIEVED_BYTES_MAX: usize = 64 * 1024;

/// A body of type `T`. Unknown and wrong keys are 422, what is not JSON is 400.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let announced = announced(request);
        let payload = payload.take();
        Box::pin(async move {
            let bounds = Bounds { bytes_max: limits::API_BODY_BYTES_MAX, within: limits::API_BODY_TIMEOUT };
            let bytes = collect(announced, payload, &bounds, None).await.map_err(|error| {
                let (status, code) = match error {
                    BodyError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
                    BodyError::TooSlow(_) => (StatusCode::REQUEST_TIMEOUT, "body_too_slow"),
                    BodyError::Broken(_) => (StatusCode::BAD_REQUEST, "incomplete_body"),
                    BodyError::NoRoom => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
                };
                ApiError::new(status, code, error.to_string())
            })?;
            read(&bytes).map(Self)
        })
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let bytes = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| {
        let status = if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
        ApiError::new(status, "invalid_body", format!("the body cannot be used: {error}"))
    })
}

/// Why a body was not read to its end.
#[derive(Debug, Error)]
pub(super) enum BodyError {
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body did not come within {0:?}; send it again")]
    TooSlow(Duration),
    #[error("the body ended early: {0}")]
    Broken(String),
    #[error("too many bodies are being read; send it again")]
    NoRoom,
}

/// How much of a body is read, and for how long.
pub(super) struct Bounds {
    pub(super) bytes_max: usize,
    pub(super) within: Duration,
}

/// Room for bodies that have to be read before their sender is proved: strangers share it.
pub(super) struct Rooms(Semaphore);

impl Default for Rooms {
    fn default() -> Self {
        Self(Semaphore::new(limits::WEB_STRANGERS_KIB_MAX))
    }
}

/// What `Content-Length` says.
pub(super) fn announced(request: &HttpRequest) -> Option<usize> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The whole body; with `rooms`, as long as there is room for it.
pub(super) async fn collect(
    announced: Option<usize>,
    payload: Payload,
    bounds: &Bounds,
    rooms: Option<&Rooms>,
) -> Result<Vec<u8>, BodyError> {
    if announced.is_some_and(|bytes| bytes > bounds.bytes_max) {
        return Err(BodyError::TooLarge(bounds.bytes_max));
    }
    let reading = gather(announced.unwrap_or(0), payload, bounds.bytes_max, rooms);
    tokio::time::timeout(bounds.within, reading).await.unwrap_or(Err(BodyError::TooSlow(bounds.within)))
}

async fn gather(
    announced: usize,
    mut payload: Payload,
    bytes_max: usize,
    rooms: Option<&Rooms>,
) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::with_capacity(announced.min(BELIEVED_BYTES_MAX));
    let mut room = Room { rooms, held: None };
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| BodyError::Broken(error.to_string()))?;
        if body.len() + chunk.len() > bytes_max {
            return Err(BodyError::TooLarge(bytes_max));
        }
        room.grow(body.len() + chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The part of the common room that one body has, given back when dropped.
struct Room<'r> {
    rooms: Option<&'r Rooms>,
    held: Option<SemaphorePermit<'r>>,
}

impl Room<'_> {
    fn grow(&mut self, bytes: usize) -> Result<(), BodyError> {
        let Some(Rooms(rooms)) = self.rooms else { return Ok(()) };
        let held = self.held.as_ref().map_or(0, SemaphorePermit::num_permits);
        let more = bytes.div_ceil(1_024).saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        let more = u32::try_from(more).map_err(|_| BodyError::NoRoom)?;
        let permit = rooms.try_acquire_many(more).map_err(|_| BodyError::NoRoom)?;
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_share_a_bounded_room_and_give_it_back() {
        let rooms = Rooms(Semaphore::new(4));
        let mut one = Room { rooms: Some(&rooms), held: None };
        let mut other = Room { rooms: Some(&rooms), held: None };
        for bytes in [1, 2, 1_024, 3_000] {
            one.grow(bytes).unwrap();
        }
        assert_eq!(rooms.0.available_permits(), 1);
        other.grow(1_024).unwrap();
        assert!(matches!(other.grow(1_025), Err(BodyError::NoRoom)));
        drop(one);
        other.grow(4 * 1_024).unwrap();
        drop(other);
        assert_eq!(rooms.0.available_permits(), 4);
    }
}
