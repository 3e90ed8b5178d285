//! Whether an attempt has gone, or may go no more: one of the two, whoever comes first.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::model::Timestamp;

const WAITS: u8 = 0;
const GONE: u8 = 1;
const CALLED_OFF: u8 = 2;

/// Of one attempt.
#[derive(Debug, Default)]
pub(super) struct Departure {
    state: AtomicU8,
    went_at: OnceLock<Timestamp>,
}

impl Departure {
    /// Right before the request is sent; `false`: it must not be.
    pub(super) fn go(&self, at: Timestamp) -> bool {
        // Before it is said that it has gone: who hears that asks when.
        self.went_at.get_or_init(|| at);
        self.step(GONE)
    }

    /// From now on it is not sent; `false`: it has gone.
    pub(super) fn call_off(&self) -> bool {
        self.step(CALLED_OFF)
    }

    /// Whether it was sent.
    pub(super) fn has_gone(&self) -> bool {
        self.state.load(Ordering::Acquire) == GONE
    }

    /// When it was sent. `None`: it was not.
    pub(super) fn went_at(&self) -> Option<Timestamp> {
        if self.has_gone() { self.went_at.get().copied() } else { None }
    }

    /// Whether it never goes.
    pub(super) fn is_called_off(&self) -> bool {
        self.state.load(Ordering::Acquire) == CALLED_OFF
    }

    fn step(&self, to: u8) -> bool {
        let stepped = self.state.compare_exchange(WAITS, to, Ordering::AcqRel, Ordering::Acquire);
        stepped.is_ok() || stepped == Err(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_gone_cannot_be_called_off_and_what_is_called_off_does_not_go() {
        let (gone, called_off) = (Departure::default(), Departure::default());

        let at = Timestamp::from_secs;
        assert!(gone.go(at(7)) && !gone.call_off() && gone.go(at(8)));
        assert!(called_off.call_off() && !called_off.go(at(7)) && called_off.call_off());
        assert_eq!((gone.went_at(), called_off.went_at()), (Some(at(7)), None));
        assert!(called_off.is_called_off() && !gone.is_called_off());
    }
}
