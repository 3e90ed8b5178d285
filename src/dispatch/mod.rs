//! May it go, and did it: limits, the request itself, its outcome. Decides nothing about when.
//!
//! The loop (`run_loop.rs`) owns every run from its handing over to its outcome. A run waits for its jitter (`alarms.rs`), for other
//! runs of its entry (`overlap.rs`) or of its backfill (`groups.rs`), for a place among those in flight (`lanes.rs`); then an attempt is
//! made (`sender.rs`, signed by `signing.rs`, with a token of
//! `tokens.rs`), which ends the run or makes it pause before the next one. Where it may go is judged when it connects (`guard.rs`), and
//! again at each redirect (`redirects.rs`).

mod alarms;
mod attempt;
mod authorities;
mod body;
mod callbacks;
mod cancel;
mod departure;
mod elsewhere;
mod gauges;
mod groups;
mod guard;
mod handle;
mod intake;
mod keys;
mod lanes;
mod letting_go;
mod mission;
mod overlap;
mod prepared;
mod redirects;
mod request;
mod run_loop;
mod runs;
mod scrub;
mod sender;
mod settings;
mod signing;
mod steps;
mod token_answer;
mod tokens;

pub use self::attempt::{Answer, AnswerBody, HttpTransport, Transport, TransportError, build_client};
pub use self::authorities::{AuthoritiesError, authorities};
pub use self::elsewhere::EndsElsewhere;
pub use self::guard::{Lookup, SystemLookup};
pub use self::handle::{
    Activity, AskRefused, Broken, Cancelled, Dispatch, DispatchStopped, Drained, LetGo, Letting, Patience,
    PlaceForRuns, Reserved, Scope, TakenBack,
};
pub use self::request::{OutgoingRequest, Unsendable};
pub use self::run_loop::{Means, start};
pub use self::settings::Settings;

#[cfg(test)]
mod tests;
