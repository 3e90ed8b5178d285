//! How many connections may be open: in all, where further ones wait to be accepted, and from one address, where they are closed.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How often it is told at most that connections are closed.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Who may connect.
pub(super) struct Admission {
    places: Arc<Semaphore>,
    open: Arc<Open>,
    per_address_max: usize,
}

/// How many connections are open, by client.
#[derive(Default)]
struct Open(Mutex<HashMap<IpAddr, usize>>);

impl Admission {
    /// Nobody is connected.
    pub(super) fn new(connections_max: usize, per_address_max: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(connections_max)), open: Arc::default(), per_address_max }
    }

    /// Waits for a place among all.
    pub(super) async fn place(&self) -> OwnedSemaphorePermit {
        self.places.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Lets a connection in; `None`: its client has as many as it may.
    pub(super) fn admit(&self, place: OwnedSemaphorePermit, address: IpAddr) -> Option<Admitted> {
        let client = client_of(address);
        let mut open = self.open.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(client).or_default();
        // An entry of zero is one that was made just now, and the limit is one at least.
        if *count >= self.per_address_max {
            return None;
        }
        *count += 1;
        Some(Admitted { _place: place, open: self.open.clone(), client })
    }
}

/// The right to be connected, until it is dropped.
pub(super) struct Admitted {
    _place: OwnedSemaphorePermit,
    open: Arc<Open>,
    client: IpAddr,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.open.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

/// Whose address it is. Whoever has one address of IPv6 has the 2^64 around it, too.
fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// Connections that were closed, told in few lines.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    untold: u64,
    told_at: Option<Instant>,
}

impl Refusals {
    /// Notes one. How many to tell of, if it is time for a line.
    pub(super) fn note(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        if self.told_at.is_some_and(|at| now.duration_since(at) < TOLD_EVERY) {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn admit(admission: &Admission, address: &str) -> Option<Admitted> {
        admission.admit(admission.place().await, address.parse().unwrap())
    }

    #[tokio::test]
    async fn a_client_has_so_many_connections_and_gets_another_when_one_ends() {
        let admission = Admission::new(100, 2);
        let first = admit(&admission, "192.0.2.1").await.unwrap();
        let _second = admit(&admission, "::ffff:192.0.2.1").await.unwrap();

        assert!(admit(&admission, "192.0.2.1").await.is_none());
        let _other = admit(&admission, "192.0.2.2").await.unwrap();
        drop(first);
        let _third = admit(&admission, "192.0.2.1").await.unwrap();
        assert!(admit(&admission, "192.0.2.1").await.is_none());
    }

    #[tokio::test]
    async fn all_addresses_of_one_network_of_ipv6_are_one_client_and_none_is_kept_when_it_has_gone() {
        let admission = Admission::new(100, 1);
        let first = admit(&admission, "2001:db8:1:2::1").await.unwrap();

        assert!(admit(&admission, "2001:db8:1:2:ffff::9").await.is_none());
        let other = admit(&admission, "2001:db8:1:3::1").await.unwrap();
        drop((first, other));
        assert!(admission.open.0.lock().unwrap().is_empty());
        assert_eq!(admission.places.available_permits(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_are_told_in_one_line_a_second_with_their_number() {
        let (mut refusals, begin) = (Refusals::default(), Instant::now());
        let mut note = |after_ms| refusals.note(begin + Duration::from_millis(after_ms));

        assert_eq!([note(0), note(1), note(999), note(1_000), note(1_001)], [Some(1), None, None, Some(3), None]);
    }
}
