//! How many connections may be open: from one address, where further ones are closed, and in all. For one above that, those end that
//! wait for their clients; while none does, it waits.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log::warn;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::activity::Activity;

/// How often it is told at most that connections are closed.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// Who waits for a place looks again after this time for connections that may give way.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// One part in so many of all connections gives way at once: each look goes through all of them.
const GIVING_WAY_PARTS: usize = 64;

/// Who may connect.
pub(super) struct Admission {
    places: Arc<Semaphore>,
    open: Arc<Open>,
    connections_max: usize,
    per_address_max: usize,
    given_way: Mutex<Closings>,
}

/// What is open.
#[derive(Default)]
struct Open(Mutex<Connections>);

#[derive(Default)]
struct Connections {
    /// How many, by client.
    counts: HashMap<IpAddr, usize>,
    /// Those that have a place.
    placed: HashMap<u64, (IpAddr, Activity)>,
    last: u64,
}

impl Open {
    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission {
    /// Nobody is connected.
    pub(super) fn new(connections_max: usize, per_address_max: usize) -> Self {
        let places = Arc::new(Semaphore::new(connections_max));
        Self { places, open: Arc::default(), connections_max, per_address_max, given_way: Mutex::default() }
    }

    /// Counts a connection of this address; `None`: its client has as many as it may.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Admitted> {
        let client = client_of(address);
        let mut open = self.open.connections();
        let count = open.counts.entry(client).or_default();
        // An entry of zero is one that was made just now, and the limit is one at least.
        if *count >= self.per_address_max {
            return None;
        }
        *count += 1;
        Some(Admitted { open: self.open.clone(), client, place: None })
    }

    /// Waits for a place among all, and makes room where there is none.
    pub(super) async fn place(&self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(place) = self.places.clone().try_acquire_owned() {
                return place;
            }
            self.make_room(Instant::now());
            if let Ok(place) = timeout(LOOK_AGAIN_AFTER, self.places.clone().acquire_owned()).await {
                return place.expect("the semaphore is never closed");
            }
        }
    }

    /// Of the clients with most connections, those that have waited for them for longest are asked to end.
    fn make_room(&self, now: Instant) {
        let open = self.open.connections();
        let mut waiting: Vec<_> = open
            .placed
            .values()
            .filter_map(|(client, activity)| {
                let count = open.counts.get(client).copied().unwrap_or_default();
                Some((Reverse(count), activity.may_give_way(now)?, activity))
            })
            .collect();
        waiting.sort_unstable_by_key(|(count, since, _)| (*count, *since));
        // Those that were asked and had no time yet to end count: else a busy node would ask ever younger ones.
        let leaving = open.placed.values().filter(|(_, activity)| activity.is_leaving(now)).count();
        let at_once = (self.connections_max / GIVING_WAY_PARTS).max(1);
        let asked = waiting.iter().take(at_once.saturating_sub(leaving));
        let count = asked.map(|(.., activity)| activity.give_way()).count();
        let told = self.given_way.lock().unwrap_or_else(PoisonError::into_inner).note(count, now);
        if let Some(closed) = told {
            warn!(closed; "all connections are taken, idle ones are closed for new ones ([server] connections_max)");
        }
    }
}

/// The right to be connected, until it is dropped.
pub(super) struct Admitted {
    open: Arc<Open>,
    client: IpAddr,
    place: Option<(u64, OwnedSemaphorePermit)>,
}

impl Admitted {
    /// Takes a place. From now on this connection may be asked to give way.
    pub(super) fn take(&mut self, place: OwnedSemaphorePermit, activity: Activity) {
        let mut open = self.open.connections();
        open.last += 1;
        let number = open.last;
        open.placed.insert(number, (self.client, activity));
        self.place = Some((number, place));
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.open.connections();
        if let Some((number, _)) = &self.place {
            open.placed.remove(number);
        }
        if let Some(count) = open.counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.counts.remove(&self.client);
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
pub(super) struct Closings {
    untold: usize,
    told_at: Option<Instant>,
}

impl Closings {
    /// Notes some. How many to tell of, if there are any and it is time for a line.
    pub(super) fn note(&mut self, count: usize, now: Instant) -> Option<usize> {
        self.untold += count;
        if self.untold == 0 || self.told_at.is_some_and(|at| now.duration_since(at) < TOLD_EVERY) {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::super::activity::Patience;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn admit(admission: &Admission, address: &str) -> Option<Admitted> {
        admission.admit(address.parse().unwrap())
    }

    fn activity(accepted_at: Instant) -> Activity {
        Activity::new(Patience { head: 60 * SECOND, idle: 60 * SECOND, write: 60 * SECOND }, accepted_at)
    }

    /// Takes the place that is free, at that moment.
    fn placed(admission: &Admission, address: &str, at: Instant) -> (Admitted, Activity) {
        let (mut admitted, activity) = (admit(admission, address).unwrap(), activity(at));
        admitted.take(admission.places.clone().try_acquire_owned().unwrap(), activity.clone());
        (admitted, activity)
    }

    #[test]
    fn a_client_has_so_many_connections_and_gets_another_when_one_ends() {
        let admission = Admission::new(100, 2);
        let first = admit(&admission, "192.0.2.1").unwrap();
        let _second = admit(&admission, "::ffff:192.0.2.1").unwrap();

        assert!(admit(&admission, "192.0.2.1").is_none());
        let _other = admit(&admission, "192.0.2.2").unwrap();
        drop(first);
        let _third = admit(&admission, "192.0.2.1").unwrap();
        assert!(admit(&admission, "192.0.2.1").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn all_addresses_of_one_network_of_ipv6_are_one_client_and_none_is_kept_when_it_has_gone() {
        let admission = Admission::new(100, 1);
        let (first, _) = placed(&admission, "2001:db8:1:2::1", Instant::now());

        assert!(admit(&admission, "2001:db8:1:2:ffff::9").is_none());
        let other = admit(&admission, "2001:db8:1:3::1").unwrap();
        drop((first, other));
        let open = admission.open.connections();
        assert!(open.counts.is_empty() && open.placed.is_empty());
        assert_eq!(admission.places.available_permits(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn for_a_further_connection_the_one_ends_that_waited_longest_of_the_client_with_most() {
        let (admission, begin) = (Admission::new(4, 100), Instant::now());
        // Nobody has just connected.
        tokio::time::advance(10 * SECOND).await;
        let (_lone, lone) = placed(&admission, "192.0.2.1", begin);
        let (_busy, busy) = placed(&admission, "192.0.2.2", begin + SECOND);
        let _asked = busy.begin();
        let (_newer, newer) = placed(&admission, "192.0.2.2", begin + 3 * SECOND);
        let (older_place, older) = placed(&admission, "192.0.2.2", begin + 2 * SECOND);

        let waiting = admission.place();
        let ended = async {
            older.called().await;
            drop(older_place);
        };
        let (_place, ()) = tokio::join!(waiting, ended);

        let may_give_way = |activity: &Activity| activity.may_give_way(begin + 10 * SECOND).is_some();
        assert_eq!([&lone, &busy, &newer].map(may_give_way), [true, false, true], "nobody else was asked");
    }

    #[tokio::test(start_paused = true)]
    async fn while_one_is_about_to_end_no_other_is_asked_however_long_that_takes() {
        let (admission, begin) = (Admission::new(2, 100), Instant::now());
        let (_older, older) = placed(&admission, "192.0.2.1", begin);
        let (_newer, newer) = placed(&admission, "192.0.2.1", begin + SECOND);

        assert!(timeout(5 * SECOND, admission.place()).await.is_err());

        assert!(older.is_leaving(Instant::now()));
        assert_eq!(newer.may_give_way(Instant::now()), Some(begin + SECOND), "it was not asked");
    }

    #[tokio::test(start_paused = true)]
    async fn while_all_are_busy_a_further_connection_waits_until_one_is_not() {
        let (admission, begin) = (Admission::new(1, 100), Instant::now());
        let (busy_place, busy) = placed(&admission, "192.0.2.1", begin);
        let asked = busy.begin();

        let mut waiting = Box::pin(admission.place());
        assert!(timeout(60 * SECOND, &mut waiting).await.is_err());
        drop(asked);
        let ended = async {
            busy.called().await;
            drop(busy_place);
        };
        let (_place, ()) = tokio::join!(waiting, ended);
    }

    #[tokio::test(start_paused = true)]
    async fn closings_are_told_in_one_line_a_second_with_their_number() {
        let (mut closings, begin) = (Closings::default(), Instant::now());
        let mut note = |count, after_ms| closings.note(count, begin + Duration::from_millis(after_ms));

        assert_eq!([note(0, 0), note(1, 0), note(1, 1), note(2, 999)], [None, Some(1), None, None]);
        assert_eq!([note(1, 1_000), note(1, 1_001), note(0, 2_000), note(0, 3_001)], [Some(4), None, Some(1), None]);
    }
}
