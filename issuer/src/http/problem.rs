//! Errors as `application/problem+json` (RFC 9457).

use super::table::Refusal;
use crate::error::Error;
use crate::out;
use crate::requests::Rejected;
use api::Problem;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A refusal of a call: status, stable code, sentence.
#[derive(Debug)]
pub struct Fault {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

impl Fault {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
        }
    }

    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    pub fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail)
    }
}

impl From<Refusal> for Fault {
    fn from(r: Refusal) -> Self {
        match r {
            Refusal::NoSuchCall => Self::not_found("no-such-call", "There is no such call."),
            Refusal::NoSuchMethod => Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "no-such-call",
                "This call has another method.",
            ),
            Refusal::NotAllowed => Self::new(
                StatusCode::FORBIDDEN,
                "not-allowed",
                "Your user may not make this call.",
            ),
        }
    }
}

impl From<Error> for Fault {
    fn from(e: Error) -> Self {
        if let Error::OwnStatement(refused) = &e {
            return Self::invalid(format!("This cannot be signed: {refused}."));
        }
        out::error(format_args!("a call failed: {e}"));
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "failed",
            "The issuer failed; its log says why.",
        )
    }
}

impl From<Rejected> for Fault {
    fn from(r: Rejected) -> Self {
        let detail = r.sentence();
        match r {
            Rejected::NotAuthentic(_) => Self::new(StatusCode::FORBIDDEN, "not-authentic", detail),
            Rejected::TooMany(_) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", detail)
            }
            Rejected::Failed(e) => Self::from(e),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let body = serde_json::to_string(&Problem {
            kind: format!("urn:jitctl:problem:{}", self.code),
            title: self
                .status
                .canonical_reason()
                .unwrap_or_default()
                .to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
        });
        (
            self.status,
            [(header::CONTENT_TYPE, api::PROBLEM_TYPE)],
            // Strings and a number always become JSON; the status stands without a body too.
            body.unwrap_or_default(),
        )
            .into_response()
    }
}
