//! Everything that is not the guard's to refuse and still cannot be done, with its status and its words.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, ResponseError};
use portcullis_guard::actix::Refused;
use serde_json::json;

use crate::document::MEDIA_TYPE;

/// Why a request was not carried out.
#[derive(Debug)]
pub enum Wrong {
    /// The guard says no, and words it itself.
    Refused(Refused),
    /// No such resource in the caller's organization.
    NotFound,
    /// Not a document of this resource.
    Unreadable(String),
    /// Not JSON:API.
    MediaType,
    /// More than is read.
    TooLarge,
    /// Understood, and against the rules of the shop.
    Invalid(&'static str),
}

impl From<Refused> for Wrong {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Wrong {
    fn words(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Refused(refused) => (refused.status_code(), "Refused", "REFUSED"),
            Self::NotFound => (StatusCode::NOT_FOUND, "Record not found", "RECORD_NOT_FOUND"),
            Self::Unreadable(_) => (StatusCode::BAD_REQUEST, "Bad request", "BAD_REQUEST"),
            Self::MediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type", "UNSUPPORTED_MEDIA_TYPE")
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Payload too large", "PAYLOAD_TOO_LARGE"),
            Self::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "Invalid", "VALIDATION_ERROR"),
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(to),
            Self::NotFound => to.write_str("There is no such resource in this organization."),
            Self::Unreadable(why) => write!(to, "The document cannot be read: {why}."),
            Self::MediaType => write!(to, "The body must be {MEDIA_TYPE}."),
            Self::TooLarge => to.write_str("The body is larger than anything this service reads."),
            Self::Invalid(why) => to.write_str(why),
        }
    }
}

impl ResponseError for Wrong {
    fn status_code(&self) -> StatusCode {
        self.words().0
    }

    fn error_response(&self) -> HttpResponse {
        if let Self::Refused(refused) = self {
            return refused.error_response();
        }
        let (status, title, code) = self.words();
        let told =
            json!({"title": title, "detail": self.to_string(), "code": code, "status": status.as_str()});
        HttpResponse::build(status)
            .content_type(MEDIA_TYPE)
            .insert_header((CACHE_CONTROL, "no-store"))
            .body(json!({"errors": [told]}).to_string())
    }
}
