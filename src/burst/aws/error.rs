//! Errors of AWS' client library, sorted.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use crate::burst::cloud::{CloudError, Kind, NO_CREDENTIALS, Order};

/// An answer is sorted by its code. Without one nobody knows whether it was done, but where nothing was sent.
pub fn cloud_error<E>(order: Order, error: &SdkError<E, HttpResponse>) -> CloudError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    if let SdkError::ServiceError(answer) = error {
        let (status, told) = (answer.raw().status().as_u16(), answer.err().meta());
        let code = told.code().map_or_else(|| format!("HTTP status {status}"), str::to_owned);
        return CloudError::answered(order, status, &code, told.message().unwrap_or_default());
    }
    let not_sent = |kind, code: &str| {
        let (code, message) = (code.to_owned(), words(error));
        CloudError { order, kind, code, message }
    };
    let cause = causes(error).find_map(|cause| cause.downcast_ref::<CredentialsError>());
    match (cause, error) {
        (Some(CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)), _) => {
            not_sent(Kind::Denied, NO_CREDENTIALS)
        }
        // Whoever gives them did not answer: that passes.
        (Some(_), _) => not_sent(Kind::Throttled, NO_CREDENTIALS),
        (None, SdkError::ConstructionFailure(_)) => not_sent(Kind::Invalid, "InvalidRequest"),
        (None, SdkError::TimeoutError(_)) => CloudError::unanswered(order, "AWS did not answer in time"),
        (None, _) => CloudError::unanswered(order, &words(error)),
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn words(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
