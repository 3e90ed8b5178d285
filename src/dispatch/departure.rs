//! Whether an attempt has gone, or may go no more: one of the two, whoever comes first.

use std::sync::atomic::{AtomicU8, Ordering};

const WAITS: u8 = 0;
const GONE: u8 = 1;
const CALLED_OFF: u8 = 2;

/// Of one attempt.
#[derive(Debug, Default)]
pub(super) struct Departure(AtomicU8);

impl Departure {
    /// Right before the request is sent; `false`: it must not be.
    pub(super) fn go(&self) -> bool {
        self.step(GONE)
    }

    /// From now on it is not sent; `false`: it has gone.
    pub(super) fn call_off(&self) -> bool {
        self.step(CALLED_OFF)
    }

    /// Whether it was sent.
    pub(super) fn has_gone(&self) -> bool {
        self.0.load(Ordering::Acquire) == GONE
    }

    /// Whether it never goes.
    pub(super) fn is_called_off(&self) -> bool {
        self.0.load(Ordering::Acquire) == CALLED_OFF
    }

    fn step(&self, to: u8) -> bool {
        let stepped = self.0.compare_exchange(WAITS, to, Ordering::AcqRel, Ordering::Acquire);
        stepped.is_ok() || stepped == Err(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_gone_cannot_be_called_off_and_what_is_called_off_does_not_go() {
        let (gone, called_off) = (Departure::default(), Departure::default());

        assert!(gone.go() && !gone.call_off() && gone.go());
        assert!(called_off.call_off() && !called_off.go() && called_off.call_off());
        assert!(called_off.is_called_off() && !gone.is_called_off());
    }
}
