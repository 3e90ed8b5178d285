//! Wrong keys, counted by the address that they come from.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// For how long wrong keys are counted together.
const WINDOW: Duration = Duration::from_secs(60);
/// How many addresses are known at once. Those that come later are counted together, as if they were one.
pub(super) const ADDRESSES_MAX: usize = 10_000;
/// How many wrong keys are told of in the log within a second. The others are counted.
const TOLD_PER_S: u32 = 5;

#[derive(Clone, Copy, Debug)]
struct Count {
    since: Duration,
    count: u32,
}

impl Count {
    /// The count goes on, or begins anew when its time is over.
    fn add(&mut self, window: Duration, elapsed: Duration) -> u32 {
        if elapsed.saturating_sub(self.since) >= window {
            *self = Self { since: elapsed, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count
    }
}

/// The wrong keys of the last minute. Times are those of a clock that never goes back.
#[derive(Debug)]
pub(super) struct Tries {
    per_min_max: u32,
    addresses: HashMap<IpAddr, Count>,
    /// Of all addresses for which there is no room.
    others: Count,
    told: Count,
    untold: u64,
}

impl Tries {
    pub(super) fn new(per_min_max: u32) -> Self {
        let none = Count { since: Duration::ZERO, count: 0 };
        Self { per_min_max, addresses: HashMap::new(), others: none, told: none, untold: 0 }
    }

    /// For how long an address has to wait, if it has shown too many wrong keys.
    pub(super) fn wait_of(&self, address: IpAddr, elapsed: Duration) -> Option<Duration> {
        let is_full = self.addresses.len() >= ADDRESSES_MAX;
        let count = self.addresses.get(&place_of(address)).or(is_full.then_some(&self.others))?;
        let left = WINDOW.saturating_sub(elapsed.saturating_sub(count.since));
        (count.count >= self.per_min_max && !left.is_zero()).then_some(left)
    }

    /// Counts a wrong key. It is to be told of in the log, with how many have not been, if a number comes back.
    pub(super) fn note(&mut self, address: IpAddr, elapsed: Duration) -> Option<u64> {
        let place = place_of(address);
        if self.addresses.len() >= ADDRESSES_MAX && !self.addresses.contains_key(&place) {
            self.addresses.retain(|_, count| elapsed.saturating_sub(count.since) < WINDOW);
        }
        let has_room = self.addresses.len() < ADDRESSES_MAX || self.addresses.contains_key(&place);
        let begun = Count { since: elapsed, count: 0 };
        let count = if has_room { self.addresses.entry(place).or_insert(begun) } else { &mut self.others };
        count.add(WINDOW, elapsed);
        if self.told.add(Duration::from_secs(1), elapsed) > TOLD_PER_S {
            self.untold += 1;
            return None;
        }
        Some(std::mem::take(&mut self.untold))
    }
}

/// Whoever has an address of IPv6 has as many as a /64 holds.
pub(super) fn place_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_waits_once_it_has_shown_too_many_wrong_keys_within_a_minute() {
        let (mut tries, one, other) = (Tries::new(3), address("192.0.2.1"), address("192.0.2.2"));
        for second in 0..3 {
            assert_eq!(tries.wait_of(one, second * SECOND), None);
            tries.note(one, second * SECOND);
        }

        assert_eq!(tries.wait_of(one, 10 * SECOND), Some(50 * SECOND));
        assert_eq!(tries.wait_of(other, 10 * SECOND), None);
        assert_eq!(tries.wait_of(one, 60 * SECOND), None);
        tries.note(one, 60 * SECOND);
        assert_eq!(tries.wait_of(one, 61 * SECOND), None);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address_and_a_mapped_one_is_ipv4() {
        let mut tries = Tries::new(1);
        tries.note(address("2001:db8::1"), Duration::ZERO);
        tries.note(address("::ffff:192.0.2.1"), Duration::ZERO);

        assert!(tries.wait_of(address("2001:db8::ffff"), SECOND).is_some());
        assert!(tries.wait_of(address("2001:db8:0:1::1"), SECOND).is_none());
        assert!(tries.wait_of(address("192.0.2.1"), SECOND).is_some());
        assert!(tries.wait_of(address("192.0.2.2"), SECOND).is_none());
    }

    #[test]
    fn however_many_addresses_come_memory_stays_bounded_and_all_are_counted() {
        let mut tries = Tries::new(2);
        let nth = |number: u32| IpAddr::V4((0x0a00_0000 + number).into());
        let many = u32::try_from(ADDRESSES_MAX).unwrap();
        for number in 0..many + 2 {
            tries.note(nth(number), SECOND);
        }

        assert_eq!(tries.addresses.len(), ADDRESSES_MAX);
        assert!(tries.wait_of(nth(0), SECOND).is_none());
        assert!(tries.wait_of(nth(many + 9), SECOND).is_some(), "those without a place of their own count together");
        tries.note(nth(many), 70 * SECOND);
        assert_eq!(tries.addresses.len(), 1, "what is older than a minute makes room");
        assert!(tries.wait_of(nth(many + 9), 70 * SECOND).is_none());
    }

    #[test]
    fn a_few_wrong_keys_a_second_are_told_of_and_the_others_counted() {
        let mut tries = Tries::new(1_000);
        let told: Vec<Option<u64>> = (0..8).map(|_| tries.note(address("192.0.2.1"), SECOND)).collect();

        assert_eq!(told, [Some(0), Some(0), Some(0), Some(0), Some(0), None, None, None]);
        assert_eq!(tries.note(address("192.0.2.1"), 2 * SECOND), Some(3));
    }
}
