//! Asks an issuer for its keys over HTTP.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use http::HeaderMap;
use http::header::{ACCEPT, CACHE_CONTROL};
use reqwest::redirect;
use serde::Deserialize;
use url::Url;

use super::issuer::{FETCH_MAX, FetchError, Fetched, KeySource};
use super::settings::{OidcSettings, is_fit_for_keys};
use crate::observe::with_causes;

/// The largest answer that is taken, in bytes. A larger one is an error.
const ANSWER_MAX: usize = 256 * 1024;
/// How long a connection to the issuer may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Where an issuer tells of itself (OpenID Connect Discovery).
const DISCOVERY: &str = ".well-known/openid-configuration";

/// How connections to an issuer are made. Where it sends us is not followed: its keys are where the configuration says.
pub fn issuer_client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_MAX)
        .timeout(FETCH_MAX)
        .no_proxy()
        .no_gzip()
        .referer(false)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
}

/// An issuer as it is asked.
pub struct HttpKeySource {
    client: reqwest::Client,
    issuer: Box<str>,
    keys: Option<Url>,
}

/// What an issuer tells of itself.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl HttpKeySource {
    /// Of this issuer. `client` is built by [`issuer_client`].
    pub fn new(client: reqwest::Client, settings: &OidcSettings) -> Self {
        Self { client, issuer: settings.issuer.clone(), keys: settings.jwks_url.clone() }
    }

    /// Where the keys are, by what the issuer tells. It must be the one that is meant: else one host could speak for another.
    async fn discover(&self) -> Result<Url, FetchError> {
        let url = format!("{}/{DISCOVERY}", self.issuer.trim_end_matches('/'));
        let url = Url::parse(&url).map_err(|_| FetchError(format!("`{url}` is no URL")))?;
        let (answer, _) = self.get(&url).await?;
        let told = serde_json::from_slice::<Discovered>(&answer);
        let told = told.map_err(|_| FetchError(format!("{url}: it tells no `issuer` and `jwks_uri`")))?;
        if *told.issuer != *self.issuer {
            return Err(FetchError(format!("{url}: it calls itself another issuer than [access] oidc_issuer")));
        }
        let keys = Url::parse(&told.jwks_uri).ok().filter(is_fit_for_keys);
        keys.ok_or_else(|| FetchError(format!("{url}: its `jwks_uri` is neither https nor on this machine")))
    }

    async fn get(&self, url: &Url) -> Result<(Vec<u8>, HeaderMap), FetchError> {
        let failed = |error: reqwest::Error| FetchError(format!("{url}: {}", with_causes(&error.without_url())));
        let sent = self.client.get(url.clone()).header(ACCEPT, "application/json").send();
        let answer = sent.await.map_err(failed)?;
        if !answer.status().is_success() {
            return Err(FetchError(format!("{url}: it answered {}", answer.status().as_u16())));
        }
        let (headers, mut body, mut read) = (answer.headers().clone(), answer.bytes_stream(), Vec::new());
        while let Some(piece) = body.next().await {
            read.extend_from_slice(&piece.map_err(failed)?);
            if read.len() > ANSWER_MAX {
                return Err(FetchError(format!("{url}: its answer is longer than {ANSWER_MAX} bytes")));
            }
        }
        Ok((read, headers))
    }
}

#[async_trait]
impl KeySource for HttpKeySource {
    async fn fetch(&self) -> Result<Fetched, FetchError> {
        let url = match &self.keys {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        let (keys, headers) = self.get(&url).await?;
        Ok(Fetched { keys, good_for: good_for(&headers) })
    }
}

/// How long an answer may be kept, if it says so.
fn good_for(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut words = values.flat_map(|value| value.split(',')).map(|word| word.trim().to_ascii_lowercase());
    words.find_map(|word| match word.as_str() {
        "no-store" | "no-cache" => Some(Duration::ZERO),
        _ => word.strip_prefix("max-age=")?.parse().ok().map(Duration::from_secs),
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn an_answer_says_how_long_it_may_be_kept() {
        let told = |values: &[&'static str]| {
            let values = values.iter().map(|value| (CACHE_CONTROL, HeaderValue::from_static(value)));
            good_for(&values.collect()).map(|kept| kept.as_secs())
        };

        assert_eq!(told(&[]), None);
        assert_eq!(told(&["public, Max-Age=300, must-revalidate"]), Some(300));
        assert_eq!(told(&["no-store"]), Some(0));
        assert_eq!(told(&["max-age=soon", "private"]), None);
        assert_eq!(told(&["max-age=99999999999999999999999"]), None);
    }
}
