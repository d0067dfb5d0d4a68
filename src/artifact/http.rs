//! Downloads over HTTP: tried again, resumed, limited.

use std::{error::Error as StdError, path::Path, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect::Policy};
use tokio::{
    fs::{self, OpenOptions},
    io::AsyncWriteExt as _,
};

use super::{Error, access::Access};

/// The largest answer that is kept in memory.
const MAX_TEXT: u64 = 4 << 20;
/// The largest file. The largest official one is a tenth of it.
const MAX_FILE: u64 = 4 << 30;
const REDIRECTS: usize = 10;

/// How patient downloads are.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Until there is a connection.
    pub connect: Duration,
    /// Between two pieces of an answer.
    pub silence: Duration,
    /// Before the second try; doubles with each.
    pub pause: Duration,
    /// Tries after the first one.
    pub retries: usize,
}

impl Patience {
    /// To find out whether somebody answers at all.
    pub const BRIEF: Patience = Patience {
        connect: Duration::from_secs(3),
        silence: Duration::from_secs(3),
        pause: Duration::ZERO,
        retries: 0,
    };
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            connect: Duration::from_secs(20),
            silence: Duration::from_secs(60),
            pause: Duration::from_secs(1),
            retries: 4,
        }
    }
}

/// An HTTP client. It honours `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, and gets the tokens that container registries
/// want.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client,
    patience: Patience,
    access: Access,
}

impl Http {
    /// A client with the user's logins to registries. The process must have a crypto provider already.
    ///
    /// # Errors
    /// When the system's certificates cannot be used, or the logins cannot be read.
    pub fn new(patience: Patience) -> Result<Http, Error> {
        let client = Client::builder()
            .user_agent(concat!("hoist/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(patience.connect)
            .read_timeout(patience.silence)
            .redirect(Policy::custom(|attempt| {
                let was = attempt.previous().last().map(|url| url.scheme());
                if was == Some("https") && attempt.url().scheme() != "https" {
                    attempt.error("it leads away from https")
                } else if attempt.previous().len() > REDIRECTS {
                    attempt.error("it is redirected again and again")
                } else {
                    attempt.follow()
                }
            }))
            .build()
            .map_err(|error| Error::NoClient { cause: error.into() })?;
        Ok(Http { client, patience, access: Access::of_user()? })
    }

    /// A short answer.
    ///
    /// # Errors
    /// When there is none after all tries, or it is too large.
    pub async fn get(&self, url: &str, accept: &str) -> Result<Vec<u8>, Error> {
        self.get_up_to(url, accept, MAX_TEXT).await
    }

    /// An answer of up to `limit` bytes.
    ///
    /// # Errors
    /// As [`Http::get`].
    pub async fn get_up_to(&self, url: &str, accept: &str, limit: u64) -> Result<Vec<u8>, Error> {
        self.patiently(async || {
            let mut response = self.send(url, || self.client.get(url).header(ACCEPT, accept)).await?;
            let mut body = Vec::new();
            while let Some(piece) = response.chunk().await.map_err(unreachable(url))? {
                body.extend_from_slice(&piece);
                if body.len() as u64 > limit {
                    return Err(Error::TooLarge { url: url.to_owned(), limit });
                }
            }
            Ok(body)
        })
        .await
    }

    /// The size of a file in bytes; `None` when the server does not tell.
    ///
    /// # Errors
    /// When the file is not there.
    pub async fn size(&self, url: &str) -> Result<Option<u64>, Error> {
        self.patiently(async || {
            match self.send(url, || self.client.head(url)).await {
                Ok(response) => Ok(header(&response, CONTENT_LENGTH).and_then(|text| text.parse().ok())),
                // A server may know no such question.
                Err(Error::Refused { status: 405 | 501, .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Downloads into a file, behind what is there already from an earlier try. `size` is what it should have in
    /// the end; `grown` is told how many bytes came, and may be told less than nothing when it begins anew.
    ///
    /// # Errors
    /// When it is not there whole after all tries.
    pub async fn download(
        &self,
        url: &str,
        file: &Path,
        size: Option<u64>,
        grown: &(dyn Fn(i64) + Sync),
    ) -> Result<(), Error> {
        self.patiently(async || self.resume(url, file, size, grown).await).await
    }

    async fn resume(
        &self,
        url: &str,
        path: &Path,
        size: Option<u64>,
        grown: &(dyn Fn(i64) + Sync),
    ) -> Result<(), Error> {
        let failed = |cause| Error::Unwritable { path: path.to_owned(), cause };
        let there = fs::metadata(path).await.map_or(0, |metadata| metadata.len());
        // More than the whole cannot be the beginning of it.
        let mut have = if size.is_some_and(|size| there > size) { 0 } else { there };
        if size == Some(have) && have > 0 {
            return Ok(());
        }
        let request = || match have {
            0 => self.client.get(url),
            have => self.client.get(url).header(RANGE, format!("bytes={have}-")),
        };
        let response = self.send(url, request).await;
        if let Err(Error::Refused { status: 416, .. }) = response {
            // The file there is not the beginning of this one.
            fs::write(path, "").await.map_err(failed)?;
            grown(-signed(there));
            return Err(Error::Short { url: url.to_owned(), expected: size.unwrap_or(0), found: 0 });
        }
        let mut response = response?;
        let goes_on = response.status() == StatusCode::PARTIAL_CONTENT
            && header(&response, CONTENT_RANGE)
                .is_some_and(|range| range.starts_with(&format!("bytes {have}-")));
        let mut file = OpenOptions::new().create(true).append(true).open(path).await.map_err(failed)?;
        if !goes_on {
            file.set_len(0).await.map_err(failed)?;
            grown(-signed(there));
            have = 0;
        }
        let limit = size.unwrap_or(MAX_FILE);
        while let Some(piece) = response.chunk().await.map_err(unreachable(url))? {
            have += piece.len() as u64;
            if have > limit {
                return Err(Error::TooLarge { url: url.to_owned(), limit });
            }
            file.write_all(&piece).await.map_err(failed)?;
            grown(signed(piece.len() as u64));
        }
        file.flush().await.map_err(failed)?;
        match size {
            Some(expected) if have < expected => {
                Err(Error::Short { url: url.to_owned(), expected, found: have })
            }
            _ => Ok(()),
        }
    }

    /// Asks, and when a registry wants to know who asks, tells it and asks again.
    async fn send(&self, url: &str, request: impl Fn() -> RequestBuilder) -> Result<Response, Error> {
        let mut asked = request();
        if let Some(known) = self.access.known(url) {
            asked = asked.header(AUTHORIZATION, known);
        }
        let mut response = asked.send().await.map_err(unreachable(url))?;
        // Who asks is nobody's business but the registry's: not that of where it redirects to.
        if response.status() == StatusCode::UNAUTHORIZED
            && url.contains("/v2/")
            && Url::parse(url).is_ok_and(|asked| asked == *response.url())
            && let Some(answer) = self.access.answer(&self.client, url, response.headers()).await?
        {
            response = request().header(AUTHORIZATION, answer).send().await.map_err(unreachable(url))?;
        }
        if response.status().is_success() {
            return Ok(response);
        }
        Err(Error::Refused { url: url.to_owned(), status: response.status().as_u16() })
    }

    async fn patiently<T, F: Future<Output = Result<T, Error>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<T, Error> {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(self.patience.pause)
            .with_max_times(self.patience.retries)
            .with_jitter();
        attempt.retry(pauses).when(Error::passes).await
    }
}

fn unreachable(url: &str) -> impl FnOnce(reqwest::Error) -> Error {
    move |error| {
        let (url, redirected) = (url.to_owned(), error.is_redirect());
        // reqwest's own words repeat the address; what is below says why.
        let cause: Box<dyn StdError + Send + Sync> = error.without_url().into();
        if redirected { Error::Redirected { url, cause } } else { Error::Unreachable { url, cause } }
    }
}

/// Bytes as a change that may go either way.
pub(super) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn header(response: &Response, name: http::HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}
