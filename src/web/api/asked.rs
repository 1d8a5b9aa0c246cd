//! The query string of a request.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;

use crate::web::error::ApiError;

/// A query of type `T`, all of whose keys may be left out. A wrong or unknown key is 422, and named.
pub struct Asked<T>(T);

impl<T> Asked<T> {
    /// What was asked.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> std::ops::Deref for Asked<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned> FromRequest for Asked<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request.query_string()).map(Self))
    }
}

fn read<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    let parse = |text: &str| web::Query::<T>::from_query(text).map(web::Query::into_inner);
    parse(query).map_err(|error| {
        // The error does not say which key it is about: each one alone does.
        let wrong = query.split('&').find_map(|part| parse(part).err().map(|error| (part, error)));
        let message = match wrong {
            Some((part, error)) => format!("`{part}`: {error}"),
            None => format!("the query string cannot be used: {error}"),
        };
        ApiError::invalid("invalid_query", message)
    })
}
