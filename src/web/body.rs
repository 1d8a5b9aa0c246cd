//! The JSON body of a request: bounded, whatever its content type; none at all reads as `{}`.

use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;

use super::error::ApiError;
use crate::limits;

/// A body of type `T`. Unknown and wrong keys are 422, what is not JSON is 400.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let announced = request.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = web::Bytes::from_request(request, payload);
        Box::pin(async move {
            if announced.is_some_and(|bytes: usize| bytes > limits::API_BODY_BYTES_MAX) {
                return Err(too_large());
            }
            let bytes = bytes.await.map_err(|_| too_large())?;
            read(&bytes).map(Self)
        })
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if bytes.len() > limits::API_BODY_BYTES_MAX {
        return Err(too_large());
    }
    let bytes = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| {
        let status = if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
        ApiError::new(status, "invalid_body", format!("the body cannot be used: {error}"))
    })
}

fn too_large() -> ApiError {
    let message = format!("the body is larger than {} bytes", limits::API_BODY_BYTES_MAX);
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
}
