//! States that were stored after another node had already loaded their task: from when on they count.

use crate::model::{Revision, Timestamp};

/// How many states may have come late: a node that has lost a task has one change of it under way.
pub(super) const LATE_MAX: usize = 16;

/// What has to be written so that all states after the one with number `known` come into force at `since` and not before; until
/// then that one was. `states` are those of the task, newest first.
///
/// If none was known, only the newest can have come late: nobody changes what does not exist.
pub(super) fn deferred(states: Vec<Revision>, known: Option<u64>, since: Timestamp) -> Vec<Revision> {
    let lowest = known.or_else(|| states.first().map(|newest| newest.number)).unwrap_or_default();
    let of_interest = states.into_iter().take_while(|state| state.number >= lowest);
    of_interest
        .map(|state| if Some(state.number) == known { ended(state, since) } else { begun(state, since) })
        .collect()
}

fn begun(mut state: Revision, since: Timestamp) -> Revision {
    // A switch leaves the moment of the put as it was.
    if state.put_at == state.in_force_from {
        state.put_at = state.put_at.max(since);
    }
    state.in_force_from = state.in_force_from.max(since);
    ended(state, since)
}

fn ended(mut state: Revision, since: Timestamp) -> Revision {
    state.in_force_until = state.in_force_until.map(|until| until.max(since));
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{at, revision};

    fn state(number: u64, from: i64, until: Option<i64>) -> Revision {
        Revision { number, in_force_until: until.map(at), ..revision("a", at(from)) }
    }

    fn moments(states: Vec<Revision>) -> Vec<(u64, Timestamp, Timestamp, Option<Timestamp>)> {
        states.into_iter().map(|it| (it.number, it.put_at, it.in_force_from, it.in_force_until)).collect()
    }

    #[test]
    fn what_was_known_ends_and_what_came_late_begins_when_it_is_found() {
        let states = vec![state(3, 20, None), state(2, 10, Some(20)), state(1, 0, Some(10))];
        let expected = [(3, at(50), at(50), None), (2, at(10), at(10), Some(at(50)))];
        assert_eq!(moments(deferred(states, Some(2), at(50))), expected);
    }

    #[test]
    fn a_late_switch_keeps_the_moment_of_the_put() {
        let switched = Revision { put_at: at(0), enabled: false, ..state(2, 20, None) };
        let states = vec![switched, state(1, 0, Some(20))];
        assert_eq!(moments(deferred(states, Some(1), at(50)))[0], (2, at(0), at(50), None));
    }

    #[test]
    fn a_late_delete_ends_the_state_when_it_is_found() {
        let states = vec![state(2, 10, Some(20)), state(1, 0, Some(10))];
        assert_eq!(moments(deferred(states, Some(2), at(50))), [(2, at(10), at(10), Some(at(50)))]);
    }

    #[test]
    fn of_several_that_came_late_those_between_were_never_in_force() {
        let states = vec![state(3, 30, None), state(2, 20, Some(30)), state(1, 0, Some(20))];
        let expected = [(3, at(50), at(50), None), (2, at(50), at(50), Some(at(50))), (1, at(0), at(0), Some(at(50)))];
        assert_eq!(moments(deferred(states, Some(1), at(50))), expected);
    }

    #[test]
    fn a_late_first_put_moves_nothing_of_the_task_that_was_deleted_before() {
        let states = vec![state(2, 20, None), state(1, 0, Some(10))];
        assert_eq!(moments(deferred(states, None, at(50))), [(2, at(50), at(50), None)]);
    }
}
