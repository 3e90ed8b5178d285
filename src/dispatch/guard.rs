//! Keeps requests from going where they may not.
//!
//! Names are judged where they are resolved: only addresses that passed are given to the client, so no second look-up can bring
//! another one. An address that stands in a URL itself is never resolved, and is judged before it is sent.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

use crate::model::{Destination, Refusal, TargetRules};

/// Which addresses a host has.
#[async_trait]
pub trait Lookup: Send + Sync + 'static {
    /// Asks for them. Their ports count for nothing.
    async fn lookup(&self, host: &str) -> io::Result<Vec<SocketAddr>>;
}

/// Asks the system, with all that it looks into, such as `/etc/hosts`.
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.collect())
    }
}

tokio::task_local! {
    /// Where the request goes for which the client connects: a resolver is told the host only, and rules look at scheme and port, too.
    static BOUND_FOR: Arc<Destination>;
}

/// Judges where requests go.
pub(super) struct Guard {
    rules: Arc<TargetRules>,
    lookup: Arc<dyn Lookup>,
}

impl Guard {
    pub(super) fn new(rules: Arc<TargetRules>, lookup: Arc<dyn Lookup>) -> Self {
        Self { rules, lookup }
    }

    /// Sends by `work`, which connects to the host of `url` only, and to none of its addresses that is refused.
    pub(super) async fn send<T>(&self, url: &Url, work: impl Future<Output = T>) -> Result<T, Refusal> {
        let Some(to) = Destination::of(url) else {
            // No request has such a URL; if one had, the client would refuse it as well, and the resolver knows of no destination.
            return Ok(work.await);
        };
        self.rules.judge_host(&to)?;
        Ok(BOUND_FOR.scope(Arc::new(to), work).await)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        // The client asks while it is polled by whoever sends, even if it goes on connecting elsewhere. If that changed, nothing would
        // be resolved any more, rather than something without a judgement.
        let bound_for = BOUND_FOR.try_with(Arc::clone).ok().filter(|to| to.is_host(name.as_str()));
        let (rules, lookup) = (self.rules.clone(), self.lookup.clone());
        Box::pin(async move {
            let to = bound_for.ok_or_else(|| format!("no request is bound for {}", name.as_str()))?;
            let found = lookup.lookup(name.as_str()).await?;
            let mut refusal = None;
            let mut may_be_reached = |address: &SocketAddr| match rules.judge(&to, address.ip()) {
                Ok(()) => true,
                Err(why) => {
                    refusal.get_or_insert(why);
                    false
                }
            };
            let allowed: Vec<SocketAddr> = found.into_iter().filter(|address| may_be_reached(address)).collect();
            match refusal {
                Some(refusal) if allowed.is_empty() => Err(refusal.into()),
                Some(_) | None => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}
